"""Robust fits: the noise is the worst of its ball, and training against it helps."""

import numpy as np
import pytest
import sklearn.datasets
from scipy.optimize import minimize
from sklearn.model_selection import train_test_split

from liftnet import LiftedMLPClassifier, LiftedMLPRegressor

SOLVERS = ["stochastic", "batch"]


def arrays(model):
    return [*model.coefs_, *model.intercepts_]


def deviation(X):
    """Return what one unit of ``input_noise`` is with one scale for all features."""
    variance = np.var(X, axis=0, dtype=np.float64)
    return np.sqrt(variance[variance > 0].mean())


def input_gradient(clf, X, y):
    """Gradient of the log-loss of a rectifier network of one hidden layer."""
    (W, V), (b, c) = clf.coefs_, clf.intercepts_
    z = X @ W + b
    logits = np.maximum(z, 0) @ V + c
    error = np.exp(logits - logits.max(axis=1, keepdims=True))
    error /= error.sum(axis=1, keepdims=True)
    error[np.arange(len(X)), y] -= 1
    return ((error @ V.T) * (z > 0)) @ W.T


def attacked_accuracy(clf, X, y, radius, steps=20):
    """Share of samples that stay right at every step of an l2 attack (PGD)."""
    noise = np.zeros_like(X)
    right = clf.predict(X) == y
    for _ in range(steps):
        gradient = input_gradient(clf, X + noise, y)
        norm = np.linalg.norm(gradient, axis=1, keepdims=True)
        noise += 2.5 * radius / steps * gradient / np.maximum(norm, 1e-300)
        length = np.linalg.norm(noise, axis=1, keepdims=True)
        noise *= radius / np.maximum(length, radius)
        right &= clf.predict(X + noise) == y
    return right.mean()


# What it is for


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("seed", range(3))
def test_digits_under_attack(digits, solver, seed):
    X, X_test, y, y_test = train_test_split(
        *digits, test_size=0.3, stratify=digits[1], random_state=seed
    )
    radius = 1.5 * deviation(X)
    clean, attacked = {}, {}
    for noise in (0.0, 1.5):
        clf = LiftedMLPClassifier(
            (50,), solver=solver, input_noise=noise, random_state=seed
        ).fit(X, y)
        clean[noise] = clf.score(X_test, y_test)
        attacked[noise] = attacked_accuracy(clf, X_test, y_test, radius)
    assert clean[1.5] > clean[0.0] - 0.01
    assert attacked[1.5] > attacked[0.0] + 0.12


def steepness(solver, noise, **options):
    X, y = sklearn.datasets.load_diabetes(return_X_y=True)
    shift = 1e-4 * np.random.default_rng(0).normal(size=X.shape)
    reg = LiftedMLPRegressor(
        (20,), solver=solver, input_noise=noise, random_state=0, **options
    ).fit(X, y)
    return np.abs(reg.predict(X + shift) - reg.predict(X)).mean()


@pytest.mark.parametrize("solver", SOLVERS)
def test_more_noise_gives_a_flatter_network(solver):
    slopes = [steepness(solver, noise) for noise in (0.0, 0.1, 0.3, 1.0)]
    assert (np.diff(slopes) < -0.05 * slopes[0]).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_early_stopping_is_no_way_around_the_noise(solver):
    """Validation meets all of the noise, so that no early pass wins by having less."""
    plain, robust, early = (
        steepness(solver, noise, early_stopping=stop)
        for noise, stop in [(0.0, False), (0.5, False), (0.5, True)]
    )
    assert robust < 0.8 * plain
    assert early < 0.8 * plain


# Linear models: the worst noise in closed form, a convex problem


def worst_squared(margin, size):
    return 0.5 * (np.abs(margin) + size) ** 2


def worst_logistic(margin, size):
    return np.logaddexp(0, size - margin)


