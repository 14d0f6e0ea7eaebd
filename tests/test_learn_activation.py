"""Learned parameters of activations, as the kernels and the estimators show them."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

import liftnet
from liftnet import LiftedMLPClassifier, LiftedMLPRegressor
from liftnet.kernels import activation_parameter

# Name of the activation and of its parameter.
LEARNABLE = {
    "leaky_relu": "slope",
    "hard_sigmoid": "slope",
    "elu": "alpha",
    "soft_threshold": "threshold",
}
NAMES = "leaky_relu, hard_sigmoid, elu, soft_threshold"


def value(activation):
    """Parameter of an activation in the core's notation."""
    return liftnet.activations(activation)[0].value


# The kernel


def misfit(name, dtype=np.float64):
    """X and Z that no parameter fits."""
    rng = np.random.default_rng(0)
    Z = 3 * rng.normal(size=(400, 6))
    (made,) = liftnet.activations(f"{name}({LEARNABLE[name]}=0.4)")
    return made.phi(Z + rng.normal(size=Z.shape)).astype(dtype), Z.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", LEARNABLE)
def test_the_block_agrees_with_scipy(name, weighted, dtype):
    X, Z = misfit(name, dtype)
    weight = np.arange(len(X)) % 3 + 0.5 if weighted else np.ones(len(X))
    result = activation_parameter(X, Z, name, sample_weight=weight)
    assert result.converged and result.solution.shape == ()
    assert result.solution.dtype == np.float64

    def objective(parameter):
        (one,) = liftnet.activations(f"{name}({LEARNABLE[name]}={parameter})")
        return weight @ one.divergence(X, Z).sum(axis=1) / weight.sum()

    least = max(1e-2, -X.min() + 1e-9) if name == "elu" else 1e-2
    expected = minimize_scalar(
        objective, (least, 1), method="bounded", bounds=(least, 1)
    )
    found = float(result.solution)
    assert found == pytest.approx(expected.x, rel=1e-3)
    assert objective(found) <= expected.fun * (1 + 1e-6)


@pytest.mark.parametrize("name", LEARNABLE)
def test_what_was_planted_is_found(name):
    Z = 3 * np.random.default_rng(0).normal(size=(400, 6))
    (made,) = liftnet.activations(f"{name}({LEARNABLE[name]}=0.37)")
    for start in ("", f"({LEARNABLE[name]}=0.9)"):
        result = activation_parameter(made.phi(Z), Z, name + start)
        assert float(result.solution) == pytest.approx(0.37, rel=1e-9)
        assert result.converged


def test_threads_do_not_change_a_bit_of_a_parameter():
    X, Z = misfit("hard_sigmoid", np.float32)
    one, two = (activation_parameter(X, Z, "hard_sigmoid", n_jobs=n) for n in (1, 2))
    assert one.solution == two.solution and one.residual == two.residual


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": np.full((9, 4), np.nan)}, "Input X contains NaN"),
        ({"Z": np.full((9, 4), np.inf)}, "Input Z contains infinity"),
        ({"X": np.ones(9)}, "X must have 2 dimensions, got 1"),
        ({"Z": np.ones((9, 3))}, r"Z must have shape \(9, 4\), as X has, got \(9, 3\)"),
        ({"activation": None}, "activation must be a name, got None"),
        ({"activation": "gelu"}, "'gelu' is not monotone"),
        ({"activation": "relu"}, rf"can be learned \({NAMES}\), got 'relu'"),
        ({"activation": "tanh"}, "with a parameter that can be learned"),
        ({"activation": "clipped_relu"}, "limit bounds the domain of f: .* concave"),
        ({"activation": "elu", "X": np.full((9, 4), -1.5)}, "X must be in the domain"),
        ({"activation": "hard_sigmoid"}, r"X must be in the domain .*\[0, 1\], got "),
        ({"sample_weight": np.ones(8)}, "sample_weight"),
        ({"sample_weight": -np.ones(9)}, "Negative values in data"),
        ({"sample_weight": np.zeros(9)}, "at least one non-zero|positive for some"),
        ({"tol": -1.0}, "tol must be a number, not negative"),
        ({"max_iter": 0}, "max_iter must be a positive integer"),
    ],
)
def test_bad_parameter_blocks(changes, message):
    rng = np.random.default_rng(0)
    arguments = {"X": 3 + rng.normal(size=(9, 4)), "Z": rng.normal(size=(9, 4))}
    with pytest.raises(ValueError, match=message):
        activation_parameter(**(arguments | changes))


# The estimators


