"""Data that keep coming: what is known of them so far, in arrays that can be pickled.

The core keeps the weights; this file keeps the moments by which inputs and targets are
centred and scaled. Updates make new arrays: a failed call leaves the old ones.
"""

import copy
import warnings

import numpy as np
from scipy.sparse import issparse
from sklearn.base import is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.sparsefuncs import min_max_axis

from liftnet import _core, _sparse, _validation

# Features up to which their covariances are kept, as in the core.
_DENSE = 2048

# The input map is fitted again whenever there are this many times as much data.
_GROWTH = 1.5

# Samples in a step, and the share of a fit's first step at which a stream goes on: on
# MNIST in chunks of 1,000 a half does better than 1 or a quarter; losses of numbers,
# whose gradients do not fade, want less than a half.
_BATCH_SIZE = 32
_CLASS_RATE, _NUMBER_RATE = 0.5, 0.25

# Makes the spread of normal targets their standard deviation.
_MEAN_DISTANCE = 1.2533


class InputMoments:
    """Mean, covariance and range of the features of all chunks so far."""

    def __init__(self, n_features):
        dense = n_features <= _DENSE
        self.weight = 0.0
        self.mean = np.zeros(n_features)
        # Sums of products, of squares alone for very many features.
        self.products = np.zeros((n_features, n_features) if dense else n_features)
        self.low = np.full(n_features, np.inf)
        self.high = np.full(n_features, -np.inf)

    def with_chunk(self, X, sample_weight):
        """Moments of these data and a chunk more (Chan, Golub, LeVeque 1983)."""
        new = copy.copy(self)
        n, whole = X.shape[0], self.products.ndim == 2
        weight = n if sample_weight is None else sample_weight.sum(dtype=float)
        moments = _sparse_moments if issparse(X) else _dense_moments
        mean, products, low, high = moments(X, sample_weight, whole)
        delta, share = mean - self.mean, weight / (self.weight + weight)
        between = np.outer(delta, delta) if whole else delta**2
        new.products = self.products + products + between * (self.weight * share)
        new.mean = self.mean + share * delta
        new.weight = self.weight + weight
        new.low, new.high = np.minimum(self.low, low), np.maximum(self.high, high)
        return new

    def for_core(self):
        """Return what the core takes."""
        second = self.products / self.weight
        dense = second.ndim == 2
        return {
            "mean": self.mean,
            "variance": np.ascontiguousarray(second.diagonal() if dense else second),
            "low": self.low,
            "high": self.high,
            "covariance": second if dense else None,
        }


def _dense_moments(X, sample_weight, whole):
    """Return mean, sums of centred products, or only of squares, and range."""
    mean = np.average(X.astype(np.float64), axis=0, weights=sample_weight)
    low, high = X.min(axis=0), X.max(axis=0)
    # Within [-1, 1], in the precision of X: squares cannot leave its range.
    reach = np.maximum(high - mean, mean - low)
    reach[reach == 0] = 1
    Z = ((X - mean) / reach).astype(X.dtype)
    if sample_weight is not None:
        Z *= np.sqrt(sample_weight)[:, None]
    if whole:
        return mean, (Z.T @ Z) * np.outer(reach, reach), low, high
    return mean, np.square(Z).sum(axis=0, dtype=np.float64) * reach**2, low, high


def _sparse_moments(X, sample_weight, whole):
    """Return what `_dense_moments` does, from what sparse rows hold."""
    low, high = min_max_axis(X, axis=0)
    # Products are centred after they are summed: in double precision, and a feature
    # without a zero, which may lie far from it, about its least value.
    held = np.bincount(X.indices, minlength=X.shape[1])
    origin = np.where(held == X.shape[0], low, 0).astype(np.float64)
    reach = np.maximum(abs(low - origin), abs(high - origin))
    reach[reach == 0] = 1
    Z = X.astype(np.float64)
    Z.data = (Z.data - origin[Z.indices]) / reach[Z.indices]
    weights = np.ones(X.shape[0]) if sample_weight is None else sample_weight
    weights = weights.astype(np.float64)
    weight = weights.sum()
    mean = (Z.T @ weights) / weight
    weighed = Z.multiply(np.sqrt(weights)[:, None]).tocsr()
    # Of a constant feature rounding alone would be left.
    spread = np.where(low < high, reach, 0)
    if whole:
        products = (weighed.T @ weighed).toarray() - weight * np.outer(mean, mean)
        products *= np.outer(spread, spread)
        return origin + mean * reach, products, low, high
    squares = np.bincount(weighed.indices, weighed.data**2, X.shape[1])
    squares = np.maximum(squares - weight * mean**2, 0)
    return origin + mean * reach, squares * spread**2, low, high


