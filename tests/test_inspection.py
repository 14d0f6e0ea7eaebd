"""scikit-learn's tools for looking at models, for calibrating and thresholding them."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.datasets import make_friedman1
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import (
    PartialDependenceDisplay,
    partial_dependence,
    permutation_importance,
)
from sklearn.metrics import balanced_accuracy_score, brier_score_loss
from sklearn.model_selection import TunedThresholdClassifierCV

from liftnet import LiftedMLPClassifier, LiftedMLPRegressor

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def friedman():
    """Five features that count, five that do not."""
    return make_friedman1(400, n_features=10, noise=0.1, random_state=0)


@pytest.fixture(scope="module")
def reg(friedman):
    return LiftedMLPRegressor((30,), random_state=0).fit(*friedman)


@pytest.fixture(scope="module")
def rare():
    """One in ten is positive; two of four features count."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1_500, 4))
    odds = np.exp(-3.4 + 1.5 * X[:, 0] + X[:, 1] ** 2)
    return X, (rng.random(1_500) < odds / (1 + odds)).astype(int)


@pytest.fixture(scope="module")
def clf(rare):
    return LiftedMLPClassifier((20,), random_state=0).fit(*rare)


def test_permutation_importance_finds_what_counts(reg, friedman):
    result = permutation_importance(reg, *friedman, n_repeats=3, random_state=0)
    means = result.importances_mean
    assert means[:5].min() > 2 * means[5:].max()


def test_permutation_importance_of_a_classifier(clf, rare):
    result = permutation_importance(
        clf, *rare, scoring="average_precision", n_repeats=3, random_state=0
    )
    assert result.importances_mean[:2].min() > 0.1 > result.importances_mean[2:].max()


def test_partial_dependence_is_the_mean_over_the_others(clf, rare):
    X = rare[0][:200]
    found = partial_dependence(clf, X, [0], grid_resolution=7, kind="average")
    for value, mean in zip(found["grid_values"][0], found["average"][0], strict=True):
        moved = X.copy()
        moved[:, 0] = value
        assert mean == pytest.approx(clf.predict_proba(moved)[:, 1].mean())
    assert (np.diff(found["average"][0]) > 0).all()


def test_partial_dependence_displays(reg, clf, friedman, rare, iris):
    several = LiftedMLPClassifier((5,), max_iter=5, random_state=0).fit(*iris)
    draw = PartialDependenceDisplay.from_estimator
    one = draw(reg, friedman[0][:50], [0, (0, 1)], grid_resolution=5, kind="average")
    assert one.axes_.size == 2
    both = draw(clf, rare[0][:50], [1], grid_resolution=5, kind="both")
    assert both.lines_.shape == (1, 1, 51)  # one for each row, and the mean
    draw(several, iris[0], [2], target=1, grid_resolution=5)


def test_calibration_curve(clf, rare):
    display = CalibrationDisplay.from_estimator(clf, *rare, n_bins=4)
    np.testing.assert_array_equal(display.y_prob, clf.predict_proba(rare[0])[:, 1])
    # The loss is proper: what it was fitted to it does not misjudge by much.
    np.testing.assert_allclose(display.prob_true, display.prob_pred, atol=0.15)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibrated_classifier(rare, method):
    X, y = rare
    model = LiftedMLPClassifier((20,), max_iter=5, random_state=0)
    calibrated = CalibratedClassifierCV(model, method=method, cv=3).fit(X, y)
    probabilities = calibrated.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    rate = np.mean(y)
    assert brier_score_loss(y, probabilities[:, 1]) < 0.8 * rate * (1 - rate)


def test_calibrated_of_several_classes_with_weights(iris):
    weight = np.linspace(0.5, 1, 150)
    model = LiftedMLPClassifier((5,), random_state=0)
    calibrated = CalibratedClassifierCV(model, cv=3).fit(*iris, sample_weight=weight)
    assert calibrated.score(*iris) > 0.9


def test_calibration_of_a_network_that_is_fitted(clf, rare):
    X, y = rare
    before = clone(clf).fit(X[:750], y[:750])
    weights = [coef.copy() for coef in before.coefs_]
    after = CalibratedClassifierCV(FrozenEstimator(before)).fit(X[750:], y[750:])
    assert after.predict_proba(X).shape == (1_500, 2)
    for one, other in zip(weights, before.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_tuned_threshold(clf, rare):
    X, y = rare
    tuned = TunedThresholdClassifierCV(clone(clf), cv=3).fit(X, y)
    assert tuned.best_threshold_ < 0.5
    found = balanced_accuracy_score(y, tuned.predict(X))
    assert found > balanced_accuracy_score(y, clf.predict(X)) + 0.02
