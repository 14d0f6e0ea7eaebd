"""Hand-over to ONNX, alone and within pipelines; the only module that imports it."""

import json
import os

import numpy as np

try:
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:  # pragma: no cover - depends on the environment
    raise ImportError(
        "liftnet.onnx needs onnx; install it with: pip install 'liftnet[export]'"
    ) from error

from importlib.metadata import version

from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from liftnet import _core, _export
from liftnet._classifier import LiftedMLPClassifier
from liftnet._regressor import LiftedMLPRegressor

__all__ = ["register", "to_onnx"]

# Operators as of these versions, which runtimes since 2022 know.
_OPSET, _IR_VERSION = 17, 8

# A protocol buffer cannot be larger.
_MOST_BYTES = 2**31 - 1


class _Graph:
    """A graph that grows node by node."""

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)
        self.nodes, self.initializers = [], []

    def constant(self, value, name="constant"):
        """Put an array into the graph and return its name."""
        name = f"{name}_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def number(self, value):
        """Put a number of the graph's precision into it and return its name."""
        return self.constant(self.dtype.type(value))

    def add(self, operator, *inputs, output=None, **attributes):
        """Add a node and return the name of its output."""
        name = f"{operator}_{len(self.nodes)}"
        output = output or f"{name}_output"
        self.nodes.append(
            helper.make_node(operator, inputs, [output], name=name, **attributes)
        )
        return output


class _Skl2onnxGraph(_Graph):
    """The same, within the graph of a pipeline that skl2onnx converts."""

    def __init__(self, dtype, scope, container):
        super().__init__(dtype)
        self.scope, self.container = scope, container

    def constant(self, value, name="constant"):
        value = np.asarray(value)
        name = self.scope.get_unique_variable_name(name)
        if value.dtype.kind == "U":
            text = [label.encode() for label in value.tolist()]
            self.container.add_initializer(name, TensorProto.STRING, value.shape, text)
        else:
            tensor = numpy_helper.from_array(value)
            self.container.add_initializer(name, tensor.data_type, value.shape, tensor)
        return name

    def add(self, operator, *inputs, output=None, **attributes):
        output = output or self.scope.get_unique_variable_name(operator.lower())
        self.container.add_node(
            operator,
            list(inputs),
            [output],
            name=self.scope.get_unique_operator_name(operator),
            **attributes,
        )
        return output


def _arctan(graph, z):
    """Add arctan, of which ONNX Runtime has no kernel in double precision."""
    if graph.dtype == np.float32:
        return graph.add("Atan", z)
    # Single precision, then one step of Newton's method on tan, which squares and more
    # its error: t + (z cos t - sin t) / sqrt(1 + z^2). The clip spares z^2.
    z = graph.add("Clip", z, graph.number(-1e30), graph.number(1e30))
    single = graph.add("Cast", z, to=TensorProto.FLOAT)
    t = graph.add("Cast", graph.add("Atan", single), to=TensorProto.DOUBLE)
    cos = graph.add("Sin", graph.add("Add", t, graph.number(np.pi / 2)))
    excess = graph.add("Sub", graph.add("Mul", z, cos), graph.add("Sin", t))
    length = graph.add(
        "Sqrt", graph.add("Add", graph.add("Mul", z, z), graph.number(1))
    )
    return graph.add("Add", t, graph.add("Div", excess, length))


def _clip(graph, z, low, high):
    return graph.add("Clip", z, graph.number(low), graph.number(high))


def _elu(graph, z, alpha):
    """Add max(z, 0) + alpha (exp(min(z, 0)) - 1); the operator's alpha is single."""
    zero, one = graph.number(0), graph.number(1)
    below = graph.add("Sub", graph.add("Exp", graph.add("Min", z, zero)), one)
    scaled = graph.add("Mul", graph.number(alpha), below)
    return graph.add("Add", graph.add("Relu", z), scaled)


def _hard_sigmoid(graph, z, slope):
    line = graph.add("Mul", graph.number(slope), z)
    return _clip(graph, graph.add("Add", line, graph.number(0.5)), 0, 1)