class TargetMoments:
    """Centre and spread of each output of a regressor over all chunks so far.

    Logits of the core become predictions by ``gain`` and ``offset``.
    """

    def __init__(self, loss, n_outputs):
        self.kind = loss.split("(")[0]
        self.weight = 0.0
        self.center = np.zeros(n_outputs)
        # Mean squared distance from the centre, or mean distance.
        self.spread = np.zeros(n_outputs)
        self.largest = 0.0
        self.gain, self.offset = np.ones(n_outputs), np.zeros(n_outputs)

    def with_chunk(self, target, sample_weight):
        """Moments of these data and a chunk more."""
        new = copy.copy(self)
        y = target.astype(np.float64)
        weight = np.ones(len(y)) if sample_weight is None else sample_weight
        total = weight.sum(dtype=np.float64)
        share = total / (self.weight + total)
        new.weight = self.weight + total
        new.largest = max(self.largest, float(abs(y).max()))
        if self.kind in ("absolute_error", "huber"):
            center = np.array([_median(column, weight) for column in y.T])
        else:
            center = np.average(y, axis=0, weights=weight)
        delta = center - self.center
        new.center = self.center + share * delta
        if self.kind == "poisson":
            if not (new.center > 0).all():
                raise ValueError(
                    "y must be above 0 for at least one sample in each output for the "
                    "poisson loss, got zeros only"
                )
            new.offset = np.log(new.center)
            return new
        if self.kind == "squared_error":
            within = np.average((y - center) ** 2, axis=0, weights=weight)
            between = (1 - share) * delta**2
            new.spread = self.spread + share * (within + between - self.spread)
            gain = np.sqrt(new.spread)
        else:
            within = np.average(abs(y - new.center), axis=0, weights=weight)
            new.spread = self.spread + share * (within - self.spread)
            gain = _MEAN_DISTANCE * new.spread
        # Constant targets: any spread will do.
        noise = 2 * np.finfo(target.dtype).eps * new.largest
        new.gain = np.where(gain > noise, gain, 1.0)
        new.offset = new.center
        return new

    def standard(self, target):
        """Targets as the core takes them."""
        if self.kind == "poisson":
            return np.ascontiguousarray(target / self.center, dtype=target.dtype)
        standard = (target - self.center) / self.gain
        return np.ascontiguousarray(standard, dtype=target.dtype)


def _median(values, weight):
    """Smallest value at which half of the weight is reached."""
    order = np.argsort(values)
    reached = np.cumsum(weight[order], dtype=np.float64)
    return values[order[np.searchsorted(reached, 0.5 * reached[-1])]]


class Watch:
    """Scores on validation data after each chunk, and the best weights."""

    def __init__(self):
        self.scores = []
        self.best, self.weights = -np.inf, None
        # The score that the next ones have to better, and how many have not.
        self.mark, self.stale = -np.inf, 0

    def with_score(self, score, weights, tol):
        """Return the watch after a chunk more; of equal scores the last counts."""
        new = copy.copy(self)
        new.scores = [*self.scores, score]
        if self.weights is None or score >= self.best:
            new.best, new.weights = score, weights
        if score > self.mark + tol:
            new.mark, new.stale = score, 0
        else:
            new.stale = self.stale + 1
        return new


class Stream:
    """All that is kept between two calls of ``partial_fit``."""

    def __init__(self, n_features, design, targets=None):
        self.design = design
        self.inputs = InputMoments(n_features)
        self.targets = targets
        self.n_seen = 0
        self.mapped_weight = 0.0
        self.core = None
        self.losses = []
        self.watch = Watch()

    def with_chunk(self, X, target, sample_weight):
        """Return the stream with a chunk's moments, and whether to fit the map again.

        The core's weights of the output layer then give the same predictions through
        the new centre and spread of the targets.
        """
        new = copy.copy(self)
        new.inputs = self.inputs.with_chunk(X, sample_weight)
        new.n_seen = self.n_seen + X.shape[0]
        refit = new.inputs.weight >= _GROWTH * self.mapped_weight
        if refit:
            new.mapped_weight = new.inputs.weight
        if self.targets is not None:
            new.targets = self.targets.with_chunk(target, sample_weight)
            if self.core is not None:
                new.core = _with_outputs(self.core, self.targets, new.targets)
        return new, refit


def _with_outputs(core, old, new):
    """State of the core whose logits have another gain and offset."""
    ratio, move = old.gain / new.gain, (old.offset - new.offset) / new.gain
    changed = dict(core)
    for name in ("weights", "means", "velocities"):
        last = core[name][-1] * ratio
        if name != "velocities":
            last[-1] += move
        last = np.ascontiguousarray(last, dtype=core[name][-1].dtype)
        changed[name] = [*core[name][:-1], last]
    return changed


def is_available(estimator):
    """Raise what tells ``hasattr`` that there is no ``partial_fit``."""
    if estimator.solver == "batch":
        raise AttributeError(
            "partial_fit is only available for solver='stochastic' or 'auto', got "
            "solver='batch'"
        )
    return True


def validation_set(estimator, given, *known):
    """Return the validation data of a chunk, checked, or None where there are none."""
    if given is not None:
        return estimator._validation_set(*given, *known)
    if estimator.early_stopping:
        raise ValueError(
            "partial_fit with early_stopping=True needs X_val and y_val, the same in "
            "every call, since parts of different chunks do not compare; got neither"
        )
    return None


