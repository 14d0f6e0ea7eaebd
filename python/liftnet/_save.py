"""Fitted estimators in files: arrays as safetensors, the rest as JSON; nothing runs."""

import json
import math
import os
import re
import warnings
from importlib.metadata import version
from inspect import signature
from itertools import pairwise
from numbers import Integral, Real

import numpy as np
from sklearn.utils.validation import check_is_fitted

from liftnet import _core, _export
from liftnet._classifier import LiftedMLPClassifier
from liftnet._labels import SPARSE_KINDS
from liftnet._regressor import LiftedMLPRegressor

_FORMAT_VERSION = 1

# The one key of the file's metadata: several come out in another order every time.
_KEY = "liftnet"

_ESTIMATORS = {
    kind.__name__: kind for kind in (LiftedMLPClassifier, LiftedMLPRegressor)
}

# Numbers of the record of a fit. One that started from a module has none of them.
_NUMBERS = {
    "n_iter_": int,
    "n_components_": int,
    "loss_": float,
    "best_loss_": float,
    "best_validation_score_": float,
}

# Reasons for the end of a fit.
_STATUSES = (
    "max_iter",
    "converged",
    "max_time",
    "interrupted",
    "callback",
    "partial_fit",
)

# Lists of numbers of the record, arrays in the file.
_CURVES = ("loss_curve_", "validation_scores_")

_WEIGHT_TYPES = {"F32", "F64"}

# Most characters of all labels together: NumPy gives each the room of the longest.
_LABEL_ROOM = 2**26


def _safetensors():
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "saving and loading need safetensors; install it with: pip install "
            "'liftnet[export]'"
        ) from error
    return safetensors


def save(estimator, path):
    """Write a fitted estimator to a file; see ``LiftedMLPClassifier.save``."""
    safetensors = _safetensors()
    check_is_fitted(estimator)
    if type(estimator) not in _ESTIMATORS.values():
        raise TypeError(
            f"only {' and '.join(_ESTIMATORS)} can be saved, not a subclass such as "
            f"{type(estimator).__name__}"
        )
    path = os.fspath(path)
    arrays = _arrays(estimator)
    text = json.dumps(_record(estimator), sort_keys=True, allow_nan=False)
    try:
        # What load would refuse is not written.
        _restore(json.loads(text), arrays)
    except ValueError as error:
        raise ValueError(f"cannot save to {path}: {error}") from error
    _export.write(path, safetensors.numpy.save(arrays, metadata={_KEY: text}))


def load(path):
    """Read an estimator from a file that its method ``save`` wrote.

    Nothing in the file is executed, and all of it is checked: files from anywhere can
    be loaded.

    Parameters
    ----------
    path : str or path-like
        File to read.

    Returns
    -------
    estimator : LiftedMLPClassifier or LiftedMLPRegressor
        As it was saved: with the parameters, weights and record of the fit. It predicts
        the same bits, and ``warm_start`` goes on from it. A parameter that the file
        does not have, of a liftnet before it, has its default.

    Raises
    ------
    ValueError
        For a file that is damaged, of another kind or of another version of the format;
        the message names the file and the reason.
    OSError
        When there is no such file, or it cannot be read.
    ImportError
        Without safetensors.

    Examples
    --------
    >>> import liftnet, tempfile, pathlib
    >>> clf = liftnet.LiftedMLPClassifier(5, random_state=0)
    >>> clf = clf.fit([[0.0], [1.0], [2.0], [3.0]], ["low", "low", "high", "high"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "model.safetensors"
    ...     clf.save(path)
    ...     liftnet.load(path).classes_
    array(['high', 'low'], dtype='<U4')
    """
    safetensors = _safetensors()
    path = os.fspath(path)
    with open(path, "rb"):
        pass  # safetensors describes a folder or a missing right as something else
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_KEY)
            if text is None:
                raise ValueError("it was not written by liftnet")
            record = json.loads(text)
            _check_version(record)
            return _restore(record, _read(file))
    except (ValueError, RecursionError, safetensors.SafetensorError) as error:
        raise ValueError(f"cannot load {path}: {error}") from error


# What goes into a file


