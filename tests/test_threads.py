"""How many threads a call uses, and who may limit them."""

import contextlib
import os
import sys
import time
from unittest import mock

import numpy as np
import pytest
import threadpoolctl
from joblib import Parallel, delayed, parallel_config
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_info, threadpool_limits

import liftnet
from liftnet import LiftedMLPClassifier, _core, _threadpool, _threads
from liftnet.kernels import ridge

needs_proc = pytest.mark.skipif(
    not os.path.isdir("/proc/self/task"), reason="needs /proc to count threads"
)
needs_register = pytest.mark.skipif(
    not hasattr(threadpoolctl, "register"), reason="needs threadpoolctl 3.3"
)


def quick(**params):
    """Return a classifier that trains in milliseconds."""
    defaults = {"hidden_layer_sizes": 12, "max_iter": 4, "random_state": 0}
    return LiftedMLPClassifier(**(defaults | params))


def weights(clf):
    """All coefficients and intercepts in one vector."""
    return np.concatenate([array.ravel() for array in (*clf.coefs_, *clf.intercepts_)])


def own_threads():
    """Threads of this process that bear liftnet's name."""
    threads = set()
    for task in os.listdir("/proc/self/task"):
        with (
            contextlib.suppress(OSError),
            open(f"/proc/self/task/{task}/comm") as f,
        ):
            if f.read().startswith("liftnet"):
                threads.add(task)
    return threads


def threads_before(clf, X, y):
    """Threads of the name that are no fit's, or those of one that has ended.

    OpenBLAS starts its threads anew after a fork. Where a fit is the first to need them
    they inherit the name of its thread.
    """
    clf.fit(X, y)
    return own_threads()


def threads_of_a_fit(clf, X, y):
    """Fit a copy and count its threads after each pass."""
    clf = LiftedMLPClassifier(**clf.get_params() | {"max_iter": 100})
    before = threads_before(clf, X, y)
    counts, fit = [], _core.fit

    def counted(*args, **kwargs):
        kwargs["callback"] = count
        return fit(*args, **kwargs)

    def count(*_):
        if not counts:
            time.sleep(0.2)  # a thread has its name a moment after it starts
        counts.append(len(own_threads() - before))

    with mock.patch.object(_core, "fit", counted):
        clf.fit(X, y)
    return max(counts)


@pytest.fixture
def two_processors(monkeypatch):
    """Let two threads be used, on whatever machine."""
    for variable in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(_threads, "cpu_count", lambda: 2)
    monkeypatch.setattr(
        _threads, "effective_n_jobs", lambda n: n if n > 0 else max(1, 3 + n)
    )
    return monkeypatch


# threadpoolctl


def ours():
    """What threadpoolctl says of liftnet."""
    (info,) = (one for one in threadpool_info() if one["user_api"] == "liftnet")
    return info


@needs_register
def test_threadpoolctl_lists_liftnet(two_processors):
    info = ours()
    assert info["internal_api"] == "liftnet"
    assert info["num_threads"] == 2
    assert os.path.samefile(info["filepath"], _core.__file__)
    assert info["version"] == liftnet.__version__


@needs_register
@needs_proc
@pytest.mark.parametrize("limits", [1, {"liftnet": 1}])
def test_threadpool_limits_a_fit(two_processors, digits, limits):
    clf = quick()
    assert threads_of_a_fit(clf, *digits) == 2
    free = weights(clf.fit(*digits))
    with threadpool_limits(limits=limits):
        assert ours()["num_threads"] == 1
        assert threads_of_a_fit(clf, *digits) == 1
        assert threads_of_a_fit(quick(n_jobs=2), *digits) == 1
        limited = weights(clf.fit(*digits))
    assert_array_equal(limited, free)
    assert ours()["num_threads"] == 2
    assert _core.thread_limit() is None  # no trace is left
    assert threads_of_a_fit(clf, *digits) == 2


@needs_register
def test_limits_of_others_are_not_ours(two_processors):
    for api in "blas", "openmp":
        with threadpool_limits(limits=1, user_api=api):
            assert _threads.n_threads(None) == 2
    with threadpool_limits(limits=1, user_api="liftnet"):
        assert _threads.n_threads(None) == 1


@needs_register
def test_limits_nest_and_lift(two_processors):
    two_processors.setattr(_threads, "cpu_count", lambda: 8)
    with threadpool_limits(limits=4):
        assert _threads.thread_limit() == 4
        with threadpool_limits(limits=2):
            assert _threads.thread_limit() == 2
        assert _threads.thread_limit() == 4
        with threadpool_limits(limits=10**6):
            assert _threads.thread_limit() == 8
    assert _threads.thread_limit() == 8
    assert _core.thread_limit() is None


@needs_register
def test_predictions_and_kernels_are_limited(two_processors, iris):
    asked = []
    decision_function, factorization = (
        _core.decision_function,
        _core.RidgeFactorization,
    )

    def decide(*args):
        asked.append(args[-1])
        return decision_function(*args)

    def factor(*args):
        asked.append(args[-1])
        return factorization(*args)

    two_processors.setattr(_core, "decision_function", decide)
    two_processors.setattr(_core, "RidgeFactorization", factor)
    clf = quick().fit(*iris)
    with threadpool_limits(limits=1):
        clf.predict(iris[0])
        ridge(iris[0], iris[1].astype(float))
    assert asked == [1, 1]


@pytest.mark.parametrize("missing", ["all of it", "register"])
def test_without_threadpoolctl(missing, monkeypatch):
    if missing == "register":
        monkeypatch.delattr(threadpoolctl, "LibController", raising=False)
    else:
        monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    _threadpool.register()


