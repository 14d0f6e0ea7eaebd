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
from sklearn.linear_model import Ridge

from liftnet.kernels import (
    KernelResult,
    RidgeFactor,
    bounded_least_squares,
    non_negative_least_squares,
    ridge,
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
    B = A @ np.maximum(data(1, 120, 40), 0) + 0.1 * data(2, 120, 40)
    result = non_negative_least_squares(A, B)
    expected = np.stack([nnls(A, b)[0] for b in B.T], axis=1)
    assert_allclose(result.solution, expected, atol=1e-8)


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


# Ctrl-C


def test_ctrl_c_ends_a_kernel():
    A = np.abs(data(0, 700, 700))
    B = data(1, 700, 20_000)
    threading.Timer(0.4, _thread.interrupt_main).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        non_negative_least_squares(A, B)
    assert time.monotonic() - start < 20
