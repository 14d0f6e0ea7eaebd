"""What the regressor predicts, beside scikit-learn's, and all that it refuses."""

import inspect
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import solve_triangular
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_diabetes, make_friedman1, make_regression
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import (
    HuberRegressor,
    LinearRegression,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
)
from sklearn.metrics import d2_absolute_error_score, mean_poisson_deviance
from sklearn.model_selection import train_test_split

from liftnet import LiftedMLPClassifier, LiftedMLPRegressor, _core

LOSSES = ["squared_error", "absolute_error", "huber", "poisson"]


@pytest.fixture(params=LOSSES)
def loss(request):
    """Every loss."""
    return request.param


def quick(**params):
    """Return a regressor that trains in milliseconds."""
    defaults = {"hidden_layer_sizes": 5, "max_iter": 3, "random_state": 0}
    return LiftedMLPRegressor(**(defaults | params))


def linear(n_samples, **params):
    """Return a linear model that is trained to the end, on all samples at once."""
    defaults = {
        "hidden_layer_sizes": (),
        "alpha": 0,
        "batch_size": n_samples,
        "max_iter": 400,
        "learning_rate_init": 0.5,
        "tol": 0,
        "n_iter_no_change": 1000,
        "random_state": 0,
    }
    return LiftedMLPRegressor(**(defaults | params))


def table(n_samples=600, seed=0):
    """Correlated features that are not centred, and the noiseless target of a line."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 5)) @ rng.normal(size=(5, 5)) + 3.0
    return X, X @ [3.0, -2, 0, 1, 0.5] + 2, rng


def positive(n_samples=200, n_outputs=1, seed=0):
    """Inputs and targets in the domain of every loss."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 4))
    y = rng.poisson(np.exp(X[:, :n_outputs] + 1)).astype(float)
    return X, y[:, 0] if n_outputs == 1 else y


# Without a hidden layer: the linear models of scikit-learn


def test_squared_loss_is_least_squares():
    X, line, rng = table()
    y = line + rng.normal(size=600)
    reg, peer = linear(600).fit(X, y), LinearRegression().fit(X, y)
    assert_allclose(reg.coefs_[0][:, 0], peer.coef_, atol=1e-6)
    assert_allclose(reg.intercepts_[0], peer.intercept_, atol=1e-6)


def test_squared_loss_with_alpha_is_ridge_in_the_metric():
    X, line, rng = table()
    y = line + 10 * rng.normal(size=600)
    alpha, damping = 50.0, 0.5
    reg = linear(600, alpha=alpha, damping=damping, scale="feature").fit(X, y)
    # The input map of the core: unit variances, then the damped Gram matrix whitened.
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    gram = Z.T @ Z / len(Z)
    factor = np.linalg.cholesky(gram + damping * np.trace(gram) / 5 * np.eye(5))
    mapped = solve_triangular(factor, Z.T, lower=True).T
    peer = Ridge(alpha=alpha).fit(mapped, y)
    assert_allclose(reg.predict(X), peer.predict(mapped), atol=1e-5 * y.std())
    assert np.abs(reg.predict(X) - LinearRegression().fit(X, y).predict(X)).max() > 0.1


def test_absolute_loss_finds_conditional_medians():
    X, line, rng = table()
    y = line + rng.standard_cauchy(600)
    reg = linear(600, loss="absolute_error(smoothing=0.01)").fit(X, y)
    peer = QuantileRegressor(quantile=0.5, alpha=0).fit(X, y)
    least = np.abs(y - peer.predict(X)).mean()
    assert np.abs(y - reg.predict(X)).mean() <= 1.001 * least
    assert_allclose(reg.coefs_[0][:, 0], peer.coef_, atol=0.05)
    # Half of the targets on each side.
    assert abs(np.mean(reg.predict(X) > y) - 0.5) < 0.02


def test_smoothing_of_the_absolute_loss_ends_at_the_mean():
    X, line, rng = table()
    y = line + rng.exponential(size=600)
    reg = linear(600, loss="absolute_error(1e3)", learning_rate_init=300.0).fit(X, y)
    peer = LinearRegression().fit(X, y)
    # Beyond all residuals the smoothed loss is a square.
    assert_allclose(reg.predict(X).mean(), peer.predict(X).mean(), atol=0.05)


