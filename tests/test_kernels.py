"""Kernels: optimality conditions, agreement with SciPy and scikit-learn, bad input."""

import _thread
import dataclasses
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import lsq_linear, nnls
from scipy.special import expit, logsumexp, softmax
from sklearn.linear_model import LogisticRegression, Ridge

from liftnet.kernels import (
    KernelResult,
    RidgeFactor,
    activation_block,
    bounded_least_squares,
    logistic_regression,
    matching_regression,
    non_negative_least_squares,
    ridge,
    softmax_regression,
)

DTYPES = [np.float64, np.float32]
TOLERANCE = {np.float64: 1e-9, np.float32: 2e-3}


def data(seed, *shape, dtype=np.float64):
    """Return reproducible normal numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def assert_box_optimal(A, B, lower, upper, X, tol=1e-8):
    """Check the conditions of Karush, Kuhn and Tucker, column by column."""
    lower, upper = (np.broadcast_to(b, len(X))[:, None] for b in (lower, upper))
    assert (X >= lower).all() and (X <= upper).all()
    scale = np.linalg.norm(A, axis=0)[:, None] + 1e-300
    slope = A.T @ (A @ X - B) / scale / (1 + np.linalg.norm(B, axis=0))
    assert (slope[np.broadcast_to(X > lower, X.shape)] <= tol).all()
    assert (slope[np.broadcast_to(X < upper, X.shape)] >= -tol).all()


# Bounded least squares


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "columns"), [(60, 40), (40, 40), (200, 7), (5, 1)])
def test_non_negative_agrees_with_scipy(rows, columns, dtype):
    A, B = data(0, rows, columns), data(1, rows, 70)
    if rows == columns:
        A += 3 * np.eye(rows)  # or single precision has nothing to agree with
    result = non_negative_least_squares(A.astype(dtype), B.astype(dtype))
    expected = np.stack([nnls(A, b)[0] for b in B.T], axis=1)
    assert result.solution.dtype == dtype
    assert_allclose(result.solution, expected, atol=TOLERANCE[dtype])
    assert result.converged
    assert result.n_iter >= 1
    if dtype == np.float64:
        assert result.residual < 1e-12
        assert_array_equal(result.solution == 0, expected == 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_box_agrees_with_scipy(dtype):
    A, B = data(0, 50, 30), 3 * data(1, 50, 20)
    lower, upper = -np.abs(data(2, 30)), np.abs(data(3, 30))
    lower[:5], upper[3:9] = -np.inf, np.inf
    result = bounded_least_squares(A.astype(dtype), B.astype(dtype), lower, upper)
    expected = np.stack(
        [lsq_linear(A, b, (lower, upper), method="bvls").x for b in B.T], axis=1
    )
    assert_allclose(result.solution, expected, atol=TOLERANCE[dtype])
    assert result.solution.dtype == dtype


def test_ill_conditioned_columns_that_slow_others_down():
    # A positive matrix: one eigenvalue towers over the rest, and exchanges are many.
    A = np.abs(data(0, 120, 120))
    B = A @ np.maximum(data(1, 120, 100), 0) + 0.1 * data(2, 120, 100)
    result = non_negative_least_squares(A, B)
    expected = np.stack([nnls(A, b)[0] for b in B.T], axis=1)
    assert_allclose(result.solution, expected, atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("positive", [False, True])
def test_right_sides_that_are_met_exactly_in_many_ways(positive, dtype):
    # Fewer rows than columns: the free columns depend on each other.
    A = data(0, 30, 90)
    A = (np.abs(A) if positive else A).astype(dtype)
    B = A @ np.maximum(data(1, 90, 80), 0).astype(dtype)
    result = non_negative_least_squares(A, B)
    assert result.converged
    if dtype == np.float64:
        assert result.n_iter < 10
    assert (result.solution >= 0).all()
    assert_allclose(A @ result.solution, B, atol=TOLERANCE[dtype] * np.abs(B).max())


def test_many_boxes_agree_with_scipy():
    A, B = np.random.default_rng(0).random((60, 40)), 3 * data(1, 60, 150)
    lower, upper = -np.abs(data(2, 40)), np.abs(data(3, 40))
    lower[:5], upper[3:9] = -np.inf, np.inf
    result = bounded_least_squares(A, B, lower, upper)
    expected = np.stack(
        [lsq_linear(A, b, (lower, upper), method="bvls").x for b in B.T], axis=1
    )
    assert_allclose(result.solution, expected, atol=1e-9)
    assert result.converged
    assert_box_optimal(A, B, lower, upper, result.solution, tol=1e-12)


def test_units_of_the_unknowns_do_not_matter():
    A, B, units = data(0, 50, 20), data(1, 50, 10), np.logspace(-8, 8, 20)
    plain = non_negative_least_squares(A, B).solution
    result = non_negative_least_squares(A * units, B)
    assert_allclose(result.solution * units[:, None], plain, rtol=1e-9)
    assert result.converged


@given(
    st.tuples(st.integers(1, 25), st.integers(1, 25), st.integers(1, 5)),
    st.sampled_from(["plain", "repeated", "zero", "ones"]),
    st.sampled_from(["free", "positive", "box", "fixed", "half"]),
    st.integers(0, 2**31),
)
def test_box_solutions_are_optimal(shape, matrix, box, seed):
    (rows, columns, targets), rng = shape, np.random.default_rng(seed)
    A, B = rng.normal(size=(rows, columns)), rng.normal(size=(rows, targets))
    if matrix == "repeated":
        A = A[:, rng.integers(columns, size=columns)]
    elif matrix == "zero":
        A[:, rng.integers(columns)] = 0
    elif matrix == "ones":
        A = np.ones_like(A)
    lower = {"free": -np.inf, "positive": 0.0, "box": -0.2}.get(
        box, -rng.random(columns)
    )
    upper = {"box": 0.1, "fixed": lower}.get(box, np.inf)
    result = bounded_least_squares(A, B, lower, upper)
    assert_box_optimal(A, B, lower, upper, result.solution)
    assert result.converged


def test_from_gram_is_the_same():
    A, B = data(0, 50, 30), data(1, 50, 8)
    plain = bounded_least_squares(A, B, -0.1, 0.1)
    gram = bounded_least_squares(A.T @ A, A.T @ B, -0.1, 0.1, from_gram=True)
    assert_allclose(gram.solution, plain.solution, atol=1e-12)


def test_one_right_side_is_a_vector():
    A, B = data(0, 50, 30), data(1, 50, 1)
    result = non_negative_least_squares(A, B[:, 0])
    assert result.solution.shape == (30,)
    assert_array_equal(result.solution, non_negative_least_squares(A, B).solution[:, 0])


def test_bounds_are_met_to_the_bit():
    lower, upper = np.full(30, -0.1), np.full(30, 0.3)
    A = data(0, 50, 30) * np.logspace(-3, 3, 30)
    X = bounded_least_squares(A, data(1, 50, 40), lower, upper).solution
    assert (X == -0.1).any() and (X == 0.3).any()
    assert X.min() == -0.1 and X.max() == 0.3


def test_all_bounds_active_and_all_fixed():
    A, B = np.abs(data(0, 20, 8)), -np.abs(data(1, 20, 3))
    assert_array_equal(non_negative_least_squares(A, B).solution, 0)
    result = bounded_least_squares(A, B, 2.0, 2.0)
    assert_array_equal(result.solution, 2)
    assert result.converged and result.residual == 0


def test_zero_columns_and_zero_right_sides():
    A, B = data(0, 20, 8), data(1, 20, 3)
    A[:, 2] = 0
    B[:, 1] = 0
    result = bounded_least_squares(A, B, [-1, -1, 3, -1, -1, -1, -1, -1], np.inf)
    assert_array_equal(result.solution[2], 3)
    zero = non_negative_least_squares(A, B)
    assert_array_equal(zero.solution[:, 1], 0)
    assert_array_equal(zero.solution[2], 0)
    assert non_negative_least_squares(np.zeros((3, 2)), np.ones(3)).residual == 0


def test_a_linear_term_alone_goes_to_its_bound():
    result = bounded_least_squares([[0, 0], [0, 1]], [1.0, 1.0], -2, 5, from_gram=True)
    assert_array_equal(result.solution, [5, 1])
    endless = bounded_least_squares([[0.0]], [1.0], from_gram=True)
    assert not endless.converged
    assert np.isfinite(endless.solution).all()


def test_start_changes_the_way_and_not_the_end():
    A, B = data(0, 60, 30), data(1, 60, 5)
    plain = non_negative_least_squares(A, B)
    for start in (plain.solution, 100 * data(2, 30, 5)):
        again = non_negative_least_squares(A, B, start=start)
        assert_allclose(again.solution, plain.solution, atol=1e-12)


def test_a_start_between_equal_solutions_is_kept():
    A = np.ones((4, 2))
    start = np.array([0.25, 0.75])
    solution = non_negative_least_squares(A, np.ones(4), start=start).solution
    assert_allclose(solution.sum(), 1)
    assert (solution >= 0).all()


def test_threads_do_not_change_a_bit():
    A, B = data(0, 60, 30), data(1, 60, 300)
    one = non_negative_least_squares(A, B, n_jobs=1).solution
    assert_array_equal(one, non_negative_least_squares(A, B, n_jobs=2).solution)


@pytest.mark.parametrize("order", "CF")
def test_inputs_are_left_alone_whatever_their_layout(order):
    A, B = (np.array(M, order=order) for M in (data(0, 20, 6), data(1, 20, 4)))
    copies = A.copy(), B.copy()
    A.flags.writeable = B.flags.writeable = False
    plain = non_negative_least_squares(A, B).solution
    assert_array_equal((A, B)[0], copies[0])
    strided = np.repeat(A, 2, axis=1)[:, ::2]
    assert_allclose(non_negative_least_squares(strided, B).solution, plain, atol=1e-14)
    assert_array_equal(B, copies[1])


def test_results_are_frozen():
    result = non_negative_least_squares([[1.0]], [1.0])
    assert isinstance(result, KernelResult)
    assert result.intercept is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.n_iter = 0


def box_call(**changes):
    arguments = {"A": data(0, 9, 4), "B": data(1, 9, 2), "lower": -1.0, "upper": 1.0}
    return lambda: bounded_least_squares(**(arguments | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"A": np.full((9, 4), np.nan)}, "Input A contains NaN"),
        ({"B": np.full((9, 2), np.inf)}, "Input B contains infinity"),
        ({"A": np.ones(9)}, "A must have 2 dimensions, got 1"),
        ({"B": np.ones((9, 2, 1))}, "B must have 1 or 2 dimensions, got 3"),
        ({"B": np.ones((8, 2))}, "B must have 9 rows, as A has, got 8"),
        ({"lower": 2.0}, r"lower must be at most upper, which is 1 there, got 2 at in"),
        ({"lower": [0, 0, 0, 2]}, "lower must be at most upper.*index 3"),
        ({"lower": np.nan}, "lower must be numbers or -inf, got NaN"),
        ({"upper": np.nan}, "upper must be numbers or inf, got NaN"),
        ({"lower": np.inf, "upper": np.inf}, "lower must be numbers or -inf, got inf"),
        ({"upper": np.ones(3)}, "upper must be a number or 4 numbers"),
        ({"upper": "x"}, "upper must be a number or 4 numbers"),
        ({"from_gram": True}, "A must be square"),
        ({"start": np.ones((3, 2))}, r"start must have shape \(4, 2\), got \(3, 2\)"),
        ({"start": np.full((4, 2), np.nan)}, "Input start contains NaN"),
        ({"tol": -1}, "tol must be"),
        ({"max_iter": 0}, "max_iter must be"),
        (
            {"A": -np.eye(2), "B": np.ones(2), "from_gram": True},
            "gram must be positive",
        ),
    ],
)
def test_bad_bounded_least_squares(changes, message):
    with pytest.raises(ValueError, match=message):
        box_call(**changes)()


# Ridge


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(80, 12), (12, 80), (20, 20)])
def test_ridge_agrees_with_sklearn(rows, columns, weighted, fit_intercept, dtype):
    X = data(0, rows, columns) + 5
    Y = data(1, rows, 3) + 2
    weight = np.random.default_rng(2).random(rows) if weighted else None
    if weighted:
        weight[3] = 0
    result = ridge(X.astype(dtype), Y.astype(dtype), 0.7, weight, fit_intercept)
    peer = Ridge(0.7, fit_intercept=fit_intercept, solver="svd").fit(X, Y, weight)
    tol = 1e-11 if dtype == np.float64 else 1e-4
    assert_allclose(result.solution, peer.coef_.T, atol=tol)
    assert result.solution.dtype == dtype
    if fit_intercept:
        assert_allclose(result.intercept, peer.intercept_, atol=50 * tol)
        assert result.intercept.dtype == dtype
    else:
        assert result.intercept is None
    assert result.converged and result.residual < 1e-13


@pytest.mark.parametrize(("rows", "columns"), [(30, 6), (6, 30)])
def test_one_penalty_for_each_feature(rows, columns):
    X, Y, alpha = data(0, rows, columns), data(1, rows, 2), np.logspace(-3, 3, columns)
    solution = ridge(X, Y, alpha).solution
    assert_allclose(X.T @ (Y - X @ solution), alpha[:, None] * solution, atol=1e-11)


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("degenerate", ["wide", "repeated", "zero"])
def test_without_penalty_the_least_norm_is_found(degenerate, fit_intercept):
    X, Y = data(0, *((6, 15) if degenerate == "wide" else (15, 6))), data(1, 15, 2)
    Y = Y[: len(X)]
    if degenerate == "repeated":
        X[:, 1] = X[:, 0]
    elif degenerate == "zero":
        X[:, 2] = 0
    result = ridge(X, Y, 0.0, fit_intercept=fit_intercept)
    mean = X.mean(0), Y.mean(0)
    if not fit_intercept:
        mean = 0, 0
    expected = np.linalg.lstsq(X - mean[0], Y - mean[1], rcond=1e-12)[0]
    assert_allclose(result.solution, expected, atol=1e-9)


def test_refinement_mends_a_badly_conditioned_factor():
    X = data(0, 60, 8) * np.logspace(0, -5, 8)
    X = X @ np.linalg.qr(data(1, 8, 8))[0]
    planted = data(2, 8, 2)
    result = ridge(X, X @ planted, 0.0)
    assert_allclose(result.solution, planted, atol=1e-8)


def test_a_factor_serves_many_targets_and_keeps_its_inputs():
    X, Y = data(0, 30, 6), data(1, 30, 3)
    expected = ridge(X, Y, 2.0, fit_intercept=True)
    factor = RidgeFactor(X, 2.0, fit_intercept=True, n_jobs=1)
    X[:] = 0
    assert_array_equal(factor.solve(Y).solution, expected.solution)
    one = factor.solve(Y[:, 0])
    assert one.solution.shape == (6,)
    assert np.ndim(one.intercept) == 0
    assert_allclose(one.solution, expected.solution[:, 0], atol=1e-14)


def test_weights_are_repetitions():
    X, Y = data(0, 30, 6), data(1, 30, 3)
    weight = np.random.default_rng(0).integers(3, size=30)
    weighted = ridge(X, Y, 1.0, weight, True)
    repeated = ridge(np.repeat(X, weight, 0), np.repeat(Y, weight, 0), 1.0, None, True)
    assert_allclose(weighted.solution, repeated.solution, atol=1e-13)


def ridge_call(**changes):
    arguments = {"X": data(0, 9, 4), "Y": data(1, 9, 2), "alpha": 1.0}
    return lambda: ridge(**(arguments | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": np.full((9, 4), np.nan)}, "Input X contains NaN"),
        ({"Y": np.full((9, 2), np.nan)}, "Input Y contains NaN"),
        ({"Y": np.ones((8, 2))}, "Y must have 9 rows, as X has, got 8"),
        ({"alpha": -1.0}, "alpha must not be negative, got -1"),
        ({"alpha": [1, 1, 1, -2]}, "alpha must not be negative, got -2"),
        ({"alpha": np.nan}, "alpha must be finite"),
        ({"alpha": np.ones(5)}, "alpha must be a number or 4 numbers"),
        ({"sample_weight": np.ones(8)}, "sample_weight"),
        ({"sample_weight": -np.ones(9)}, "sample_weight"),
        ({"sample_weight": np.zeros(9)}, "[sS]ample.weight"),
    ],
)
def test_bad_ridge(changes, message):
    with pytest.raises(ValueError, match=message):
        ridge_call(**changes)()


def test_a_factor_wants_as_many_targets_as_rows():
    with pytest.raises(ValueError, match="Y must have 9 rows, as X has, got 8"):
        RidgeFactor(data(0, 9, 4)).solve(np.ones(8))


# Softmax and logistic regression


def classes(seed, rows, columns, n_classes, dtype=np.float64):
    """Return inputs in odd units and classes that overlap."""
    X = data(seed, rows, columns)
    scores = X @ data(seed + 1, columns, n_classes) + 2 * data(
        seed + 2, rows, n_classes
    )
    units = np.logspace(-1, 1, columns)
    return (X * units + 3 * units).astype(dtype), scores.argmax(axis=1)


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [1.0, 1e-3])
def test_softmax_agrees_with_sklearn(alpha, weighted, fit_intercept):
    X, y = classes(0, 300, 6, 4)
    weight = np.random.default_rng(0).random(300) if weighted else np.ones(300)
    result = softmax_regression(
        X, y, alpha, weight if weighted else None, fit_intercept
    )
    peer = LogisticRegression(
        C=1 / (alpha * weight.sum()),
        fit_intercept=fit_intercept,
        solver="newton-cg",
        tol=1e-11,
        max_iter=1000,
    ).fit(X, y, weight)
    assert_allclose(result.solution, peer.coef_.T, atol=1e-6)
    if fit_intercept:
        assert_allclose(result.intercept, peer.intercept_, atol=1e-5)
    else:
        assert result.intercept is None
    assert result.converged and result.residual <= 1e-9


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("alpha", [1.0, 1e-3])
def test_logistic_agrees_with_sklearn(alpha, fit_intercept):
    X, y = classes(0, 300, 6, 2)
    result = logistic_regression(X, y, alpha, None, fit_intercept)
    peer = LogisticRegression(
        C=1 / (alpha * 300),
        fit_intercept=fit_intercept,
        solver="newton-cholesky",
        tol=1e-12,
    ).fit(X, y)
    assert_allclose(result.solution, peer.coef_[0], atol=1e-6)
    if fit_intercept:
        assert_allclose(result.intercept, peer.intercept_[0], atol=1e-5)
        assert np.shape(result.intercept) == ()


def test_pixels_that_never_change_and_weak_penalties(digits):
    X, y = digits
    result = softmax_regression(X, y, 1e-3)
    assert result.converged
    assert_array_equal(result.solution[X.std(axis=0) == 0], 0)
    slope = softmax(X @ result.solution + result.intercept, axis=1) - np.eye(10)[y]
    assert_allclose(X.T @ slope / len(X), -1e-3 * result.solution, atol=1e-7)
    assert_allclose(slope.sum(axis=0), 0, atol=1e-5)
    assert_allclose(result.solution.sum(axis=1), 0, atol=1e-6)


def test_single_precision_stays_single():
    X, y = classes(0, 300, 6, 3)
    double = softmax_regression(X, y, 1e-2)
    single = softmax_regression(X.astype(np.float32), y, 1e-2)
    assert single.solution.dtype == single.intercept.dtype == np.float32
    assert single.converged and single.residual <= 1e-5
    assert_allclose(single.solution, double.solution, atol=2e-3)
    binary = logistic_regression(X.astype(np.float32), y > 0, 1e-2)
    assert binary.solution.dtype == np.float32


def test_weights_of_classes_are_repetitions():
    X, y = classes(0, 80, 4, 3)
    weight = np.random.default_rng(0).integers(3, size=80)
    weighted = softmax_regression(X, y, 1e-2, weight)
    repeated = softmax_regression(np.repeat(X, weight, 0), np.repeat(y, weight), 1e-2)
    assert_allclose(weighted.solution, repeated.solution, atol=1e-7)


def test_a_class_without_samples():
    X, y = classes(0, 80, 4, 3)
    assert softmax_regression(X, y, 0.1, n_classes=5).solution.shape == (4, 5)


def test_separable_classes_without_penalty_have_no_solution():
    result = logistic_regression([[-1.0], [1.0]], [0, 1], alpha=0, max_iter=5)
    assert not result.converged
    assert np.isfinite(result.solution).all()
    assert result.n_iter == 5


# Matching-loss regression


ACTIVATIONS = {
    "identity": (lambda z: z, lambda z: z**2 / 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: np.maximum(z, 0) ** 2 / 2),
    "leaky_relu(slope=0.2)": (
        lambda z: np.where(z > 0, z, 0.2 * z),
        lambda z: np.where(z > 0, 1, 0.2) * z**2 / 2,
    ),
    "hard_tanh": (
        lambda z: np.clip(z, -1, 1),
        lambda z: np.where(np.abs(z) < 1, z**2 / 2, np.abs(z) - 0.5),
    ),
    "logistic": (expit, lambda z: np.logaddexp(0, z)),
    "tanh": (np.tanh, lambda z: np.logaddexp(z, -z) - np.log(2)),
    "softmax": (
        lambda z: softmax(z, axis=1),
        lambda z: logsumexp(z, axis=1, keepdims=True),
    ),
}


def planted_outputs(name, fit_intercept, rows=200, dtype=np.float64):
    """Return inputs, and targets within the range that noise pushes about."""
    phi, _ = ACTIVATIONS[name]
    X = data(0, rows, 7)
    Z = X @ data(1, 7, 3) + 0.5 * data(2, rows, 3) + 0.3 * fit_intercept
    return X.astype(dtype), phi(Z).astype(dtype)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_matching_regression_is_stationary(name, fit_intercept):
    (X, Y), alpha = planted_outputs(name, fit_intercept), 0.01
    weight = np.random.default_rng(3).random(len(X))
    result = matching_regression(X, Y, name, alpha, weight, fit_intercept)
    intercept = result.intercept if fit_intercept else 0
    phi, conjugate = ACTIVATIONS[name]
    weight = weight[:, None] / weight.sum()
    slope = weight * (phi(X @ result.solution + intercept) - Y)
    assert_allclose(X.T @ slope, -alpha * result.solution, atol=1e-7)
    if fit_intercept:
        assert_allclose(slope.sum(axis=0), 0, atol=1e-7)

    def objective(W):
        Z = X @ W + intercept
        mean = (weight * (conjugate(Z) - 0)).sum() - (weight * Y * Z).sum()
        return mean + alpha / 2 * (W**2).sum()

    best = objective(result.solution)
    for step in 1e-3 * data(4, 30, *result.solution.shape):
        assert objective(result.solution + step) > best
    assert result.converged


def test_every_activation_can_be_matched(activation):
    X = data(0, 60, 4)
    if activation in ("step", "sign"):
        with pytest.raises(ValueError, match="activation must be continuous"):
            matching_regression(X, np.zeros((60, 2)), activation)
        return
    Y = np.full((60, 2), 0.5) if activation == "softmax" else 0.5 * (data(1, 60, 2) > 0)
    result = matching_regression(X, Y, activation, 0.1)
    assert result.converged


def test_identity_is_ridge_in_one_iteration():
    X, Y = data(0, 50, 6), data(1, 50, 3)
    result = matching_regression(X, Y, "identity", 0.1)
    peer = ridge(X, Y, 0.1 * 50, fit_intercept=True)
    assert_allclose(result.solution, peer.solution, atol=1e-10)
    assert_allclose(result.intercept, peer.intercept, atol=1e-10)
    assert result.n_iter == 1


def test_matching_the_logistic_function_is_logistic_regression():
    X, y = classes(0, 200, 5, 2)
    expected = logistic_regression(X, y, 0.01)
    result = matching_regression(X, y, "logistic", 0.01)
    assert_allclose(result.solution, expected.solution, atol=1e-7)
    assert_allclose(result.intercept, expected.intercept, atol=1e-6)
    assert result.solution.shape == (5,)
    assert np.shape(result.intercept) == ()


def test_planted_weights_are_found_without_penalty():
    X, W = data(0, 100, 5), data(1, 5, 2)
    result = matching_regression(X, np.tanh(X @ W + 0.5), "tanh", 0)
    assert_allclose(result.solution, W, atol=1e-6)
    assert_allclose(result.intercept, 0.5, atol=1e-6)


@pytest.mark.parametrize("degenerate", ["wide", "repeated", "zero"])
def test_degenerate_inputs_have_a_solution_too(degenerate):
    X = data(0, *((6, 15) if degenerate == "wide" else (40, 6)))
    if degenerate == "repeated":
        X[:, 1] = X[:, 0]
    elif degenerate == "zero":
        X[:, 2] = 0
    Y = np.maximum(data(1, len(X), 2), 0)
    result = matching_regression(X, Y, "relu", 0, fit_intercept=False)
    assert_allclose(X.T @ (np.maximum(X @ result.solution, 0) - Y), 0, atol=1e-6)
    assert result.converged


def test_threads_do_not_change_a_bit_of_regressions():
    X, Y = planted_outputs("relu", True, rows=3000)
    one = matching_regression(X, Y, n_jobs=1)
    two = matching_regression(X, Y, n_jobs=2)
    assert_array_equal(one.solution, two.solution)
    assert one.n_iter == two.n_iter


def regression_call(kernel, **changes):
    y = [0, 1] * 4 + [1]
    arguments = {"X": data(0, 9, 4), "y": y}
    if kernel is matching_regression:
        arguments = {"X": data(0, 9, 4), "Y": np.ones((9, 2))}
    return kernel(**(arguments | changes))


@pytest.mark.parametrize(
    "kernel", [softmax_regression, logistic_regression, matching_regression]
)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": np.full((9, 4), np.nan)}, "Input X contains NaN"),
        ({"X": np.ones((8, 4))}, "[yY] must have 8 rows, as X has, got 9"),
        ({"alpha": -1.0}, "alpha must be finite and not negative, got -1"),
        ({"alpha": np.nan}, "alpha must be finite and not negative, got nan"),
        ({"sample_weight": -np.ones(9)}, "sample_weight"),
        ({"sample_weight": np.zeros(9)}, "[sS]ample.weight"),
        ({"tol": "x"}, "tol must be"),
        ({"max_iter": 1.5}, "max_iter must be"),
    ],
)
def test_bad_regressions(kernel, changes, message):
    with pytest.raises(ValueError, match=message):
        regression_call(kernel, **changes)


@pytest.mark.parametrize(
    ("kernel", "changes", "message"),
    [
        (softmax_regression, {"y": [0.5] * 9}, "y must hold integers, got float64"),
        (softmax_regression, {"y": [-1] * 9}, "y must hold classes from 0 on, got -1"),
        (softmax_regression, {"y": [[0]] * 9}, "y must have 1 dimension, got 2"),
        (softmax_regression, {"n_classes": 1}, "n_classes must be an integer above 1"),
        (
            softmax_regression,
            {"y": [3] * 9, "n_classes": 3},
            "y must be below n_classes = 3, got 3",
        ),
        (logistic_regression, {"y": [2] * 9}, "y must hold the classes 0 and 1, got 2"),
        (matching_regression, {"activation": "gelu"}, "'gelu' is not monotone"),
        (matching_regression, {"activation": "x"}, "activation must be one of"),
        (matching_regression, {"activation": 3}, "activation must be a name"),
        (matching_regression, {"activation": "step"}, "activation must be continuous"),
        (
            matching_regression,
            {"Y": -np.ones((9, 2))},
            "Y must be in the domain of activation 'relu'.*row 0",
        ),
        (
            matching_regression,
            {"Y": np.ones((9, 2)), "activation": "softmax"},
            "Y must be in the domain of activation 'softmax'",
        ),
    ],
)
def test_bad_targets(kernel, changes, message):
    with pytest.raises(ValueError, match=message):
        regression_call(kernel, **changes)


# Activation block


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("upper", ["relu", "tanh", "logistic", "softmax"])
@pytest.mark.parametrize("name", ["relu", "tanh", "hard_tanh", "leaky_relu(slope=0.2)"])
def test_activation_block_below_a_hidden_layer(name, upper, dtype):
    Z, W, b = 2 * data(0, 90, 8), data(1, 8, 5), data(2, 5)
    (phi, _), (phi_above, _) = ACTIVATIONS[name], ACTIVATIONS[upper]
    target = phi_above(data(3, 90, 5))
    Z, W, b, target = (M.astype(dtype) for M in (Z, W, b, target))
    result = activation_block(
        Z,
        W,
        b,
        target,
        activation=name,
        penalty_weight=3.0,
        next_activation=upper,
        next_penalty_weight=2.0,
    )
    X = result.solution
    pull = 2.0 * (phi_above(X @ W + b) - target) @ W.T
    tol = 1e-7 if dtype == np.float64 else 1e-3
    assert_allclose(X, phi(Z - pull / 3.0), atol=tol)
    assert X.dtype == dtype
    assert result.converged


@pytest.mark.parametrize("loss", ["softmax", "logistic", "huber(1.0)"])
def test_activation_block_below_an_output(loss):
    n_above = 1 if loss == "logistic" else 3
    Z, W, b = data(0, 90, 8), data(1, 8, n_above), data(2, n_above)
    rng = np.random.default_rng(0)
    target = rng.integers(2 if n_above == 1 else 3, size=90)
    gradient = {
        "softmax": lambda V: softmax(V, axis=1) - np.eye(3)[target],
        "logistic": lambda V: expit(V) - target[:, None],
        "huber(1.0)": lambda V: np.clip(V - values, -1, 1),
    }[loss]
    values = data(4, 90, 3)
    X = activation_block(
        Z,
        W,
        b,
        values if loss.startswith("huber") else target,
        activation="tanh",
        penalty_weight=0.5,
        loss=loss,
    ).solution
    assert_allclose(X, np.tanh(Z - gradient(X @ W + b) @ W.T / 0.5), atol=1e-7)


@pytest.mark.parametrize("above", ["identity", "euclidean", "loss"])
@pytest.mark.parametrize(
    ("name", "bounds"), [("relu", (0, np.inf)), ("hard_tanh", (-1, 1))]
)
def test_quadratic_blocks_are_bounded_least_squares(name, bounds, above):
    Z, W, b, target = data(0, 40, 8), data(1, 8, 5), data(2, 5), data(3, 40, 5)
    kind = {
        "identity": {"next_activation": "identity", "next_penalty_weight": 2.0},
        "euclidean": {
            "next_activation": "relu",
            "next_penalty_weight": 2.0,
            "divergence": "euclidean",
        },
        "loss": {"loss": "squared_error"},
    }[above]
    weight = kind.get("next_penalty_weight", 1.0)
    result = activation_block(
        Z, W, b, target, activation=name, penalty_weight=0.3, **kind
    )
    stacked = np.vstack([np.sqrt(0.3) * np.eye(8), np.sqrt(weight) * W.T])
    right = np.hstack([np.sqrt(0.3) * Z, np.sqrt(weight) * (target - b)])
    expected = [lsq_linear(stacked, r, bounds, method="bvls").x for r in right]
    assert_allclose(result.solution, expected, atol=1e-9)


@pytest.mark.parametrize(("sharp", "smooth"), [("sign", "hard_tanh")])
def test_jumps_are_represented_by_their_neighbours(sharp, smooth):
    arguments = data(0, 9, 4), data(1, 4, 3), 0.0, data(2, 9, 3)
    one = activation_block(*arguments, activation=sharp, loss="squared_error")
    two = activation_block(*arguments, activation=smooth, loss="squared_error")
    assert_array_equal(one.solution, two.solution)


def test_a_block_alone_is_its_activation():
    Z = data(0, 20, 4)
    result = activation_block(
        Z, np.zeros((4, 3)), 0.0, data(1, 20, 3), activation="tanh", loss="huber"
    )
    assert_allclose(result.solution, np.tanh(Z))
    assert result.n_iter == 0 and result.residual == 0


def test_the_objective_of_a_block_never_rises():
    Z, W, target = 2 * data(0, 30, 6), data(1, 6, 4), np.tanh(data(2, 30, 4))
    last = np.inf
    for max_iter in (1, 2, 4, 8, 16, 32, 64):
        result = activation_block(
            Z,
            W,
            0.0,
            target,
            activation="tanh",
            next_activation="tanh",
            max_iter=max_iter,
        )
        X = np.clip(result.solution, -1 + 1e-15, 1 - 1e-15)
        V = X @ W
        entropy = ((1 + X) * np.log1p(X) + (1 - X) * np.log1p(-X)) / 2
        value = (entropy - X * Z).sum()
        value += (np.logaddexp(V, -V) - target * V).sum()
        assert value <= last + 1e-9
        last = value
    assert result.residual < 0.1


def test_threads_do_not_change_a_bit_of_a_block():
    arguments = data(0, 300, 6), data(1, 6, 4), 0.0, data(2, 300, 4)
    kind = {"activation": "tanh", "loss": "huber"}
    one = activation_block(*arguments, **kind, n_jobs=1)
    two = activation_block(*arguments, **kind, n_jobs=2)
    assert_array_equal(one.solution, two.solution)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Z": np.full((9, 4), np.nan)}, "Input Z contains NaN"),
        ({"W": np.ones((3, 2))}, "W must have 4 rows, as Z has columns, got 3"),
        ({"b": np.ones(3)}, "b must be a number or 2 numbers"),
        ({"b": np.nan}, "b must be finite"),
        ({"target": np.ones((9, 3))}, r"target must have shape \(9, 2\), got \(9, 3\)"),
        ({"target": np.full((9, 2), np.nan)}, "Input target contains NaN"),
        ({"loss": None}, "either loss or next_activation must be given"),
        ({"next_activation": "relu"}, "either loss or next_activation must be given"),
        ({"activation": "gelu"}, "'gelu' is not monotone"),
        ({"activation": None}, "activation must be a name"),
        ({"divergence": "x"}, "divergence must be one of fenchel, euclidean, got 'x'"),
        ({"penalty_weight": 0.0}, "penalty_weight must be finite and above 0, got 0"),
        ({"next_penalty_weight": -1}, "next_penalty_weight must be finite and above 0"),
        ({"loss": "x"}, "loss must be one of"),
        ({"loss": "poisson"}, "loss must be one whose curvature is bounded"),
        ({"loss": "softmax", "target": [0, 1, 2] * 3}, "class index 2 at row 2"),
        ({"loss": "softmax", "target": [0] * 8}, "target must have 9 rows, as Z has"),
        (
            {"loss": None, "next_activation": "tanh", "divergence": "euclidean"},
            "divergence must be 'fenchel' unless every activation is a projection",
        ),
    ],
)
def test_bad_activation_blocks(changes, message):
    arguments = {
        "Z": data(0, 9, 4),
        "W": data(1, 4, 2),
        "b": 0.0,
        "target": data(2, 9, 2),
        "loss": "squared_error",
    }
    with pytest.raises(ValueError, match=message):
        activation_block(**(arguments | changes))


# Ctrl-C


def test_ctrl_c_ends_a_kernel():
    A = np.abs(data(0, 700, 700))
    B = data(1, 700, 20_000)
    threading.Timer(0.4, _thread.interrupt_main).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        non_negative_least_squares(A, B)
    assert time.monotonic() - start < 20