def test_the_limit_of_the_core():
    try:
        for limit, kept in ((3, 3), (None, None), (2, 2), (0, None), (-5, None)):
            _core.set_thread_limit(limit)
            assert _core.thread_limit() == kept
    finally:
        _core.set_thread_limit(None)


# OpenBLAS's own threads


def test_the_bits_do_not_depend_on_threads_of_the_blas():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(1000, 300)), rng.integers(3, size=1000)  # spectral map
    clf = quick(penalty="nuclear(1)", n_jobs=2)
    with threadpool_limits(limits=1, user_api="blas"):
        one = weights(clf.fit(X, y))
    with threadpool_limits(limits=2, user_api="blas"):
        two = weights(clf.fit(X, y))
        blas = [one for one in threadpool_info() if one["user_api"] == "blas"]
        assert {one["num_threads"] for one in blas} == {2}  # as it was
    assert_array_equal(one, two)


# joblib


def test_joblib_workers(iris):
    expected = weights(quick().fit(*iris))
    for backend in ("threading", "loky"):
        with Parallel(2, backend=backend) as parallel:
            fits = parallel(delayed(quick().fit)(*iris) for _ in range(3))
        for clf in fits:
            assert_array_equal(weights(clf), expected)


@needs_proc
@pytest.mark.parametrize("inner", [1, 2])
def test_a_search_in_processes_does_not_oversubscribe(iris, monkeypatch, inner):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with parallel_config("loky", inner_max_num_threads=inner):
        search = GridSearchCV(
            quick(), {"alpha": [1, 2]}, cv=2, n_jobs=2, scoring=threads_of_a_fit
        )
        search.fit(*iris)
    for name in ("split0_test_score", "split1_test_score"):
        assert (search.cv_results_[name] == min(inner, os.cpu_count())).all()


@needs_proc
def test_a_search_in_processes_by_default_leaves_each_its_share(iris, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    search = GridSearchCV(
        quick(), {"alpha": [1, 2]}, cv=2, n_jobs=2, scoring=threads_of_a_fit
    )
    threads = search.fit(*iris).cv_results_["mean_test_score"]
    assert (threads == max(1, len(os.sched_getaffinity(0)) // 2)).all()


# Counting


@needs_proc
def test_work_runs_on_as_many_threads_as_asked(digits):
    X, y = digits
    before = threads_before(quick(), X, y)
    for n_threads in (1, 2, 5):
        counts = []
        options = quick(max_iter=50)._options("softmax", None)
        _core.fit(
            X,
            y.astype(np.uint32),
            10,
            options | {"n_threads": n_threads},
            callback=lambda *_, counts=counts: counts.append(
                len(own_threads() - before)
            ),
        )
        deadline = time.monotonic() + 5
        while own_threads() - before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not own_threads() - before  # none outlives its fit
        assert max(counts) == n_threads


# How many threads


def test_nothing_caps_the_tests_themselves():
    # Else those that compare numbers of threads would compare a fit with itself.
    assert _threads.n_threads(2) == min(2, os.cpu_count())
    assert _threads.n_threads(1) == 1


@pytest.fixture
def processors(monkeypatch):
    """A machine with eight processors and no limits in its environment."""
    for variable in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(
        _threads, "effective_n_jobs", lambda n: n if n > 0 else max(1, 9 + n)
    )
    return monkeypatch


@pytest.mark.parametrize(
    ("n_jobs", "expected"),
    [(None, 8), (-1, 8), (-2, 7), (-20, 1), (1, 1), (3, 3), (8, 8), (10**6, 8)],
)
def test_n_jobs(processors, n_jobs, expected):
    assert _threads.n_threads(n_jobs) == expected


@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "RAYON_NUM_THREADS"])
@pytest.mark.parametrize(
    ("value", "n_jobs", "expected"),
    [
        ("3", None, 3),
        ("3", -1, 3),
        ("3", 2, 2),
        ("3", 5, 3),
        ("1", 5, 1),
        ("64", None, 8),
        (" 3 ", None, 3),
        ("3,2,1", None, 3),
        ("", None, 8),
        ("0", None, 8),
        ("-1", None, 8),
        ("all", None, 8),
    ],
)
def test_limits_of_the_environment(processors, variable, value, n_jobs, expected):
    processors.setenv(variable, value)
    assert _threads.n_threads(n_jobs) == expected


def test_the_lower_limit_holds(processors):
    processors.setenv("OMP_NUM_THREADS", "5")
    processors.setenv("RAYON_NUM_THREADS", "2")
    assert _threads.n_threads(None) == 2


def test_unknown_number_of_processors(processors):
    processors.setattr(os, "cpu_count", lambda: None)
    assert _threads.n_threads(3) == 3


def test_the_estimator_obeys_the_limits(iris, monkeypatch):
    asked = []
    fit, decision_function = _core.fit, _core.decision_function

    def spy_fit(*args, **kwargs):
        asked.append(args[3]["n_threads"])
        return fit(*args, **kwargs)

    def spy_decision(*args):
        asked.append(args[-1])
        return decision_function(*args)

    monkeypatch.setattr(_core, "fit", spy_fit)
    monkeypatch.setattr(_core, "decision_function", spy_decision)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    quick(n_jobs=-1).fit(*iris).predict(iris[0])
    assert asked == [1, 1]


def test_physical_memory(monkeypatch):
    memory = _threads.physical_memory()
    assert memory is None or 2**26 < memory < 2**60

    def unknown(name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "sysconf", unknown)
    assert _threads.physical_memory() is None
