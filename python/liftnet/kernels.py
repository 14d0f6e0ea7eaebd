"""The convex sub-problems that lifted training is made of, each callable by itself.

Every function solves one convex problem and returns a `KernelResult`: the solution,
the number of iterations, the residual of the optimality conditions and whether that
met the tolerance. Nothing here knows of layers.

Rows are samples. What is computed has the precision of the first array: float32 stays
float32, everything else becomes float64. Work is shared over ``n_jobs`` threads with
the interpreter released; Ctrl-C ends it with a ``KeyboardInterrupt``.
"""

from dataclasses import dataclass, replace
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import _check_sample_weight

from liftnet import _core
from liftnet._threads import n_threads

__all__ = [
    "KernelResult",
    "RidgeFactor",
    "activation_block",
    "activation_parameter",
    "bounded_least_squares",
    "logistic_regression",
    "matching_regression",
    "non_negative_least_squares",
    "ridge",
    "softmax_regression",
]


@dataclass(frozen=True, eq=False)
class KernelResult:
    """What a kernel found.

    Attributes
    ----------
    solution : ndarray
        The minimiser; its shape is told by each function.
    n_iter : int
        Iterations; the most over independent right sides or rows.
    residual : float
        Violation of the optimality conditions relative to the data, the worst over
        independent right sides or rows; 0 is a perfect solution. Each function tells
        of what.
    converged : bool
        Whether the residual met the tolerance.
    intercept : ndarray or None
        The intercepts, shape (n_targets,) or (), of functions that have them.
    """

    solution: np.ndarray
    n_iter: int
    residual: float
    converged: bool
    intercept: np.ndarray | None = None


def bounded_least_squares(
    A,
    B,
    lower=-np.inf,
    upper=np.inf,
    *,
    from_gram=False,
    start=None,
    tol=None,
    max_iter=200,
    n_jobs=None,
):
    r"""Least squares between bounds, for many right sides at once.

    Solves, for every column b of `B`,

    .. math:: \min_x \tfrac12 \|A x - b\|^2, \quad \text{lower} \le x \le \text{upper}.

    The matrix AᵀA is computed once. Operator splitting [1]_ in single precision, on all
    right sides together, guesses which bounds are active. Block principal pivoting [2]_
    then solves exactly, in the precision of `A`: for the free unknowns as if there were
    no bounds, exchanging those that are wrong. Where exchanges cycle, which is rare,
    projected Newton steps [3]_ descend instead. The rounding error is that of the
    normal equations: it grows with the square of the condition number of the free
    columns of `A`.

    Parameters
    ----------
    A : array-like of shape (n_samples, n_unknowns)
        Shared by all right sides. Columns may be zero or dependent; there is then more
        than one solution, and one of them is found.
    B : array-like of shape (n_samples, n_targets) or (n_samples,)
        The right sides.
    lower, upper : float or array-like of shape (n_unknowns,), default=-inf, inf
        The bounds; -inf and inf for none, equal bounds fix an unknown.
    from_gram : bool, default=False
        Whether `A` is the symmetric positive semidefinite AᵀA, shape
        (n_unknowns, n_unknowns), and `B` is AᵀB, shape (n_unknowns, n_targets).
    start : array-like with the shape of the solution, default=None
        Where to start, for instance the solution of a similar problem; moved into the
        bounds first.
    tol : float, default=None
        Residual to reach; 1e-12, or 1e-5 for single precision, by default. An `A` in
        single precision is squared and solved in double precision.
    max_iter : int, default=200
        Exchanges and Newton steps for one right side at most; one to three are usual.
    n_jobs : int, default=None
        Threads; None and -1 mean all processors.

    Returns
    -------
    result : KernelResult
        ``solution`` has shape (n_unknowns, n_targets) or (n_unknowns,) and is exactly
        on its active bounds. ``residual`` is the norm of the projected gradient (the
        gradient AᵀAx - Aᵀb without entries that push against an active bound) divided
        by ‖Aᵀb‖ + ‖x‖, all measured with the columns of `A` scaled to norm 1.

    Raises
    ------
    ValueError
        For arrays that do not fit together, NaN, or a lower bound above the upper.

    References
    ----------
    .. [1] S. Boyd, N. Parikh, E. Chu, B. Peleato, J. Eckstein, "Distributed
       optimization and statistical learning via the alternating direction method of
       multipliers", Found. Trends Mach. Learn. 3 (2011).
    .. [2] J. Kim, H. Park, "Fast nonnegative matrix factorization: an active-set-like
       method and comparisons", SIAM J. Sci. Comput. 33 (2011).
    .. [3] D. P. Bertsekas, "Projected Newton methods for optimization problems with
       simple constraints", SIAM J. Control Optim. 20 (1982).

    Examples
    --------
    >>> from liftnet.kernels import bounded_least_squares
    >>> bounded_least_squares([[1, 0], [0, 1]], [3, -0.5], -1, 1).solution
    array([ 1. , -0.5])
    """
    A = _matrix("A", A)
    B = _matrix("B", B, like=A, vector=True)
    n_unknowns = A.shape[1]
    if from_gram and A.shape != (n_unknowns, n_unknowns):
        raise ValueError(f"A must be square with from_gram=True, got shape {A.shape}")
    _same_rows("B", B, "A", A)
    lower = _bound("lower", lower, n_unknowns, A.dtype)
    upper = _bound("upper", upper, n_unknowns, A.dtype)
    shape = (n_unknowns, *B.shape[1:])
    if start is not None:
        start = _matrix("start", start, like=A, vector=True)
        if start.shape != shape:
            raise ValueError(f"start must have shape {shape}, got {start.shape}")
        start = start.reshape(n_unknowns, -1)
    effort = _effort(tol, (1e-12, 1e-5), A.dtype, max_iter, n_jobs)
    dtype, arrays = A.dtype, (A, B.reshape(len(B), -1), lower, upper, start)
    if dtype == np.float32 and not from_gram:
        # Squaring A takes digits that single precision has not got.
        arrays = [a if a is None else a.astype(np.float64) for a in arrays]
    *arrays, start = arrays
    solution, *report = _core.box_least_squares(
        *arrays, effort, from_gram=bool(from_gram), start=start
    )
    solution = solution.astype(dtype, copy=False)
    return KernelResult(solution.reshape(shape), *report)