def _arrays(estimator):
    """Arrays of the file by name."""
    arrays = {}
    for name in ("coefs_", "intercepts_"):
        for index, array in enumerate(getattr(estimator, name)):
            arrays[f"{name}.{index}"] = np.array(array, order="C")
    for name in _CURVES:
        if getattr(estimator, name, None) is not None:
            arrays[name] = np.array(getattr(estimator, name), dtype=np.float64)
    for name, values in getattr(estimator, "history_", {}).items():
        arrays[f"history_.{name}"] = np.array(values, dtype=np.float64)
    return arrays


def _record(estimator):
    """All else, as JSON has it."""
    names = ("activations_", "_chosen_activations", "out_activation_", "n_features_in_")
    names += ("_sparse_labels",)
    attributes = {
        name: _plain(getattr(estimator, name))
        for name in (*names, *_NUMBERS, "status_")
        if hasattr(estimator, name)
    }
    for name in _CURVES:
        if getattr(estimator, name, 0) is None:
            attributes[name] = None
    if hasattr(estimator, "history_"):
        attributes["history_"] = list(estimator.history_)  # in its order
    if hasattr(estimator, "classes_"):
        dtype = estimator.classes_.dtype
        # Dates and other types are refused by name on the way back.
        values = estimator.classes_.tolist() if dtype.kind in "biufOU" else []
        attributes["classes_"] = {"dtype": dtype.str, "values": _plain(values)}
    if hasattr(estimator, "feature_names_in_"):
        attributes["feature_names_in_"] = [str(n) for n in estimator.feature_names_in_]
    return {
        "format_version": _FORMAT_VERSION,
        "estimator": type(estimator).__name__,
        "parameters": _plain_parameters(estimator),
        "attributes": attributes,
        "versions": {"liftnet": version("liftnet"), "numpy": np.__version__},
    }


def _plain_parameters(estimator):
    """Parameters as JSON has them; the default, and a warning, for what is no data."""
    plain = {}
    for name, value in estimator.get_params(deep=False).items():
        try:
            if name == "init" and value is not None:
                # Weights in JSON would be large, and those of the fit are in the file.
                raise TypeError
            plain[name] = _plain(value)
        except TypeError:
            default = signature(type(estimator)).parameters[name].default
            warnings.warn(
                f"{name}={_short(value)} is no plain data and is saved as {default!r}, "
                "its default",
                UserWarning,
                stacklevel=5,
            )
            plain[name] = _plain(default)
    return plain


def _plain(value):
    """Put a value in the terms of JSON, which has no tuples and no infinities."""
    if value is None or isinstance(value, str):
        return value if value is None else str(value)
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        value = float(value)
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, tuple):
        return {"tuple": [_plain(entry) for entry in value]}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    raise TypeError(f"{value!r} is no plain data")


def _value(plain):
    """Undo ``_plain``."""
    if isinstance(plain, list):
        return [_value(entry) for entry in plain]
    if not isinstance(plain, dict):
        return plain
    match list(plain.items()):
        case [("tuple", [*entries])]:
            return tuple(_value(entry) for entry in entries)
        case [("float", "nan" | "inf" | "-inf" as name)]:
            return float(name)
    raise ValueError(f"{_short(plain)} is no value")


# What comes out of a file


def _check_version(record):
    """Refuse another format before anything else is looked for."""
    found = _get(record, "format_version", int)
    if found != _FORMAT_VERSION:
        versions = record.get("versions")
        writer = versions.get("liftnet") if isinstance(versions, dict) else None
        raise ValueError(
            f"its format has version {found}, written by liftnet {_short(writer)}, but "
            f"liftnet {version('liftnet')} reads version {_FORMAT_VERSION}"
        )


def _read(file):
    """Arrays of an open file; types and shapes are checked before any is made."""
    arrays = {}
    for name in file.keys():
        part = file.get_slice(name)
        shape, kind = part.get_shape(), part.get_dtype()
        group = name.split(".", 1)[0]
        n_axes = 2 if group == "coefs_" else 1
        if group in ("coefs_", "intercepts_"):
            right = kind in _WEIGHT_TYPES and 0 not in shape
        elif group == "history_" or name in _CURVES:
            right = kind == "F64"
        else:
            raise ValueError(f"it holds an array {_short(name)}")
        if not right or len(shape) != n_axes:
            raise ValueError(f"{_short(name)} has the type {kind} and shape {shape}")
        arrays[name] = np.array(file.get_tensor(name))
    return arrays


