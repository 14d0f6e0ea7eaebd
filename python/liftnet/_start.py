"""Where training starts: the network that ``init`` or the previous fit gives."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from liftnet import _core


@dataclass
class Start:
    """Weights in the precision of the inputs, and the activations between them."""

    coefs: list
    intercepts: list
    activations: list


@dataclass
class Wanted:
    """The network that a fit is about to train.

    Parameters
    ----------
    sizes : tuple of int
        Units of all layers, input and output included.
    activations : list of str
        Of the hidden layers, in the core's notation.
    link : {"softmax", "logistic", "identity", "exp"}
        What follows the last layer.
    classes : ndarray or None
        Labels of the classes.
    dtype : dtype
        Precision of the inputs.
    """

    sizes: tuple
    activations: list
    link: str
    classes: np.ndarray | None
    dtype: np.dtype


@dataclass
class _Network:
    """What ``init`` holds; None is what it does not say."""

    coefs: list
    intercepts: list
    activations: list | None = None
    link: str | None = None
    classes: np.ndarray | None = None
    chosen: list | None = None


def read(init, wanted):
    """Network of the parameter ``init``, checked against the one that is wanted.

    Parameters
    ----------
    init : (coefs, intercepts), fitted estimator, torch.nn.Module or state dict
        As ``LiftedMLPClassifier`` takes it.
    wanted : Wanted
        What the fit needs.

    Returns
    -------
    Start

    Raises
    ------
    ValueError, TypeError
        For anything else; the message names what does not fit.
    """
    network = _network(init, wanted)
    _check_arrays(network)
    if wanted.sizes[-1] == 1 and wanted.link == "logistic" and network.link is None:
        if network.coefs[-1].shape[1] == 2:
            # Two logits give the probabilities of their difference.
            network.coefs[-1] = np.diff(network.coefs[-1], axis=1)
            network.intercepts[-1] = np.diff(network.intercepts[-1])
    _check_sizes(network, wanted)
    _check_ends(network, wanted)
    coefs, intercepts = (
        [_cast(array, f"{name}[{index}]", wanted.dtype) for index, array in layers]
        for name, layers in (
            ("coefs", enumerate(network.coefs)),
            ("intercepts", enumerate(network.intercepts)),
        )
    )
    return Start(coefs, intercepts, _activations(network, wanted))


def _network(init, wanted):
    if hasattr(init, "coefs_") and hasattr(init, "intercepts_"):
        return _of_estimator(init)
    # Only who has imported PyTorch can have made a module.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(init, torch.nn.Module):
        from liftnet.torch import read_module

        coefs, intercepts, activations = read_module(
            init, wanted.link, wanted.sizes[-1]
        )
        return _Network(coefs, intercepts, activations)
    if isinstance(init, Mapping):
        return _Network(*_of_state_dict(init))
    if isinstance(init, (tuple, list)) and len(init) == 2:
        return _of_pair(*init)
    if hasattr(init, "get_params"):
        raise ValueError(
            f"init must be a fitted estimator, but {type(init).__name__} has no coefs_ "
            "and intercepts_"
        )
    raise TypeError(
        "init must be None, a pair (coefs, intercepts), a fitted multi-layer "
        "perceptron of scikit-learn or liftnet, a torch.nn.Module or a state dict, got "
        f"{type(init).__name__}"
    )


def _of_estimator(estimator):
    """Weights of an estimator of scikit-learn or liftnet, which are alike."""
    coefs, intercepts = list(estimator.coefs_), list(estimator.intercepts_)
    activations = getattr(estimator, "activations_", None)
    if activations is None:
        name = _core.activation_info(estimator.activation).text
        activations = [name] * (len(coefs) - 1)
    return _Network(
        [_array(coef, f"coefs_[{k}]", 2) for k, coef in enumerate(coefs)],
        [_array(b, f"intercepts_[{k}]", 1) for k, b in enumerate(intercepts)],
        list(activations),
        getattr(estimator, "out_activation_", None),
        getattr(estimator, "classes_", None),
        getattr(estimator, "_chosen_activations", None),
    )


def _of_pair(coefs, intercepts):
    for name, arrays in (("coefs", coefs), ("intercepts", intercepts)):
        if not isinstance(arrays, Sequence):
            raise TypeError(
                f"init must be a pair (coefs, intercepts) of lists of arrays, got "
                f"{type(arrays).__name__} for the {name}"
            )
    return _Network(
        [_array(coef, f"coefs[{k}]", 2) for k, coef in enumerate(coefs)],
        [_array(b, f"intercepts[{k}]", 1) for k, b in enumerate(intercepts)],
    )


def _of_state_dict(state):
    """Weights under PyTorch's names: "0.weight" of shape (n_out, n_in), "0.bias"."""
    layers = {}
    for key, value in state.items():
        layer, _, name = str(key).rpartition(".")
        if name not in ("weight", "bias"):
            raise ValueError(
                "init as a state dict holds weights and biases of linear layers, such "
                f"as '0.weight' and '0.bias', but it has {key!r}"
            )
        number_of_axes = 2 if name == "weight" else 1
        layers.setdefault(layer, {})[name] = _array(value, repr(key), number_of_axes)
    coefs, intercepts = [], []
    for layer, parts in layers.items():
        if "weight" not in parts:
            raise ValueError(f"init has '{layer}.bias' but no '{layer}.weight'")
        weight = parts["weight"]
        coefs.append(weight.T)
        intercepts.append(parts.get("bias", np.zeros(len(weight), weight.dtype)))
    return coefs, intercepts


