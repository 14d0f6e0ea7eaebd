"""Who hears of the passes of a fit: scikit-learn's callbacks, progress bars, lines."""

import importlib
import io
import itertools
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from liftnet import LiftedMLPClassifier, LiftedMLPRegressor, _callbacks, _progress

SOLVERS = ("stochastic", "batch")
HAS_CALLBACKS = importlib.util.find_spec("sklearn.callback") is not None
needs_callbacks = pytest.mark.skipif(
    not HAS_CALLBACKS, reason="needs scikit-learn 1.9 or later"
)


def quick(**params):
    """Return a classifier that trains in milliseconds."""
    defaults = {"hidden_layer_sizes": 12, "max_iter": 6, "random_state": 0}
    return LiftedMLPClassifier(**(defaults | params))


def weights(estimator):
    return [*estimator.coefs_, *estimator.intercepts_]


class Recorder:
    """A callback that notes all it is told, and may ask to stop after a pass."""

    def __init__(self, stop=None):
        self.stop, self.events, self.networks = stop, [], []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(("begin", context.task_name, context.task_id))
        self.max_subtasks = getattr(context.parent or context, "max_subtasks", None)

    def on_fit_task_end(
        self,
        estimator,
        context,
        *,
        X=None,
        y=None,
        metadata=None,
        fitted_estimator=None,
    ):
        self.events.append(("end", context.task_name, context.task_id))
        if fitted_estimator is not None:
            self.networks.append(weights(fitted_estimator))
            self.score = fitted_estimator.score(X, y, **metadata)
        return context.task_name == "pass" and context.task_id == self.stop


@needs_callbacks
@pytest.mark.parametrize("solver", SOLVERS)
def test_callbacks_hear_of_every_pass(iris, solver):
    X, y = iris
    recorder = Recorder()
    clf = quick(solver=solver).set_callbacks(recorder).fit(X, y)
    passes = [
        (event, "pass", i) for i in range(clf.n_iter_) for event in ("begin", "end")
    ]
    assert recorder.events == [
        "setup",
        ("begin", "fit", 0),
        *passes,
        ("end", "fit", 0),
        "teardown",
    ]
    assert recorder.max_subtasks == 6
    # Being watched changes nothing; each pass has other weights.
    plain = quick(solver=solver).fit(X, y)
    assert len(recorder.networks) == clf.n_iter_ + 1
    for one, other in zip(weights(plain), recorder.networks[-1], strict=True):
        assert_array_equal(one, other)
    firsts = [network[0] for network in recorder.networks[:-1]]
    assert all((a != b).any() for a, b in itertools.pairwise(firsts))
    assert recorder.score == plain.score(X, y)


@needs_callbacks
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_callback_may_stop_the_fit(iris, solver):
    X, y = iris
    watched, stopping = Recorder(), Recorder(stop=2)
    quick(solver=solver).set_callbacks(watched).fit(X, y)
    clf = quick(solver=solver).set_callbacks(stopping).fit(X, y)
    assert clf.status_ == "callback"
    assert clf.n_iter_ == len(clf.loss_curve_) == 3
    # The network is that of the pass after which it was stopped.
    for one, other in zip(weights(clf), watched.networks[2], strict=True):
        assert_array_equal(one, other)
    last = quick(solver=solver, max_iter=3).set_callbacks(Recorder(stop=2)).fit(X, y)
    assert last.status_ in ("max_iter", "converged")  # there was nothing to stop


@needs_callbacks
def test_regressors_have_callbacks(iris):
    X, _ = iris
    recorder = Recorder()
    reg = LiftedMLPRegressor(5, max_iter=3, random_state=0)
    reg.set_callbacks(recorder).fit(X[:, :3], X[:, 3], np.linspace(1, 2, len(X)))
    assert len(recorder.networks) == 4
    assert 0 < recorder.score <= 1


@needs_callbacks
def test_every_task_that_begins_ends(iris):
    recorder = Recorder()
    clf = quick(max_iter=80, n_iter_no_change=1, tol=1e3, solver="stochastic")
    clf.set_callbacks(recorder).fit(*iris)
    assert clf.n_iter_ < 80
    begun = [event[1:] for event in recorder.events if event[0] == "begin"]
    ended = [event[1:] for event in recorder.events if event[0] == "end"]
    assert sorted(begun) == sorted(ended)


@needs_callbacks
@pytest.mark.parametrize("fitted", [False, True])
def test_errors_of_callbacks_are_raised_after_teardown(iris, fitted):
    class Failing(Recorder):
        def on_fit_task_end(self, estimator, context):
            raise ZeroDivisionError("mine")

    clf = quick()
    if fitted:
        clf.fit(*iris)
    callback = Failing()
    clf.set_callbacks(callback)
    before = vars(clf).copy()
    with pytest.raises(ZeroDivisionError, match="mine"):
        clf.fit(*iris)
    assert callback.events[-1] == "teardown"
    assert vars(clf) == before


