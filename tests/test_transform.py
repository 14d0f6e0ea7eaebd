"""Hidden activations: the estimators as transformers."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.utils import get_tags

import liftnet
from liftnet import LiftedMLPClassifier, LiftedMLPRegressor


@pytest.fixture(scope="module")
def three(iris):
    clf = LiftedMLPClassifier(
        (7, 5, 6), ["relu", "elu(alpha=0.5)", "tanh"], max_iter=5, random_state=0
    )
    return clf.fit(*iris)


def by_formula(clf, X, depth):
    """The layers one by one, activations as liftnet.activations() has them."""
    for coef, intercept, one in zip(
        clf.coefs_[:depth],
        clf.intercepts_,
        liftnet.activations(*clf.activations_),
        strict=False,
    ):
        X = one.phi(X @ coef + intercept)
    return X


@pytest.mark.parametrize("layer", [0, 1, 2, -1, -2, -3])
def test_every_layer(three, iris, layer):
    X = iris[0]
    np.testing.assert_allclose(
        three.hidden_activations(X, layer),
        by_formula(three, X, range(3)[layer] + 1),
        rtol=1e-12,
        atol=1e-12,
    )


def test_transform_is_the_last_hidden_layer(three, iris):
    hidden = three.transform(iris[0])
    assert hidden.shape == (150, 6)
    np.testing.assert_array_equal(hidden, three.hidden_activations(iris[0], layer=-1))
    # The output layer on top of it is the network.
    np.testing.assert_allclose(
        hidden @ three.coefs_[-1] + three.intercepts_[-1],
        three.decision_function(iris[0]),
        rtol=1e-10,
        atol=1e-12,
    )


def test_every_activation(activation, iris):
    clf = LiftedMLPClassifier((4,), activation, max_iter=3, random_state=0).fit(*iris)
    np.testing.assert_allclose(
        clf.transform(iris[0]), by_formula(clf, iris[0], 1), rtol=1e-12, atol=1e-12
    )


def test_learned_parameters_count(digits):
    clf = LiftedMLPClassifier(
        (8,), "elu(alpha=0.5)", learn_activation=True, max_iter=3, random_state=0
    ).fit(*digits)
    assert clf.activations_ != ["elu(alpha=0.5)"]
    X = digits[0][:50]
    np.testing.assert_allclose(
        clf.transform(X), by_formula(clf, X, 1), rtol=1e-10, atol=1e-10
    )


def test_values_of_jumps_are_exact(digits):
    clf = LiftedMLPClassifier((20,), "sign", max_iter=2, random_state=0).fit(*digits)
    assert set(np.unique(clf.transform(digits[0]))) <= {-1.0, 0.0, 1.0}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_is_that_of_the_network(iris, dtype):
    X = iris[0].astype(dtype)
    clf = LiftedMLPClassifier((4,), max_iter=2, random_state=0).fit(X, iris[1])
    assert clf.transform(X).dtype == dtype
    assert clf.transform(iris[0]).dtype == dtype
    assert dtype.__name__ in get_tags(clf).transformer_tags.preserves_dtype


def test_threads_do_not_change_a_bit(digits):
    X, y = digits
    clf = LiftedMLPClassifier((300,), max_iter=1, random_state=0, n_jobs=1).fit(X, y)
    alone = clf.transform(X)
    np.testing.assert_array_equal(clf.set_params(n_jobs=2).transform(X), alone)


def test_a_regressor_is_one_too(iris):
    X = iris[0]
    reg = LiftedMLPRegressor((3,), "tanh", random_state=0)
    hidden = reg.fit_transform(X, X[:, :2])
    np.testing.assert_array_equal(hidden, reg.transform(X))
    assert reg.get_feature_names_out().tolist() == [
        f"liftedmlpregressor{k}" for k in range(3)
    ]


def test_fit_transform_fits_once_with_weights(iris):
    weight = np.linspace(0.1, 1, 150)
    clf = LiftedMLPClassifier((5,), max_iter=3, random_state=0)
    hidden = clf.fit_transform(*iris, sample_weight=weight)
    other = clone(clf).fit(*iris, sample_weight=weight)
    np.testing.assert_array_equal(hidden, other.transform(iris[0]))
    unweighted = clone(clf).fit_transform(*iris)
    assert not np.array_equal(hidden, unweighted)


def test_set_output(iris):
    X = pd.DataFrame(iris[0], columns=list("abcd"), index=range(10, 160))
    clf = LiftedMLPClassifier((3,), max_iter=2, random_state=0)
    frame = clf.set_output(transform="pandas").fit_transform(X, iris[1])
    assert frame.columns.tolist() == [f"liftedmlpclassifier{k}" for k in range(3)]
    assert frame.index.equals(X.index)
    # Predictions, and the activations that were asked for by layer, stay arrays.
    assert isinstance(clf.predict(X), np.ndarray)
    assert isinstance(clf.hidden_activations(X), np.ndarray)
    np.testing.assert_array_equal(frame, clf.hidden_activations(X))


def test_names_check_the_names_of_the_inputs(three):
    with pytest.raises(ValueError, match="input_features"):
        three.get_feature_names_out(["too", "few"])


def test_in_front_of_another_model(iris):
    X, y = iris
    union = FeatureUnion(
        [("pca", PCA(2)), ("net", LiftedMLPClassifier((8,), random_state=0))]
    )
    model = make_pipeline(union, LogisticRegression(max_iter=1_000)).fit(X, y)
    assert model.score(X, y) > 0.95
    names = union.fit(X, y).get_feature_names_out()
    assert names[-1] == "net__liftedmlpclassifier7"
    assert model[:-1].transform(X).shape == (150, 10)


def test_a_network_of_torch(three, iris):
    pytest.importorskip("torch")
    from liftnet.torch import from_torch

    back = from_torch(three.to_torch())
    np.testing.assert_allclose(
        back.transform(iris[0]), three.transform(iris[0]), rtol=1e-12, atol=1e-12
    )


def test_without_hidden_layers(iris):
    clf = LiftedMLPClassifier((), random_state=0).fit(*iris)
    for call in (clf.transform, clf.hidden_activations):
        with pytest.raises(ValueError, match=r"need a hidden layer.*is empty"):
            call(iris[0])
    with pytest.raises(ValueError, match=r"need a hidden layer.*is empty"):
        clf.get_feature_names_out()


def test_before_a_fit(iris):
    clf = LiftedMLPClassifier()
    with pytest.raises(NotFittedError):
        clf.transform(iris[0])
    with pytest.raises(NotFittedError):
        clf.hidden_activations(iris[0])
    with pytest.raises(NotFittedError):
        clf.get_feature_names_out()


@pytest.mark.parametrize("layer", [3, -4, 10**30])
def test_a_layer_that_is_not_there(three, iris, layer):
    with pytest.raises(ValueError, match=r"layer must be within \[-3, 2\]"):
        three.hidden_activations(iris[0], layer)


@pytest.mark.parametrize("layer", [1.0, "1", None])
def test_a_layer_that_is_no_integer(three, iris, layer):
    with pytest.raises(TypeError, match="layer must be an integer"):
        three.hidden_activations(iris[0], layer)


def test_bad_inputs(three, iris):
    with pytest.raises(ValueError, match="NaN in feature 1"):
        three.transform([[0, np.nan, 0, 0]])
    with pytest.raises(ValueError, match="3 features"):
        three.transform(iris[0][:, :3])