def _scorer(estimator, validation):
    """Return what scores weights as a fit would, a loss in units that stay."""
    merit = _validation.merit(estimator.scoring)
    if merit == "loss" or (merit == "score" and is_regressor(estimator)):
        return _validation.PassScorer(estimator, validation, _minus_loss)
    return _validation.PassScorer(estimator, validation)


def _minus_loss(estimator, X, y, sample_weight=None):
    """Score by the estimator's own loss."""
    return -float(np.average(estimator._losses(X, y), weights=sample_weight))


def train_chunk(
    estimator, X, target, n_outputs, loss, sample_weight, start, validation
):
    """One pass over a chunk; sets the fitted attributes of the estimator."""
    chosen = estimator._activations()
    design = {
        "n_features": X.shape[1],
        "hidden_layer_sizes": estimator._layer_sizes(),
        "n_outputs": n_outputs,
        "activation": chosen,
        # Labels may be smoothed otherwise from one chunk to the next.
        "loss": loss if target.ndim == 2 else loss.partition("(")[0],
    }
    stream = vars(estimator).get("_stream")
    if stream is None:
        regression = target.ndim == 2
        targets = TargetMoments(loss, n_outputs) if regression else None
        stream = Stream(X.shape[1], design, targets)
    for name, value in design.items():
        if stream.design[name] != value:
            raise ValueError(
                f"partial_fit goes on with {name}={stream.design[name]!r}, but now "
                f"it is {value!r}; fit starts anew"
            )
    stream, refit = stream.with_chunk(X, target, sample_weight)
    options = estimator._options(loss, None)
    options |= {
        "solver": "stochastic",
        "max_iter": 1,
        "early_stopping": False,
        "merit": "score",
        "max_time": None,
        "diagnostics": False,
        # The automatic step goes by the samples that there really are.
        "batch_size": min(options["batch_size"] or _BATCH_SIZE, X.shape[0]),
    }
    automatic = options["learning_rate_init"] is None
    share = _CLASS_RATE if stream.targets is None else _NUMBER_RATE
    arguments = {"rate_share": share if automatic else 1.0}
    if stream.targets is not None:
        target = stream.targets.standard(target)
        gain, offset = stream.targets.gain, stream.targets.offset
        arguments["outputs"] = gain.tolist(), offset.tolist()
    if start is not None and stream.core is None:
        options["activation"] = start.activations
        coefs, intercepts = list(start.coefs), list(start.intercepts)
        if stream.targets is not None:
            coefs[-1] = (coefs[-1] / gain).astype(X.dtype)
            intercepts[-1] = ((intercepts[-1] - offset) / gain).astype(X.dtype)
        arguments["start"] = coefs, intercepts
    result = _core.stream(
        _sparse.rows(X),
        target,
        n_outputs,
        options,
        stream.inputs.for_core(),
        stream.n_seen,
        refit,
        state=stream.core,
        sample_weight=sample_weight,
        **arguments,
    )
    stream.core = result.state
    stream.losses = [*stream.losses, result.loss]
    weights = result.coefs, result.intercepts, result.activations
    estimator.n_outputs_ = n_outputs  # which scorers need
    if validation is not None:
        score = _scorer(estimator, validation)(weights)
        stream.watch = stream.watch.with_score(score, weights, estimator.tol)
        if estimator.early_stopping:
            weights = stream.watch.weights
    _keep(estimator, stream, result, weights, chosen)


def _keep(estimator, stream, result, weights, chosen):
    """Set the fitted attributes."""
    watch, early = stream.watch, estimator.early_stopping
    estimator._stream = stream
    estimator._chosen_activations = chosen
    estimator.coefs_, estimator.intercepts_, estimator.activations_ = weights
    estimator.n_layers_ = len(estimator.coefs_) + 1
    estimator.n_components_ = result.n_components
    estimator.n_iter_ = getattr(estimator, "n_iter_", 0) + 1
    estimator.loss_ = result.loss
    estimator.loss_curve_ = list(stream.losses)
    estimator.history_ = {"loss": list(stream.losses)}
    estimator.best_loss_ = None if early else min(stream.losses)
    estimator.validation_scores_ = estimator.best_validation_score_ = None
    if watch.scores:
        estimator.validation_scores_ = list(watch.scores)
        estimator.best_validation_score_ = max(watch.scores)
    if len(watch.scores) == len(stream.losses):
        estimator.history_["validation_score"] = list(watch.scores)
    estimator.status_ = "partial_fit"
    if early and watch.stale >= estimator.n_iter_no_change:
        estimator.status_ = "converged"
    if result.status == "interrupted":
        estimator.status_ = "interrupted"
        warnings.warn(
            "Training interrupted by user; the model is the one of that moment.",
            ConvergenceWarning,
            stacklevel=3,
        )