def fit(X, y, activation, sizes=(30, 20), **options):
    options = {"random_state": 0, "learn_activation": True, "max_iter": 15, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LiftedMLPClassifier(sizes, activation, **options).fit(X, y)


@pytest.mark.parametrize("solver", ["stochastic", "batch"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LEARNABLE)
def test_parameters_move_within_their_range(digits, name, dtype, solver):
    X, y = digits[0].astype(dtype), digits[1]
    start = "elu(alpha=0.5)" if name == "elu" else name  # not from an end
    clf = fit(X, y, start, solver=solver)
    assert [a.split("(")[0] for a in clf.activations_] == [name, name]
    low, high = liftnet.activations(name)[0].range
    for layer, activation in enumerate(clf.activations_, start=1):
        column = clf.history_[f"activation_parameter_{layer}"]
        assert len(column) == clf.n_iter_
        assert column[-1] == value(activation)
        assert all(low <= v <= high for v in column)
    assert start not in clf.activations_
    assert clf.score(X, y) > 0.8


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LEARNABLE)
def test_objective_never_rises_with_learning(digits, name, accelerate, dtype):
    X, y = digits[0][:300].astype(dtype), digits[1][:300]
    clf = fit(X, y, name, solver="batch", accelerate=accelerate, diagnostics=True)
    rounding = 4 * np.finfo(dtype).eps
    objective = np.array(clf.history_["objective"])
    assert (np.diff(objective) <= rounding * objective[:-1]).all()
    if not accelerate:
        blocks = np.array(clf.history_["blocks"])
        assert len(blocks) == 5 * clf.n_iter_  # two, two of parameters, one of weights
        # Parts are summed anew at each evaluation.
        assert (np.diff(blocks) <= 4 * rounding * blocks[:-1]).all()


@pytest.mark.parametrize("solver", ["stochastic", "batch"])
def test_threads_do_not_change_a_bit_of_learning(digits, solver):
    activation = ["hard_sigmoid", "soft_threshold"]
    one, four = (
        fit(
            digits[0].astype(np.float32), digits[1], activation, solver=solver, n_jobs=n
        )
        for n in (1, 4)
    )
    assert one.activations_ == four.activations_
    for a, b in zip(one.coefs_, four.coefs_, strict=True):
        assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("activation", "solver", "max_iter", "share"),
    [
        ("soft_threshold(threshold=10)", "stochastic", 10, 0.95),
        ("hard_sigmoid(slope=0.1)", "stochastic", 30, 0.5),
        ("hard_sigmoid(slope=0.2)", "batch", 80, 0.8),
    ],
)
def test_learning_mends_a_poor_start(digits, activation, solver, max_iter, share):
    options = {"solver": solver, "max_iter": max_iter}
    learned, fixed = (
        fit(*digits, activation, (60,), learn_activation=learn, **options)
        for learn in (True, False)
    )
    assert learned.history_["loss"][-1] < share * fixed.history_["loss"][-1]
    assert fixed.activations_ == [activation]


def test_only_layers_with_a_parameter_learn(digits):
    activation = ["relu", "clipped_relu(limit=2)", "elu(alpha=0.5)"]
    clf = fit(*digits, activation, (20, 20, 20))
    assert clf.activations_[:2] == activation[:2]
    assert clf.activations_[2] != activation[2]
    learned = [name for name in clf.history_ if name.startswith("activation_par")]
    assert learned == ["activation_parameter_3"]


def test_without_learning_nothing_is_different(digits):
    X, y = digits
    plain = LiftedMLPClassifier((20,), "elu", random_state=0, max_iter=3).fit(X, y)
    given = fit(X, y, "elu", (20,), max_iter=3, learn_activation=False)
    assert_array_equal(plain.coefs_[0], given.coefs_[0])
    assert not any(name.startswith("activation_par") for name in given.history_)


@pytest.mark.parametrize("name", LEARNABLE)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_what_is_learned_predicts(digits, name, early_stopping):
    """The record agrees with the network that is returned: its loss and its score."""
    X, y = digits
    clf = fit(X, y, name, solver="batch", alpha=0.0, early_stopping=early_stopping)
    if early_stopping:
        _, X_val, _, y_val = train_test_split(
            X, y, test_size=0.1, stratify=y, random_state=0
        )
        score = clf.score(X_val, y_val)
        assert score == pytest.approx(clf.best_validation_score_, abs=1e-12)
    else:
        loss = -clf.predict_log_proba(X)[np.arange(len(X)), y].mean()
        assert clf.history_["loss"][-1] == pytest.approx(loss, rel=1e-6)
        assert clf.history_["score"][-1] == pytest.approx(clf.score(X, y), abs=1e-12)
    again = pickle.loads(pickle.dumps(clf))
    assert again.activations_ == clf.activations_
    assert_array_equal(again.decision_function(X), clf.decision_function(X))