@pytest.mark.parametrize("scale", ["feature", "none"])
@pytest.mark.parametrize("radius", [0.1, 0.3])
@pytest.mark.parametrize("kind", ["regression", "classes"])
def test_linear_models_against_scipy(kind, radius, scale):
    X, y = sklearn.datasets.load_diabetes(return_X_y=True)
    X = X * np.linspace(10, 30, X.shape[1])
    unit = X.std(axis=0) if scale == "feature" else np.ones(X.shape[1])
    S = np.column_stack([(X - X.mean(axis=0)) / unit, np.ones(len(X))])
    options = {
        "hidden_layer_sizes": (),
        "solver": "batch",
        "alpha": 0.0,
        "scale": scale,
        "input_noise": radius,
        "max_iter": 400,
        "tol": 1e-8,
        "random_state": 0,
    }
    if kind == "regression":
        t = (y - y.mean()) / y.std()
        model = LiftedMLPRegressor(**options).fit(X, y)

        def objective(v):
            size = radius * np.linalg.norm(v[:-1])
            return worst_squared(S @ v - t, size).mean()
    else:
        t = np.where(y > 140, 1, -1)
        model = LiftedMLPClassifier(**options).fit(X, t)

        def objective(v):
            size = radius * np.linalg.norm(v[:-1])
            return worst_logistic(t * (S @ v), size).mean()

    start = np.full(S.shape[1], 0.01)
    best = minimize(objective, start, method="SLSQP", options={"ftol": 1e-13})
    assert best.success
    reached = model.history_["objective"][-1]
    assert reached == pytest.approx(best.fun, rel=2e-6)
    # The record is that of the model, which is in the units of X and y.
    (coef,), (intercept,) = model.coefs_, model.intercepts_
    found = np.append(coef[:, 0] * unit, intercept[0] + X.mean(axis=0) @ coef[:, 0])
    if kind == "regression":
        found[-1] -= y.mean()
        found /= y.std()
    assert objective(found) == pytest.approx(reached, rel=1e-9)


# The record of a fit


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_objective_never_rises_at_full_noise(digits, activation, accelerate, dtype):
    X, y = digits[0][:300].astype(dtype), digits[1][:300]
    clf = LiftedMLPClassifier(
        (15, 15),
        activation=activation,
        solver="batch",
        input_noise=0.5,
        max_iter=12,
        tol=0.0,
        accelerate=accelerate,
        random_state=0,
    ).fit(X, y)
    radius = np.array(clf.history_["input_noise"])
    np.testing.assert_allclose(radius, np.minimum(np.arange(clf.n_iter_) / 6, 1) * 0.5)
    full = np.array(clf.history_["objective"])[6:]
    assert len(full) > 0
    assert (np.diff(full) <= 4 * np.finfo(dtype).eps * full[:-1]).all()


def test_loss_and_score_are_those_at_the_worst_noise(digits):
    X, y = digits[0][:400], digits[1][:400]
    weight, radius = 5.0, 1.2
    clf = LiftedMLPClassifier(
        (20,),
        solver="batch",
        penalty_weight=weight,
        alpha=0.0,
        input_noise=radius,
        scale="global",
        max_iter=20,
        random_state=0,
    ).fit(X, y)
    (W, V), (b, _) = clf.coefs_, clf.intercepts_
    z = X @ W + b
    error = clf.predict_proba(X)
    error[np.arange(len(X)), y] -= 1
    error /= np.linalg.norm(error, axis=1, keepdims=True)
    moved = np.maximum(z - (error @ V.T) / weight, 0)
    noise = (weight * (np.maximum(z, 0) - moved)) @ W.T
    length = np.linalg.norm(noise, axis=1, keepdims=True)
    noise *= radius * deviation(X) / length
    loss = -clf.predict_log_proba(X + noise)[np.arange(len(X)), y].mean()
    assert clf.history_["loss"][-1] == pytest.approx(loss, rel=1e-5)
    assert clf.history_["score"][-1] == clf.score(X + noise, y)
    assert loss > -clf.predict_log_proba(X)[np.arange(len(X)), y].mean()


@pytest.mark.parametrize("solver", SOLVERS)
def test_no_noise_is_the_plain_fit(digits, solver):
    X, y = digits[0][:300], digits[1][:300]
    fits = [
        LiftedMLPClassifier(
            (15,), solver=solver, max_iter=5, random_state=0, **options
        ).fit(X, y)
        for options in ({}, {"input_noise": 0.0}, {"input_noise": 0})
    ]
    for fit in fits:
        assert "input_noise" not in fit.history_
        for a, b in zip(arrays(fits[0]), arrays(fit), strict=True):
            np.testing.assert_array_equal(a, b)


def test_noise_by_default_acts_in_the_second_half(digits):
    X, y = np.hstack([digits[0], digits[0], digits[0]]), digits[1]
    auto, none = (
        LiftedMLPClassifier((20,), max_iter=10, random_state=0, **options).fit(X, y)
        for options in ({}, {"input_noise": 0})
    )
    radius = 0.018 * np.sqrt(X.shape[1])
    np.testing.assert_allclose(auto.history_["input_noise"], [0] * 5 + [radius] * 5)
    assert auto.loss_curve_[:5] == none.loss_curve_[:5]
    assert auto.loss_curve_[5] > none.loss_curve_[5]


