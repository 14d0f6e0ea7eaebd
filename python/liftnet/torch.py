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

from liftnet import _core, _export
from liftnet._classifier import LiftedMLPClassifier
from liftnet._regressor import LiftedMLPRegressor

__all__ = [
    "Arctan",
    "Exp",
    "HardSigmoid",
    "Sign",
    "Step",
    "from_torch",
    "to_torch",
]


class Arctan(nn.Module):
    """The inverse tangent, elementwise."""

    def forward(self, z):
        """Return arctan(z)."""
        return torch.atan(z)


class Exp(nn.Module):
    """The exponential, elementwise: from logarithms of rates to rates."""

    def forward(self, z):
        """Return exp(z)."""
        return torch.exp(z)


class HardSigmoid(nn.Module):
    """``clip(0.5 + slope * z, 0, 1)``, elementwise; PyTorch's has the slope 1/6.

    Parameters
    ----------
    slope : float
        Slope about 0.
    """

    def __init__(self, slope):
        super().__init__()
        self.slope = slope

    def forward(self, z):
        """Return the clipped line."""
        return torch.clamp(0.5 + self.slope * z, 0, 1)

    def extra_repr(self):
        """Show the slope."""
        return f"slope={self.slope}"


class Step(nn.Module):
    """1 for z > 0, else 0, with a gradient to train on by.

    Backward, the derivative of ``clip((1 + z) / 2, 0, 1)`` stands in for that of the
    step (a straight-through estimator), the same clip that lifted training borrows.
    """

    def forward(self, z):
        """Return the step."""
        clip = torch.clamp(0.5 + 0.5 * z, 0, 1)
        return (z > 0).to(z.dtype) + (clip - clip.detach())


class Sign(nn.Module):
    """1 for z > 0, -1 for z < 0, 0 at 0, with a gradient to train on by.

    Backward, the derivative of ``clip(z, -1, 1)`` stands in for that of the sign (a
    straight-through estimator), the same clip that lifted training borrows.
    """

    def forward(self, z):
        """Return the sign."""
        clip = torch.clamp(z, -1, 1)
        return torch.sign(z) + (clip - clip.detach())


# What makes the module of an activation, given its parameter if it has one.
_MODULES = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "clipped_relu": lambda limit: nn.ReLU6() if limit == 6 else nn.Hardtanh(0.0, limit),
    "hard_tanh": nn.Hardtanh,
    "hard_sigmoid": lambda slope: (
        nn.Hardsigmoid() if slope == 1 / 6 else HardSigmoid(slope)
    ),
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "elu": nn.ELU,
    "softsign": nn.Softsign,
    "arctan": Arctan,
    "soft_threshold": nn.Softshrink,
    "step": Step,
    "sign": Sign,
    "softmax": lambda: nn.Softmax(dim=-1),
}

# And back: the notation of a module, or None where its settings have no counterpart.
_NOTATIONS = {
    nn.ReLU: lambda part: "relu",
    nn.LeakyReLU: lambda part: f"leaky_relu(slope={part.negative_slope})",
    nn.ReLU6: lambda part: "clipped_relu",
    nn.Hardtanh: lambda part: {
        -1.0: "hard_tanh" if part.max_val == 1 else None,
        0.0: f"clipped_relu(limit={part.max_val})",
    }.get(part.min_val),
    nn.Hardsigmoid: lambda part: f"hard_sigmoid(slope={1 / 6})",
    HardSigmoid: lambda part: f"hard_sigmoid(slope={part.slope})",
    nn.Sigmoid: lambda part: "logistic",
    nn.Tanh: lambda part: "tanh",
    # Beyond its threshold PyTorch's is the identity; from 20 on that is rounding.
    nn.Softplus: lambda part: (
        "softplus" if part.beta == 1 and part.threshold >= 20 else None
    ),
    nn.ELU: lambda part: f"elu(alpha={part.alpha})",
    nn.Softsign: lambda part: "softsign",
    Arctan: lambda part: "arctan",
    nn.Softshrink: lambda part: f"soft_threshold(threshold={part.lambd})",
    Step: lambda part: "step",
    Sign: lambda part: "sign",
    nn.Softmax: lambda part: "softmax" if part.dim in (-1, 1) else None,
}


# What makes the module that follows the last layer.
_HEADS = {
    "identity": lambda: [],
    "softmax": lambda: [nn.Softmax(dim=1)],
    "logistic": lambda: [nn.Sigmoid()],
    "exp": lambda: [Exp()],
}


