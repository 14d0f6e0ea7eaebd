"""Weights of classes."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.metrics import recall_score
from sklearn.model_selection import GridSearchCV
from sklearn.utils.class_weight import compute_sample_weight

from liftnet import LiftedMLPClassifier


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:600], y[:600]


def fit(X, y, sample_weight=None, **params):
    params = {"max_iter": 3, "random_state": 0, "hidden_layer_sizes": 10} | params
    return LiftedMLPClassifier(**params).fit(X, y, sample_weight)


def same(one, other):
    for a, b in zip(one.coefs_, other.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


WEIGHTS = ["balanced", {0: 3.0, 4: 0.5}, {label: 1.0 + label for label in range(10)}]


@pytest.mark.parametrize("class_weight", WEIGHTS, ids=str)
@pytest.mark.parametrize("params", [{}, {"solver": "batch"}, {"early_stopping": True}])
def test_is_scikit_learns_sample_weight(digits, class_weight, params):
    X, y = digits
    y = y % 7 if class_weight == "balanced" else y
    weights = compute_sample_weight(class_weight, y)
    same(
        fit(X, y, class_weight=class_weight, **params),
        fit(X, y, weights, **params),
    )


def test_multiplies_sample_weight(digits):
    X, y = digits
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.5, 2, len(y))
    weights[::7] = 0
    class_weight = {1: 5.0, 2: 0.1}
    product = weights * compute_sample_weight(class_weight, y)
    one, other = fit(X, y, weights, class_weight=class_weight), fit(X, y, product)
    for a, b in zip(one.coefs_, other.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def test_balanced_counts_samples_by_their_weight(digits):
    X, y = digits[0], digits[1] % 3
    counts = np.random.default_rng(0).integers(1, 4, len(y))
    repeated = fit(
        np.repeat(X, counts, axis=0),
        np.repeat(y, counts),
        class_weight="balanced",
        solver="batch",
        scale="none",
    )
    weighted = fit(X, y, counts, class_weight="balanced", solver="batch", scale="none")
    for a, b in zip(weighted.coefs_, repeated.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_equal_classes_are_balanced_already():
    X, y = load_digits(n_class=2, return_X_y=True)
    rows = np.concatenate([np.flatnonzero(y == k)[:100] for k in (0, 1)])
    same(fit(X[rows], y[rows], class_weight="balanced"), fit(X[rows], y[rows]))


def test_rare_class_is_found_more_often():
    X, y = load_breast_cancer(return_X_y=True)
    keep = (y == 1) | (np.arange(len(y)) % 12 == 0)
    X, y = X[keep], y[keep]
    rare, usual = (
        recall_score(
            y, fit(X, y, class_weight=weight, alpha=300).predict(X), pos_label=0
        )
        for weight in ("balanced", None)
    )
    assert rare > usual


def test_weight_of_zero_leaves_samples_out_but_not_the_class(digits):
    X, y = digits
    model = fit(X, y, class_weight={3: 0.0}, max_iter=10)
    assert model.classes_.tolist() == list(range(10))
    assert 3 not in model.predict(X)
    model = fit(X, y == 3, class_weight={True: 0.0})
    assert not model.predict(X).any()


def test_labels_of_text(digits):
    X, y = digits[0], np.array([f"label {k}" for k in digits[1]])
    weighted = fit(X, y, class_weight={"label 3": 4.0})
    same(weighted, fit(X, y, np.where(y == "label 3", 4.0, 1.0)))


def test_can_be_searched(digits):
    search = GridSearchCV(
        LiftedMLPClassifier(5, max_iter=2, random_state=0),
        {"class_weight": [None, "balanced", {0: 2.0}]},
        cv=2,
    )
    assert search.fit(*digits).best_score_ > 0


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ("even", "'class_weight' parameter"),
        (3, "'class_weight' parameter"),
        ({0: -1.0}, "0 or more, got -1.0 for class 0"),
        ({0: np.nan}, "0 or more, got nan for class 0"),
        ({0: np.inf}, "0 or more, got inf for class 0"),
        ({0: "much"}, "0 or more, got 'much' for class 0"),
        ({0: 1.0, "ten": 1.0}, "are not in class_weight"),
        (dict.fromkeys(range(10), 0.0), "zero for every class"),
        ([1.0, 2.0], "class_weight must be 'balanced', a dict"),
    ],
    ids=str,
)
def test_errors(digits, class_weight, message):
    model = LiftedMLPClassifier(5, max_iter=1, random_state=0).fit(*digits)
    before = model.predict(digits[0])
    model.set_params(class_weight=class_weight)
    with pytest.raises(ValueError, match=message):
        model.fit(*digits)
    np.testing.assert_array_equal(model.predict(digits[0]), before)