def _leaky_relu(graph, z, slope):
    """Add max(z, slope z), which it is for slopes of at most 1."""
    return graph.add("Max", z, graph.add("Mul", graph.number(slope), z))


def _soft_threshold(graph, z, threshold):
    return graph.add("Sub", z, _clip(graph, z, -threshold, threshold))


def _softplus(graph, z):
    """Add max(z, 0) + log(1 + exp(-|z|)); the operator is often single only."""
    tail = graph.add("Exp", graph.add("Neg", graph.add("Abs", z)))
    tail = graph.add("Log", graph.add("Add", tail, graph.number(1)))
    return graph.add("Add", graph.add("Relu", z), tail)


def _softsign(graph, z):
    size = graph.add("Add", graph.add("Abs", z), graph.number(1))
    return graph.add("Div", z, size)


def _step(graph, z):
    positive = graph.add("Greater", z, graph.number(0))
    return graph.add("Cast", positive, to=helper.np_dtype_to_tensor_dtype(graph.dtype))


# What adds an activation to a graph, given its parameter if it has one. Operators whose
# parameter is an attribute have it in single precision, so none of these is used.
_ACTIVATIONS = {
    "identity": lambda graph, z: z,
    "relu": lambda graph, z: graph.add("Relu", z),
    "leaky_relu": _leaky_relu,
    "clipped_relu": lambda graph, z, limit: _clip(graph, z, 0, limit),
    "hard_tanh": lambda graph, z: _clip(graph, z, -1, 1),
    "hard_sigmoid": _hard_sigmoid,
    "logistic": lambda graph, z: graph.add("Sigmoid", z),
    "tanh": lambda graph, z: graph.add("Tanh", z),
    "softplus": _softplus,
    "elu": _elu,
    "softsign": _softsign,
    "arctan": _arctan,
    "soft_threshold": _soft_threshold,
    "step": _step,
    "sign": lambda graph, z: graph.add("Sign", z),
    "softmax": lambda graph, z: graph.add("Softmax", z, axis=1),
}


def to_onnx(estimator, path=None):
    """Export a fitted estimator as an ONNX model.

    Parameters
    ----------
    estimator : LiftedMLPClassifier or LiftedMLPRegressor
        A fitted estimator.
    path : str or path-like, default=None
        File to write as well; one of that name is replaced.

    Returns
    -------
    model : onnx.ModelProto
        Operators of opset 17. Input "X" of shape (batch, n_features), float32 or
        float64 as ``coefs_`` are, raw; the batch is of any size. Outputs are named as
        by skl2onnx. Of a classifier: "label" of shape (batch,), strings or int64, and
        "probabilities" of shape (batch, n_classes), in the order of ``classes_``; where
        each label has an output of its own, "label" is 0 or 1 of shape (batch,
        n_outputs). Of a regressor: "variable" of shape (batch, n_outputs), what
        ``predict`` returns. Metadata name the estimator, its activations, classes and
        features.

    Raises
    ------
    ValueError
        For labels that are neither strings nor integers, or more than 2 GiB of weights.

    Examples
    --------
    >>> from liftnet import LiftedMLPClassifier
    >>> from liftnet.onnx import to_onnx
    >>> clf = LiftedMLPClassifier(5, random_state=0).fit([[0.0], [1.0]], [0, 1])
    >>> [output.name for output in to_onnx(clf).graph.output]
    ['label', 'probabilities']
    """
    check_is_fitted(estimator)
    size = sum(array.nbytes for array in estimator.coefs_ + estimator.intercepts_)
    if size > _MOST_BYTES:
        raise ValueError(f"an ONNX model holds at most 2 GiB, the weights are {size} B")
    graph = _Graph(estimator.coefs_[0].dtype)
    kind = helper.np_dtype_to_tensor_dtype(graph.dtype)
    n_features, n_outputs = estimator.n_features_in_, estimator.n_outputs_
    if is_classifier(estimator):
        labels = _labels(estimator)
        _add_classifier(graph, estimator, labels, "X", "label", "probabilities")
        shape = ["batch"] if labels is not None else ["batch", n_outputs]
        outputs = [
            helper.make_tensor_value_info("label", _label_type(labels), shape),
            helper.make_tensor_value_info(
                "probabilities", kind, ["batch", len(estimator.classes_)]
            ),
        ]
    else:
        _add_regressor(graph, estimator, "X", "variable")
        outputs = [
            helper.make_tensor_value_info("variable", kind, ["batch", n_outputs])
        ]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            type(estimator).__name__,
            [helper.make_tensor_value_info("X", kind, ["batch", n_features])],
            outputs,
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="liftnet",
        producer_version=version("liftnet"),
    )
    helper.set_model_props(model, _properties(estimator))
    if path is not None:
        _export.write(os.fspath(path), model.SerializeToString(deterministic=True))
    return model