def non_negative_least_squares(
    A, B, *, from_gram=False, start=None, tol=None, max_iter=200, n_jobs=None
):
    """Non-negative least squares for many right sides at once.

    `bounded_least_squares` with the bounds 0 and infinity; does for all columns of `B`
    together what ``scipy.optimize.nnls`` does for one.

    Parameters
    ----------
    A : array-like of shape (n_samples, n_unknowns)
        Shared by all right sides.
    B : array-like of shape (n_samples, n_targets) or (n_samples,)
        The right sides.
    from_gram : bool, default=False
        Whether `A` is AᵀA and `B` is AᵀB.
    start : array-like with the shape of the solution, default=None
        Where to start.
    tol : float, default=None
        Residual to reach; 1e-12, or 1e-5 in single precision, by default.
    max_iter : int, default=200
        Exchanges and Newton steps for one right side at most.
    n_jobs : int, default=None
        Threads; None and -1 mean all processors.

    Returns
    -------
    result : KernelResult
        As `bounded_least_squares` returns it.

    Raises
    ------
    ValueError
        For arrays that do not fit together or NaN.

    Examples
    --------
    >>> from liftnet.kernels import non_negative_least_squares
    >>> non_negative_least_squares([[1, 0], [0, 1]], [3, -0.5]).solution
    array([3., 0.])
    """
    return bounded_least_squares(
        A,
        B,
        0.0,
        from_gram=from_gram,
        start=start,
        tol=tol,
        max_iter=max_iter,
        n_jobs=n_jobs,
    )


