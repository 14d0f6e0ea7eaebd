"""Smoothed labels: the loss, its minimum, and the fits on it."""

from copy import copy

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

import liftnet
from liftnet import LiftedMLPClassifier, LiftedMLPRegressor
from liftnet.kernels import activation_block

SOLVERS = ["stochastic", "batch"]


def smoothed_loss(clf, X, y, smoothing, weight=None):
    """Return the mean cross-entropy of smoothed labels, from the probabilities."""
    n_classes = len(clf.classes_)
    target = np.eye(n_classes)[np.searchsorted(clf.classes_, y)]
    target = (1 - smoothing) * target + smoothing / n_classes
    losses = -(target * clf.predict_log_proba(X)).sum(1)
    return np.average(losses, weights=weight)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("data", ["digits", "cancer"])
def test_the_loss_that_is_reported_is_pytorchs(data, solver, request):
    torch = pytest.importorskip("torch")
    X, y = (part[:400] for part in request.getfixturevalue(data))
    params = {"label_smoothing": 0.15, "alpha": 0, "random_state": 0, "tol": 0}
    clf = LiftedMLPClassifier((20,), solver=solver, max_iter=5, **params).fit(X, y)
    # The batch solver's last record is that of the network.
    reported = clf.history_["loss"][-1]
    if solver == "stochastic":
        # With a step that changes nothing so is the loss over a pass.
        rest = {"warm_start": True, "learning_rate_init": 1e-12, "max_iter": 1}
        reported = copy(clf).set_params(**rest).fit(X, y).loss_
    logits = clf.to_torch(binary="two")(torch.tensor(X))
    expected = torch.nn.CrossEntropyLoss(label_smoothing=0.15)(logits, torch.tensor(y))
    assert reported == pytest.approx(expected.item(), rel=1e-6)
    assert expected.item() == pytest.approx(smoothed_loss(clf, X, y, 0.15))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_linear_model_ends_at_the_minimum(n_classes, solver, iris):
    X, y = (part[: 50 * n_classes] for part in iris)
    X = (X - X.mean(0)) / X.std(0)
    smoothing = 0.3
    clf = LiftedMLPClassifier(
        (),
        solver=solver,
        alpha=1e-6,
        scale="none",
        damping=1e-9,
        label_smoothing=smoothing,
        max_iter=400,
        batch_size=len(X),
        tol=0,
        n_iter_no_change=1000,
        random_state=0,
    ).fit(X, y)
    target = (1 - smoothing) * np.eye(n_classes)[y] + smoothing / n_classes

    def objective(parameters):
        weights, b = parameters[:-n_classes], parameters[-n_classes:]
        logits = X @ weights.reshape(4, n_classes) + b
        return -np.mean((target * log_softmax(logits, axis=1)).sum(1))

    best = minimize(objective, np.zeros(5 * n_classes), tol=1e-10).fun
    reached = smoothed_loss(clf, X, y, smoothing)
    assert best - 1e-9 <= reached <= best + 1e-6


@pytest.mark.parametrize("solver", SOLVERS)
def test_probabilities_are_less_sure_of_themselves(solver, digits_split):
    X, X_test, y, y_test = digits_split
    sure = []
    for smoothing in [0.0, 0.1, 0.4]:
        clf = LiftedMLPClassifier(
            (50,), solver=solver, label_smoothing=smoothing, max_iter=20, random_state=0
        ).fit(X, y)
        assert clf.score(X_test, y_test) > 0.95
        assert clf.out_activation_ == "softmax"
        sure.append(np.median(clf.predict_proba(X).max(1)))
    assert sure[0] > 0.98
    # Where every label is certain the optimum is 1 - s + s / K.
    assert 0.91 - 0.08 < sure[1] < 0.91 + 0.02
    assert 0.64 - 0.08 < sure[2] < 0.64 + 0.02


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_constants_are_smoothed_shares(n_classes, solver):
    """With nothing to learn from the inputs the prediction is the best constant."""
    y = np.arange(300) % 7 % n_classes
    X = np.ones((300, 2))
    clf = LiftedMLPClassifier(
        (3,), solver=solver, label_smoothing=0.4, random_state=0
    ).fit(X, y)
    shares = 0.6 * np.bincount(y) / 300 + 0.4 / n_classes
    assert_allclose(clf.predict_proba(X[:1])[0], shares, atol=2e-3)