@pytest.mark.parametrize("name", LEARNABLE)
def test_the_learned_parameter_is_exported(digits, name):
    torch = pytest.importorskip("torch")
    from liftnet.torch import from_torch

    X, y = digits[0].astype(np.float32), digits[1]
    clf = fit(X, y, name)
    module = clf.to_torch()
    with torch.no_grad():
        logits = module(torch.from_numpy(np.array(X))).numpy()
    assert_allclose(logits, clf.decision_function(X), atol=2e-4)
    # And back: from where it was, further on.
    back = from_torch(
        module,
        learn_activation=True,
        max_iter=1,
        learning_rate_init=1e-3,
        random_state=0,
    )
    assert_allclose(
        [value(a) for a in back.activations_], [value(a) for a in clf.activations_]
    )
    assert_allclose(back.decision_function(X), clf.decision_function(X), atol=2e-4)
    back.fit(X, y)
    for before, after in zip(clf.activations_, back.activations_, strict=True):
        assert value(after) == pytest.approx(value(before), rel=0.05)


@pytest.mark.parametrize("solver", ["stochastic", "batch"])
@pytest.mark.parametrize("learn", [False, True])
def test_warm_start_goes_on_from_what_was_learned(digits, solver, learn):
    clf = fit(*digits, "hard_sigmoid", solver=solver, warm_start=True)
    before, loss = clf.activations_, clf.history_["loss"][-1]
    clf.set_params(max_iter=1, learn_activation=learn, learning_rate_init=1e-6)
    clf.fit(*digits)
    assert clf.history_["loss"][-1] == pytest.approx(loss, rel=0.1)
    if learn:
        expected = [value(a) for a in before]
        assert_allclose([value(a) for a in clf.activations_], expected, rtol=0.05)
    else:
        assert clf.activations_ == before


def test_an_activation_chosen_since_comes_before_what_was_learned(digits):
    clf = fit(*digits, "elu(alpha=0.5)", (20,), warm_start=True, max_iter=2)
    clf.set_params(activation="elu(alpha=0.9)", learn_activation=False).fit(*digits)
    assert clf.activations_ == ["elu(alpha=0.9)"]
    clf.set_params(activation="tanh").fit(*digits)
    assert clf.activations_ == ["tanh"]


def test_a_new_fit_starts_from_the_given_parameter(digits):
    clf = fit(*digits, "soft_threshold", (20,), max_iter=3)
    again = fit(*digits, "soft_threshold", (20,), max_iter=3)
    assert clf.fit(*digits).activations_ == again.activations_


@pytest.mark.parametrize("solver", ["stochastic", "batch"])
def test_a_regressor_learns_a_slope(solver):
    """Predictions are those of the weights and the slope that the estimator shows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3))
    W = rng.normal(size=(3, 8))
    Z = X @ W
    y = np.where(Z > 0, Z, 0.8 * Z) @ rng.normal(size=8)
    y += 0.3 * np.abs(Z).sum(axis=1)
    learned, fixed = (
        LiftedMLPRegressor(
            (8,),
            "leaky_relu(slope=0.01)",
            solver=solver,
            alpha=1e-3,
            max_iter=60,
            random_state=0,
            learn_activation=learn,
        ).fit(X, y)
        for learn in (True, False)
    )
    assert learned.score(X, y) > 0.9
    assert learned.activations_ != fixed.activations_
    assert_allclose(
        learned.predict(X),
        np.ravel(_forward(X, learned)),
        rtol=1e-9,
        atol=1e-9,
    )


def _forward(X, reg):
    """Predictions from weights and notation alone, for one hidden layer."""
    (phi,) = liftnet.activations(*reg.activations_)
    H = phi.phi(X @ reg.coefs_[0] + reg.intercepts_[0])
    return H @ reg.coefs_[1] + reg.intercepts_[1]


@pytest.mark.parametrize(
    ("sizes", "activation", "message"),
    [
        ((5,), "relu", rf"can be learned \({NAMES}\), got True with 'relu'$"),
        ((5, 5), ["tanh", "sign"], "got True with 'tanh', 'sign'$"),
        ((), "elu", "got True without hidden layers$"),
        ((5,), "clipped_relu", "'clipped_relu', whose limit bounds the domain of f"),
    ],
)
@pytest.mark.parametrize("solver", ["stochastic", "batch", "auto"])
def test_nothing_to_learn(iris, sizes, activation, message, solver):
    clf = LiftedMLPClassifier(sizes, activation, learn_activation=True, solver=solver)
    with pytest.raises(
        ValueError, match=f"^learn_activation must be False .*{message}"
    ):
        clf.fit(*iris)


def test_the_euclidean_divergence_has_no_parameter(iris):
    clf = LiftedMLPClassifier(
        (5,), "leaky_relu", learn_activation=True, divergence="euclidean"
    )
    with pytest.raises(ValueError, match="divergence must be 'fenchel' unless"):
        clf.fit(*iris)
