"""The batch solver as the estimators show it."""

import _thread
import signal
import threading
import time

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from liftnet import LiftedMLPClassifier, LiftedMLPRegressor, datasets


@pytest.fixture(scope="module")
def digits():
    X, y = datasets.load_digits(return_X_y=True)
    return X.astype(np.float64), y


def fit(X, y, sizes=(20, 20, 20), sample_weight=None, **options):
    options = {"solver": "batch", "max_iter": 8, "tol": 0.0, **options}
    clf = LiftedMLPClassifier(sizes, random_state=0, **options)
    return clf.fit(X, y, sample_weight)


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layers_solved_in_parallel_give_the_same_bits(digits, accelerate, dtype):
    X, y = digits
    one, two, four = (
        fit(X.astype(dtype), y, accelerate=accelerate, n_jobs=threads)
        for threads in (1, 2, 4)
    )
    for other in (two, four):
        for a, b in zip(one.coefs_, other.coefs_, strict=True):
            assert a.dtype == dtype
            np.testing.assert_array_equal(a, b)
        for a, b in zip(one.intercepts_, other.intercepts_, strict=True):
            np.testing.assert_array_equal(a, b)
        assert one.history_["objective"] == other.history_["objective"]


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("activation", ["relu", "step", ("tanh", "sign", "relu")])
def test_history_tells_of_the_network_itself(digits, accelerate, activation):
    X, y = digits
    clf = fit(X, y, accelerate=accelerate, activation=activation, alpha=0.0)
    assert clf.history_["score"][-1] == pytest.approx(clf.score(X, y), abs=1e-12)
    loss = -clf.predict_log_proba(X)[np.arange(len(X)), y].mean()
    assert clf.history_["loss"][-1] == pytest.approx(loss, rel=1e-6)
    assert clf.history_["loss"] == clf.loss_curve_


def test_gap_of_plain_blocks_is_that_of_the_sweep(digits):
    clf = fit(*digits, accelerate=False)
    for layer in ("gap_1", "gap_2", "gap_3"):
        gaps = np.array(clf.history_[layer])
        assert (gaps > 0).all()
        assert (np.diff(gaps) != 0).all()


PLAIN = {"loss", "score", "learning_rate", "seconds"}
LIFTED = {"objective", "lifted_loss", "penalty", "residual"} | {
    f"{name}_{layer}" for name in ("divergence", "gap") for layer in (1, 2, 3)
}


def weights(model):
    return np.concatenate([a.ravel() for a in (*model.coefs_, *model.intercepts_)])


@pytest.mark.parametrize("accelerate", [False, True])
def test_columns_of_the_history(digits, accelerate):
    clf = fit(*digits, accelerate=accelerate)
    assert clf.history_.keys() == PLAIN | LIFTED
    assert {len(column) for column in clf.history_.values()} == {clf.n_iter_}
    assert clf.n_iter_ == 8
    assert (np.diff(clf.history_["seconds"]) >= 0).all()


def test_the_stochastic_solver_records_the_lifted_problem_on_request(digits):
    plain, complete = (
        fit(*digits, solver="stochastic", diagnostics=diagnostics)
        for diagnostics in (False, True)
    )
    assert plain.history_.keys() == PLAIN
    assert complete.history_.keys() == PLAIN | LIFTED
    assert {len(column) for column in complete.history_.values()} == {complete.n_iter_}
    np.testing.assert_array_equal(weights(plain), weights(complete))
    assert plain.loss_curve_ == complete.loss_curve_


def test_diagnostics_give_the_objective_after_each_block(digits):
    plain, complete = (
        fit(*digits, accelerate=False, diagnostics=diagnostics)
        for diagnostics in (False, True)
    )
    np.testing.assert_array_equal(weights(plain), weights(complete))
    blocks = np.array(complete.history_["blocks"])
    assert len(blocks) == 4 * complete.n_iter_  # three of activations, one of weights
    assert (np.diff(blocks) <= 1e-12 * blocks[:-1]).all()
    np.testing.assert_allclose(blocks[3::4], complete.history_["objective"], rtol=1e-12)


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_objective_never_rises(digits, activation, accelerate, dtype):
    X, y = digits[0][:300].astype(dtype), digits[1][:300]
    clf = fit(X, y, (15, 15), activation=activation, accelerate=accelerate)
    objective = np.array(clf.history_["objective"])
    assert (np.diff(objective) <= 4 * np.finfo(dtype).eps * objective[:-1]).all()
    assert objective[-1] < objective[0]


