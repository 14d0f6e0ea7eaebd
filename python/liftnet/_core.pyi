"""The Rust core: arrays checked by the estimators go in, trained weights come out."""

from collections.abc import Callable, Sequence
from typing import Any, TypedDict, final, type_check_only

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ActivationInfo",
    "FitResult",
    "RidgeFactorization",
    "StreamResult",
    "activation_block",
    "activation_info",
    "activation_names",
    "activation_parameter",
    "activation_values",
    "box_least_squares",
    "check_targets",
    "decision_function",
    "first_non_finite",
    "fit",
    "inverse_link",
    "planned_passes",
    "set_thread_limit",
    "smooth_regression",
    "stream",
    "thread_limit",
]

_Floats = NDArray[np.float32] | NDArray[np.float64]
# Row ends, columns and values of sparse rows, and the number of columns.
_Rows = _Floats | tuple[NDArray[np.int64], NDArray[np.int32], _Floats, int]
# coefs, intercepts, activations
_Weights = tuple[list[_Floats], list[_Floats], list[str]]

@type_check_only
class Options(TypedDict):
    """Choices of a fit; None is an automatic choice."""

    loss: str
    hidden_layer_sizes: Sequence[int]
    activation: Sequence[str]
    divergence: str
    learn_activation: bool
    dropout: Sequence[float]
    alpha: float | None
    penalty: Sequence[str]
    penalty_weight: float | None
    solver: str
    input_noise: float | None
    accelerate: bool
    diagnostics: bool
    total_weight: float | None
    scale: str
    n_components: int | float | str | None
    damping: tuple[float, float] | None
    batch_size: int | None
    max_iter: int | None
    learning_rate_init: float | None
    momentum: float
    tol: float
    n_iter_no_change: int
    early_stopping: bool
    merit: str
    max_time: float | None
    seed: int
    n_threads: int
    memory_limit: int | None

@type_check_only
class Effort(TypedDict):
    """When an iterative kernel ends, and on how many threads it works."""

    tol: float
    max_iter: int
    n_threads: int

@type_check_only
class Terms(TypedDict):
    """What ties a layer to its pre-activations and to the layer above."""

    activation: str
    penalty_weight: float
    next_activation: str | None
    next_penalty_weight: float
    divergence: str
    loss: str | None

@final
class FitResult:
    """What a fit gave: weights in the units of the inputs, and its record."""

    @property
    def coefs(self) -> list[_Floats]: ...
    @property
    def intercepts(self) -> list[_Floats]: ...
    @property
    def activations(self) -> list[str]: ...
    @property
    def loss_curve(self) -> list[float]: ...
    @property
    def validation_scores(self) -> list[float]: ...
    @property
    def history(self) -> dict[str, list[float]]: ...
    @property
    def n_iter(self) -> int: ...
    @property
    def n_components(self) -> int: ...
    @property
    def n_retries(self) -> int: ...
    @property
    def status(self) -> str: ...

def fit(
    x: _Rows,
    y: NDArray[np.uint32] | _Floats,
    n_outputs: int,
    options: Options,
    *,
    sample_weight: _Floats | None = None,
    start: tuple[Sequence[_Floats], Sequence[_Floats]] | None = None,
    validation: tuple[_Rows, NDArray[np.uint32] | _Floats, _Floats | None]
    | None = None,
    callback: Callable[[int, float, float | None, float, int, _Weights | None], Any]
    | None = None,
    with_weights: bool = False,
    scorer: Callable[[_Weights], float] | None = None,
) -> FitResult:
    """Train by lifted block-coordinate descent.

    ``callback(pass, loss, validation_score, seconds, passes, weights)`` is called after
    every pass, with the number of passes that the run will have and, if
    ``with_weights``, the weights; the run ends there when it returns true. With the
    merit "own", ``scorer`` gets the weights after every pass and returns the score.
    """

def planned_passes(options: Options, n_samples: int, n_features: int) -> int:
    """Count the passes that such a fit will have at most."""

@type_check_only
class Moments(TypedDict):
    """What is known of the features of a stream so far."""

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    covariance: NDArray[np.float64] | None

@type_check_only
class State(TypedDict):
    """A stream between two chunks, in mapped coordinates."""

    center: _Floats
    scale: _Floats
    directions: tuple[_Floats, _Floats] | None
    weights: list[_Floats]
    velocities: list[_Floats]
    means: list[_Floats]
    grams: list[_Floats]
    gram_rows: int
    activations: list[str]
    steps: int