def _restore(record, arrays):
    """Estimator of a record and arrays; ValueError for whatever does not fit."""
    name = _get(record, "estimator", str)
    if name not in _ESTIMATORS:
        raise ValueError(f"there is no estimator {_short(name)}")
    estimator = _estimator(_ESTIMATORS[name], _get(record, "parameters", dict))
    attributes = _get(record, "attributes", dict)
    _restore_network(estimator, attributes, dict(arrays))
    if isinstance(estimator, LiftedMLPClassifier):
        estimator.classes_ = _classes(_get(attributes, "classes_", dict))
        if "_sparse_labels" in attributes:
            estimator._sparse_labels = attributes["_sparse_labels"]
            if estimator._sparse_labels not in (None, *SPARSE_KINDS):
                kind = _short(estimator._sparse_labels)
                raise ValueError(f"labels cannot be in a sparse {kind}")
    _check_outputs(estimator)
    _restore_features(estimator, attributes)
    _restore_fit(estimator, attributes, arrays)
    return estimator


def _estimator(kind, parameters):
    """Make an estimator, its parameters checked as fit does."""
    values = {name: _value(plain) for name, plain in parameters.items()}
    unknown = values.keys() - signature(kind).parameters.keys()
    if unknown:
        raise ValueError(
            f"{kind.__name__} has no parameter {_short(sorted(unknown)[0])}"
        )
    estimator = kind(**values)
    estimator._validate_params()
    return estimator


def _restore_network(estimator, attributes, arrays):
    """Weights that chain, and the activations between them."""
    coefs, intercepts = [], []
    while f"coefs_.{len(coefs)}" in arrays:
        index = len(coefs)
        coefs.append(arrays.pop(f"coefs_.{index}"))
        intercepts.append(_get(arrays, f"intercepts_.{index}", np.ndarray))
        del arrays[f"intercepts_.{index}"]
    if not coefs:
        raise ValueError("it has no coefs_.0")
    for name in arrays:
        if name.startswith(("coefs_", "intercepts_")):
            raise ValueError(f"{_short(name)} belongs to no layer")
    for index, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
        if coef.ndim != 2 or 0 in coef.shape or intercept.shape != coef.shape[1:]:
            raise ValueError(
                f"coefs_.{index} of shape {coef.shape} and intercepts_.{index} of "
                f"shape {intercept.shape} are no layer"
            )
        for name, array in (("coefs_", coef), ("intercepts_", intercept)):
            if array.dtype != coefs[0].dtype or array.dtype not in ("<f4", "<f8"):
                raise ValueError(
                    f"{name}.{index} has the type {array.dtype}, coefs_.0 "
                    f"{coefs[0].dtype}; all are float32 or all float64"
                )
            if not np.isfinite(array).all():
                raise ValueError(f"{name}.{index} holds NaN or infinity")
    for index, (before, after) in enumerate(pairwise(coefs)):
        if before.shape[1] != after.shape[0]:
            raise ValueError(
                f"coefs_.{index} of shape {before.shape} and coefs_.{index + 1} of "
                f"shape {after.shape} do not fit together"
            )
    estimator.coefs_, estimator.intercepts_ = coefs, intercepts
    estimator.n_layers_ = len(coefs) + 1
    estimator.n_outputs_ = coefs[-1].shape[1]
    estimator.out_activation_ = _get(attributes, "out_activation_", str)
    estimator.activations_ = _activations(attributes, "activations_", len(coefs) - 1)
    if "_chosen_activations" in attributes:
        estimator._chosen_activations = _activations(
            attributes, "_chosen_activations", len(coefs) - 1
        )


def _activations(attributes, name, number):
    """Names of hidden layers' activations, each known to the core."""
    names = _get(attributes, name, list)
    if len(names) != number or not all(isinstance(one, str) for one in names):
        raise ValueError(
            f"{name} must be {number} names, one for each hidden layer, got "
            f"{_short(names)}"
        )
    for one in names:
        _core.activation_info(one)
    return names


