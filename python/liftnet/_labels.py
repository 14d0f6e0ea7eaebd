"""Targets of the classifier: what classes weigh."""

import math
from numbers import Real

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight


def weigh_classes(class_weight, y, sample_weight):
    """Sample weights times those of the samples' classes.

    Parameters
    ----------
    class_weight : dict, list of dict or "balanced"
        As scikit-learn's ``compute_sample_weight`` takes it; "balanced" counts each
        sample by its weight.
    y : ndarray of shape (n_samples,) or (n_samples, n_labels)
        Labels.
    sample_weight : ndarray of shape (n_samples,) or None
        Weights above 0.

    Returns
    -------
    ndarray of shape (n_samples,)
        In double precision.

    Raises
    ------
    ValueError
        For a weight that is negative or not finite, weights that leave nothing, classes
        that ``y`` does not have while others are missing, or a list that does not fit.
    """
    counts = np.ones(len(y)) if sample_weight is None else np.float64(sample_weight)
    if isinstance(class_weight, str):
        factors = np.ones(len(y))
        for column in y.reshape(len(y), -1).T:
            factors *= _balanced(column, counts)
    else:
        _check(class_weight)
        factors = compute_sample_weight(class_weight, y)
    weights = counts * factors
    if not weights.any():
        raise ValueError(
            f"class_weight={class_weight!r} is zero for every class that y holds"
        )
    return weights


def _balanced(y, counts):
    """Weights that give every class the same total, with a mean of 1."""
    _, index = np.unique(y, return_inverse=True)
    totals = np.bincount(index, weights=counts)
    return (totals.sum() / (len(totals) * totals))[index]


def _check(class_weight):
    """Refuse weights that no sample can have."""
    for weights in class_weight if isinstance(class_weight, list) else [class_weight]:
        if not isinstance(weights, dict):
            raise ValueError(
                "class_weight must be 'balanced', a dict from classes to weights, or "
                f"for several labels a list of these, got {class_weight!r}"
            )
        for label, weight in weights.items():
            if not isinstance(weight, Real) or not 0 <= weight < math.inf:
                raise ValueError(
                    "class_weight must give finite weights of 0 or more, got "
                    f"{weight!r} for class {label!r}"
                )
