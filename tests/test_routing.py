"""Metadata routing: validation data and weights reach the estimators."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from liftnet import LiftedMLPClassifier, LiftedMLPRegressor


@pytest.fixture(autouse=True)
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def quick(**params):
    """Return a classifier that trains in milliseconds."""
    defaults = {"hidden_layer_sizes": 12, "max_iter": 6, "random_state": 0}
    return LiftedMLPClassifier(**(defaults | params))


def weights(clf):
    return np.concatenate([array.ravel() for array in (*clf.coefs_, *clf.intercepts_)])


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_pipeline_transforms_and_passes_validation_data_on(iris, early_stopping):
    X, y = iris
    train, held_out = np.arange(150) % 3 > 0, np.arange(150) % 3 == 0
    weight = np.linspace(0.5, 2, train.sum())
    weight_val = np.linspace(2, 0.5, held_out.sum())
    clf = quick(early_stopping=early_stopping).set_fit_request(
        X_val=True, y_val=True, sample_weight=True, sample_weight_val=True
    )
    pipe = Pipeline(
        [
            ("scale", StandardScaler().set_fit_request(sample_weight=False)),
            ("mlp", clf),
        ],
        transform_input=["X_val"],
    )
    pipe.fit(
        X[train],
        y[train],
        sample_weight=weight,
        X_val=X[held_out],
        y_val=y[held_out],
        sample_weight_val=weight_val,
    )
    scaler = StandardScaler().fit(X[train])
    plain = quick(early_stopping=early_stopping).fit(
        scaler.transform(X[train]),
        y[train],
        weight,
        X_val=scaler.transform(X[held_out]),
        y_val=y[held_out],
        sample_weight_val=weight_val,
    )
    assert_array_equal(weights(pipe[-1]), weights(plain))
    assert pipe[-1].validation_scores_ == plain.validation_scores_


def test_a_search_passes_weights_to_fits_and_scores(iris):
    X, y = iris
    weight = np.where(np.arange(150) % 2, 1.0, 3.0)
    seen = []

    class Spy(LiftedMLPClassifier):
        def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None):
            seen.append((len(X), len(sample_weight), len(X_val)))
            return super().fit(X, y, sample_weight, X_val=X_val, y_val=y_val)

        def score(self, X, y, sample_weight=None):
            assert len(sample_weight) == len(X)
            return super().score(X, y, sample_weight)

    clf = (
        Spy(8, max_iter=3, random_state=0, early_stopping=True)
        .set_fit_request(sample_weight=True, X_val=True, y_val=True)
        .set_score_request(sample_weight=True)
    )
    search = GridSearchCV(clf, {"alpha": [1.0, 5.0]}, cv=3)
    search.fit(X, y, sample_weight=weight, X_val=X[:20], y_val=y[:20])
    # One set for all: it is not cut as the training data are.
    assert seen == [(100, 100, 20)] * 6 + [(150, 150, 20)]
    assert search.best_estimator_.validation_scores_ is not None


def test_weights_that_nobody_asked_for_are_refused(iris):
    X, y = iris
    search = GridSearchCV(quick(), {"alpha": [1.0]}, cv=2, error_score="raise")
    with pytest.raises(ValueError, match="not explicitly set as requested or not"):
        search.fit(X, y, sample_weight=np.ones(len(y)))


def test_scores_with_weights(iris):
    X, y = iris
    weight = np.linspace(0, 1, len(y)) + 1e-3
    clf = quick().set_fit_request(sample_weight=True)
    clf.set_score_request(sample_weight=True)
    result = cross_validate(
        clf,
        X,
        y,
        params={"sample_weight": weight},
        cv=2,
        return_estimator=True,
        return_indices=True,
    )
    for fitted, score, test in zip(
        result["estimator"],
        result["test_score"],
        result["indices"]["test"],
        strict=True,
    ):
        assert score == fitted.score(X[test], y[test], weight[test])


def test_requests_of_partial_fit(iris):
    X, y = iris
    clf = quick().set_partial_fit_request(classes=True, sample_weight=True)
    request = clf.get_metadata_routing().partial_fit.requests
    validation = dict.fromkeys(("X_val", "sample_weight_val", "y_val"))
    assert request == {"classes": True, "sample_weight": True} | validation
    reg = LiftedMLPRegressor().set_partial_fit_request(sample_weight=True)
    request = reg.get_metadata_routing().partial_fit.requests
    assert request == {"sample_weight": True} | validation
    # As meta-estimators ask for it.
    sklearn.base.BaseEstimator.get_metadata_routing(LogisticRegression())
    clf.partial_fit(X, y, classes=[0, 1, 2], sample_weight=np.ones(len(y)))
    assert clf.n_iter_ == 1


def test_a_regressor_routes_too(iris):
    X, _ = iris
    reg = LiftedMLPRegressor(8, max_iter=3, random_state=0)
    reg.set_fit_request(X_val=True, y_val=True)
    pipe = Pipeline(
        [("scale", StandardScaler()), ("mlp", reg)], transform_input=["X_val"]
    )
    pipe.fit(X[:, :3], X[:, 3], X_val=X[:40, :3], y_val=X[:40, 3])
    assert len(pipe[-1].validation_scores_) == 3