def _classes(stored):
    """Labels of the classes in their own type."""
    kind, values = _get(stored, "dtype", str), _get(stored, "values", list)
    if not re.fullmatch(r"[<>|](b1|[iu][1248]|f[248]|O|U[1-9][0-9]{0,8})", kind):
        raise ValueError(f"classes_ of type {_short(kind)} cannot be stored")
    if kind[1] == "U" and int(kind[2:]) * len(values) > _LABEL_ROOM:
        raise ValueError(
            f"{len(values)} labels of {kind[2:]} characters each are too many"
        )
    if kind[1] in "OU":
        right = all(isinstance(value, str) for value in values)
    else:
        right = all(isinstance(value, bool | int | float) for value in values)
    if not right:
        raise ValueError(f"classes_ of type {kind} cannot be {_short(values)}")
    try:
        with np.errstate(over="ignore"):
            classes = np.array(values, dtype=kind)
    except OverflowError as error:
        raise ValueError(f"classes_ of type {kind}: {error}") from error
    back = classes.tolist()
    if back != values or list(map(type, back)) != list(map(type, values)):
        raise ValueError(f"classes_ of type {kind} cannot be {_short(values)}")
    if not np.array_equal(np.unique(classes), classes):
        raise ValueError(f"classes_ are not sorted and distinct: {_short(values)}")
    return classes


def _check_outputs(estimator):
    """Refuse a last layer that has not the units that its classes or targets need."""
    link, n_outputs = estimator.out_activation_, estimator.n_outputs_
    if not isinstance(estimator, LiftedMLPClassifier):
        if link not in ("identity", "exp"):
            raise ValueError(f"out_activation_ of a regressor cannot be {_short(link)}")
        return
    n_classes = len(estimator.classes_)
    if link == "softmax":
        fits = n_outputs == n_classes > 2
    elif link == "logistic":
        # One logit tells two classes apart; otherwise each label has its own.
        fits = (n_classes, n_outputs) == (2, 1) or n_outputs == n_classes > 1
    else:
        raise ValueError(f"out_activation_ of a classifier cannot be {_short(link)}")
    if not fits:
        raise ValueError(
            f"{n_classes} classes_ and {n_outputs} outputs with out_activation_ "
            f"{link!r} do not fit together"
        )


def _restore_features(estimator, attributes):
    """Restore number and names of the inputs."""
    number = _get(attributes, "n_features_in_", int)
    if number != estimator.coefs_[0].shape[0]:
        raise ValueError(
            f"n_features_in_ is {number}, but coefs_.0 has the shape "
            f"{estimator.coefs_[0].shape}"
        )
    estimator.n_features_in_ = number
    if "feature_names_in_" in attributes:
        names = _get(attributes, "feature_names_in_", list)
        if len(names) != number or not all(isinstance(name, str) for name in names):
            raise ValueError(f"feature_names_in_ are not {number} strings")
        estimator.feature_names_in_ = np.array(names, dtype=object)


def _restore_fit(estimator, attributes, arrays):
    """Record of the fit, what there is of it."""
    for name, kind in _NUMBERS.items():
        if name in attributes:
            value = _value(attributes[name])
            if name.startswith("best_") and value is None:
                pass
            elif type(value) is not kind:
                raise ValueError(f"{name} cannot be {_short(value)}")
            setattr(estimator, name, value)
    if "status_" in attributes:
        estimator.status_ = _get(attributes, "status_", str)
        if estimator.status_ not in _STATUSES:
            raise ValueError(f"status_ cannot be {_short(estimator.status_)}")
    for name in _CURVES:
        if name in arrays:
            setattr(estimator, name, arrays[name].tolist())
        elif name in attributes:
            setattr(estimator, name, None)
    if "history_" in attributes:
        names = _get(attributes, "history_", list)
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"history_ has the names {_short(names)}")
        estimator.history_ = {
            name: _get(arrays, f"history_.{name}", np.ndarray).tolist()
            for name in names
        }


def _get(mapping, name, kind):
    """Entry of a type; a bool is no int."""
    value = mapping.get(name) if isinstance(mapping, dict) else None
    if type(value) is not kind:
        found = "missing" if value is None else f"a {type(value).__name__}"
        raise ValueError(f"{_short(name)} is {found}, not a {kind.__name__}")
    return value


def _short(value):
    """Show what was found, and not all of it."""
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."