class RidgeFactor:
    r"""A factored ridge problem, to be solved for any number of targets.

    .. math::
        \min_{W, b} \sum_i s_i \|y_i - W^\top x_i - b\|^2 + \sum_j \alpha_j \|W_j\|^2

    as in ``sklearn.linear_model.Ridge``, except that a vector `alpha` has one entry
    for each feature, not for each target. The factor is that of XᵀX + diag(alpha), or
    of the dual matrix where there are fewer rows than columns; solutions are refined
    with the residual of `X` itself. Where the problem has more than one solution, the
    one of least norm is found.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Inputs; copied.
    alpha : float or array-like of shape (n_features,), default=1.0
        Penalties, not negative.
    sample_weight : array-like of shape (n_samples,), default=None
        The weights s, not negative; ones by default.
    fit_intercept : bool, default=False
        Whether to fit b, which is not penalised.
    n_jobs : int, default=None
        Threads; None and -1 mean all processors.

    Raises
    ------
    ValueError
        For arrays that do not fit together, NaN, a negative penalty or weight.

    Examples
    --------
    >>> from liftnet.kernels import RidgeFactor
    >>> factor = RidgeFactor([[1.0, 0.0], [0.0, 2.0]], alpha=1.0)
    >>> factor.solve([2.0, 5.0]).solution
    array([1., 2.])
    """

    def __init__(
        self, X, alpha=1.0, sample_weight=None, fit_intercept=False, *, n_jobs=None
    ):
        X = _matrix("X", X)
        alpha = _per_entry("alpha", alpha, X.shape[1], X.dtype)
        if (alpha < 0).any():
            raise ValueError(f"alpha must not be negative, got {alpha.min()}")
        self._dtype, self._n_samples = X.dtype, len(X)
        self._n_jobs = n_jobs
        self._factor = _core.RidgeFactorization(
            X,
            alpha,
            _weights(sample_weight, X),
            bool(fit_intercept),
            n_threads(n_jobs),
        )
        self._fit_intercept = bool(fit_intercept)

    def solve(self, Y):
        """Solve for some targets.

        Parameters
        ----------
        Y : array-like of shape (n_samples, n_targets) or (n_samples,)
            Targets.

        Returns
        -------
        result : KernelResult
            ``solution`` is W, shape (n_features, n_targets) or (n_features,), and
            ``intercept`` is b, shape (n_targets,) or (), or None without one.
            ``residual`` is the norm of the gradient divided by ‖XᵀY‖ + ‖W‖, measured
            with the columns of the squared matrix scaled to a unit diagonal; ``n_iter``
            counts refinements.

        Raises
        ------
        ValueError
            For NaN or another number of rows than X has.
        """
        Y = _matrix("Y", Y, dtype=self._dtype, vector=True)
        if len(Y) != self._n_samples:
            raise ValueError(
                f"Y must have {self._n_samples} rows, as X has, got {len(Y)}"
            )
        solution, intercept, *report = self._factor.solve(
            Y.reshape(len(Y), -1), n_threads(self._n_jobs)
        )
        if Y.ndim == 1:
            solution, intercept = solution[:, 0], intercept[0]
        return KernelResult(
            solution, *report, intercept if self._fit_intercept else None
        )


def ridge(X, Y, alpha=1.0, sample_weight=None, fit_intercept=False, *, n_jobs=None):
    """Ridge regression; one call of `RidgeFactor` and its ``solve``.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Inputs.
    Y : array-like of shape (n_samples, n_targets) or (n_samples,)
        Targets.
    alpha : float or array-like of shape (n_features,), default=1.0
        Penalties, not negative.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights, not negative; ones by default.
    fit_intercept : bool, default=False
        Whether to fit an intercept, which is not penalised.
    n_jobs : int, default=None
        Threads; None and -1 mean all processors.

    Returns
    -------
    result : KernelResult
        As `RidgeFactor.solve` returns it.

    Raises
    ------
    ValueError
        For arrays that do not fit together, NaN, a negative penalty or weight.

    Examples
    --------
    >>> from liftnet.kernels import ridge
    >>> ridge([[1.0, 0.0], [0.0, 2.0]], [2.0, 5.0]).solution
    array([1., 2.])
    """
    X = _matrix("X", X)
    _same_rows("Y", _matrix("Y", Y, like=X, vector=True), "X", X)
    return RidgeFactor(X, alpha, sample_weight, fit_intercept, n_jobs=n_jobs).solve(Y)