def register():
    """Teach skl2onnx to convert pipelines that hold estimators of liftnet.

    From then on ``skl2onnx.to_onnx`` and ``convert_sklearn`` take them, with the
    options "zipmap" (False for a matrix of probabilities), "nocl" and
    "output_class_labels" that scikit-learn's own classifiers have. As all of skl2onnx
    does, the model computes in the precision of its inputs, not in that of ``coefs_``.

    Raises
    ------
    ImportError
        Without skl2onnx.

    Examples
    --------
    >>> import skl2onnx, numpy as np, liftnet.onnx
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X = np.array([[0.0], [1.0], [2.0]], dtype=np.float32)
    >>> clf = liftnet.LiftedMLPClassifier(5, random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), clf).fit(X, [0, 0, 1])
    >>> liftnet.onnx.register()
    >>> model = skl2onnx.to_onnx(pipeline, X[:1], options={"zipmap": False})
    """
    try:
        import skl2onnx
    except ImportError as error:
        raise ImportError(
            "liftnet.onnx.register needs skl2onnx; install it with: "
            "pip install skl2onnx"
        ) from error
    skl2onnx.update_registered_converter(
        LiftedMLPClassifier,
        "LiftnetClassifier",
        _set_classifier_types,
        _convert_classifier,
        options={
            "zipmap": [True, False, "columns"],
            "nocl": [False, True],
            "output_class_labels": [False, True],
        },
    )
    skl2onnx.update_registered_converter(
        LiftedMLPRegressor, "LiftnetRegressor", _set_regressor_types, _convert_regressor
    )


# The network as a graph


def _add_layers(graph, pairs, activations, x, output=None):
    """Add layers on the inputs named ``x``; return the name of the last outputs."""
    for index, (coef, intercept) in enumerate(pairs):
        if index:
            info = _core.activation_info(activations[index - 1])
            parameter = [] if info.parameter is None else [info.parameter[1]]
            x = _ACTIVATIONS[info.name](graph, x, *parameter)
        x = graph.add(
            "Gemm",
            x,
            graph.constant(np.asarray(coef, dtype=graph.dtype), "coefs"),
            graph.constant(np.asarray(intercept, dtype=graph.dtype), "intercepts"),
            output=output if index == len(pairs) - 1 else None,
        )
    return x


def _add_classifier(graph, estimator, labels, x, label, probabilities):
    """Add what computes labels and probabilities, under the given names.

    ONNX Runtime's Sigmoid is 0 below 1e-7 in single precision; nothing here uses it.
    """
    pairs = _export.layers(estimator, "one" if labels is None else "two")
    logits = _add_layers(graph, pairs, estimator.activations_, x)
    if labels is None:
        odds = graph.add("Exp", graph.add("Neg", logits))
        total = graph.add("Add", odds, graph.number(1))
        graph.add("Reciprocal", total, output=probabilities)
        positive = graph.add("Greater", logits, graph.number(0))
        graph.add("Cast", positive, to=TensorProto.INT64, output=label)
    else:
        graph.add("Softmax", logits, axis=1, output=probabilities)
        best = graph.add("ArgMax", logits, axis=1, keepdims=0)
        graph.add("Gather", graph.constant(labels, "classes"), best, output=label)


