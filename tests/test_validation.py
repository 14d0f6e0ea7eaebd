"""Validation data of the user's own, scores of every kind, time limits."""

import time

import numpy as np
import pytest
import sklearn.datasets
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import (
    accuracy_score,
    log_loss,
    make_scorer,
    mean_absolute_error,
    r2_score,
)
from sklearn.model_selection import train_test_split

from liftnet import LiftedMLPClassifier, LiftedMLPRegressor

SOLVERS = ("stochastic", "batch")


def quick(**params):
    """Return a classifier that trains in milliseconds."""
    defaults = {"hidden_layer_sizes": 12, "max_iter": 6, "random_state": 0}
    return LiftedMLPClassifier(**(defaults | params))


def weights(estimator):
    return [*estimator.coefs_, *estimator.intercepts_]


def assert_same_weights(one, other):
    for a, b in zip(one, other, strict=True):
        assert_array_equal(a, b)


@pytest.fixture(scope="module")
def noise():
    """300 rows to train on, and 200 held out, that a network soon overfits."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 5))
    y = (X[:, 0] + 1.5 * rng.normal(size=500) > 0).astype(int) + (X[:, 1] > 1)
    return X[:300], X[300:], y[:300], y[300:]


@pytest.fixture(scope="module")
def friedman():
    X, y = sklearn.datasets.make_friedman1(400, noise=1.0, random_state=0)
    return train_test_split(X, y, random_state=0)


class Recorder:
    """A scorer that keeps the weights of every pass."""

    def __init__(self, metric=accuracy_score):
        self.metric, self.scores, self.weights = metric, [], []

    def __call__(self, estimator, X, y, **params):
        self.weights.append([array.copy() for array in weights(estimator)])
        self.scores.append(self.metric(y, estimator.predict(X), **params))
        return self.scores[-1]

    def best(self, n_passes=None):
        """Pass with the best score, the last of equals, among the first ones."""
        scores = self.scores[:n_passes]
        return max(range(len(scores)), key=lambda i: (scores[i], i))


# The user's validation set


@pytest.mark.parametrize("solver", SOLVERS)
def test_early_stopping_is_a_search_over_the_passes(noise, solver):
    X, X_val, y, y_val = noise
    params = {"solver": solver, "max_iter": 60, "alpha": 0, "hidden_layer_sizes": 50}
    watch = Recorder()
    # Watched only: the run is the one that there is without validation data.
    plain = quick(**params, scoring=watch).fit(X, y, X_val=X_val, y_val=y_val)
    assert_same_weights(weights(plain), weights(quick(**params).fit(X, y)))
    assert_same_weights(weights(plain), watch.weights[-1])
    best = watch.best()
    assert best < len(watch.scores) - 1, "choose another example"
    # With patience for all passes, stopping is the choice among them.
    early = quick(**params, early_stopping=True, n_iter_no_change=60)
    early.fit(X, y, X_val=X_val, y_val=y_val)
    assert_same_weights(weights(early), watch.weights[best])
    assert early.n_iter_ == plain.n_iter_
    assert early.best_validation_score_ == watch.scores[best]
    assert early.score(X_val, y_val) == watch.scores[best]


def test_patience_is_that_of_a_hand_written_loop(noise):
    X, X_val, y, y_val = noise
    params = {"solver": "stochastic", "max_iter": 200, "alpha": 0}
    plain, stopped = Recorder(), Recorder()
    quick(**params, scoring=plain, n_iter_no_change=200).fit(
        X, y, X_val=X_val, y_val=y_val
    )
    early = quick(
        **params, scoring=stopped, early_stopping=True, n_iter_no_change=4, tol=0.003
    )
    early.fit(X, y, X_val=X_val, y_val=y_val)
    top, idle = -np.inf, 0
    n_passes = 0
    for score in plain.scores:
        n_passes += 1
        improved = score > top + 0.003
        top, idle = (score, 0) if improved else (top, idle + 1)
        if idle == 4:
            break
    assert n_passes < 200, "choose another example"
    # Up to there both runs are one; then the step of the stopped one falls to 0.
    for i in range(n_passes):
        assert_same_weights(plain.weights[i], stopped.weights[i])
    assert early.n_iter_ == n_passes + 4
    assert early.status_ == "converged"
    rates = early.history_["learning_rate"]
    assert rates[-1] == 0
    assert_same_weights(weights(early), stopped.weights[stopped.best()])


@pytest.mark.parametrize("solver", SOLVERS)
def test_early_stopping_of_a_regressor_is_a_search_over_the_passes(friedman, solver):
    X, X_val, y, y_val = friedman
    params = {
        "hidden_layer_sizes": 50,
        "solver": solver,
        "max_iter": 40,
        "alpha": 0,
        "random_state": 0,
    }
    watch = Recorder(lambda y, predicted: -mean_absolute_error(y, predicted))
    plain = LiftedMLPRegressor(**params, scoring=watch)
    plain.fit(X, y, X_val=X_val, y_val=y_val)
    # In the units of the targets.
    assert_same_weights(weights(plain), watch.weights[-1])
    early = LiftedMLPRegressor(
        **params,
        scoring="neg_mean_absolute_error",
        early_stopping=True,
        n_iter_no_change=40,
    ).fit(X, y, X_val=X_val, y_val=y_val)
    assert_allclose(early.validation_scores_, watch.scores, rtol=1e-12)
    assert_same_weights(weights(early), watch.weights[watch.best()])


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_watching_changes_nothing(iris, solver, dtype):
    X, y = iris[0].astype(dtype), iris[1]
    plain = quick(solver=solver).fit(X, y)
    watched = quick(solver=solver).fit(X, y, X_val=X[::3], y_val=y[::3])
    assert_same_weights(weights(plain), weights(watched))
    assert plain.loss_curve_ == watched.loss_curve_
    assert plain.best_loss_ == watched.best_loss_
    assert plain.validation_scores_ is None
    assert len(watched.validation_scores_) == watched.n_iter_
    assert watched.history_["validation_score"] == watched.validation_scores_
    assert watched.validation_scores_[-1] == watched.score(X[::3], y[::3])


def test_the_own_set_replaces_the_split(iris):
    X, y = iris
    params = {"early_stopping": True, "solver": "stochastic"}
    X_train, X_val, y_train, y_val = train_test_split(
        X, y, test_size=0.1, stratify=y, random_state=0
    )
    split = quick(**params).fit(X, y)
    own = quick(**params, validation_fraction=0.5)
    own.fit(X_train, y_train, X_val=X_val, y_val=y_val)
    assert_same_weights(weights(split), weights(own))
    assert split.validation_scores_ == own.validation_scores_


def test_weights_of_validation_samples_are_repetitions(noise):
    X, X_val, y, y_val = noise
    repeats = np.random.default_rng(0).integers(0, 4, len(y_val))
    for scoring in (None, "loss", "neg_log_loss"):
        weighted, repeated = (quick(scoring=scoring) for _ in range(2))
        weighted.fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=repeats)
        repeated.fit(
            X, y, X_val=np.repeat(X_val, repeats, 0), y_val=np.repeat(y_val, repeats)
        )
        assert_allclose(
            weighted.validation_scores_, repeated.validation_scores_, rtol=1e-9
        )


def test_the_weights_of_the_split_count_in_its_score(noise):
    X, _, y, _ = noise
    weight = np.random.default_rng(0).uniform(0.1, 5, len(y))
    clf = quick(early_stopping=True, solver="stochastic").fit(X, y, weight)
    parts = train_test_split(X, y, weight, test_size=0.1, stratify=y, random_state=0)
    score = clf.score(parts[1], parts[3], parts[5])
    # Weights are taken in the single precision that the solver trains in.
    assert clf.best_validation_score_ == pytest.approx(score, rel=1e-7)


def test_labels_of_any_type(iris):
    X, y = iris
    names = np.array(["setosa", "versicolor", "virginica"])
    for labels in (names, names.astype(object), np.array([-1.0, 0.0, 7.0])):
        clf = quick().fit(X, labels[y], X_val=X[:80], y_val=labels[y[:80]].tolist())
        assert clf.validation_scores_[-1] == clf.score(X[:80], labels[y[:80]])


# Scores


@pytest.mark.parametrize("solver", SOLVERS)
def test_loss_is_a_score(noise, solver):
    X, X_val, y, y_val = noise
    clf = quick(solver=solver, scoring="loss", early_stopping=True, max_iter=30)
    clf.fit(X, y, X_val=X_val, y_val=y_val)
    assert_allclose(
        clf.best_validation_score_,
        -log_loss(y_val, clf.predict_proba(X_val)),
        rtol=1e-9 if solver == "batch" else 1e-6,
    )
    losses = clf.history_["validation_loss"]
    assert clf.validation_scores_ == [-loss for loss in losses]


def test_a_scorer_says_what_the_estimator_says(noise):
    X, X_val, y, y_val = noise
    own = quick().fit(X, y, X_val=X_val, y_val=y_val)
    named = quick(scoring="accuracy").fit(X, y, X_val=X_val, y_val=y_val)
    assert_allclose(named.validation_scores_, own.validation_scores_, rtol=1e-12)
    made = quick(scoring=make_scorer(accuracy_score))
    made.fit(X, y, X_val=X_val, y_val=y_val)
    assert named.validation_scores_ == made.validation_scores_
    proba = quick(scoring="roc_auc_ovr").fit(X, y, X_val=X_val, y_val=y_val)
    assert all(0 < score < 1 for score in proba.validation_scores_)


def test_a_scorer_of_the_split(friedman):
    X, _, y, _ = friedman
    reg = LiftedMLPRegressor(
        12, max_iter=8, random_state=0, early_stopping=True, scoring="r2"
    ).fit(X, y)
    _, X_val, _, y_val = train_test_split(X, y, test_size=0.1, random_state=0)
    score = r2_score(y_val, reg.predict(X_val))
    assert reg.best_validation_score_ == pytest.approx(score, rel=1e-12)


def test_several_outputs_are_scored_as_they_are(friedman):
    X, X_val, y, y_val = friedman
    Y, Y_val = (np.column_stack([v, -2 * v]) for v in (y, y_val))
    reg = LiftedMLPRegressor(12, max_iter=4, random_state=0, scoring="r2")
    reg.fit(X, Y, X_val=X_val, y_val=Y_val)
    score = r2_score(Y_val, reg.predict(X_val))
    assert reg.validation_scores_[-1] == pytest.approx(score, rel=1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("fitted", [False, True])
def test_errors_of_a_scorer_are_raised(iris, solver, fitted):
    X, y = iris
    calls = []

    def scorer(estimator, X, y):
        calls.append(estimator)
        raise ZeroDivisionError("mine")

    clf = quick(solver=solver)
    if fitted:
        clf.fit(X, y)
    clf.set_params(scoring=scorer)
    before = vars(clf).copy()
    with pytest.raises(ZeroDivisionError, match="mine"):
        clf.fit(X[:, :2], y, X_val=X[:, :2], y_val=y)
    assert len(calls) == 1
    assert vars(clf).keys() == before.keys()
    assert all(vars(clf)[name] is value for name, value in before.items())


@pytest.mark.parametrize("value", [np.nan, "high", None, [1.0]])
def test_a_score_is_a_number(iris, value):
    clf = quick(scoring=lambda estimator, X, y: value)
    with pytest.raises(ValueError, match="scoring must give a number that is not NaN"):
        clf.fit(*iris, X_val=iris[0], y_val=iris[1])


def test_ctrl_c_in_a_scorer_keeps_what_was_reached(iris):
    def scorer(estimator, X, y):
        scores.append(estimator.score(X, y))
        if len(scores) == 3:
            raise KeyboardInterrupt
        return scores[-1]

    scores = []
    clf = quick(scoring=scorer, early_stopping=True, max_iter=50)
    with pytest.warns(ConvergenceWarning, match="interrupted by user"):
        clf.fit(*iris, X_val=iris[0], y_val=iris[1])
    assert clf.status_ == "interrupted"
    assert clf.validation_scores_ == scores[:2]
    assert clf.score(*iris) == max(scores[:2])


def test_names_of_scores_are_checked(iris):
    with pytest.raises(ValueError, match="'fast' is not a valid scoring value"):
        quick(scoring="fast").fit(*iris)


# What is refused


def refuses(match, X_val, y_val, estimator=None, data=None, **params):
    estimator = estimator or quick()
    X, y = data or sklearn.datasets.load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=match):
        estimator.fit(X, y, X_val=X_val, y_val=y_val, **params)
    assert not hasattr(estimator, "coefs_")


def test_bad_validation_data(iris, friedman):
    X, y = iris
    refuses("X_val and y_val must be given together, but y_val is None", X, None)
    refuses("X_val and y_val must be given together, but X_val is None", None, y)
    refuses("sample_weight_val was given without", None, None, sample_weight_val=[1.0])
    refuses("X_val: X has 2 features, but .* expecting 4", X[:, :2], y)
    bad = X.copy()
    bad[3, 1] = np.nan
    refuses("X_val: Input X contains NaN in feature 1, first in row 3", bad, y)
    refuses("inconsistent numbers of samples", X, y[:5])
    refuses(r"y_val has classes that y does not have: \[3\]", X[:2], [0, 3])
    refuses(r"y_val has classes that y does not have: \['0'", X[:2], ["0", "1"])
    refuses("y_val has labels of mixed type", X[:2], ["0", 1])
    weight = {"sample_weight_val": np.zeros(len(y))}
    refuses("sample_weight_val: ", X, y, **weight)
    weight = {"sample_weight_val": -np.ones(len(y))}
    refuses("sample_weight_val: Negative values", X, y, **weight)
    weight = {"sample_weight_val": np.ones(3)}
    refuses("sample_weight_val: ", X, y, **weight)


def test_bad_validation_targets(friedman):
    X, X_val, y, y_val = friedman
    reg = LiftedMLPRegressor(5, max_iter=2)
    data = (X, np.column_stack([y, y]))
    refuses("y_val must have 2 columns, as y has, got 1", X_val, y_val, reg, data)
    data = (X, y)
    refuses("inconsistent numbers of samples", X_val, y_val[:3], reg, data)
    refuses("y_val contains NaN", X_val, np.full_like(y_val, np.nan), reg, data)
    poisson = LiftedMLPRegressor(5, max_iter=2, loss="poisson")
    refuses("y_val: .*poisson", X_val, -y_val, poisson, (X, abs(y)))


@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf, "1", [1.0]])
def test_time_limits_are_positive(iris, value):
    with pytest.raises(ValueError, match="max_time"):
        quick(max_time=value).fit(*iris)


# Time


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_limit_of_time_ends_training(digits, solver):
    X, y = digits
    clf = quick(solver=solver, max_iter=100_000, n_iter_no_change=100_000, tol=0)
    clf.set_params(max_time=0.5)
    start = time.monotonic()
    with pytest.warns(ConvergenceWarning, match=r"max_time=0.5 seconds were up"):
        clf.fit(X, y)
    assert time.monotonic() - start < 10
    assert clf.status_ == "max_time"
    assert 1 <= clf.n_iter_ < 100_000
    assert len(clf.loss_curve_) == clf.n_iter_
    assert clf.score(X, y) > 0.5
    if solver == "stochastic":
        # A finished end: the step fell to 0 while the data were seen.
        rates = clf.history_["learning_rate"]
        assert rates[-1] < 0.05 * max(rates)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_hardly_any_time_is_a_batch(digits, solver, early_stopping):
    X, y = digits
    clf = quick(solver=solver, max_time=1e-9, early_stopping=early_stopping)
    with pytest.warns(ConvergenceWarning, match="max_time"):
        clf.fit(X, y)
    assert clf.n_iter_ == 1
    assert clf.status_ == "max_time"
    assert np.isfinite(clf.predict_proba(X)).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_time_enough_changes_nothing(iris, solver):
    plain = quick(solver=solver).fit(*iris)
    timed = quick(solver=solver, max_time=1000).fit(*iris)
    assert_same_weights(weights(plain), weights(timed))
    assert timed.status_ == plain.status_


@pytest.mark.parametrize("solver", SOLVERS)
def test_status_of_a_run(iris, solver):
    # Enough patience, and none.
    through = quick(solver=solver, max_iter=3, n_iter_no_change=50, tol=0)
    assert through.fit(*iris).status_ == "max_iter"
    stalled = quick(solver=solver, max_iter=50, n_iter_no_change=1, tol=1e6)
    assert stalled.fit(*iris).status_ == "converged"


# Warm starts


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("solver", SOLVERS)
def test_warm_start_with_early_stopping(noise, own, solver):
    X, X_val, y, y_val = noise
    held_out = {"X_val": X_val, "y_val": y_val} if own else {}
    if not own:
        _, X_val, _, y_val = train_test_split(
            X, y, test_size=0.1, stratify=y, random_state=0
        )
    clf = quick(warm_start=True, early_stopping=True, solver=solver, scoring="loss")
    clf.fit(X, y, **held_out)
    first = clone(clf).fit(X, y, **held_out)
    assert_same_weights(weights(first), weights(clf))
    before = clf.best_validation_score_
    clf.set_params(learning_rate_init=1e-9, max_iter=1).fit(X, y, **held_out)
    # It goes on from the best weights; the batch solver adapts the step.
    if solver == "stochastic":
        assert clf.validation_scores_ == pytest.approx([before], rel=1e-3)
    clf.set_params(learning_rate_init="auto", max_iter=20).fit(X, y, **held_out)
    score = -log_loss(y_val, clf.predict_proba(X_val))
    assert clf.best_validation_score_ == pytest.approx(score, rel=1e-6)