def to_torch(estimator, dtype=None, device=None, *, head="logits", binary="one"):
    """Export a fitted estimator as a trainable PyTorch module.

    Parameters
    ----------
    estimator : LiftedMLPClassifier or LiftedMLPRegressor
        A fitted estimator.
    dtype : torch.dtype, default=None
        Type of the parameters; that of ``coefs_`` by default.
    device : torch.device or str, default=None
        Where to put them; PyTorch's default device by default.
    head : {"logits", "softmax", "predictions"}, default="logits"
        What the module returns. "logits" is what losses are trained on. "softmax" is
        for classifiers: probabilities, by ``Softmax(dim=1)``, or by ``Sigmoid`` where
        each output is a logit by itself. "predictions" is for regressors: with the
        Poisson loss ``Exp`` makes rates of their logarithms, all others have none.
    binary : {"one", "two"}, default="one"
        Logits of two classes: "one", the log-odds of ``classes_[1]``, as
        ``BCEWithLogitsLoss`` takes it, or "two", minus and plus half of it, as
        ``CrossEntropyLoss`` does, with the same probabilities. More classes have one
        logit each either way.

    Returns
    -------
    module : torch.nn.Sequential
        ``Linear, activation, ..., Linear``, and what ``head`` adds. Weights have
        PyTorch's shape (out, in). Takes raw inputs. A new copy, which shares no memory
        with the estimator. "step" and "sign" become ``Step`` and ``Sign``: the true
        jump forward, the gradient of a clip backward.

    Raises
    ------
    ValueError
        For a head or a number of logits that the estimator cannot have.
    """
    pairs = _export.layers(estimator, binary)
    head = _HEADS[_export.link(estimator, head, binary)]()
    if dtype is None:
        dtype = _tensor(estimator.coefs_[0][:0]).dtype
    if device is None:
        device = torch.empty(0).device
    parts = []
    for coef, intercept in pairs:
        if parts:
            parts.append(_module(estimator.activations_[len(parts) // 2]))
        # skip_init leaves PyTorch's generator, and so the user's seed, untouched.
        linear = nn.utils.skip_init(nn.Linear, *coef.shape, dtype=dtype, device=device)
        with torch.no_grad():
            linear.weight.copy_(_tensor(coef.T))
            linear.bias.copy_(_tensor(intercept))
        parts.append(linear)
    return nn.Sequential(*parts, *head)


def _module(activation):
    """Make the module of an activation in the core's notation."""
    info = _core.activation_info(activation)
    return _MODULES[info.name](*([] if info.parameter is None else [info.parameter[1]]))


def _tensor(array):
    """Copy an array: PyTorch warns of memory that it may not write to."""
    return torch.from_numpy(np.array(array))


def from_torch(module, *, task="classification", classes=None, **params):
    """Make an estimator that starts, and predicts, with the weights of a module.

    Parameters
    ----------
    module : torch.nn.Module
        ``nn.Sequential`` (possibly nested) of ``Linear`` layers with activations
        between them, each of its own kind if wanted. ``Flatten`` and ``Dropout`` are
        passed over. The last is a ``Linear`` layer that returns logits. What makes
        probabilities or rates of these may follow and is left out, for ``predict`` and
        the losses bring their own: ``Softmax``, ``LogSoftmax``, or after one output
        or several labels ``Sigmoid``; with ``loss="poisson"`` :class:`Exp`.
    task : {"classification", "multilabel", "regression"}, default="classification"
        What the outputs are: logits of classes, logits of two or more labels that do
        not exclude each other, or predictions. For ``loss="poisson"`` the latter are
        logarithms of rates.
    classes : array-like of shape (n_classes,), default=None
        Labels in the order of the outputs, sorted; ``range(n_classes)`` by default.
        A module with one output is a binary classifier; one with two becomes the
        same: its only output is their difference, which gives the same probabilities.
        Not for regression and labels, whose ``classes_`` are the outputs' numbers.
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
    if task not in ("classification", "multilabel", "regression"):
        raise ValueError(
            f"task must be 'classification', 'multilabel' or 'regression', got {task!r}"
        )
    if task != "classification" and classes is not None:
        raise ValueError("classes are for task='classification' only")
    linears, names, head = _read(module)
    # One name where one says it all, as an estimator is usually given it.
    activation = names[0] if len(set(names)) == 1 else names or "relu"
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
        estimator = LiftedMLPRegressor(**params)
        estimator.out_activation_ = _core.inverse_link(estimator.loss)
    elif task == "multilabel":
        if linears[-1].out_features < 2:
            raise ValueError(
                "task='multilabel' needs a module with two outputs or more, got one; "
                "one label is task='classification'"
            )
        estimator = LiftedMLPClassifier(**params)
        estimator.classes_ = np.arange(linears[-1].out_features)
        estimator.out_activation_ = "logistic"
    else:
        estimator = LiftedMLPClassifier(**params)
        estimator.classes_ = _classes(classes, linears[-1].out_features)
        binary = len(estimator.classes_) == 2
        estimator.out_activation_ = "logistic" if binary else "softmax"
        if linears[-1].out_features == 2:
            coefs[-1] = np.diff(coefs[-1], axis=1)
            intercepts[-1] = np.diff(intercepts[-1])
    loss = getattr(estimator, "loss", None)
    kind = type(estimator).__name__ + ("" if loss is None else f" with {loss=}")
    sizes = linears[-1].out_features, len(intercepts[-1])
    _check_head(head, estimator.out_activation_, *sizes, f"a {kind}")
    estimator.activations_ = estimator._chosen_activations = estimator._activations()
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


def _check_head(head, link, n_outputs, n_wanted, target):
    """Refuse a last module that does not make of logits what ``link`` does.

    Of two outputs of the module one may be wanted, their difference.
    """
    if head is None:
        return
    if isinstance(head, nn.Softmax | nn.LogSoftmax):
        exclusive = link == "softmax" or (link == "logistic" and n_wanted == 1)
        right = exclusive and n_outputs > 1 and head.dim in (1, -1)
    elif isinstance(head, nn.Sigmoid):
        right = link == "logistic" and n_outputs == n_wanted
    else:
        right = link == "exp"
    if not right:
        raise ValueError(
            f"the module ends with {head} after {n_outputs} outputs, which {target} "
            "cannot take over; leave it out"
        )


def read_module(module, link, n_outputs):
    """Weights and activations of a module, for the parameter ``init``.

    Parameters
    ----------
    module : torch.nn.Module
        As :func:`from_torch` takes it.
    link : {"softmax", "logistic", "identity", "exp"}
        What follows the last layer of the network to train.
    n_outputs : int
        Outputs of that network.

    Returns
    -------
    coefs, intercepts : list of ndarray
        In the layout of ``coefs_`` and ``intercepts_``.
    activations : list of str
        Of the hidden layers.

    Raises
    ------
    ValueError
        For a module of another structure; the message names the offending part.
    """
    linears, names, head = _read(module)
    what = f"a network with out_activation_ {link!r}"
    _check_head(head, link, linears[-1].out_features, n_outputs, what)
    return *_weights(linears), names


def _read(module):
    """Linear layers, the activations between them, and the head if there is one."""
    linears, names = [], []
    passed_over = (nn.Dropout, nn.Flatten, nn.Identity)
    parts = [part for part in _leaves(module) if not isinstance(part, passed_over)]
    head = None
    if any(isinstance(part, nn.Linear) for part in parts[-2:-1]):
        if isinstance(parts[-1], nn.Softmax | nn.LogSoftmax | nn.Sigmoid | Exp):
            head = parts.pop()
    for part in parts:
        if isinstance(part, nn.Linear):
            if len(linears) > len(names):
                names.append("identity")
            linears.append(part)
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
    for before, after in pairwise(linears):
        if before.out_features != after.in_features:
            raise ValueError(f"{before} and {after} do not fit together")
    return linears, names, head


def _leaves(module):
    if isinstance(module, nn.Sequential):
        for child in module:
            yield from _leaves(child)
    else:
        yield module


def _activation_name(part):
    notation = _NOTATIONS.get(type(part), lambda part: None)(part)
    try:
        if notation is not None:
            return _core.activation_info(notation).text
    except ValueError:
        pass  # a parameter out of range: of no use to the caller, who gave a module
    modules = ", ".join(kind.__name__ for kind in _NOTATIONS)
    raise ValueError(
        f"cannot lift {part}; supported are Linear, Dropout, Flatten, Identity, and "
        f"with settings that liftnet's activations have {modules}"
    )
