"""Networks in ONNX, computed by ONNX Runtime."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from liftnet import LiftedMLPClassifier, LiftedMLPRegressor, _core

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from liftnet.onnx import _ACTIVATIONS, register, to_onnx  # noqa: E402 - after the check


def quick(**params):
    """Return a classifier that trains in milliseconds."""
    defaults = {
        "hidden_layer_sizes": (7, 5),
        "max_iter": 3,
        "random_state": 0,
        "solver": "stochastic",
    }
    return LiftedMLPClassifier(**(defaults | params))


def regressor(loss="squared_error", outputs=1, dtype=np.float32):
    """Return a fitted regressor and its inputs."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4)).astype(dtype)
    y = rng.poisson(np.exp(X[:, :outputs] + 1))
    y = y[:, 0] if outputs == 1 else y
    params = {"hidden_layer_sizes": (7, 5), "max_iter": 3, "random_state": 0}
    return LiftedMLPRegressor(loss=loss, **params).fit(X, y), X


def data(iris, classes, dtype):
    X, y = iris
    return X[y < classes].astype(dtype), y[y < classes]


def run(model, X, name="X"):
    """Check a model and compute its outputs by name."""
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {name: X}), strict=True))


def with_logits(model):
    """Make the last layer an output too."""
    gemm = [node for node in model.graph.node if node.op_type == "Gemm"][-1]
    kind = model.graph.input[0].type.tensor_type.elem_type
    info = onnx.helper.make_tensor_value_info(gemm.output[0], kind, ["batch", None])
    model.graph.output.append(info)
    return model, gemm.output[0]