# scikit-learn 1.6 passes options that newer SciPys deprecate.
@pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning")
def test_huber_loss_is_that_of_the_huber_regressor():
    X, line, rng = table()
    y = line + rng.normal(size=600)
    y[:60] += 100
    peer = HuberRegressor(alpha=0, max_iter=1000, tol=1e-8).fit(X, y)
    # There epsilon is in units of the residuals' scale, here of the targets'.
    spread = 1.4826 * np.median(np.abs(y - np.median(y)))
    epsilon = peer.epsilon * peer.scale_ / spread
    reg = linear(600, loss=f"huber({epsilon})").fit(X, y)
    assert_allclose(reg.coefs_[0][:, 0], peer.coef_, atol=1e-3)
    assert_allclose(reg.intercepts_[0], peer.intercept_, atol=1e-3)


# scikit-learn 1.6 passes options that newer SciPys deprecate.
@pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning")
def test_poisson_loss_is_that_of_the_poisson_regressor():
    X, _, rng = table()
    X = X / 15
    y = rng.poisson(np.exp(X @ [3.0, -2, 0, 1, 0.5] + 1))
    peer = PoissonRegressor(alpha=0, max_iter=1000, tol=1e-10).fit(X, y)
    reg = linear(600, loss="poisson").fit(X, y)
    assert_allclose(reg.coefs_[0][:, 0], peer.coef_, atol=1e-5)
    assert_allclose(reg.intercepts_[0], peer.intercept_, atol=1e-5)
    assert_allclose(reg.predict(X), peer.predict(X), rtol=1e-5)
    assert reg.out_activation_ == "exp"
    # Half the deviance, of counts divided by their mean.
    half = 0.5 * mean_poisson_deviance(y, reg.predict(X)) / y.mean()
    assert_allclose(reg.loss_, half, rtol=1e-6)


# With hidden layers


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_defaults_learn_friedman(dtype):
    X, y = make_friedman1(1500, noise=1.0, random_state=0)
    X_train, X_test, y_train, y_test = train_test_split(
        X.astype(dtype), y, random_state=0
    )
    reg = LiftedMLPRegressor(random_state=0).fit(X_train, y_train)
    assert reg.score(X_test, y_test) > 0.9
    prediction = reg.predict(X_test)
    assert prediction.dtype == dtype
    assert prediction.shape == y_test.shape
    assert [coef.dtype for coef in reg.coefs_] == [dtype, dtype]


def test_defaults_do_not_overfit_a_small_table():
    X, y = load_diabetes(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    reg = LiftedMLPRegressor(random_state=0).fit(X_train, y_train)
    linear_score = LinearRegression().fit(X_train, y_train).score(X_test, y_test)
    assert reg.score(X_test, y_test) > linear_score - 0.1


@pytest.mark.parametrize("robust", ["absolute_error", "huber"])
def test_robust_losses_shrug_outliers_off(robust):
    X, clean = make_friedman1(1500, random_state=0)
    rng = np.random.default_rng(0)
    wild = clean + (rng.random(1500) < 0.1) * rng.normal(size=1500) * 1000
    X_train, X_test, y_train, _, _, y_test = train_test_split(
        X, wild, clean, random_state=0
    )

    def score(loss):
        reg = LiftedMLPRegressor(loss=loss, random_state=0).fit(X_train, y_train)
        return d2_absolute_error_score(y_test, reg.predict(X_test))

    assert score(robust) > 0.5
    assert score(robust) > score("squared_error") + 0.5


def test_poisson_loss_beats_the_constant_and_the_squared_loss_on_counts():
    X, f = make_friedman1(2000, random_state=0)
    y = np.random.default_rng(0).poisson(np.exp((f - 14) / 4))
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

    def deviance(loss):
        reg = LiftedMLPRegressor(loss=loss, random_state=0).fit(X_train, y_train)
        prediction = np.maximum(reg.predict(X_test), 1e-3)
        return mean_poisson_deviance(y_test, prediction)

    constant = mean_poisson_deviance(y_test, np.full(len(y_test), y_train.mean()))
    assert deviance("poisson") < 0.6 * constant
    assert deviance("poisson") < deviance("squared_error")


def test_one_outlier_does_not_spoil_the_fit():
    X, y = make_friedman1(600, random_state=0)
    y[17] = 1e6
    reg = LiftedMLPRegressor(loss="absolute_error", random_state=0).fit(X, y)
    kept = np.arange(600) != 17
    assert reg.score(X[kept], y[kept]) > 0.8


def test_several_outputs():
    X, y = make_regression(500, 8, n_targets=3, noise=5.0, random_state=0)
    y = y * [1.0, 1e6, 1e-6] + [0.0, 1e7, 5.0]
    reg = LiftedMLPRegressor(random_state=0).fit(X, y)
    assert reg.predict(X).shape == y.shape
    assert reg.n_outputs_ == 3
    assert reg.coefs_[-1].shape == (100, 3)
    single = [
        LiftedMLPRegressor(random_state=0).fit(X, column).score(X, column)
        for column in y.T
    ]
    residual = ((y - reg.predict(X)) ** 2).mean(axis=0) / y.var(axis=0)
    assert_array_equal(residual < 0.05, True)
    assert min(single) > 0.95


def test_several_counts():
    X, y = positive(400, 3)
    reg = LiftedMLPRegressor(loss="poisson", random_state=0).fit(X, y)
    prediction = reg.predict(X)
    assert prediction.shape == y.shape
    assert (prediction > 0).all()
    for column, predicted in zip(y.T, prediction.T, strict=True):
        null = mean_poisson_deviance(column, np.full(len(y), column.mean()))
        assert mean_poisson_deviance(column, predicted) < 0.6 * null


# Units


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [1e30, 1e-30])
def test_units_of_the_target_do_not_matter(loss, dtype, unit):
    X, y = positive()
    X = X.astype(dtype)
    plain = quick(loss=loss).fit(X, y).predict(X)
    scaled = quick(loss=loss).fit(X, y * unit).predict(X)
    rtol = 1e-2 if dtype == np.float32 else 1e-8
    atol = rtol * np.abs(plain).max()
    assert_allclose(scaled / dtype(unit), plain, rtol=rtol, atol=atol)