@pytest.mark.parametrize("loss", ["squared_error", "huber", "poisson"])
def test_objective_of_a_regression_never_rises(loss):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    y = rng.poisson(np.exp(X[:, 0])).astype(float)
    reg = LiftedMLPRegressor(
        (20,), loss=loss, solver="batch", max_iter=30, random_state=0
    ).fit(X, y)
    objective = np.array(reg.history_["objective"])
    assert (np.diff(objective) <= 1e-14).all()
    assert objective[-1] < 0.9 * objective[0]
    assert reg.score(X, y) > 0.2


@pytest.mark.parametrize("equal", [False, True])
def test_a_weight_is_a_repetition(digits, equal):
    X, y = digits[0][:200], digits[1][:200]
    times = np.random.default_rng(0).integers(1, 4, size=200)
    times = np.full(200, 3) if equal else times
    one = fit(X, y, max_iter=20, sample_weight=times)
    other = fit(np.repeat(X, times, axis=0), np.repeat(y, times), max_iter=20)
    np.testing.assert_allclose(weights(one), weights(other), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_of_any_size_give_finite_networks(digits, scale, dtype):
    X, y = digits[0].astype(dtype), digits[1]
    weight = np.linspace(1, 2, len(y)) * scale
    clf = fit(X, y, sample_weight=weight)
    assert np.isfinite(weights(clf)).all()
    assert np.isfinite(clf.predict_proba(X)).all()


def test_early_stopping_keeps_the_best_sweep(digits):
    clf = fit(*digits, early_stopping=True, max_iter=60, n_iter_no_change=5, tol=1e-3)
    scores = clf.validation_scores_
    assert clf.history_["validation_score"] == scores
    assert len(scores) == clf.n_iter_ == len(clf.loss_curve_)
    assert clf.best_validation_score_ == max(scores) > 0.85
    _, X_val, _, y_val = train_test_split(
        *digits, test_size=0.1, stratify=digits[1], random_state=0
    )
    assert clf.score(X_val, y_val) == pytest.approx(max(scores), abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("sizes", "activation"), [((50,), "relu"), ((100, 100), "softplus")]
)
def test_almost_no_ridge_leaves_the_blocks_solvable(dtype, sizes, activation):
    # Weights that grow without bound make Gram matrices of few directions.
    X, y = load_iris(return_X_y=True)
    clf = fit(
        X.astype(dtype), y, sizes, activation=activation, alpha=1e-4, max_iter=100
    )
    assert clf.score(X.astype(dtype), y) > 0.95


@pytest.mark.parametrize("solver", ["stochastic", "batch"])
def test_history_has_the_validation_loss(digits, solver):
    clf = fit(*digits, solver=solver, early_stopping=True, max_iter=3, tol=1e-9)
    _, X_val, _, y_val = train_test_split(
        *digits, test_size=0.1, stratify=digits[1], random_state=0
    )
    losses = clf.history_["validation_loss"]
    assert len(losses) == clf.n_iter_
    best = len(losses) - 1 - np.argmax(clf.validation_scores_[::-1])
    loss = log_loss(y_val, clf.predict_proba(X_val))
    assert losses[best] == pytest.approx(loss, rel=1e-6)


def test_warm_start_goes_on_from_where_it_was(digits):
    clf = fit(*digits, max_iter=30, warm_start=True)
    before = clf.history_["objective"]
    clf.set_params(max_iter=5).fit(*digits)
    after = clf.history_["objective"]
    assert before[0] > after[0]
    assert after[0] <= before[-1] * 1.01
    assert after[-1] < before[-1]


@pytest.mark.parametrize("accelerate", [False, True])
def test_ctrl_c_keeps_the_model(digits, accelerate, request):
    # A job in the background inherits a SIGINT that is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    threading.Timer(0.5, _thread.interrupt_main).start()
    start = time.monotonic()
    with pytest.warns(ConvergenceWarning, match="interrupted by user"):
        clf = fit(
            *digits,
            sizes=(300, 300),
            max_iter=100_000,
            n_iter_no_change=100_000,
            accelerate=accelerate,
        )
    assert time.monotonic() - start < 60
    assert clf.n_iter_ < 100_000
    assert np.isfinite(weights(clf)).all()
    assert len(clf.history_["objective"]) == len(clf.loss_curve_)


def test_accuracy_with_every_default(digits):
    X, X_test, y, y_test = train_test_split(
        *digits, test_size=0.3, stratify=digits[1], random_state=0
    )
    clf = LiftedMLPClassifier(solver="batch", random_state=0).fit(X, y)
    # A linear model reaches 0.95.
    assert clf.score(X_test, y_test) >= 0.955
