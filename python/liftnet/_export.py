"""What the ways out of liftnet share: the forms of the output, files that are whole."""

import os
import secrets
import shutil
from pathlib import Path

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted


def layers(estimator, binary="one"):
    """Weights and intercepts of each layer, the last in the form asked for.

    Parameters
    ----------
    estimator : LiftedMLPClassifier or LiftedMLPRegressor
        A fitted estimator.
    binary : {"one", "two"}, default="one"
        Logits of two classes.

    Returns
    -------
    list of (ndarray of shape (n_in, n_out), ndarray of shape (n_out,))

    Raises
    ------
    ValueError
        For another choice, or "two" without classes of which each sample has one.
    """
    check_is_fitted(estimator)
    pairs = list(zip(estimator.coefs_, estimator.intercepts_, strict=True))
    if binary not in ("one", "two"):
        raise ValueError(f"binary must be 'one' or 'two', got {binary!r}")
    if binary == "one":
        return pairs
    kind = type(estimator).__name__
    if not is_classifier(estimator):
        raise ValueError(f"binary='two' is for classifiers, not for a {kind}")
    if estimator.out_activation_ == "logistic":
        if estimator.n_outputs_ > 1:
            raise ValueError(
                "binary='two' is for two classes that exclude each other, but the "
                f"{kind} has {estimator.n_outputs_} labels that do not"
            )
        # Halves are exact, so the difference has every bit of the one logit, and no
        # class is treated otherwise than the other in further training.
        pairs[-1] = tuple(
            np.concatenate([-array, array], axis=-1) / 2 for array in pairs[-1]
        )
    return pairs


def link(estimator, head, binary="one"):
    """Name of the function that follows the last layer.

    Parameters
    ----------
    estimator : LiftedMLPClassifier or LiftedMLPRegressor
        A fitted estimator.
    head : {"logits", "softmax", "predictions"}
        What is wanted of the outputs: as they are, probabilities of a classifier, or
        predictions of a regressor.
    binary : {"one", "two"}, default="one"
        Logits of two classes.

    Returns
    -------
    {"identity", "softmax", "logistic", "exp"}

    Raises
    ------
    ValueError
        For a head that the estimator cannot have.
    """
    own = "softmax" if is_classifier(estimator) else "predictions"
    if head not in ("logits", own):
        raise ValueError(
            f"head must be 'logits' or {own!r} for a {type(estimator).__name__}, got "
            f"{head!r}"
        )
    if head == "logits":
        return "identity"
    return "softmax" if binary == "two" else estimator.out_activation_


def state_dict(estimator, binary="one"):
    """Parameters under PyTorch's names and in its shapes; see ``to_state_dict``."""
    # A Linear module and an activation's take turns in to_torch's Sequential.
    return {
        f"{2 * index}.{name}": np.array(array.T, order="C")
        for index, pair in enumerate(layers(estimator, binary))
        for name, array in zip(("weight", "bias"), pair, strict=True)
    }


def write(path, data):
    """Write a file such that whoever reads sees the old one or all of the new one.

    Parameters
    ----------
    path : str or path-like
        File to make or replace.
    data : bytes
        All of its contents.
    """
    target = Path(os.path.realpath(path))  # a link stays one
    if target.exists() and not (target.is_file() or target.is_dir()):
        target.write_bytes(data)  # a pipe or a device is not to be replaced
        return
    temporary = target.with_name(f".liftnet-{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                if target.is_file():
                    shutil.copymode(target, temporary)
                temporary.replace(target)
            except BaseException:
                temporary.unlink()
                raise
    except OSError as error:
        # The caller knows nothing of the temporary file.
        error.filename, error.filename2 = os.fspath(path), None
        raise
