"""Sparse inputs on their way to the core, which reads them row by row."""

import numpy as np
from scipy.sparse import issparse

from liftnet import _core


def checked(X):
    """Put inputs in a form that the core can borrow: aligned, CSR in canonical format.

    Parameters
    ----------
    X : ndarray or sparse CSR matrix or array

    Returns
    -------
    ndarray or sparse CSR matrix or array
        The same object where it is right already, for nearly all are.
    """
    if not issparse(X):
        return np.require(X, requirements="A")
    if not X.has_canonical_format:
        X = X.copy()  # the caller's stays as it is
        X.sum_duplicates()
    return X


def first_non_finite(X):
    """Find row and column of the first NaN or infinity of checked inputs, if any."""
    if not issparse(X):
        return _core.first_non_finite(X)
    bad = np.flatnonzero(~np.isfinite(X.data))
    if not len(bad):
        return None
    row = int(np.searchsorted(X.indptr, bad[0], side="right")) - 1
    return row, int(X.indices[bad[0]])


def rows(X):
    """Take checked inputs apart for the core: an array stays one, CSR is its parts."""
    if not issparse(X):
        return X
    return (
        np.ascontiguousarray(X.indptr, dtype=np.int64),
        np.ascontiguousarray(X.indices, dtype=np.int32),
        np.require(X.data, requirements=["A", "C"]),
        X.shape[1],
    )
