"""Training that starts from a given network."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.utils._testing import ignore_warnings

import liftnet
from liftnet import LiftedMLPClassifier, LiftedMLPRegressor

# Hardly a step.
STILL = {"max_iter": 1, "learning_rate_init": 1e-12, "solver": "stochastic"}


quiet = ignore_warnings(category=ConvergenceWarning)


def scaled(load):
    X, y = load(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="module", params=[load_breast_cancer, load_digits])
def fitted(request):
    """Data of two and of ten classes, and scikit-learn's network for them."""
    X, y = scaled(request.param)
    X, y = X[:500], y[:500]
    mlp = MLPClassifier((8, 6), activation="tanh", max_iter=60, random_state=0)
    return X, y, quiet(mlp.fit)(X, y)


def classifier(init, **params):
    params = {"hidden_layer_sizes": (8, 6), "activation": "tanh"} | STILL | params
    return LiftedMLPClassifier(init=init, random_state=0, **params)


def pair(estimator):
    return estimator.coefs_, estimator.intercepts_


def state_dict(estimator):
    named = {}
    for k, (coef, intercept) in enumerate(zip(*pair(estimator), strict=True)):
        named[f"{2 * k}.weight"], named[f"{2 * k}.bias"] = coef.T, intercept
    return named


@pytest.mark.parametrize("form", [lambda mlp: mlp, pair, state_dict])
def test_fit_starts_there(fitted, form):
    X, y, mlp = fitted
    model = classifier(form(mlp), alpha=0).fit(X, y)
    np.testing.assert_allclose(
        model.predict_proba(X), mlp.predict_proba(X), rtol=1e-6, atol=1e-8
    )
    assert model.loss_ == pytest.approx(log_loss(y, mlp.predict_proba(X)), rel=1e-6)