def matching_regression(
    X,
    Y,
    activation="relu",
    alpha=1e-4,
    sample_weight=None,
    fit_intercept=True,
    *,
    tol=None,
    max_iter=200,
    n_jobs=None,
):
    r"""Regression through an activation, with its matching loss.

    Solves

    .. math::
        \min_{W, b} \operatorname{mean}_i \left[ f^*(W^\top x_i + b)
        - \langle y_i, W^\top x_i + b \rangle \right]
        + \tfrac{\alpha}{2} \|W\|^2

    where the activation is the gradient of f*: the weight block of the lifted problem.
    It is convex, and φ(Wᵀx + b) = y where that is possible. The method majorises the
    curvature by sup φ' times the Gram matrix of the inputs, whose factor is computed
    once, and accelerates by a quasi-Newton memory [1]_; the objective never rises.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Inputs.
    Y : array-like of shape (n_samples, n_targets) or (n_samples,)
        Targets, in the domain of f: the closed range of the activation, or the
        simplex for "softmax".
    activation : str, default="relu"
        A continuous activation, with its parameter in parentheses if wanted, such as
        ``"leaky_relu(slope=0.2)"``.
    alpha : float, default=1e-4
        Penalty, not negative.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the mean, not negative; equal by default. Only ratios count.
    fit_intercept : bool, default=True
        Whether to fit b, which is not penalised.
    tol : float, default=None
        Residual to reach; 1e-9, or 1e-5 in single precision, by default.
    max_iter : int, default=200
        Iterations at most.
    n_jobs : int, default=None
        Threads; None and -1 mean all processors.

    Returns
    -------
    result : KernelResult
        ``solution`` is W, shape (n_features, n_targets) or (n_features,), and
        ``intercept`` is b, shape (n_targets,) or (), or None without one. ``residual``
        is the norm of the gradient in the metric of the majorant, at most 1 at W = 0
        and b = 0, whatever the units of `X`.

    Raises
    ------
    ValueError
        For arrays that do not fit together, NaN, a negative penalty or weight, an
        unknown or discontinuous activation, targets outside its range.

    References
    ----------
    .. [1] D. C. Liu, J. Nocedal, "On the limited memory BFGS method for large scale
       optimization", Mathematical Programming 45 (1989).

    Examples
    --------
    >>> from liftnet.kernels import matching_regression
    >>> result = matching_regression([[-1.0], [1.0], [2.0]], [0.0, 1.0, 2.0], alpha=0)
    >>> result.solution.round(6), result.intercept.round(6) + 0
    (array([1.]), np.float64(0.0))
    """
    X = _matrix("X", X)
    Y = _matrix("Y", Y, like=X, vector=True)
    _same_rows("Y", Y, "X", X)
    if not isinstance(activation, str):
        raise ValueError(f"activation must be a name, got {activation!r}")
    result = _smooth(
        X,
        Y.reshape(len(Y), -1),
        f"matching {activation}",
        alpha,
        sample_weight,
        fit_intercept,
        _effort(tol, (1e-9, 1e-5), X.dtype, max_iter, n_jobs),
    )
    return _column(result) if Y.ndim == 1 else result