# With the other options


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_do_not_change_the_bits(digits, solver, dtype):
    X, y = digits[0].astype(dtype), digits[1]
    one, two = (
        LiftedMLPClassifier(
            (30, 20),
            solver=solver,
            input_noise=1.0,
            max_iter=6,
            random_state=0,
            n_jobs=threads,
        ).fit(X, y)
        for threads in (1, 2)
    )
    for a, b in zip(arrays(one), arrays(two), strict=True):
        assert a.dtype == dtype
        np.testing.assert_array_equal(a, b)


def test_a_weight_is_a_repetition(digits):
    X, y = digits[0][:200], digits[1][:200]
    times = np.random.default_rng(0).integers(1, 4, size=200)

    def fit(X, y, weight=None):
        return LiftedMLPClassifier(
            (15,), solver="batch", input_noise=1.0, max_iter=16, random_state=0
        ).fit(X, y, weight)

    one, other = fit(X, y, times), fit(np.repeat(X, times, axis=0), y.repeat(times))
    for a, b in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


OPTIONS = [
    {"activation": "step"},
    {"activation": "hard_tanh", "divergence": "euclidean"},
    {"activation": "softmax", "alpha": 0.1},
    {"n_components": 10},
    {"n_components": 0.9, "scale": "feature"},
    {"hidden_layer_sizes": (20, 20)},
    {"early_stopping": True},
    {"diagnostics": True},
]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("options", OPTIONS, ids=repr)
def test_with_other_options(digits_split, solver, options):
    X, X_test, y, y_test = digits_split
    options = {"hidden_layer_sizes": (50,), "input_noise": 0.7, **options}
    clf = LiftedMLPClassifier(solver=solver, random_state=0, **options).fit(X, y)
    assert clf.score(X_test, y_test) > 0.92
    assert clf.history_["input_noise"][-1] == 0.7


@pytest.mark.parametrize("penalty", ["l1(0.1)", "nonnegative", "sparse(0.5)"])
def test_with_a_penalty_on_single_weights(digits_split, penalty):
    X, X_test, y, y_test = digits_split
    clf = LiftedMLPClassifier(
        (50,), penalty=[penalty, None], input_noise=0.7, random_state=0
    ).fit(X, y)
    assert clf.score(X_test, y_test) > 0.92
    if penalty == "nonnegative":
        assert clf.coefs_[0].min() >= 0
    if penalty == "sparse(0.5)":
        assert (clf.coefs_[0] == 0).mean() >= 0.5


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_warm_start_meets_all_of_the_noise(digits_split, solver):
    X, X_test, y, y_test = digits_split
    clf = LiftedMLPClassifier((50,), solver=solver, warm_start=True, random_state=0)
    clf.fit(X, y).set_params(input_noise=1.0, max_iter=10).fit(X, y)
    assert clf.history_["input_noise"] == [1.0] * clf.n_iter_
    assert clf.score(X_test, y_test) > 0.95


@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", "huber", "poisson"]
)
@pytest.mark.parametrize("solver", SOLVERS)
def test_regressors(loss, solver):
    X, y = sklearn.datasets.load_diabetes(return_X_y=True)
    reg = LiftedMLPRegressor(
        (20,), loss=loss, solver=solver, input_noise=0.2, random_state=0
    ).fit(X, y)
    assert reg.score(X, y) > 0.4


def test_robust_fits_of_tiny_data_are_stochastic(iris):
    plain = LiftedMLPClassifier(random_state=0).fit(*iris)
    robust = LiftedMLPClassifier(input_noise=0.1, random_state=0).fit(*iris)
    assert "objective" in plain.history_
    assert "objective" not in robust.history_
    assert robust.score(*iris) > 0.95


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("radius", [1e3, 1e300])
def test_noise_that_leaves_nothing_to_learn(digits, radius, solver, dtype):
    X, y = digits[0][:300].astype(dtype), digits[1][:300]
    clf = LiftedMLPClassifier(
        (10,), solver=solver, input_noise=radius, max_iter=10, random_state=0
    ).fit(X, y)
    assert all(np.isfinite(array).all() for array in arrays(clf))
    assert np.ptp(clf.decision_function(X), axis=0).max() < 0.1
