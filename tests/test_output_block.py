"""No fit ends worse, on its training data, than the best constant prediction."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
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