def _add_regressor(graph, estimator, x, variable):
    """Add what computes predictions, under the given name."""
    pairs = _export.layers(estimator)
    if estimator.out_activation_ == "exp":
        logits = _add_layers(graph, pairs, estimator.activations_, x)
        graph.add("Exp", logits, output=variable)
    else:
        _add_layers(graph, pairs, estimator.activations_, x, output=variable)


def _labels(estimator):
    """Labels of the classes as ONNX has them; None where a sample may have several."""
    if estimator.out_activation_ == "logistic" and estimator.n_outputs_ > 1:
        return None
    classes = estimator.classes_
    if classes.dtype.kind in "OU":
        if all(isinstance(label, str) for label in classes.tolist()):
            return classes.astype(str)
    elif classes.dtype.kind in "biuf":
        with np.errstate(invalid="ignore"):
            whole = classes.astype(np.int64)
        if np.array_equal(whole, classes):
            return whole
    raise ValueError(
        "ONNX has strings and integers of 64 bits as labels, but classes_ are "
        f"{classes.tolist()}"
    )


def _label_type(labels):
    is_text = labels is not None and labels.dtype.kind == "U"
    return TensorProto.STRING if is_text else TensorProto.INT64


def _properties(estimator):
    """Metadata of the model: JSON, but for the name of the estimator."""
    properties = {
        "estimator": type(estimator).__name__,
        "activations": json.dumps(estimator.activations_),
    }
    if is_classifier(estimator):
        properties["classes"] = json.dumps(estimator.classes_.tolist())
    if hasattr(estimator, "feature_names_in_"):
        properties["feature_names"] = json.dumps(estimator.feature_names_in_.tolist())
    return properties


# Within skl2onnx


def _input(operator, scope, container):
    """Graph to add to, and the name of the inputs in its precision."""
    from skl2onnx.common.data_types import guess_proto_type

    kind = guess_proto_type(operator.inputs[0].type)
    dtype = np.float64 if kind == TensorProto.DOUBLE else np.float32
    graph = _Skl2onnxGraph(dtype, scope, container)
    name = operator.inputs[0].full_name
    if kind not in (TensorProto.FLOAT, TensorProto.DOUBLE):
        name = graph.add("Cast", name, to=TensorProto.FLOAT)
    return graph, name


def _labels_asked_for(scope, estimator):
    """Labels, or with the option "nocl" the places of the classes."""
    labels = _labels(estimator)
    if labels is not None and scope.get_options(estimator, {"nocl": False})["nocl"]:
        return np.arange(len(labels))
    return labels


def _convert_classifier(scope, operator, container):
    graph, x = _input(operator, scope, container)
    estimator = operator.raw_operator
    labels = _labels_asked_for(scope, estimator)
    names = (output.full_name for output in operator.outputs)
    _add_classifier(graph, estimator, labels, x, *names)


def _convert_regressor(scope, operator, container):
    graph, x = _input(operator, scope, container)
    _add_regressor(graph, operator.raw_operator, x, operator.outputs[0].full_name)


def _set_classifier_types(operator):
    from skl2onnx.common.data_types import Int64TensorType, StringTensorType

    estimator, rows = operator.raw_operator, operator.inputs[0].get_first_dimension()
    labels = _labels_asked_for(operator.scope_inst, estimator)
    text = _label_type(labels) == TensorProto.STRING
    shape = [rows] if labels is not None else [rows, estimator.n_outputs_]
    label, probabilities = operator.outputs
    label.set_type((StringTensorType if text else Int64TensorType)(shape))
    probabilities.type.shape = [rows, len(estimator.classes_)]


def _set_regressor_types(operator):
    from skl2onnx.common.data_types import guess_tensor_type

    rows = operator.inputs[0].get_first_dimension()
    kind = type(guess_tensor_type(operator.inputs[0].type))
    operator.outputs[0].set_type(kind([rows, operator.raw_operator.n_outputs_]))