# The network


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)]
)
def test_every_activation(iris, activation, classes, dtype, tolerance):
    X, y = data(iris, classes, dtype)
    clf = quick(activation=activation).fit(X, y)
    model, logits = with_logits(clf.to_onnx())
    got, expected = run(model, X), clf._logits(X)
    # Two classes have two logits there.
    found = np.diff(got[logits]) if classes == 2 else got[logits]
    scale = max(1, np.abs(expected).max())
    assert_allclose(found, expected, rtol=0, atol=tolerance * scale)
    assert_allclose(got["probabilities"], clf.predict_proba(X), rtol=0, atol=tolerance)
    assert got["probabilities"].dtype == found.dtype == dtype
    assert_array_equal(got["label"], clf.predict(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_far_out_and_near_the_kinks(activation, dtype):
    z = [
        -1e4,
        -90,
        -30,
        -6.5,
        -3.1,
        -1,
        -0.5,
        -1e-3,
        0,
        1e-3,
        0.5,
        1,
        2.9,
        6.5,
        30,
        1e4,
    ]
    z = np.array(z, dtype)[:, None]
    reg = LiftedMLPRegressor(1, activation, max_iter=1, solver="stochastic")
    reg.fit(z, z[:, 0])
    for array in (*reg.coefs_, *reg.intercepts_):
        array[:] = array.ndim - 1  # weights 1, intercepts 0
    got = run(to_onnx(reg), z)["variable"][:, 0]
    eps = np.finfo(dtype).eps
    assert_allclose(got, reg.predict(z), rtol=4 * eps, atol=4 * eps)


@pytest.mark.parametrize(
    "notation",
    [
        "leaky_relu(slope=0.2)",
        "clipped_relu(limit=1.5)",
        "hard_sigmoid(slope=0.7)",
        "elu(alpha=0.3)",
        "soft_threshold(threshold=0)",
        "soft_threshold(threshold=1.25)",
    ],
)
def test_parameters_are_in_double_precision(iris, notation):
    X, y = iris
    clf = quick(activation=notation).fit(X, y)
    got = run(clf.to_onnx(), X)["probabilities"]
    assert_allclose(got, clf.predict_proba(X), rtol=0, atol=1e-14)


def test_one_activation_for_each_layer_and_none(iris):
    X, y = iris
    names = ["sign", "softplus", "identity", "softmax", "elu(alpha=0.5)"]
    for params in (
        {"hidden_layer_sizes": (7, 6, 5, 4, 6), "activation": names},
        {"hidden_layer_sizes": ()},
        {"activation": "leaky_relu", "learn_activation": True},
    ):
        clf = quick(**params).fit(X, y)
        got = run(clf.to_onnx(), X)["probabilities"]
        assert_allclose(got, clf.predict_proba(X), rtol=0, atol=1e-12)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_any_number_of_rows(iris, rows):
    X, y = data(iris, 3, np.float32)
    clf = quick().fit(X, y)
    got = run(clf.to_onnx(), X[:rows])
    assert got["label"].shape == (rows,)
    assert got["probabilities"].shape == (rows, 3)
    assert_array_equal(got["label"], clf.predict(X)[:rows])


@pytest.mark.parametrize("classes", [2, 3])
def test_small_probabilities(iris, classes):
    X, y = data(iris, classes, np.float32)
    clf = quick().fit(X, y)
    logits = clf.decision_function(X).reshape(len(X), -1)
    scale = 50 / max(np.ptp(logits, axis=1).max(), abs(logits[:, 0]).max())
    clf.coefs_[-1] *= scale
    clf.intercepts_[-1] *= scale
    expected = clf.predict_proba(X)
    assert 0 < expected.min() < 1e-9
    got = run(clf.to_onnx(), X)["probabilities"]
    assert_allclose(got, expected, rtol=1e-4)


@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", "huber", "poisson"]
)
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_regressor(loss, outputs, dtype):
    reg, X = regressor(loss, outputs, dtype)
    (got,) = run(reg.to_onnx(), X).values()
    assert (got.shape, got.dtype) == ((120, outputs), dtype)
    rtol = 1e-4 if dtype == np.float32 else 1e-12
    assert_allclose(got, reg.predict(X).reshape(120, -1), rtol=rtol, atol=rtol)


def test_several_labels_at_once(iris):
    # Each output is the logit of a label by itself.
    X, y = data(iris, 3, np.float32)
    clf = quick().fit(X, y)
    clf.out_activation_ = "logistic"
    clf.coefs_[-1] *= 10  # small probabilities too
    got, logits = run(clf.to_onnx(), X), clf._logits(X).astype(float)
    assert_array_equal(got["label"], (logits > 0).astype(np.int64))
    assert got["probabilities"].min() < 1e-9
    assert_allclose(got["probabilities"], 1 / (1 + np.exp(-logits)), rtol=1e-4)


# Labels


LABELS = {
    "integers": np.array([-5, 0, 2**40]),
    "two integers": np.array([3, 8]),
    "bytes": np.array([7, 255], np.uint8),
    "other end first": np.array([1, 7], ">i4"),
    "strings": np.array(["ape", "ça", "蜂"]),
    "two strings": np.array(["a", "b"]),
    "objects": np.array(["no", "yes", "maybe"], object),
    "bools": np.array([False, True]),
    "whole floats": np.array([-1.0, 0.0, 2.0]),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels(iris, name):
    X = data(iris, 3, np.float32)[0]
    y = np.resize(LABELS[name], len(X))
    clf = quick().fit(X, y)
    got = run(clf.to_onnx(), X)["label"]
    assert_array_equal(got, clf.predict(X))
    text = isinstance(clf.classes_.tolist()[0], str)
    assert isinstance(got[0], str) if text else got.dtype == np.int64


@pytest.mark.parametrize(
    "classes", [[0.5, 1.5], [0.0, 1e30], np.array([1, 2**63], np.uint64)]
)
def test_labels_that_onnx_has_not(iris, classes):
    clf = quick().fit(*data(iris, 2, np.float32))
    clf.classes_ = np.asarray(classes)
    with pytest.raises(
        ValueError, match=r"strings and integers .* but classes_ are \["
    ):
        clf.to_onnx()


def test_a_tie_goes_to_the_first_class(iris):
    for classes in 2, 3:
        X, y = data(iris, classes, np.float32)
        clf = quick(hidden_layer_sizes=()).fit(X, y)
        clf.coefs_[0][:], clf.intercepts_[0][:] = 0, 0
        assert set(run(clf.to_onnx(), X)["label"]) == set(clf.predict(X)) == {0}


# The file and what it says of itself


def test_file_and_description(iris, tmp_path):
    pandas = pytest.importorskip("pandas")
    X, y = data(iris, 2, np.float32)
    frame = pandas.DataFrame(X, columns=["a", "b", "ç", "d"])
    clf = quick(activation="elu(alpha=0.3)").fit(frame, np.array(["no", "yes"])[y])
    path = tmp_path / "model.onnx"
    model = clf.to_onnx(path)
    assert onnx.load(path) == model == clf.to_onnx(str(path)) == to_onnx(clf)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]
    assert (model.producer_name, model.ir_version) == ("liftnet", 8)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties.pop("estimator") == "LiftedMLPClassifier"
    assert {name: json.loads(text) for name, text in properties.items()} == {
        "activations": ["elu(alpha=0.3)"] * 2,
        "classes": ["no", "yes"],
        "feature_names": ["a", "b", "ç", "d"],
    }
    shapes = {
        info.name: [d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim]
        for info in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "X": ["batch", 4],
        "label": ["batch"],
        "probabilities": ["batch", 2],
    }


def test_what_cannot_be_exported(iris):
    with pytest.raises(NotFittedError):
        LiftedMLPClassifier().to_onnx()
    clf = quick(hidden_layer_sizes=()).fit(*data(iris, 3, np.float32))
    clf.coefs_ = [np.broadcast_to(np.float32(0), (2**20, 2**10))]  # of no memory
    with pytest.raises(ValueError, match="at most 2 GiB, the weights are 4294967"):
        clf.to_onnx()


def test_activations_are_those_of_the_core():
    assert list(_ACTIVATIONS) == _core.activation_names()


# Pipelines


@pytest.fixture
def skl2onnx():
    module = pytest.importorskip("skl2onnx")
    register()
    return module


def test_pipeline_of_every_activation(iris, activation, skl2onnx):
    X, y = data(iris, 3, np.float32)
    pipeline = make_pipeline(StandardScaler(), quick(activation=activation)).fit(X, y)
    model = skl2onnx.to_onnx(pipeline, X[:1], options={"zipmap": False})
    got = run(model, X)
    assert_allclose(got["probabilities"], pipeline.predict_proba(X), atol=1e-5)
    assert_array_equal(got["label"], pipeline.predict(X))


@pytest.mark.parametrize("name", ["integers", "two strings", "bools", "whole floats"])
def test_options_of_pipelines(iris, name, skl2onnx):
    X = data(iris, 3, np.float32)[0]
    y = np.resize(LABELS[name], len(X))
    pipeline = make_pipeline(StandardScaler(), quick()).fit(X, y)
    clf, expected = pipeline[-1], pipeline.predict_proba(X)

    def convert(**options):
        return run(skl2onnx.to_onnx(pipeline, X[:1], options={id(clf): options}), X)

    maps = convert()
    assert_array_equal(maps["output_label"], pipeline.predict(X))
    assert set(maps["output_probability"][0]) == set(clf.classes_.tolist())
    columns = list(convert(zipmap="columns").values())[1:]
    assert_allclose(np.column_stack(columns), expected, atol=1e-5)
    places = convert(zipmap=False, nocl=True)["label"]
    assert_array_equal(clf.classes_[places], pipeline.predict(X))
    if name in ("integers", "two strings"):  # skl2onnx takes no others here
        named = convert(zipmap=False, output_class_labels=True)
        assert named["class_labels"].tolist() == clf.classes_.tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("outputs", [1, 2])
def test_precision_of_pipelines_is_that_of_the_inputs(dtype, outputs, skl2onnx):
    reg, X = regressor("poisson", outputs, np.float64)
    X = (3 * X).astype(dtype)
    got = run(skl2onnx.to_onnx(reg, X[:1]), X)["variable"]
    assert got.dtype == (np.float64 if dtype == np.float64 else np.float32)
    rtol = 1e-12 if dtype == np.float64 else 1e-4
    assert_allclose(got, reg.predict(X).reshape(-1, outputs), rtol=rtol)


def test_several_labels_at_once_in_a_pipeline(iris, skl2onnx):
    X, y = data(iris, 3, np.float32)
    pipeline = make_pipeline(StandardScaler(), quick()).fit(X, y)
    pipeline[-1].out_activation_ = "logistic"
    model = skl2onnx.to_onnx(pipeline, X[:1], options={"zipmap": False})
    got, logits = run(model, X), pipeline[-1]._logits(pipeline[0].transform(X))
    assert_array_equal(got["label"], logits > 0)
    assert_allclose(got["probabilities"], 1 / (1 + np.exp(-logits)), rtol=1e-4)


def test_two_networks_in_one_pipeline(iris, skl2onnx):
    from sklearn.ensemble import VotingClassifier

    X, y = data(iris, 3, np.float32)
    columns = make_column_transformer((StandardScaler(), [0, 1, 2, 3]))
    vote = VotingClassifier(
        [("a", quick(activation="elu")), ("b", quick())],
        voting="soft",
        flatten_transform=False,
    )
    pipeline = make_pipeline(columns, vote).fit(X, y)
    model = skl2onnx.to_onnx(pipeline, X[:1], options={id(vote): {"zipmap": False}})
    got = run(model, X)
    assert_allclose(got["probabilities"], pipeline.predict_proba(X), atol=1e-5)


def test_missing_skl2onnx_is_explained(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"register needs skl2onnx; install it with"):
        register()
