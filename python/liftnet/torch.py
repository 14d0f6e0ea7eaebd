"""Hand-over to and from PyTorch; the only module that imports it."""

from itertools import pairwise

import numpy as np

try:
    import torch
    from torch import nn
except ImportError as error:  # pragma: no cover - depends on the environment
    raise ImportError(
        "liftnet.torch needs PyTorch; install it with: pip install 'liftnet[torch]'"
    ) from error

from sklearn.utils.validation import check_is_fitted

from liftnet import _core
from liftnet._classifier import LiftedMLPClassifier
from liftnet._regressor import LiftedMLPRegressor

__all__ = ["from_torch", "to_torch"]

_MODULES = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "hard_tanh": nn.Hardtanh,
}


def to_torch(estimator, dtype=None, device=None):
    """Export a fitted estimator as a trainable PyTorch module.

    Parameters
    ----------
    estimator : LiftedMLPClassifier or LiftedMLPRegressor
        A fitted estimator.
    dtype : torch.dtype, default=None
        Type of the parameters; that of ``coefs_`` by default.
    device : torch.device or str, default=None
        Where to put them; PyTorch's default device by default.

    Returns
    -------
    module : torch.nn.Sequential
        ``Linear, activation, ..., Linear``. Weights have PyTorch's shape (out, in).
        Takes raw inputs and returns logits, one column for two classes; of a regressor
        the predictions, or with the Poisson loss their logarithms. A new copy, which
        shares no memory with the estimator.
    """
    check_is_fitted(estimator)
    if dtype is None:
        dtype = _tensor(estimator.coefs_[0][:0]).dtype
    if device is None:
        device = torch.empty(0).device
    layers = []
    for coef, intercept in zip(estimator.coefs_, estimator.intercepts_, strict=True):
        if layers:
            layers.append(_module(estimator.activations_[len(layers) // 2]))
        # skip_init leaves PyTorch's generator, and so the user's seed, untouched.
        linear = nn.utils.skip_init(nn.Linear, *coef.shape, dtype=dtype, device=device)
        with torch.no_grad():
            linear.weight.copy_(_tensor(coef.T))
            linear.bias.copy_(_tensor(intercept))
        layers.append(linear)
    return nn.Sequential(*layers)


def _module(activation):
    """Make the module of an activation in the core's notation."""
    _, name, parameter = _core.parse_activation(activation)
    return _MODULES[name](*([] if parameter is None else [parameter[1]]))


def _tensor(array):
    """Copy an array: PyTorch warns of memory that it may not write to."""
    return torch.from_numpy(np.array(array))


def from_torch(module, *, task="classification", classes=None, **params):
    """Make an estimator that starts, and predicts, with the weights of a module.

    Parameters
    ----------
    module : torch.nn.Module
        ``nn.Sequential`` (possibly nested) of ``Linear`` layers with one and the same
        activation between them. ``Flatten``, ``Dropout`` and, at the end, nothing
        else are passed over: the module must return logits.
    task : {"classification", "regression"}, default="classification"
        What the outputs are: logits of classes, or predictions. For
        ``loss="poisson"`` the latter are logarithms of rates.
    classes : array-like of shape (n_classes,), default=None
        Labels in the order of the outputs, sorted; ``range(n_classes)`` by default.
        A module with one output is a binary classifier; one with two becomes the
        same: its only output is their difference, which gives the same probabilities.
        Not for regression.
    **params
        Further parameters of the estimator.

    Returns
    -------
    estimator : LiftedMLPClassifier or LiftedMLPRegressor
        With ``warm_start=True``: ``predict`` works at once, and ``fit`` starts from the
        module's weights.

    Raises
    ------
    ValueError
        For a module of another structure; the message names the offending part.
    """
    if task not in ("classification", "regression"):
        raise ValueError(f"task must be 'classification' or 'regression', got {task!r}")
    linears, activation = _read(module)
    hidden = tuple(linear.out_features for linear in linears[:-1])
    fixed = {"hidden_layer_sizes": hidden, "activation": activation}
    clash = fixed.keys() & params.keys()
    if clash:
        raise ValueError(
            f"{', '.join(sorted(clash))} come from the module; do not pass them"
        )
    params = {**fixed, "warm_start": True, **params}
    coefs, intercepts = _weights(linears)
    if task == "regression":
        if classes is not None:
            raise ValueError("classes are for task='classification' only")
        estimator = LiftedMLPRegressor(**params)
        estimator.out_activation_ = _core.inverse_link(estimator.loss)
    else:
        estimator = LiftedMLPClassifier(**params)
        estimator.classes_ = _classes(classes, linears[-1].out_features)
        binary = len(estimator.classes_) == 2
        estimator.out_activation_ = "logistic" if binary else "softmax"
        if linears[-1].out_features == 2:
            coefs[-1] = np.diff(coefs[-1], axis=1)
            intercepts[-1] = np.diff(intercepts[-1])
    estimator.activations_ = estimator._activations()
    estimator.n_features_in_ = linears[0].in_features
    estimator.n_layers_ = len(linears) + 1
    estimator.n_outputs_ = len(intercepts[-1])
    estimator.coefs_ = coefs
    estimator.intercepts_ = intercepts
    return estimator


def _classes(classes, n_outputs):
    """Labels in the order of the outputs, checked."""
    n_classes = max(2, n_outputs)
    classes = np.arange(n_classes) if classes is None else np.asarray(classes)
    if classes.shape != (n_classes,) or not np.array_equal(np.unique(classes), classes):
        raise ValueError(
            f"classes must be {n_classes} distinct labels in sorted order for a module "
            f"with {n_outputs} outputs, got {classes.tolist()}"
        )
    return classes


def _weights(linears):
    """coefs_ and intercepts_ of layers of PyTorch's."""
    weights = [_numpy(linear.weight) for linear in linears]
    coefs = [np.ascontiguousarray(weight.T) for weight in weights]
    intercepts = [
        np.zeros(linear.out_features, dtype=weights[0].dtype)
        if linear.bias is None
        else _numpy(linear.bias)
        for linear in linears
    ]
    return coefs, intercepts


def _numpy(parameter):
    """Copy a parameter as float64, or as float32 for single and lower precisions."""
    dtype = torch.float64 if parameter.dtype == torch.float64 else torch.float32
    return parameter.detach().to(device="cpu", dtype=dtype, copy=True).numpy()


def _read(module):
    """Linear layers and the name of the activation between them."""
    linears, names = [], []
    for part in _leaves(module):
        if isinstance(part, nn.Linear):
            if len(linears) > len(names):
                names.append("identity")
            linears.append(part)
        elif isinstance(part, (nn.Dropout, nn.Flatten, nn.Identity)):
            continue
        else:
            name = _activation_name(part)
            if len(names) != len(linears) - 1:
                raise ValueError(f"{part} must stand between two Linear layers")
            names.append(name)
    if not linears:
        raise ValueError(f"the module has no Linear layer: {module}")
    if len(names) == len(linears):
        raise ValueError(
            f"the module must end with a Linear layer that returns logits, but ends "
            f"with {names[-1]}"
        )
    if len(set(names)) > 1:
        raise ValueError(f"hidden layers must share one activation, got {names}")
    for before, after in pairwise(linears):
        if before.out_features != after.in_features:
            raise ValueError(f"{before} and {after} do not fit together")
    return linears, names[0] if names else "relu"


def _leaves(module):
    if isinstance(module, nn.Sequential):
        for child in module:
            yield from _leaves(child)
    else:
        yield module


def _activation_name(part):
    if isinstance(part, nn.LeakyReLU) and part.negative_slope == 0.01:
        return "leaky_relu"
    if isinstance(part, nn.Hardtanh) and (part.min_val, part.max_val) == (-1, 1):
        return "hard_tanh" if type(part) is nn.Hardtanh else _refuse(part)
    plain = {nn.ReLU: "relu", nn.Sigmoid: "logistic", nn.Tanh: "tanh"}
    return plain.get(type(part)) or _refuse(part)


def _refuse(part):
    raise ValueError(
        f"cannot lift {part}; supported are Linear, Dropout, Flatten, Identity, ReLU, "
        "LeakyReLU(0.01), Sigmoid, Tanh and Hardtanh"
    )
