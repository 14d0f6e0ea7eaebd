"""Targets of the classifier: several labels for a sample, what classes weigh."""

import math
from numbers import Real

import numpy as np
from scipy.sparse import csr_array, csr_matrix, issparse, isspmatrix
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target


def indicators(y, dtype):
    """Read labels that do not exclude each other; None where they are classes.

    Parameters
    ----------
    y : ndarray or sparse matrix
        Targets of a classifier.
    dtype : dtype
        Precision of the matrix that is returned.

    Returns
    -------
    ndarray of shape (n_samples, n_labels) or None
        Of 0 and 1.

    Raises
    ------
    ValueError
        For several targets that are no labels to have or not, and for real values.
    """
    kind = type_of_target(y, input_name="y")
    if kind == "multiclass-multioutput":
        raise ValueError(
            f"y of shape {y.shape} holds several classes for each sample; fit one "
            "classifier a column with sklearn.multioutput.MultiOutputClassifier"
        )
    check_classification_targets(y)
    if kind != "multilabel-indicator":
        if issparse(y):
            raise ValueError(
                f"sparse y must be an indicator matrix of labels, got {kind} targets "
                f"of shape {y.shape}; pass y.toarray().ravel()"
            )
        return None
    if issparse(y):
        y = y.toarray()
    labels = np.ascontiguousarray(y, dtype=dtype)
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(
            "y as an indicator matrix must hold 1 for a label that a sample has, else "
            f"0, got the values {np.unique(y).tolist()}"
        )
    return labels


# What sparse labels of a prediction come in, after those of the fit.
SPARSE_KINDS = {"matrix": csr_matrix, "array": csr_array}


def sparse_kind(y):
    """Key of `SPARSE_KINDS` for targets; None for dense ones."""
    if not issparse(y):
        return None
    return "matrix" if isspmatrix(y) else "array"


def contained(labels, kind):
    """Labels in the container of a `sparse_kind`."""
    return labels if kind is None else SPARSE_KINDS[kind](labels)


def are_indicators(y):
    """Whether ``y``, of any kind of array, is an indicator matrix of several labels."""
    return getattr(y, "ndim", 1) == 2 and type_of_target(y) == "multilabel-indicator"


def validation_indicators(y_val, n_labels, dtype):
    """Read an indicator matrix of validation data, with as many labels as ``y`` has.

    Parameters
    ----------
    y_val : array-like or sparse matrix of shape (n_samples, n_labels)
    n_labels : int
    dtype : dtype

    Returns
    -------
    ndarray of shape (n_samples, n_labels)

    Raises
    ------
    ValueError
        For another shape, and what is no indicator matrix.
    """
    y_val = y_val.toarray() if issparse(y_val) else np.asarray(y_val)
    if y_val.ndim != 2 or y_val.shape[1] != n_labels:
        raise ValueError(
            f"y_val must be an indicator matrix with {n_labels} columns, as y is, got "
            f"the shape {y_val.shape}"
        )
    if not np.isin(y_val, (0, 1)).all():
        raise ValueError("y_val must hold 0 and 1 only, as an indicator matrix does")
    return np.ascontiguousarray(y_val, dtype=dtype)


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


def weigh_known_classes(class_weight, classes, target, sample_weight):
    """``weigh_classes`` where a chunk may lack classes; ``target`` are their places.

    Returns
    -------
    ndarray of shape (n_samples,)
        In double precision.

    Raises
    ------
    ValueError
        As for ``weigh_classes``, or for the weight of a class that is not known.
    """
    if isinstance(class_weight, list):
        raise ValueError(f"class_weight must be a dict, got {class_weight!r}")
    _check(class_weight)
    known = classes.tolist()
    unknown = [label for label in class_weight if label not in known]
    if unknown:
        raise ValueError(f"class_weight has classes that are not known: {unknown}")
    factors = np.array([class_weight.get(label, 1.0) for label in known], dtype=float)
    weights = factors[target]
    if sample_weight is not None:
        weights *= sample_weight
    if not weights.any():
        raise ValueError(
            f"class_weight={class_weight!r} is zero for every class that y holds"
        )
    return weights