def softmax_regression(
    X,
    y,
    alpha=1e-4,
    sample_weight=None,
    fit_intercept=True,
    *,
    n_classes=None,
    tol=None,
    max_iter=200,
    n_jobs=None,
):
    r"""Softmax regression: the output block of a classifier.

    Solves

    .. math::
        \min_{W, b} \operatorname{mean}_i \left[ \log \sum_k e^{z_{ik}} - z_{i y_i}
        \right] + \tfrac{\alpha}{2} \|W\|^2, \quad z_i = W^\top x_i + b,

    by the method of `matching_regression` with half the Gram matrix for a bound of the
    curvature [1]_. This is ``sklearn.linear_model.LogisticRegression`` with
    ``C = 1 / (alpha * sample_weight.sum())``, unit weights by default; its ``coef_`` is
    the transpose of the solution.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Inputs.
    y : array-like of int of shape (n_samples,)
        Classes, from 0 to ``n_classes - 1``.
    alpha : float, default=1e-4
        Penalty, not negative. Without one, classes that can be separated have no
        solution.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the mean, not negative; equal by default. Only ratios count.
    fit_intercept : bool, default=True
        Whether to fit b, which is not penalised.
    n_classes : int, default=None
        Number of classes; one more than the largest in `y`, at least 2, by default.
    tol : float, default=None
        Residual to reach; 1e-9, or 1e-5 in single precision, by default.
    max_iter : int, default=200
        Iterations at most.
    n_jobs : int, default=None
        Threads; None and -1 mean all processors.

    Returns
    -------
    result : KernelResult
        ``solution`` is W, shape (n_features, n_classes), and ``intercept`` is b, shape
        (n_classes,), or None without one; both sum to 0 over the classes. ``residual``
        is that of `matching_regression`.

    Raises
    ------
    ValueError
        For arrays that do not fit together, NaN, a negative penalty or weight, labels
        out of range.

    References
    ----------
    .. [1] D. Böhning, "Multinomial logistic regression algorithm", Annals of the
       Institute of Statistical Mathematics 44 (1992).

    Examples
    --------
    >>> from liftnet.kernels import softmax_regression
    >>> softmax_regression([[0.0], [1.0], [3.0]], [0, 1, 2], alpha=0.1).converged
    True
    """
    X = _matrix("X", X)
    y = _classes("y", y, X)
    largest = int(y.max())
    if n_classes is None:
        n_classes = max(2, largest + 1)
    if not isinstance(n_classes, Integral) or n_classes < 2:
        raise ValueError(f"n_classes must be an integer above 1, got {n_classes!r}")
    if largest >= n_classes:
        raise ValueError(f"y must be below n_classes = {n_classes}, got {largest}")
    return _smooth(
        X,
        y,
        "softmax",
        alpha,
        sample_weight,
        fit_intercept,
        _effort(tol, (1e-9, 1e-5), X.dtype, max_iter, n_jobs),
        n_classes=int(n_classes),
    )


def logistic_regression(
    X,
    y,
    alpha=1e-4,
    sample_weight=None,
    fit_intercept=True,
    *,
    tol=None,
    max_iter=200,
    n_jobs=None,
):
    r"""Logistic regression for two classes: the output block of a binary classifier.

    Solves

    .. math::
        \min_{w, b} \operatorname{mean}_i \left[ \log(1 + e^{z_i}) - y_i z_i \right]
        + \tfrac{\alpha}{2} \|w\|^2, \quad z_i = w^\top x_i + b,

    by the method of `matching_regression` with a quarter of the Gram matrix for a bound
    of the curvature. This is ``sklearn.linear_model.LogisticRegression`` with
    ``C = 1 / (alpha * sample_weight.sum())``, unit weights by default.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Inputs.
    y : array-like of int of shape (n_samples,)
        Classes 0 and 1.
    alpha : float, default=1e-4
        Penalty, not negative. Without one, classes that can be separated have no
        solution.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the mean, not negative; equal by default. Only ratios count.
    fit_intercept : bool, default=True
        Whether to fit b, which is not penalised.
    tol : float, default=None
        Residual to reach; 1e-9, or 1e-5 in single precision, by default.
    max_iter : int, default=200
        Iterations at most.
    n_jobs : int, default=None
        Threads; None and -1 mean all processors.

    Returns
    -------
    result : KernelResult
        ``solution`` is w, shape (n_features,), and ``intercept`` is b, shape (), or
        None without one. ``residual`` is that of `matching_regression`.

    Raises
    ------
    ValueError
        For arrays that do not fit together, NaN, a negative penalty or weight, labels
        other than 0 and 1.

    Examples
    --------
    >>> from liftnet.kernels import logistic_regression
    >>> logistic_regression([[0.0], [1.0], [3.0]], [0, 1, 1], alpha=0.1).converged
    True
    """
    X = _matrix("X", X)
    y = _classes("y", y, X)
    if y.max() > 1:
        raise ValueError(f"y must hold the classes 0 and 1, got {y.max()}")
    result = _smooth(
        X,
        y,
        "logistic",
        alpha,
        sample_weight,
        fit_intercept,
        _effort(tol, (1e-9, 1e-5), X.dtype, max_iter, n_jobs),
    )
    return _column(result)


