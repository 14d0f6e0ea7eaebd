"""Signals and forks: what happens around a fit while it runs."""

import _thread
import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from liftnet import LiftedMLPClassifier, _core

FOREVER = 100_000
"""Passes that would take hours."""


def quick(**params):
    """Return a classifier that trains in milliseconds."""
    defaults = {"hidden_layer_sizes": 12, "max_iter": 4, "random_state": 0}
    return LiftedMLPClassifier(**(defaults | params))


def endless(**params):
    """Return a classifier that only an interruption stops."""
    return quick(**{"max_iter": FOREVER, "n_iter_no_change": FOREVER} | params)


def weights(clf):
    """All coefficients and intercepts in one vector."""
    return np.concatenate([array.ravel() for array in (*clf.coefs_, *clf.intercepts_)])


def assert_usable(clf, X):
    """Check that an interrupted fit left a whole model behind."""
    assert 1 <= clf.n_iter_ < FOREVER
    assert len(clf.loss_curve_) in (clf.n_iter_ - 1, clf.n_iter_)
    assert np.isfinite(weights(clf)).all()
    assert np.isfinite(clf.predict_proba(X)).all()


# Ctrl-C


@pytest.fixture
def ctrl_c(monkeypatch):
    """Press Ctrl-C when the core has worked for some time."""
    fit = _core.fit

    def interrupted_fit(*args, **kwargs):
        # Started here: an interruption before the core would end the tests.
        threading.Timer(0.3, _thread.interrupt_main).start()
        return fit(*args, **kwargs)

    monkeypatch.setattr(_core, "fit", interrupted_fit)


@pytest.mark.parametrize("params", [{}, {"early_stopping": True}, {"verbose": True}])
def test_ctrl_c_ends_a_fit_and_keeps_the_model(digits, ctrl_c, params):
    X, y = digits
    start = time.monotonic()
    with pytest.warns(ConvergenceWarning, match="interrupted by user"):
        clf = endless(**params).fit(X, y)
    assert time.monotonic() - start < 5
    assert_usable(clf, X)
    assert clf.score(X, y) > 0.5


def test_ctrl_c_within_the_first_pass_of_a_large_fit(ctrl_c):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(10_000, 50)), rng.integers(3, size=10_000)
    clf = quick(hidden_layer_sizes=(1000, 1000), batch_size=32)  # half a minute a pass
    start = time.monotonic()
    with pytest.warns(ConvergenceWarning, match="interrupted by user"):
        clf.fit(X, y)
    assert time.monotonic() - start < 10
    assert clf.n_iter_ == 1
    assert clf.loss_curve_ == []
    assert np.isnan(clf.loss_)
    assert np.isfinite(clf.predict_proba(X[:5])).all()


def test_ctrl_c_in_a_callback_is_ctrl_c(iris, monkeypatch):
    def interrupt(*report):
        raise KeyboardInterrupt

    monkeypatch.setattr(LiftedMLPClassifier, "_print_pass", staticmethod(interrupt))
    with pytest.warns(ConvergenceWarning, match="interrupted by user"):
        clf = endless(verbose=True).fit(*iris)
    assert_usable(clf, iris[0])


def test_ctrl_c_after_the_last_pass_is_not_lost(iris, monkeypatch):
    def interrupt(*report):
        raise KeyboardInterrupt

    monkeypatch.setattr(LiftedMLPClassifier, "_print_pass", staticmethod(interrupt))
    with pytest.warns(ConvergenceWarning, match="interrupted by user"):
        clf = quick(max_iter=1, verbose=True).fit(*iris)
    assert clf.n_iter_ == 1