def test_shift_of_the_target_shifts_the_prediction():
    X, y = positive()
    for name in ["squared_error", "absolute_error", "huber"]:
        plain = quick(loss=name).fit(X, y).predict(X)
        shifted = quick(loss=name).fit(X, y + 1e6).predict(X)
        assert_allclose(shifted - 1e6, plain, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.1, 1.0, 1e30, 1e-30])
def test_constant_target_is_predicted(loss, dtype, value):
    X = positive()[0].astype(dtype)
    reg = quick(loss=loss).fit(X, np.full(len(X), value))
    tolerance = 1e-4 if dtype == np.float32 else 1e-10
    assert_allclose(reg.predict(X), value, rtol=tolerance)


def test_zero_target_is_predicted():
    X, y = positive()
    for name in ["squared_error", "absolute_error", "huber"]:
        assert_array_equal(quick(loss=name).fit(X, 0 * y).predict(X), 0)


def test_one_sample(loss):
    assert_allclose(quick(loss=loss).fit([[1.0, 2]], [3.0]).predict([[5.0, 5]]), 3)


# Weights of samples


def test_weight_of_zero_removes_a_sample(loss):
    X, y = positive()
    weight = np.ones(len(y))
    weight[::3] = 0
    y = y.copy()
    clean = quick(loss=loss).fit(X[weight > 0], y[weight > 0])
    y[::3] = 1e9
    weighted = quick(loss=loss).fit(X, y, sample_weight=weight)
    assert_array_equal(clean.predict(X), weighted.predict(X))


def test_weights_repeat_samples():
    X, line, rng = table(300)
    weight = rng.integers(1, 4, size=300)
    for name, noise in [("squared_error", rng.normal(size=300)), ("huber", 0.0)]:
        y = line + noise + (np.arange(300) % 10 == 0) * 30
        weighted = linear(300, loss=name).fit(X, y, sample_weight=weight)
        many = np.repeat(np.arange(300), weight)
        repeated = linear(len(many), loss=name).fit(X[many], y[many])
        assert_allclose(weighted.predict(X), repeated.predict(X), atol=1e-3 * y.std())
        plain = linear(300, loss=name).fit(X, y)
        assert np.abs(plain.predict(X) - repeated.predict(X)).max() > 1e-2


def test_equal_weights_are_none(loss):
    X, y = positive()
    weighted = quick(loss=loss).fit(X, y, sample_weight=np.full(len(y), 7.0))
    assert_array_equal(weighted.predict(X), quick(loss=loss).fit(X, y).predict(X))


# The interface


def test_attributes(loss):
    X, y = positive()
    reg = quick(loss=loss, max_iter=4).fit(X, y)
    assert reg.n_iter_ == len(reg.loss_curve_) == 4
    assert reg.loss_ == reg.loss_curve_[-1]
    assert reg.best_loss_ == min(reg.loss_curve_)
    assert reg.n_layers_ == 3
    assert reg.n_outputs_ == 1
    assert reg.n_features_in_ == 4
    assert reg.validation_scores_ is None
    assert reg.out_activation_ == ("exp" if loss == "poisson" else "identity")
    assert_array_equal(pickle.loads(pickle.dumps(reg)).predict(X), reg.predict(X))
    assert_array_equal(clone(reg).fit(X, y).predict(X), reg.predict(X))