def _array(value, name, n_axes):
    """Real array of so many axes, from whatever holds one."""
    if hasattr(value, "detach"):
        # A tensor. NumPy has no half precisions of PyTorch's.
        value = value.detach().cpu()
        value = value.numpy() if value.element_size() == 8 else value.float().numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"init: {name} is no array: {error}") from error
    if array.dtype.kind not in "fiu":
        raise ValueError(f"init: {name} must hold real numbers, has {array.dtype}")
    if array.ndim != n_axes:
        raise ValueError(
            f"init: {name} must be {n_axes}-dimensional, has the shape {array.shape}"
        )
    return array


def _check_arrays(network):
    """Refuse layers that do not follow each other."""
    coefs, intercepts = network.coefs, network.intercepts
    if not coefs or len(coefs) != len(intercepts):
        raise ValueError(
            "init must have as many intercepts as coefs, at least one, got "
            f"{len(coefs)} coefs and {len(intercepts)} intercepts"
        )
    for k, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
        if intercept.shape != coef.shape[1:]:
            raise ValueError(
                f"init: intercepts[{k}] of shape {intercept.shape} does not fit "
                f"coefs[{k}] of shape {coef.shape}"
            )
    for k, (before, after) in enumerate(pairwise(coefs)):
        if before.shape[1] != after.shape[0]:
            raise ValueError(
                f"init: coefs[{k + 1}] of shape {after.shape} does not follow "
                f"coefs[{k}] of shape {before.shape}"
            )


def _check_sizes(network, wanted):
    n_features, *hidden = (coef.shape[0] for coef in network.coefs)
    if n_features != wanted.sizes[0]:
        raise ValueError(
            f"init is a network of {n_features} features, but X has {wanted.sizes[0]}"
        )
    if tuple(hidden) != wanted.sizes[1:-1]:
        raise ValueError(
            f"init has hidden layers of {tuple(hidden)} units, but hidden_layer_sizes "
            f"gives {wanted.sizes[1:-1]}; pass hidden_layer_sizes={tuple(hidden)}"
        )
    n_outputs = network.coefs[-1].shape[1]
    if n_outputs != wanted.sizes[-1]:
        raise ValueError(
            f"init has {n_outputs} outputs, but y needs {wanted.sizes[-1]}"
        )


def _check_ends(network, wanted):
    """Refuse an estimator whose outputs mean something else."""
    if network.link not in (None, wanted.link):
        raise ValueError(
            f"init is an estimator with out_activation_ {network.link!r}, but y needs "
            f"{wanted.link!r}"
        )
    if network.classes is not None and wanted.classes is not None:
        if not np.array_equal(network.classes, wanted.classes):
            raise ValueError(
                f"init is an estimator with the classes {_listed(network.classes)}, "
                f"but y has {_listed(wanted.classes)}"
            )


def _listed(classes):
    return np.asarray(classes).tolist()


def _activations(network, wanted):
    """Activations of the network, which must be those that were chosen."""
    own, chosen = network.activations, wanted.activations
    # What an estimator learned from the same choice belongs to its weights.
    if own is None or own == chosen or network.chosen == chosen:
        return chosen if own is None else own
    given = own[0] if len(set(own)) == 1 else own
    raise ValueError(
        f"init has the activations {own}, but activation gives {chosen}; pass "
        f"activation={given!r}"
    )


def _cast(array, name, dtype):
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(array, dtype=dtype)
    if np.isfinite(cast).all():
        return cast
    if np.isfinite(array).all():
        raise ValueError(
            f"init: {name} holds values beyond the range of {dtype}, the precision of "
            "X; pass X as float64"
        )
    raise ValueError(f"init: {name} holds NaN or infinity")