def test_sigint_from_outside():
    code = """
        import sys
        from sklearn.datasets import load_digits
        from liftnet import LiftedMLPClassifier
        X, y = load_digits(return_X_y=True)
        clf = LiftedMLPClassifier(12, max_iter=100_000, n_iter_no_change=100_000)
        print("ready", flush=True)
        clf.fit(X, y)
        print(clf.n_iter_, clf.score(X, y), flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "ConvergenceWarning: Training interrupted by user" in err
    n_iter, score = out.split()
    assert 1 <= int(n_iter) < FOREVER
    assert float(score) > 0.5


# Other exceptions


class AlarmError(Exception):
    """What the handler of the test raises."""


@contextlib.contextmanager
def alarm(seconds, error):
    """Raise the error in the main thread after some time."""

    def handler(signum, frame):
        raise error

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("error", [AlarmError("ring"), SystemExit(3)], ids=repr)
@pytest.mark.parametrize("fitted", [False, True])
def test_exception_of_a_signal_handler_ends_the_fit(iris, digits, error, fitted):
    clf = quick().fit(*iris) if fitted else quick()
    clf.set_params(max_iter=FOREVER, n_iter_no_change=FOREVER)
    before = vars(clf).copy()
    start = time.monotonic()
    with pytest.raises(type(error)) as caught, alarm(0.3, error):
        clf.fit(*digits)
    assert caught.value is error
    assert time.monotonic() - start < 5
    assert vars(clf).keys() == before.keys()
    assert all(vars(clf)[name] is value for name, value in before.items())
    if fitted:
        assert_array_equal(clf.predict(iris[0]), quick().fit(*iris).predict(iris[0]))


def test_signal_handler_that_raises_nothing_changes_nothing(digits):
    calls = []
    before = signal.signal(signal.SIGALRM, lambda *_: calls.append(time.monotonic()))
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        clf = quick(max_iter=60, hidden_layer_sizes=100).fit(*digits)
        end = time.monotonic()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len([call for call in calls if call < end]) > 2  # they ran meanwhile
    other = quick(max_iter=60, hidden_layer_sizes=100).fit(*digits)
    assert_array_equal(weights(clf), weights(other))


def test_exception_of_a_callback_ends_the_fit_at_once(iris):
    reports = []

    def callback(*report):
        reports.append(report)
        raise ZeroDivisionError("mine")

    X, y = iris
    options = endless()._options("softmax", None)
    start = time.monotonic()
    with pytest.raises(ZeroDivisionError, match="mine"):
        _core.fit(X, y.astype(np.uint32), 3, options, callback=callback)
    assert time.monotonic() - start < 5
    assert len(reports) == 1


def test_exception_of_a_callback_leaves_the_estimator(iris, monkeypatch):
    def fail(*report):
        raise BrokenPipeError

    clf = quick().fit(*iris)
    before = vars(clf).copy()
    monkeypatch.setattr(LiftedMLPClassifier, "_print_pass", staticmethod(fail))
    with pytest.raises(BrokenPipeError):
        clf.set_params(verbose=True, max_iter=FOREVER).fit(*iris)
    assert all(vars(clf)[name] is before[name] for name in before if name[-1] == "_")


def test_callback_hears_of_every_pass(iris):
    X, y = iris
    reports = []
    options = quick()._options("softmax", None)
    result = _core.fit(
        X,
        y.astype(np.uint32),
        3,
        options,
        validation=(X[:30], y[:30].astype(np.uint32), None),
        callback=lambda *report: reports.append(report),
    )
    passes, losses, scores, seconds, planned, weights = zip(*reports, strict=True)
    assert passes == (1, 2, 3, 4)
    assert set(planned) == {4}
    assert set(weights) == {None}
    assert list(losses) == result.loss_curve
    assert list(scores) == result.validation_scores
    assert list(seconds) == sorted(seconds)
    assert 0 < seconds[0] < 60


# Threads


def test_the_interpreter_is_free_during_a_fit(digits):
    ticks, done = [], threading.Event()

    def tick():
        while not done.wait(0.001):
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        start = time.monotonic()
        quick(hidden_layer_sizes=(200, 200), max_iter=10).fit(*digits)
        end = time.monotonic()
    finally:
        done.set()
        thread.join()
    during = [moment for moment in ticks if start < moment < end]
    assert end - start > 0.1, "too short a fit to tell"
    # One tick a millisecond, less what busy processors delay.
    assert len(during) > 50 * (end - start)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_fits_in_threads_at_once(digits, iris, n_jobs):
    def fit(job):
        seed, (X, y) = job
        clf = quick(random_state=seed, n_jobs=n_jobs).fit(X, y)
        return np.append(weights(clf), clf.decision_function(X))

    jobs = [(seed, data) for seed in (0, 1) for data in (digits, iris)] * 2
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(fit, jobs))
    for job, result in zip(jobs, together, strict=True):
        assert_array_equal(result, fit(job))


def test_exceptions_stay_in_their_thread(digits):
    X, y = digits
    bad = X.copy()
    bad[5, 5] = np.nan
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        failing = pool.submit(quick().fit, bad, y)
        working = pool.submit(quick().fit, X, y)
        assert isinstance(failing.exception(timeout=60), ValueError)
        assert working.result(timeout=60).n_iter_ == 4


# Forks


def fit_and_report(connection, X, y):
    clf = quick().fit(X, y)
    connection.send((weights(clf), clf.predict(X)))
    connection.close()


# Python 3.12 and later warn of forks of processes with threads.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fit_in_a_forked_child_after_a_fit_in_the_parent(digits):
    X, y = digits
    expected = quick(n_jobs=2).fit(X, y)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=fit_and_report, args=(sender, X, y))
    child.start()
    sender.close()
    try:
        assert receiver.poll(60), "the child hangs"
        got, predicted = receiver.recv()
        child.join(10)
        assert child.exitcode == 0
    finally:
        child.kill()
        child.join()
    assert_array_equal(got, weights(expected))
    assert_array_equal(predicted, expected.predict(X))
    # And the parent goes on.
    assert_array_equal(weights(quick().fit(X, y)), got)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_in_the_middle_of_a_fit(digits):
    X, y = digits
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    children = []

    def callback(*report):
        if report[0] == 2:
            child = context.Process(target=fit_and_report, args=(sender, X, y))
            child.start()
            children.append(child)

    options = quick()._options("softmax", None)
    result = _core.fit(X, y.astype(np.uint32), 10, options, callback=callback)
    sender.close()
    try:
        assert receiver.poll(60), "the child hangs"
        got, _ = receiver.recv()
    finally:
        for child in children:
            child.join(10)
            child.kill()
    mine = [array.ravel() for array in (*result.coefs, *result.intercepts)]
    assert_array_equal(got, np.concatenate(mine))