def activation_block(
    Z,
    W,
    b,
    target,
    *,
    activation="relu",
    penalty_weight=1.0,
    next_activation=None,
    next_penalty_weight=1.0,
    divergence="fenchel",
    loss=None,
    tol=None,
    max_iter=10_000,
    n_jobs=None,
):
    r"""Activation block: the lifted variables of one layer, its neighbours fixed.

    Solves, for every row z of `Z`,

    .. math::
        \min_x \lambda \left[ f(x) - \langle x, z \rangle \right] + h(W^\top x + b)

    where φ = (f*)' is the activation of the layer and h the terms of the layer above:
    λ⁺[f⁺*(v) - ⟨target, v⟩] of a hidden layer ("euclidean": ‖v‖²/2 in place of f⁺*), or
    the loss of the output. With `activation` one of identity, relu, clipped_relu and
    hard_tanh, and terms above that are quadratic (identity, "euclidean",
    squared_error), it is `bounded_least_squares` and solved exactly. Otherwise Bregman
    proximal-gradient steps [1]_, closed-form in pre-activation space, lower the
    objective with each.

    Parameters
    ----------
    Z : array-like of shape (n_samples, n_units)
        Pre-activations of the layer.
    W : array-like of shape (n_units, n_above)
        Weights of the layer above.
    b : array-like of shape (n_above,) or float
        Its intercepts.
    target : array-like of shape (n_samples, n_above) or array of int (n_samples,)
        Lifted variables of the layer above, or the targets of `loss`: classes from 0
        for "softmax" and "logistic", values for the others.
    activation : str, default="relu"
        Activation of the layer. Of step and sign the smooth neighbour is taken, as the
        solvers do.
    penalty_weight : float, default=1.0
        λ, positive.
    next_activation : str, default=None
        Activation of a hidden layer above. Either this or `loss` is needed.
    next_penalty_weight : float, default=1.0
        λ⁺, positive.
    divergence : {"fenchel", "euclidean"}, default="fenchel"
        What ties the layer above to its pre-activations.
    loss : str, default=None
        Loss of an output above: softmax, logistic, multilabel (targets of 0 and 1),
        squared_error, absolute_error or huber, with its parameter in parentheses if
        wanted, as in "softmax(label_smoothing=0.1)".
    tol : float, default=None
        Residual to reach; 1e-9, or 1e-5 in single precision, by default.
    max_iter : int, default=2000
        Iterations for one row at most.
    n_jobs : int, default=None
        Threads; None and -1 mean all processors.

    Returns
    -------
    result : KernelResult
        ``solution`` is x for all rows, shape (n_samples, n_units). ``residual`` is
        ‖λ(u - z) + ∇h‖ / (λ‖z‖ + λ‖u‖ + ‖∇h‖) with x = φ(u), or that of
        `bounded_least_squares`.

    Raises
    ------
    ValueError
        For arrays that do not fit together, NaN, unknown names, weights that are not
        positive, labels out of range, a divergence that is not defined for the
        activation above, a loss of unbounded curvature.

    References
    ----------
    .. [1] H. H. Bauschke, J. Bolte, M. Teboulle, "A descent lemma beyond Lipschitz
       gradient continuity", Mathematics of Operations Research 42 (2017).

    Examples
    --------
    >>> from liftnet.kernels import activation_block
    >>> W, target = [[1.0], [1.0]], [[3.0]]
    >>> activation_block([[0.0, -9.0]], W, 0.0, target, loss="squared_error").solution
    array([[1.5, 0. ]])
    """
    Z = _matrix("Z", Z)
    W = _matrix("W", W, like=Z)
    if len(W) != Z.shape[1]:
        raise ValueError(
            f"W must have {Z.shape[1]} rows, as Z has columns, got {len(W)}"
        )
    b = _per_entry("b", b, W.shape[1], Z.dtype)
    if (loss is None) == (next_activation is None):
        raise ValueError("either loss or next_activation must be given, and not both")
    for name, value in [("activation", activation), ("divergence", divergence)]:
        if not isinstance(value, str):
            raise ValueError(f"{name} must be a name, got {value!r}")
    if str(loss).partition("(")[0] in ("softmax", "logistic"):
        target = _classes("target", target, Z, "Z")
    else:
        target = _matrix("target", target, like=Z)
        if target.shape != (len(Z), W.shape[1]):
            raise ValueError(
                f"target must have shape {(len(Z), W.shape[1])}, got {target.shape}"
            )
    terms = {
        "activation": activation,
        "penalty_weight": _positive("penalty_weight", penalty_weight),
        "next_activation": next_activation,
        "next_penalty_weight": _positive("next_penalty_weight", next_penalty_weight),
        "divergence": divergence,
        "loss": loss,
    }
    effort = _effort(tol, (1e-9, 1e-5), Z.dtype, max_iter, n_jobs)
    return KernelResult(*_core.activation_block(Z, W, b, target, terms, effort))