@final
class StreamResult:
    """What a chunk gave: mean weights in the units of inputs and targets, the state."""

    @property
    def coefs(self) -> list[_Floats]: ...
    @property
    def intercepts(self) -> list[_Floats]: ...
    @property
    def activations(self) -> list[str]: ...
    @property
    def loss(self) -> float: ...
    @property
    def n_components(self) -> int: ...
    @property
    def status(self) -> str: ...
    @property
    def state(self) -> State: ...

def stream(
    x: _Rows,
    y: NDArray[np.uint32] | _Floats,
    n_outputs: int,
    options: Options,
    moments: Moments,
    n_seen: int,
    refit: bool,
    *,
    state: State | None = None,
    sample_weight: _Floats | None = None,
    start: tuple[Sequence[_Floats], Sequence[_Floats]] | None = None,
    outputs: tuple[Sequence[float], Sequence[float]] | None = None,
    rate_share: float = 1.0,
) -> StreamResult:
    """Train on a chunk of a stream, in one pass at a constant rate.

    ``moments`` are those of all ``n_seen`` rows so far, the chunk included; with
    ``refit`` the input map follows them. ``outputs`` are gains and offsets by which
    predictions come from standardised targets.
    """

def decision_function(
    x: _Rows,
    coefs: Sequence[_Floats],
    intercepts: Sequence[_Floats],
    activations: Sequence[str],
    n_threads: int,
) -> _Floats:
    """Logits, shape (n_samples, n_outputs)."""

def first_non_finite(x: _Floats) -> tuple[int, int] | None:
    """Row and column of the first NaN or infinity, in row order."""

@final
class ActivationInfo:
    """An activation: canonical text, name, and (name, value, default, range) if any."""

    @property
    def text(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def parameter(self) -> tuple[str, float, float, tuple[float, float]] | None: ...
    @property
    def slope_bound(self) -> float: ...
    @property
    def domain(self) -> tuple[float, float]: ...
    @property
    def lifted(self) -> str: ...

def activation_info(text: str) -> ActivationInfo:
    """Read an activation in the notation of users; ValueError if it is none."""

def activation_names() -> list[str]:
    """Names of all activations, in the order of the documentation."""

def activation_values(
    text: str, x: NDArray[np.float64], z: NDArray[np.float64]
) -> tuple[
    NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]
]:
    """Values phi(z), and for each row f(x), f*(z), D(x, z); x, z: (n_rows, n_units)."""

def inverse_link(loss: str) -> str:
    """Name of the function from logits to predictions: "identity" or "exp".

    Raises ValueError with the choices when the loss is none on real targets.
    """

def thread_limit() -> int | None:
    """Most threads that a call may use in this process; None without a limit."""

def set_thread_limit(limit: int | None) -> None:
    """Set or lift the limit, in this process."""

def check_targets(y: _Floats, loss: str) -> None:
    """Raise ValueError for the first of the targets outside the loss's domain."""

def box_least_squares(
    a: _Floats,
    b: _Floats,
    lower: _Floats,
    upper: _Floats,
    effort: Effort,
    *,
    from_gram: bool = False,
    start: _Floats | None = None,
) -> tuple[_Floats, int, float, bool]:
    """Least squares between bounds: solution, n_iter, residual, converged.

    With ``from_gram`` the first two arguments are AᵀA and AᵀB.
    """

@final
class RidgeFactorization:
    """A ridge problem factored for any number of targets; keeps a copy of ``x``."""

    def __new__(
        cls,
        x: _Floats,
        alpha: _Floats,
        sample_weight: _Floats | None,
        fit_intercept: bool,
        n_threads: int,
    ) -> RidgeFactorization: ...
    def solve(
        self, y: _Floats, n_threads: int
    ) -> tuple[_Floats, _Floats, int, float, bool]:
        """Coefficients, intercepts, n_iter, residual, converged."""

def smooth_regression(
    x: _Floats,
    y: NDArray[np.uint32] | _Floats,
    loss: str,
    alpha: float,
    effort: Effort,
    *,
    n_classes: int = 0,
    sample_weight: _Floats | None = None,
    fit_intercept: bool = True,
) -> tuple[_Floats, _Floats, int, float, bool]:
    """Regression with a smooth loss: coefficients, intercepts and the report.

    ``loss`` is "logistic", "softmax", or "matching " and the name of an activation.
    """

def activation_block(
    z: _Floats,
    weights: _Floats,
    intercept: _Floats,
    target: NDArray[np.uint32] | _Floats,
    terms: Terms,
    effort: Effort,
) -> tuple[_Floats, int, float, bool]:
    """Lifted variables of one layer: solution, n_iter, residual, converged."""

def activation_parameter(
    x: _Floats,
    z: _Floats,
    activation: str,
    effort: Effort,
    *,
    sample_weight: _Floats | None = None,
) -> tuple[float, int, float, bool]:
    """Parameter of an activation: its value, n_iter, residual, converged."""