@pytest.mark.parametrize("solver", SOLVERS)
def test_labels_that_do_not_exclude_each_other(solver):
    """Each is spread over 0 and 1; with nothing to learn the shares come out."""
    rows = np.arange(300)
    Y = np.column_stack([rows % 2, rows % 5 == 0, np.ones(300)]).astype(int)
    clf = LiftedMLPClassifier(
        (3,), solver=solver, label_smoothing=0.4, random_state=0
    ).fit(np.ones((300, 2)), Y)
    shares = 0.6 * Y.mean(0) + 0.2
    assert_allclose(clf.predict_proba(np.ones((1, 2)))[0], shares, atol=2e-3)
    entropy = -(shares * np.log(shares) + (1 - shares) * np.log(1 - shares)).sum()
    assert clf.loss_ >= entropy - 1e-6


def test_a_stream_may_smooth_otherwise_later(digits):
    X, y = digits
    clf = LiftedMLPClassifier((20,), label_smoothing=0.1, random_state=0)
    other = LiftedMLPClassifier((20,), random_state=0)
    for part in range(0, 1600, 200):
        rows = slice(part, part + 200)
        clf.partial_fit(X[rows], y[rows], classes=range(10))
        other.partial_fit(X[rows], y[rows], classes=range(10))
    assert (clf.coefs_[1] != other.coefs_[1]).any()
    sure = [np.median(fit.predict_proba(X).max(1)) for fit in (clf, other)]
    assert sure[0] < sure[1]
    clf.set_params(label_smoothing=0.0).partial_fit(X[1600:], y[1600:])
    assert clf.score(X, y) > 0.9


def test_no_smoothing_is_no_change(digits):
    plain = LiftedMLPClassifier((10,), max_iter=2, random_state=0).fit(*digits)
    zero = LiftedMLPClassifier(
        (10,), max_iter=2, random_state=0, label_smoothing=0
    ).fit(*digits)
    assert_array_equal(plain.coefs_[0], zero.coefs_[0])
    assert plain.loss_curve_ == zero.loss_curve_


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_scores_and_options_beside_it(digits, n_jobs, tmp_path):
    X, y = digits
    weight = np.linspace(0.5, 2, len(y))
    clf = LiftedMLPClassifier(
        (20,),
        label_smoothing=0.2,
        early_stopping=True,
        diagnostics=True,
        penalty="l1(0.01)",
        input_noise=0.3,
        max_iter=10,
        random_state=0,
        n_jobs=n_jobs,
    ).fit(X, y, weight)
    # Accuracies, not losses.
    assert 0.9 < clf.best_validation_score_ <= 1
    # No loss is below the entropy of a smoothed label.
    share = 0.8 + 0.02
    entropy = -share * np.log(share) - 9 * 0.02 * np.log(0.02)
    assert min(clf.history_["validation_loss"] + clf.history_["lifted_loss"]) > entropy
    clf.save(tmp_path / "clf.safetensors")
    loaded = liftnet.load(tmp_path / "clf.safetensors")
    assert loaded.label_smoothing == 0.2
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))


@pytest.mark.parametrize("bad", [1, 1.0, -0.1, np.nan, np.inf, "0.1", None])
def test_bad_values_are_refused_by_name(iris, bad):
    clf = LiftedMLPClassifier(label_smoothing=bad)
    with pytest.raises(InvalidParameterError, match="'label_smoothing' parameter"):
        clf.fit(*iris)
    with pytest.raises(NotFittedError):
        clf.predict(iris[0])


def test_regressors_have_no_labels():
    with pytest.raises(TypeError, match="label_smoothing"):
        LiftedMLPRegressor(label_smoothing=0.1)


def test_the_kernel_takes_smoothed_labels():
    rng = np.random.default_rng(0)
    Z, W, y = rng.normal(size=(6, 4)), rng.normal(size=(4, 3)), np.arange(6) % 3
    plain = activation_block(Z, W, 0.0, y, loss="softmax")
    same = activation_block(Z, W, 0.0, y, loss="softmax(0)")
    assert_array_equal(plain.solution, same.solution)
    smooth = activation_block(Z, W, 0.0, y, loss="softmax(label_smoothing=0.5)")
    x = smooth.solution
    target = 0.5 * np.eye(3)[y] + 0.5 / 3

    def objective(x, z, target):
        return 0.5 * x @ x - x @ z - target @ log_softmax(x @ W)

    for row in range(6):
        best = objective(x[row], Z[row], target[row])
        for _ in range(20):
            other = np.maximum(x[row] + 0.01 * rng.normal(size=4), 0)
            assert objective(other, Z[row], target[row]) >= best
    with pytest.raises(ValueError, match="label_smoothing must be in"):
        activation_block(Z, W, 0.0, y, loss="softmax(1)")