def activation_parameter(
    X,
    Z,
    activation="leaky_relu",
    *,
    sample_weight=None,
    tol=None,
    max_iter=100,
    n_jobs=None,
):
    r"""Parameter of an activation, learned from lifted variables and pre-activations.

    Solves

    .. math::
        \min_r \operatorname{mean}_i \sum_j D_r(x_{ij}, z_{ij}), \quad
        D_r(x, z) = f_r(x) + f_r^*(z) - xz

    over the range of the parameter: one number for all units and samples. D depends on
    the parameter through f and f* alone, and is convex in a coordinate r of it: the
    reciprocal of the slope of leaky_relu and hard_sigmoid, the alpha of elu, the
    threshold of soft_threshold. For leaky_relu the solution is a closed form,
    :math:`\sqrt{\sum x_-^2 / \sum z_-^2}`; the others take Newton's steps on the
    derivative, within the interval in which it changes sign. :math:`D \ge 0` vanishes
    at x = φ(z), so that the parameter that made `X` from `Z` is found again. The
    euclidean divergence, :math:`\frac12 \|x - z\|^2`, depends on no such parameter.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_units)
        Lifted variables, in the domain of f for some value of the parameter: [0, 1] for
        hard_sigmoid, at least -1 for elu.
    Z : array-like of shape (n_samples, n_units)
        Pre-activations.
    activation : str, default="leaky_relu"
        One of leaky_relu, hard_sigmoid, elu and soft_threshold, with the value to start
        from in parentheses if wanted, such as ``"elu(alpha=0.5)"``.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the mean, not negative; equal by default. Only ratios count.
    tol : float, default=None
        Residual to reach; 1e-12, or 1e-6 in single precision, by default.
    max_iter : int, default=100
        Iterations at most. Stopped early, D is still no greater than at the start.
    n_jobs : int, default=None
        Threads; None and -1 mean all processors.

    Returns
    -------
    result : KernelResult
        ``solution`` is the parameter, a float64 of shape (). Where D does not depend on
        it (no negative x or z for leaky_relu, say) it is the start. ``residual`` is
        :math:`|\sum \partial D / \partial r|` over the sum of the sizes of its two
        parts, those of f and f*; 0 at an end of the range beyond which D would fall.

    Raises
    ------
    ValueError
        For arrays that do not fit together, NaN, lifted variables outside the domain, a
        negative weight, and activations without such a parameter. The limit of
        clipped_relu is none: it bounds the domain of f, and D is concave in it.

    Examples
    --------
    >>> import numpy as np
    >>> from liftnet.kernels import activation_parameter
    >>> Z = np.array([[-2.0, 1.0], [-4.0, 3.0]])
    >>> float(activation_parameter(np.where(Z > 0, Z, 0.25 * Z), Z).solution)
    0.25
    """
    X = _matrix("X", X)
    Z = _matrix("Z", Z, like=X)
    if Z.shape != X.shape:
        raise ValueError(f"Z must have shape {X.shape}, as X has, got {Z.shape}")
    if not isinstance(activation, str):
        raise ValueError(f"activation must be a name, got {activation!r}")
    value, *report = _core.activation_parameter(
        X,
        Z,
        activation,
        _effort(tol, (1e-12, 1e-6), X.dtype, max_iter, n_jobs),
        sample_weight=_weights(sample_weight, X),
    )
    return KernelResult(np.float64(value), *report)