def test_parameters_are_those_of_the_classifier_but_for_loss_and_classes():
    ours = dict(inspect.signature(LiftedMLPRegressor).parameters)
    theirs = dict(inspect.signature(LiftedMLPClassifier).parameters)
    assert ours.keys() ^ theirs.keys() == {"loss", "class_weight", "label_smoothing"}
    shared = ours.keys() & theirs.keys()
    # Noise that nobody asked for helps classifiers alone.
    different = {name for name in shared if ours[name] != theirs[name]}
    assert different == {"input_noise"}
    assert ours["input_noise"].default == 0.0
    for name in ours:
        assert f"\n{name} : " in inspect.getdoc(LiftedMLPRegressor)


def test_weights_act_on_raw_inputs_and_give_raw_targets(loss):
    X, y = positive()
    reg = quick(loss=loss).fit(X, y)
    hidden = np.maximum(X @ reg.coefs_[0] + reg.intercepts_[0], 0)
    output = (hidden @ reg.coefs_[1] + reg.intercepts_[1])[:, 0]
    expected = np.exp(output) if loss == "poisson" else output
    assert_allclose(reg.predict(X), expected, rtol=1e-10, atol=1e-12)


def test_column_of_targets_is_one_output():
    X, y = positive()
    with pytest.warns(DataConversionWarning):
        reg = quick().fit(X, y[:, None])
    assert_array_equal(reg.predict(X), quick().fit(X, y).predict(X))


@pytest.mark.parametrize("kind", [int, np.float32, np.int8, bool, list])
def test_targets_of_any_numeric_type(kind):
    X, y = positive()
    y = np.minimum(y, 100)
    given = y.tolist() if kind is list else y.astype(kind)
    expected = quick().fit(X, np.asarray(given, dtype=float)).predict(X)
    assert_array_equal(quick().fit(X, given).predict(X), expected)


def test_early_stopping_keeps_the_best_pass(loss):
    X, y = positive(400)
    reg = quick(loss=loss, early_stopping=True, max_iter=20).fit(X, y)
    assert len(reg.validation_scores_) == reg.n_iter_
    assert reg.best_validation_score_ == max(reg.validation_scores_)
    assert reg.best_loss_ is None
    # Minus the loss: better than the constant prediction's, and never positive.
    assert reg.validation_scores_[0] < reg.best_validation_score_ < 0
    assert reg.score(X, y) > 0.3


def test_validation_score_is_minus_the_loss():
    X, y = positive(400)
    reg = quick(early_stopping=True, max_iter=8).fit(X, y)
    _, X_out, y_rest, y_out = train_test_split(X, y, test_size=0.1, random_state=0)
    loss = 0.5 * np.mean((y_out - reg.predict(X_out)) ** 2) / y_rest.var()
    assert_allclose(reg.best_validation_score_, -loss, rtol=1e-6)


def test_warm_start_continues(loss):
    X, y = positive(300)
    params = {"loss": loss, "warm_start": True, "learning_rate_init": 0.1}
    reg = quick(**params, max_iter=20).fit(X, y)
    before = reg.predict(X)
    reg.set_params(max_iter=1, learning_rate_init=1e-12).fit(X, y)
    assert_allclose(reg.predict(X), before, rtol=1e-6, atol=1e-6)
    # Other units of the target change its scaling, not what the weights mean.
    # Not so far that no prediction at all would be better.
    reg.fit(X, 1.1 * y + 0.1)
    assert_allclose(reg.predict(X), before, rtol=1e-6, atol=1e-6)


def test_same_seed_same_bits(loss):
    X, y = positive()
    first, second = (quick(loss=loss, n_jobs=jobs).fit(X, y) for jobs in (1, 2))
    assert_array_equal(first.predict(X), second.predict(X))


# Errors


def refuses(reg, X, y, match, error=ValueError, **kwargs):
    """Check that ``fit`` fails, before a first fit and after, and changes nothing."""
    with pytest.raises(error, match=match):
        reg.fit(X, y, **kwargs)
    assert not hasattr(reg, "coefs_")
    params = reg.get_params()
    reg.set_params(**quick().get_params()).fit(*positive())
    reg.set_params(**params)
    before = pickle.dumps(reg)
    with pytest.raises(error, match=match):
        reg.fit(X, y, **kwargs)
    assert pickle.dumps(reg) == before


def test_negative_counts_are_named():
    X, y = positive()
    y[13], y[20] = -2.5, -1
    match = r"y holds -2.5 at row 13, expected values of at least 0 for the poisson"
    refuses(quick(loss="poisson"), X, y, match)
    # By the row given, whatever is left out or held out.
    weight = np.ones(len(y))
    weight[:13] = 0
    early = quick(loss="poisson", early_stopping=True)
    refuses(early, X, y, match, sample_weight=weight)
    several = np.column_stack([np.abs(y), y])
    refuses(quick(loss="poisson"), X, several, match)


