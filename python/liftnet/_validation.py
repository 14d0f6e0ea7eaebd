"""The user's validation data, and scores of the network after every pass."""

import copy
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import check_scoring
from sklearn.utils.validation import _check_sample_weight


class ValidationSet(NamedTuple):
    """Data held out: inputs, targets as the core takes them, sample weights."""

    X: Any
    target: Any
    sample_weight: Any = None


def together(X_val, y_val, sample_weight_val):
    """Triple of what ``fit`` was given, or None without validation data.

    Raises
    ------
    ValueError
        For inputs without targets, or the other way round.
    """
    if X_val is None and y_val is None:
        if sample_weight_val is not None:
            raise ValueError("sample_weight_val was given without X_val and y_val")
        return None
    for name, value in (("X_val", X_val), ("y_val", y_val)):
        if value is None:
            raise ValueError(
                f"X_val and y_val must be given together, but {name} is None"
            )
    return X_val, y_val, sample_weight_val


def checked_inputs(estimator, X_val, dtype):
    """Validate as ``predict`` would; errors name X_val."""
    try:
        return estimator._validate_X(X_val, reset=False, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise type(error)(f"X_val: {error}") from error


def checked_weights(sample_weight_val, X_val):
    """Weights of the validation samples; those of a constant are None."""
    if sample_weight_val is None:
        return None
    try:
        weight = _check_sample_weight(
            sample_weight_val, X_val, dtype=np.float64, ensure_non_negative=True
        )
    except (TypeError, ValueError) as error:
        raise type(error)(f"sample_weight_val: {error}") from error
    if not weight.any():
        raise ValueError("sample_weight_val: zero for every sample")
    return (weight / weight.max()).astype(X_val.dtype)


def merit(scoring):
    """Name that the core has for what a scoring measures."""
    if scoring is None:
        return "score"
    return "loss" if isinstance(scoring, str) and scoring == "loss" else "own"


class PassScorer:
    """Scorer of the weights of a pass, in an estimator that has them.

    ``scorer`` takes the place of the one that the estimator's scoring names.
    """

    def __init__(self, estimator, validation, scorer=None):
        self.scorer = scorer or check_scoring(estimator, estimator.scoring)
        self.estimator = estimator
        self.X, target, weight = validation
        self.y = estimator._targets_for_scorer(target)
        self.params = {} if weight is None else {"sample_weight": weight}

    def __call__(self, weights):
        estimator = with_weights(self.estimator, weights)
        score = self.scorer(estimator, self.X, self.y, **self.params)
        if not isinstance(score, Real) or np.isnan(score):
            raise ValueError(
                "scoring must give a number that is not NaN, but "
                f"{self.estimator.scoring!r} gave {score!r}"
            )
        return float(score)


def with_weights(estimator, weights):
    """Copy of an estimator that predicts with the weights of a pass."""
    fitted = copy.copy(estimator)
    fitted.coefs_, fitted.intercepts_, fitted.activations_ = weights
    fitted.n_layers_ = len(fitted.coefs_) + 1
    return fitted