def _smooth(X, y, loss, alpha, sample_weight, fit_intercept, effort, n_classes=0):
    """Call the core for a regression with a smooth loss."""
    if not isinstance(alpha, Real) or not 0 <= alpha < np.inf:
        raise ValueError(f"alpha must be finite and not negative, got {alpha!r}")
    solution, intercept, *report = _core.smooth_regression(
        X,
        y,
        loss,
        float(alpha),
        effort,
        n_classes=n_classes,
        sample_weight=_weights(sample_weight, X),
        fit_intercept=bool(fit_intercept),
    )
    return KernelResult(solution, *report, intercept if fit_intercept else None)


def _column(result):
    """Drop the axis of the only target."""
    intercept = None if result.intercept is None else result.intercept[0]
    return replace(result, solution=result.solution[:, 0], intercept=intercept)


# Checks


def _classes(name, y, X, other="X"):
    """Check class indices from 0 on, one for each row."""
    labels = np.asarray(y)
    if labels.ndim != 1:
        raise ValueError(f"{name} must have 1 dimension, got {labels.ndim}")
    _same_rows(name, labels, other, X)
    if labels.dtype.kind not in "iub":
        raise ValueError(f"{name} must hold integers, got {labels.dtype}")
    if (labels < 0).any() or (labels > 2**31).any():
        bad = labels.min() if (labels < 0).any() else labels.max()
        raise ValueError(f"{name} must hold classes from 0 on, got {bad}")
    return np.ascontiguousarray(labels, dtype=np.uint32)


def _positive(name, value):
    if not isinstance(value, Real) or not 0 < value < np.inf:
        raise ValueError(f"{name} must be finite and above 0, got {value!r}")
    return float(value)


def _matrix(name, array, *, like=None, dtype=None, vector=False):
    """Check for a finite matrix (or vector) in one of the core's two precisions."""
    if dtype is None:
        dtype = (np.float64, np.float32) if like is None else like.dtype
    ndim = np.ndim(array)
    if ndim != 2 and not (vector and ndim == 1):
        allowed = "1 or 2 dimensions" if vector else "2 dimensions"
        raise ValueError(f"{name} must have {allowed}, got {ndim}")
    checked = check_array(array, dtype=dtype, ensure_2d=False, input_name=name)
    return np.require(checked, requirements="A")


def _same_rows(name, array, other_name, other):
    if len(array) != len(other):
        raise ValueError(
            f"{name} must have {len(other)} rows, as {other_name} has, got {len(array)}"
        )


def _per_entry(name, value, n, dtype, *, infinite=False):
    """Check for a number or n numbers; returns a vector of n."""
    try:
        vector = np.asarray(value, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a number or {n} numbers: {error}") from None
    if vector.shape not in [(), (n,)]:
        raise ValueError(f"{name} must be a number or {n} numbers, got {vector.shape}")
    if not infinite and not np.isfinite(vector).all():
        raise ValueError(f"{name} must be finite, got {value!r}")
    return np.full(n, vector, dtype)


def _bound(name, value, n, dtype):
    return _per_entry(name, value, n, dtype, infinite=True)


def _weights(sample_weight, X):
    if sample_weight is None:
        return None
    weights = _check_sample_weight(
        sample_weight, X, dtype=X.dtype, ensure_non_negative=True
    )
    if not weights.any():
        raise ValueError("sample_weight must be positive for some sample")
    return weights


def _effort(tol, defaults, dtype, max_iter, n_jobs):
    """Check what the core wants to know about when to end and on how many threads."""
    if tol is None:
        tol = defaults[dtype == np.float32]
    if not isinstance(tol, Real) or not 0 <= tol < np.inf:
        raise ValueError(f"tol must be a number, not negative, got {tol!r}")
    if not isinstance(max_iter, Integral) or max_iter < 1:
        raise ValueError(f"max_iter must be a positive integer, got {max_iter!r}")
    return {
        "tol": float(tol),
        "max_iter": min(int(max_iter), 2**62),
        "n_threads": n_threads(n_jobs),
    }