@needs_callbacks
def test_callbacks_of_scikit_learn(iris, capfd):
    pytest.importorskip("rich")
    from sklearn.callback import ProgressBar, ScoringMonitor

    monitor = ScoringMonitor(scoring="accuracy")
    clf = quick().set_callbacks(ProgressBar(), monitor).fit(*iris)
    assert "pass" in capfd.readouterr().out or clf.n_iter_ == 6
    logs = monitor.get_logs().data_as_pandas
    assert len(logs) == clf.n_iter_ + 1
    assert logs["accuracy"].iloc[-1] == clf.score(*iris)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), quick()),
        {"liftedmlpclassifier__alpha": [1.0, 2.0]},
        cv=2,
    )
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(*iris)
    assert search.best_score_ > 0.8


@needs_callbacks
def test_a_clone_keeps_callbacks(iris):
    recorder = Recorder()
    clone(quick().set_callbacks(recorder)).fit(*iris)
    assert len(recorder.networks) == 7


def test_without_callbacks_in_scikit_learn(run_python):
    code = """
        import sys
        # scikit-learn's own modules need what is taken away then.
        import sklearn.linear_model, sklearn.model_selection, sklearn.pipeline
        sys.modules["sklearn.callback"] = None
        from sklearn.datasets import load_iris
        from liftnet import LiftedMLPClassifier
        clf = LiftedMLPClassifier(5, max_iter=3)
        assert not hasattr(clf, "set_callbacks")
        print(clf.fit(*load_iris(return_X_y=True)).n_iter_)
    """
    run = run_python(code)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "3\n"


def test_tasks_without_callbacks():
    assert _callbacks.tasks(quick(), 3, {}, None) is None


# Progress


class Terminal(io.StringIO):
    """Where a user watches."""

    def isatty(self):
        return True


@pytest.mark.parametrize("module", ["rich", "tqdm"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_bar_in_a_terminal(iris, monkeypatch, module, early_stopping):
    pytest.importorskip(module)
    if module == "tqdm":
        monkeypatch.setitem(sys.modules, "rich.progress", None)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    clf = quick(verbose=1, early_stopping=early_stopping, solver="stochastic")
    clf.fit(*iris)
    shown = terminal.getvalue()
    assert "LiftedMLPClassifier" in shown
    assert "6/6" in shown
    assert f"loss {clf.loss_:.4g}" in shown
    assert ("score" in shown) == early_stopping
    assert "Iteration" not in shown


@pytest.mark.parametrize("why", ["no terminal", "no package", "verbose=2"])
def test_lines_elsewhere(iris, monkeypatch, why):
    out = io.StringIO() if why == "no terminal" else Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    if why == "no package":
        monkeypatch.setitem(sys.modules, "rich.progress", None)
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    quick(verbose=2 if why == "verbose=2" else 1, solver="stochastic").fit(*iris)
    lines = out.getvalue().splitlines()
    assert len(lines) == 6
    assert all(line.startswith("Iteration ") for line in lines)


def test_a_bar_is_closed_when_a_fit_fails(iris, monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setattr(sys, "stdout", Terminal())
    events = []
    monkeypatch.setattr(
        _progress._RichBar, "stop", lambda self: events.append(self.progress.stop())
    )

    def scorer(estimator, X, y):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        quick(verbose=1, scoring=scorer, early_stopping=True).fit(*iris)
    assert len(events) == 1


def test_a_bar_takes_a_small_share_of_the_time(monkeypatch):
    clock, drawn = [0.0], []
    monkeypatch.setattr(_progress, "perf_counter", lambda: clock[0])

    class Bar(_progress._Bar):
        def start(self):
            clock[0] += 0.003

        def draw(self, iteration, passes, text, left):
            clock[0] += 0.002
            drawn.append((iteration, text, left))

        def stop(self):
            drawn.append("stop")

    with Bar() as bar:
        for i in range(1, 501):
            bar(i, 1.0, 0.5, 0.0101 * i, 1000)
    # 3 ms are 0.4 % of 0.75 s; every 2 ms more of half a second.
    assert [i for i, *_ in drawn[:-2]] == [75, 124, 174, 223, 273, 322, 372, 421, 471]
    assert drawn[0] == (75, "loss 1, score 0.5", pytest.approx(9.3425))
    assert drawn[-2:] == [(500, "loss 1, score 0.5", 0), "stop"]
    # Slow passes are all drawn; the last one once.
    drawn.clear()
    with Bar() as bar:
        for i in range(1, 4):
            bar(i, 1.0, None, 2.0 * i, 3)
    assert [event[0] for event in drawn[:-1]] == [1, 2, 3]


def test_a_clock():
    assert [_progress._clock(s) for s in (0.4, 61, 3599.7, 36000)] == [
        "0:00",
        "1:01",
        "1:00:00",
        "10:00:00",
    ]