@pytest.mark.parametrize("solver", ["stochastic", "batch"])
def test_training_goes_on_from_there(fitted, solver):
    X, y, mlp = fitted
    model = classifier(mlp, solver=solver, max_iter=5, learning_rate_init=0.01, alpha=0)
    start = log_loss(y, mlp.predict_proba(X))
    assert model.fit(X, y).history_["loss"][-1] < start
    fresh = clone(model).set_params(init=None).fit(X, y)
    assert fresh.history_["loss"][0] > model.history_["loss"][0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_is_that_of_the_inputs(fitted, dtype):
    X, y, mlp = fitted
    model = classifier(mlp).fit(X.astype(dtype), y)
    assert {array.dtype for array in model.coefs_} == {np.dtype(dtype)}
    assert np.abs(model.predict_proba(X) - mlp.predict_proba(X)).max() < 1e-4


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_regressors(loss):
    X, y = scaled(load_diabetes)
    y = y / 50
    init = MLPRegressor(hidden_layer_sizes=(8,), max_iter=100)
    init.set_params(learning_rate_init=0.02, random_state=0)
    quiet(init.fit)(X, y)
    if loss == "poisson":
        init = LiftedMLPRegressor((8,), loss=loss, random_state=0).fit(X, y)
    model = LiftedMLPRegressor((8,), loss=loss, init=init, random_state=0, **STILL)
    np.testing.assert_allclose(model.fit(X, y).predict(X), init.predict(X), rtol=1e-6)


def test_own_estimators_with_what_they_learned(fitted):
    X, y, _ = fitted
    params = {"activation": "leaky_relu", "learn_activation": True}
    first = LiftedMLPClassifier((8, 6), random_state=0, max_iter=5, **params).fit(X, y)
    assert first.activations_ != ["leaky_relu(slope=0.01)"] * 2
    model = classifier(first, activation="leaky_relu").fit(X, y)
    assert model.activations_ == first.activations_
    np.testing.assert_allclose(
        model.predict_proba(X), first.predict_proba(X), rtol=1e-6, atol=1e-8
    )


def test_modules_and_tensors(fitted):
    torch = pytest.importorskip("torch")
    X, y, mlp = fitted
    first = classifier(mlp).fit(X, y)
    expected = first.predict_proba(X)
    modules = [first.to_torch(), first.to_torch(binary="two")]
    modules.append(first.to_torch(head="softmax", binary="two"))
    states = [module.state_dict() for module in modules]
    half = {key: value.half() for key, value in states[0].items()}
    for init in (*modules, *states, half, modules[0].float()):
        model = clone(classifier(init)).fit(X, y)
        allowed = 1e-1 if init is half else 1e-4
        assert np.abs(model.predict_proba(X) - expected).max() < allowed
    with pytest.raises(ValueError, match="ends with Sigmoid"):
        classifier(
            torch.nn.Sequential(torch.nn.Linear(X.shape[1], 3), torch.nn.Sigmoid())
        ).fit(X, y)


def test_arrays_need_no_torch(run_python):
    run = run_python(
        "import sys, numpy as np\n"
        "from liftnet import LiftedMLPClassifier\n"
        "init = {'0.weight': np.ones((1, 2)), '0.bias': np.zeros(1)}\n"
        "X, y = np.eye(2), [0, 1]\n"
        "LiftedMLPClassifier((), init=init, max_iter=1).fit(X, y)\n"
        "assert 'torch' not in sys.modules\n"
    )
    assert run.returncode == 0, run.stderr


def test_two_outputs_for_two_classes_are_their_difference():
    X, y = scaled(load_breast_cancer)
    rng = np.random.default_rng(0)
    coefs, intercepts = [rng.normal(size=(X.shape[1], 2))], [rng.normal(size=2)]
    model = LiftedMLPClassifier((), init=(coefs, intercepts), **STILL).fit(X, y)
    logits = X @ coefs[0] + intercepts[0]
    difference = logits[:, 1] - logits[:, 0]
    # A poor start: what keeps fits below the constant may solve the output block.
    if log_loss(y, 1 / (1 + np.exp(-difference))) < 0.6:
        np.testing.assert_allclose(
            model.decision_function(X), difference, rtol=1e-6, atol=1e-7
        )
    y = (difference > 0).astype(int)
    model.fit(X, y)
    np.testing.assert_allclose(
        model.decision_function(X), difference, rtol=1e-6, atol=1e-7
    )


def test_bias_may_be_left_out():
    X, y = scaled(load_breast_cancer)
    weight = np.random.default_rng(0).normal(size=(1, X.shape[1]))
    y = (X @ weight[0] > 0).astype(int)
    model = LiftedMLPClassifier((), init={"fc.weight": weight}, **STILL).fit(X, y)
    np.testing.assert_allclose(model.decision_function(X), X @ weight[0], atol=1e-6)


def test_warm_start_comes_first(fitted):
    X, y, mlp = fitted
    model = classifier(mlp, warm_start=True).fit(X, y)
    model.set_params(init=([np.ones((1, 1))], [np.ones(1)])).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), mlp.predict_proba(X), rtol=1e-6)


def test_clones_keep_a_fitted_estimator(fitted):
    X, y, mlp = fitted
    model = classifier(mlp)
    copy = clone(model)
    assert copy.init is not mlp
    np.testing.assert_array_equal(copy.init.coefs_[0], mlp.coefs_[0])
    assert model.get_params()["init"] is mlp
    assert clone(clone(model)).fit(X, y).score(X, y) == mlp.score(X, y)
    assert cross_val_score(model, X, y, cv=2, error_score="raise").min() > 0.5
    again = pickle.loads(pickle.dumps(model)).fit(X, y)
    assert again.score(X, y) == mlp.score(X, y)
    for init in (pair(mlp), state_dict(mlp)):
        assert clone(classifier(init)).fit(X, y).score(X, y) == mlp.score(X, y)


def test_views_of_it(fitted):
    X, y, mlp = fitted
    model = classifier(mlp)
    for shown in (model, model.fit(X, y)):
        assert "MLPClassifier" in repr(shown)
        assert "svg" in shown._repr_html_()


def test_saved_without_it(fitted, tmp_path):
    X, y, mlp = fitted
    model = classifier(pair(mlp)).fit(X, y)
    with pytest.warns(UserWarning, match="(?s)init=.* is no plain data"):
        model.save(tmp_path / "model")
    again = liftnet.load(tmp_path / "model")
    assert again.init is None
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def changed(estimator, **attributes):
    copy = pickle.loads(pickle.dumps(estimator))
    vars(copy).update(attributes)
    return copy


def without(mapping, key):
    return {name: value for name, value in mapping.items() if name != key}


