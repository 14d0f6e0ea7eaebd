"""No fit ends worse, on its training data, than the best constant prediction."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_diabetes, load_digits, load_wine, make_moons
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from liftnet import LiftedMLPClassifier, LiftedMLPRegressor


def hidden_activations(clf, X):
    """Return what the last hidden layer of signs makes of raw inputs."""
    for coef, intercept in zip(clf.coefs_[:-1], clf.intercepts_[:-1], strict=True):
        X = np.sign(X @ coef + intercept)
    return X


@pytest.mark.parametrize("hidden", [(40,), (20, 15)])
def test_output_weights_of_signs_are_a_logistic_regression(hidden):
    X, y = make_moons(300, noise=0.25, random_state=0)
    weight = np.random.default_rng(0).uniform(0.2, 2, 300)
    clf = LiftedMLPClassifier(hidden, "sign", solver="batch", alpha=2, random_state=0)
    clf.fit(X, y, weight)
    signs = hidden_activations(clf, X)
    expected = LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000)
    expected.fit(signs, y, weight)
    proba = expected.predict_proba(signs)
    assert_allclose(clf.predict_proba(X), proba, atol=1e-4)
    # Below the lifted problem's own output weights by far; the record tells of the end.
    loss = log_loss(y, proba, sample_weight=weight)
    assert clf.history_["loss"][-1] == pytest.approx(loss, rel=1e-3)
    assert loss < 0.3 * clf.history_["loss"][-2]


@pytest.mark.parametrize("activation", ["step", "sign"])
def test_networks_that_jump_learn_in_the_batch_solver(activation):
    X, y = load_wine(return_X_y=True)
    for hidden in [(50,), (50, 50, 50)]:
        clf = LiftedMLPClassifier(hidden, activation, solver="batch", random_state=0)
        assert clf.fit(X, y).score(X, y) > 0.98


HOSTILE = [
    {"solver": "batch", "hidden_layer_sizes": (3, 2, 9), "activation": "step"},
    {"alpha": 1e4, "hidden_layer_sizes": (5, 5, 5, 5, 5), "batch_size": 300},
    {"alpha": 1e4, "hidden_layer_sizes": (), "batch_size": 7, "max_iter": 1},
    {"hidden_layer_sizes": (1, 30, 1, 2), "activation": "softmax", "max_iter": 2},
    {"hidden_layer_sizes": (4,), "learning_rate_init": 1e3, "batch_size": 1},
    {"penalty": "l1(1e3)", "hidden_layer_sizes": (9, 3), "activation": "tanh"},
    {"early_stopping": True, "hidden_layer_sizes": (2, 2, 2, 2), "max_iter": 1},
]


@pytest.mark.parametrize("params", HOSTILE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_classifiers_do_not_exceed_the_entropy(params, dtype):
    X, y = load_digits(return_X_y=True)
    X, y = X[:200].astype(dtype), y[:200]
    weight = np.linspace(0.1, 3, 200).astype(dtype)
    if params.get("early_stopping"):
        # Of the rows that are trained on, which are not told.
        X, y, weight = np.tile(X, (8, 1)), np.tile(y, 8), None
    clf = LiftedMLPClassifier(random_state=0, n_jobs=1, **params).fit(X, y, weight)
    shares = np.bincount(y, weight) / np.sum(
        np.ones_like(y) if weight is None else weight
    )
    entropy = -(shares * np.log(shares)).sum()
    loss = log_loss(y, clf.predict_proba(X), sample_weight=weight)
    slack = 0.01 if params.get("early_stopping") else 1e-5
    assert loss <= entropy + slack


@pytest.mark.parametrize("params", HOSTILE)
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_regressors_explain_no_less_than_the_mean(params, loss):
    X, y = load_diabetes(return_X_y=True)
    reg = LiftedMLPRegressor(loss=loss, random_state=0, n_jobs=1, **params).fit(X, y)
    slack = 0.02 if params.get("early_stopping") else 1e-6
    if loss == "squared_error":
        assert reg.score(X, y) >= -slack
    else:
        rate = reg.predict(X)
        deviance = np.mean(rate - y * np.log(rate))
        assert deviance <= np.mean(y.mean() - y * np.log(y.mean())) + slack * y.mean()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", ["auto", 30.0])
def test_a_single_pass_ends_with_steps_on_the_output_block(alpha, weighted):
    X, y = load_digits(return_X_y=True)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(X)) if weighted else None
    options = {"max_iter": 1, "alpha": alpha, "scale": "global", "random_state": 0}
    clf = LiftedMLPClassifier(**options).fit(X, y, weight)
    # Output weights that must withstand noise, of no length here, are left as they are.
    left = LiftedMLPClassifier(input_noise=1e-30, **options).fit(X, y, weight)
    assert_array_equal(clf.coefs_[0], left.coefs_[0])
    assert_array_equal(clf.intercepts_[0], left.intercepts_[0])
    ridge = (3.0 if alpha == "auto" else alpha) / len(X)

    def objective(model):
        loss = log_loss(y, model.predict_proba(X), sample_weight=weight)
        return loss + 0.5 * ridge * (model.coefs_[1] ** 2).sum()

    before, after = objective(left), objective(clf)
    H = np.maximum(X @ clf.coefs_[0] + clf.intercepts_[0], 0)
    mean_one = None if weight is None else weight / weight.mean()
    best = LogisticRegression(C=1 / (ridge * len(X)), tol=1e-8, max_iter=5000)
    best.fit(H, y, mean_one)
    least = log_loss(y, best.predict_proba(H), sample_weight=weight)
    least += 0.5 * ridge * (best.coef_**2).sum()
    assert least <= after < before
    # Two steps take most of the way.
    assert after - least < 0.3 * (before - least)


def test_only_a_single_pass_from_random_weights_does():
    X, y = load_digits(return_X_y=True)
    first = LiftedMLPClassifier(max_iter=2, random_state=0).fit(X, y)
    again = LiftedMLPClassifier(init=first, max_iter=1, learning_rate_init=1e-12)
    again.fit(X, y)
    for a, b in zip(first.coefs_, again.coefs_, strict=True):
        assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_single_pass_has_the_same_bits_on_any_threads(dtype):
    X, y = load_digits(return_X_y=True)
    X = X.astype(dtype)
    one, two = (
        LiftedMLPClassifier((300,), max_iter=1, n_jobs=n, random_state=0).fit(X, y)
        for n in (1, 2)
    )
    for a, b in zip(
        one.coefs_ + one.intercepts_, two.coefs_ + two.intercepts_, strict=True
    ):
        assert_array_equal(a, b)