@pytest.mark.parametrize("columns", [1, 2])
def test_counts_must_not_be_all_zero(columns):
    X, y = positive()
    y = 0 * y if columns == 1 else np.column_stack([y, 0 * y])
    refuses(quick(loss="poisson"), X, y, "y must be above 0 for at least one sample")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_targets(loss, value):
    X, y = positive()
    y[5] = value
    refuses(quick(loss=loss), X, y, "Input y contains (NaN|infinity)")


def test_targets_beyond_single_precision():
    X, y = positive()
    y[7] = 1e300
    refuses(quick(), X.astype(np.float32), y, r"y holds 1e\+300 at row 7, .* float32")
    assert np.isfinite(quick().fit(X, y).predict(X)).all()


@pytest.mark.parametrize(
    ("loss", "match"),
    [
        (
            "squared",
            "loss must be one of squared_error, absolute_error, huber, poisson",
        ),
        ("softmax", "loss must be one of squared_error, .*got 'softmax'"),
        ("logistic", "loss must be one of"),
        ("", "loss must be one of"),
        ("huber(0)", "loss must be 'huber.value.' with a finite value above 0"),
        ("huber(-1)", "loss must be"),
        ("huber(inf)", "loss must be"),
        ("huber(1, 2)", r"loss must be 'huber\(epsilon\)'"),
        ("huber(1", "loss must be"),
        ("absolute_error(epsilon=1)", r"loss must be 'absolute_error\(smoothing\)'"),
        ("poisson(2)", "loss must be 'poisson', which takes no parameter"),
        (None, "The 'loss' parameter of LiftedMLPRegressor must be"),
        (3, "The 'loss' parameter of LiftedMLPRegressor must be"),
    ],
)
def test_unknown_losses(loss, match):
    refuses(quick(loss=loss), *positive(), match)


@pytest.mark.parametrize(
    ("change", "match", "error"),
    [
        (lambda y: y[:-1], "inconsistent numbers of samples", ValueError),
        (lambda y: np.full(len(y), "a"), "could not convert string", ValueError),
        (lambda y: y[:, None, None], "dim 3", ValueError),
        (lambda y: np.empty((len(y), 0)), "0 feature", ValueError),
        (lambda y: y + 1j, "[Cc]omplex", ValueError),
        (lambda y: csr_matrix(y[:, None]), "Sparse data was passed for y", TypeError),
        (lambda y: None, "requires y to be passed", ValueError),
    ],
)
def test_misshapen_targets(change, match, error):
    X, y = positive()
    refuses(quick(), X, change(y), match, error)


def test_weights_are_checked():
    X, y = positive()
    refuses(quick(), X, y, "at least one non-zero", sample_weight=np.zeros(len(y)))
    refuses(quick(), X, y, "[Nn]egative", sample_weight=np.full(len(y), -1.0))


def test_warm_start_needs_the_same_shapes():
    X, y = positive(n_outputs=2)
    reg = quick(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="the 2 outputs of the previous fit"):
        reg.fit(X, y[:, 0])
    with pytest.raises(ValueError, match="layer sizes of the previous fit"):
        reg.set_params(hidden_layer_sizes=7).fit(X, y)


def test_not_fitted():
    with pytest.raises(NotFittedError):
        quick().predict([[1.0]])


def test_core_refuses_what_the_estimator_never_sends():
    y = np.zeros((3, 1))
    with pytest.raises(ValueError, match="loss must be one of"):
        _core.check_targets(y, "hinge")
    with pytest.raises(TypeError, match="y must be a 2-d array"):
        _core.check_targets(y[:, 0], "huber")
    with pytest.raises(ValueError, match="y contains NaN at index"):
        _core.check_targets(np.array([[0.0], [np.nan]]), "huber")


# Defaults on larger tables, where an early step too long would show


@pytest.mark.parametrize("name", ["squared_error", "absolute_error", "huber"])
def test_defaults_stay_stable_under_heavy_tails(name):
    X, clean = make_friedman1(8000, random_state=0)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=8000) if name == "squared_error" else None
    y = clean + (rng.standard_t(1.5, size=8000) if noise is None else noise)
    reg = LiftedMLPRegressor(loss=name, random_state=0).fit(X[:6000], y[:6000])
    assert reg.score(X[6000:], clean[6000:]) > 0.9
    assert reg.loss_curve_[-1] < reg.loss_curve_[0]