ERRORS = {
    "type": (lambda mlp: 3, "init must be None, a pair .* got int"),
    "three": (lambda mlp: ([], [], []), "init must be None, a pair .* got tuple"),
    "array": (lambda mlp: (np.ones((2, 2)), []), "lists of arrays, got ndarray"),
    "unfitted": (lambda mlp: MLPClassifier(), "MLPClassifier has no coefs_"),
    "no layers": (lambda mlp: ([], []), "at least one, got 0 coefs and 0"),
    "number": (lambda mlp: (mlp.coefs_, mlp.intercepts_[1:]), "3 coefs and 2 inter"),
    "axes": (
        lambda mlp: ([mlp.coefs_[0][0], *mlp.coefs_[1:]], mlp.intercepts_),
        r"coefs\[0\] must be 2-dimensional, has the shape",
    ),
    "ragged": (lambda mlp: ([[[1.0], [1.0, 2.0]]], [[1.0]]), r"coefs\[0\] is no array"),
    "text": (lambda mlp: ([[["a"]]], [[1.0]]), r"coefs\[0\] must hold real numbers"),
    "complex": (
        lambda mlp: ([mlp.coefs_[0] * 1j, *mlp.coefs_[1:]], mlp.intercepts_),
        r"coefs\[0\] must hold real numbers, has complex128",
    ),
    "nan": (
        lambda mlp: (
            mlp.coefs_,
            [mlp.intercepts_[0], mlp.intercepts_[1] * np.nan, mlp.intercepts_[2]],
        ),
        r"intercepts\[1\] holds NaN or infinity",
    ),
    "intercept": (
        lambda mlp: (mlp.coefs_, [np.ones(3), *mlp.intercepts_[1:]]),
        r"intercepts\[0\] of shape \(3,\) does not fit coefs\[0\]",
    ),
    "chain": (
        lambda mlp: ([mlp.coefs_[0], np.ones((5, 6)), mlp.coefs_[2]], mlp.intercepts_),
        r"coefs\[1\] of shape \(5, 6\) does not follow coefs\[0\]",
    ),
    "features": (
        lambda mlp: ([mlp.coefs_[0][1:], *mlp.coefs_[1:]], mlp.intercepts_),
        r"a network of \d+ features, but X has",
    ),
    "hidden": (
        lambda mlp: (mlp.coefs_[:1] + mlp.coefs_[2:], mlp.intercepts_[1:]),
        r"does not fit",
    ),
    "outputs": (
        lambda mlp: (
            [*mlp.coefs_[:2], np.ones((6, 7))],
            [*mlp.intercepts_[:2], np.ones(7)],
        ),
        r"init has 7 outputs, but y needs \d+",
    ),
    "activation": (
        lambda mlp: changed(mlp, activation="relu"),
        r"activations \['relu', 'relu'\], but .* pass activation='relu'",
    ),
    "link": (
        lambda mlp: changed(mlp, out_activation_="identity"),
        "out_activation_ 'identity', but y needs",
    ),
    "classes": (
        lambda mlp: changed(mlp, classes_=mlp.classes_ + 1),
        r"with the classes \[1, 2.*\], but y has \[0, 1",
    ),
    "key": (lambda mlp: {"0.running_mean": np.ones(3)}, "it has '0.running_mean'"),
    "no weight": (
        lambda mlp: without(state_dict(mlp), "2.weight"),
        "has '2.bias' but no '2.weight'",
    ),
}


@pytest.mark.parametrize(("form", "message"), ERRORS.values(), ids=ERRORS)
def test_errors(fitted, form, message):
    X, y, mlp = fitted
    model = classifier(mlp).fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises((ValueError, TypeError), match=message):
        model.set_params(init=form(mlp)).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_errors_name_the_sizes_to_pass(fitted):
    X, y, mlp = fitted
    with pytest.raises(ValueError, match=r"pass hidden_layer_sizes=\(8, 6\)"):
        LiftedMLPClassifier(init=mlp).fit(X, y)


def test_weights_beyond_the_precision(fitted):
    X, y, mlp = fitted
    init = ([mlp.coefs_[0] * 1e300, *mlp.coefs_[1:]], mlp.intercepts_)
    with pytest.raises(ValueError, match="beyond the range of float32"):
        classifier(init).fit(X.astype(np.float32), y)
