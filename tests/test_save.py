"""Estimators that are written to files and read back, and files that are no good."""

import copy
import json
import os
import stat
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError

import liftnet
from liftnet import LiftedMLPClassifier, LiftedMLPRegressor, _export

safetensors = pytest.importorskip("safetensors")

from safetensors.numpy import load_file  # noqa: E402 - after the check

QUICK = {
    "hidden_layer_sizes": (5, 4),
    "max_iter": 3,
    "random_state": 0,
    "solver": "stochastic",
}


def inputs(dtype=np.float64):
    return np.random.default_rng(0).normal(size=(60, 3)).astype(dtype)


def labels(names):
    """As many classes as names, in turn."""
    return np.resize(names, 60)


def classifier(names=(0, 1, 2), dtype=np.float64, **params):
    return LiftedMLPClassifier(**(QUICK | params)).fit(inputs(dtype), labels(names))


def regressor(loss="squared_error", outputs=1, **params):
    X = inputs()
    y = np.random.default_rng(1).poisson(np.exp(X[:, :outputs])).astype(float)
    y = y[:, 0] if outputs == 1 else y
    return LiftedMLPRegressor(loss=loss, **(QUICK | params)).fit(X, y)


def named():
    import pandas as pd

    X = pd.DataFrame(inputs(), columns=["Länge", "Breite", "höhe\n"])
    return LiftedMLPClassifier(**QUICK).fit(X, labels(["a", "b"]))


def started_by_hand():
    """Return an estimator that was never fitted, as from_torch makes them."""
    clf, made = classifier(), LiftedMLPClassifier(**QUICK)
    for name in ("coefs_", "intercepts_", "activations_", "out_activation_"):
        setattr(made, name, getattr(clf, name))
    made.classes_, made.n_features_in_ = clf.classes_, 3
    made.n_layers_, made.n_outputs_ = 4, 3
    return made


ESTIMATORS = {
    "two classes": lambda: classifier((0, 1)),
    "three classes": classifier,
    "single precision": lambda: classifier(dtype=np.float32),
    "strings": lambda: classifier(("ape", "bee", "ça")),
    "strings with room": lambda: classifier(np.array(["a", "b"], dtype="U9")),
    "objects": lambda: classifier(np.array(["no", "yes"], dtype=object)),
    "bools": lambda: classifier((False, True)),
    "floats": lambda: classifier((-1.0, 0.0, 3.0)),
    "single floats": lambda: classifier(np.array([0, 1], dtype=np.float32)),
    "bytes": lambda: classifier(np.array([3, 200], dtype=np.uint8)),
    "great integers": lambda: classifier((-(2**63), 2**63 - 1)),
    "other end first": lambda: classifier(np.array([1, 7], dtype=">i4")),
    "linear": lambda: classifier(hidden_layer_sizes=()),
    "batch": lambda: classifier(solver="batch", diagnostics=True),
    "diagnostics": lambda: classifier(diagnostics=True, divergence="euclidean"),
    "early stopping": lambda: classifier(early_stopping=True),
    "penalties": lambda: classifier(penalty=["l1(0.1)", None, "rank(2)"]),
    "one each": lambda: classifier(activation=["step", "elu(alpha=0.3)"]),
    "learned": lambda: classifier(activation="leaky_relu", learn_activation=True),
    "noise": lambda: classifier(input_noise=0.1, damping=(1.0, 2.0)),
    "by hand": started_by_hand,
    "names": named,
    "one target": regressor,
    "targets": lambda: regressor("huber", outputs=2),
    "rates": lambda: regressor("poisson", outputs=2, early_stopping=True),
    "absolute": lambda: regressor("absolute_error", solver="batch"),
}


def assert_same(one, other):
    """Equal in value and in type, all the way down."""
    assert type(one) is type(other)
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert_array_equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            assert_same(one[name], other[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    else:
        assert one == other or (one != one and other != other)


# There and back


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_round_trip(name, tmp_path):
    path = tmp_path / "model.safetensors"
    estimator = ESTIMATORS[name]()
    assert estimator.save(path) is None
    loaded = liftnet.load(path)
    assert type(loaded) is type(estimator)
    assert_same(loaded.get_params(), estimator.get_params())
    # Every attribute: a new one has to be saved as well.
    assert vars(loaded).keys() == vars(estimator).keys()
    for attribute, value in vars(estimator).items():
        assert_same(getattr(loaded, attribute), value)
    X = inputs(estimator.coefs_[0].dtype)
    if hasattr(estimator, "feature_names_in_"):
        import pandas as pd

        X = pd.DataFrame(X, columns=estimator.feature_names_in_)
    assert_same(loaded.predict(X), estimator.predict(X))
    if isinstance(estimator, LiftedMLPClassifier):
        assert_same(loaded.predict_proba(X), estimator.predict_proba(X))
    # And again: the same bytes.
    again = tmp_path / "again.safetensors"
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["strings", "learned", "targets", "by hand"])
def test_training_goes_on(name, tmp_path):
    estimator = ESTIMATORS[name]().set_params(warm_start=True, max_iter=2)
    estimator.save(tmp_path / "model")
    loaded = liftnet.load(tmp_path / "model")
    X = inputs()
    y = estimator.predict(X)
    if isinstance(estimator, LiftedMLPClassifier):
        y = np.resize(estimator.classes_, 60)
    cold = copy.deepcopy(estimator).set_params(warm_start=False).fit(X, y)
    for one, other, fresh in zip(
        estimator.fit(X, y).coefs_, loaded.fit(X, y).coefs_, cold.coefs_, strict=True
    ):
        assert_array_equal(one, other)
        assert not np.array_equal(one, fresh), "a start, not a fresh one"
    assert loaded.activations_ == estimator.activations_


def test_every_activation(activation, tmp_path):
    X = inputs(np.float32)
    clf = classifier(activation=activation, dtype=np.float32)
    clf.save(tmp_path / "model")
    loaded = liftnet.load(tmp_path / "model")
    assert_array_equal(loaded.decision_function(X), clf.decision_function(X))


def test_parameters_of_numpy_become_plain(tmp_path):
    params = {
        "hidden_layer_sizes": np.array([5, 4]),
        "activation": np.array(["relu", "tanh"]),
        "alpha": np.float32(0.1),
        "max_iter": np.int64(3),
        "early_stopping": np.bool_(True),
        "random_state": np.uint32(7),
        "n_jobs": np.int8(1),
        "solver": np.str_("stochastic"),
        "damping": (np.float64(1), 2),
    }
    clf = classifier(**params)
    clf.save(tmp_path / "model")
    loaded = liftnet.load(tmp_path / "model").get_params()
    for name, value in params.items():
        assert_array_equal(loaded[name], value)
    assert loaded["hidden_layer_sizes"] == [5, 4]
    kinds = {type(value) for value in loaded.values()}
    assert kinds <= {list, str, float, int, bool, tuple, type(None)}
    assert {type(value) for value in loaded["damping"]} == {float, int}
    json.dumps(loaded)


def test_generator_of_random_numbers_is_not_saved(tmp_path):
    clf = classifier(random_state=np.random.RandomState(0))
    match = r"random_state=RandomState.* no plain data and is saved as None"
    with pytest.warns(UserWarning, match=match) as caught:
        clf.save(tmp_path / "model")
    assert caught[0].filename == __file__
    loaded = liftnet.load(tmp_path / "model")
    assert loaded.random_state is None
    assert_array_equal(loaded.predict(inputs()), clf.predict(inputs()))
    assert isinstance(clf.random_state, np.random.RandomState)


def test_infinities_are_kept(tmp_path):
    clf = classifier().set_params(tol=np.finfo(float).max)
    clf.loss_, clf.best_loss_ = np.inf, np.nan
    clf.history_["loss"][0] = -np.inf
    clf.save(tmp_path / "model")
    loaded = liftnet.load(tmp_path / "model")
    assert (loaded.loss_, loaded.history_["loss"][0]) == (np.inf, -np.inf)
    assert np.isnan(loaded.best_loss_) and loaded.tol == clf.tol
    # Standard JSON all the same.
    json.loads(read(tmp_path / "model")[0], parse_constant=pytest.fail)


def test_the_file_is_one_of_safetensors(tmp_path):
    clf = classifier()
    clf.save(tmp_path / "model.safetensors")
    arrays = load_file(tmp_path / "model.safetensors")
    for index in range(3):
        assert_array_equal(arrays[f"coefs_.{index}"], clf.coefs_[index])
        assert_array_equal(arrays[f"intercepts_.{index}"], clf.intercepts_[index])
    assert arrays["history_.loss"].tolist() == clf.history_["loss"]
    record = json.loads(read(tmp_path / "model.safetensors")[0])
    assert record["format_version"] == 1
    assert record["estimator"] == "LiftedMLPClassifier"
    assert record["versions"] == {
        "liftnet": liftnet.__version__,
        "numpy": np.__version__,
    }


# Files


def test_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    classifier((0, 1)).save("plain")
    assert os.listdir() == ["plain"]
    assert liftnet.load("plain").classes_.tolist() == [0, 1]
    # One of that name is replaced, keeps its rights, and a link stays a link.
    os.chmod("plain", 0o640)
    os.symlink("plain", "link")
    classifier(("a", "b")).save(tmp_path / "link")
    assert os.path.islink("link")
    assert liftnet.load(tmp_path / "plain").classes_.tolist() == ["a", "b"]
    assert stat.S_IMODE(os.stat("plain").st_mode) == 0o640
    assert sorted(os.listdir()) == ["link", "plain"]
    umask = os.umask(0o027)
    try:
        classifier().save("new")
    finally:
        os.umask(umask)
    assert stat.S_IMODE(os.stat("new").st_mode) == 0o640


def test_a_write_that_fails_leaves_the_file(tmp_path, monkeypatch):
    path = tmp_path / "model"
    classifier((0, 1)).save(path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_export.os, "fsync", full)
    with pytest.raises(OSError, match=rf"No space left on device: '{path}'"):
        classifier().save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model"]


def test_files_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for path, kind in [
        (tmp_path / "none" / "model", FileNotFoundError),
        (tmp_path / "file" / "model", NotADirectoryError),
        (tmp_path, IsADirectoryError),
    ]:
        with pytest.raises(kind, match=f"'{path}'") as caught:
            classifier().save(path)
        assert ".liftnet" not in str(caught.value)
    assert os.listdir(tmp_path) == ["file"]
    with pytest.raises(TypeError, match="PathLike"):
        classifier().save(3)


def test_a_device_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    _export.write(tmp_path / "pipe", b"all")
    assert os.read(reader, 10) == b"all"
    os.close(reader)
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        liftnet.load(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        liftnet.load(tmp_path)


# What is not saved


def test_estimators_that_cannot_be_saved(tmp_path):
    class Own(LiftedMLPClassifier):
        pass

    with pytest.raises(NotFittedError):
        LiftedMLPClassifier().save(tmp_path / "model")
    own = Own(**QUICK).fit(inputs(), labels((0, 1)))
    with pytest.raises(
        TypeError, match=r"only LiftedMLPC.* not a subclass such as Own"
    ):
        own.save(tmp_path / "model")
    dates = classifier(np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]"))
    with pytest.raises(
        ValueError, match=r"cannot save to .*classes_ of type '<M8\[D\]"
    ):
        dates.save(tmp_path / "model")
    wide = classifier(np.array([0, 1], dtype=np.longdouble))
    with pytest.raises(ValueError, match="classes_ of type '<f16' cannot be stored"):
        wide.save(tmp_path / "model")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("attribute", "value", "match"),
    [
        ("alpha", -1, "'alpha' parameter of LiftedMLPClassifier must be"),
        ("activations_", ["relu"], r"activations_ must be 2 names.* got \['relu'\]"),
        ("intercepts_", [np.zeros(5)], "'intercepts_.1' is missing"),
        ("n_features_in_", 4, "n_features_in_ is 4, but coefs_.0 has the shape"),
        ("out_activation_", "exp", "out_activation_ of a classifier cannot be 'exp'"),
        ("coefs_", [np.zeros((3, 5), int)] * 3, "coefs_.0 has the type int64"),
        ("coefs_", [], "it has no coefs_.0"),
    ],
)
def test_what_load_would_refuse_is_not_saved(attribute, value, match, tmp_path):
    clf = classifier()
    setattr(clf, attribute, value)
    path = tmp_path / "model"
    path.write_text("old")
    with pytest.raises(ValueError, match=rf"cannot save to {path}: .*{match}"):
        clf.save(path)
    assert path.read_text() == "old"


# Files that are no good


def read(path):
    """Text of the record, and the arrays."""
    with safetensors.safe_open(path, framework="numpy") as file:
        return file.metadata()["liftnet"], {n: file.get_tensor(n) for n in file.keys()}


def write(path, record, arrays):
    """Write a file whatever is in it."""
    text = record if isinstance(record, str) else json.dumps(record)
    path.write_bytes(safetensors.numpy.save(arrays, metadata={"liftnet": text}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def good(folder):
    """Record and arrays of a good file, and its bytes."""
    path = folder / "good"
    classifier(("ape", "bee", "cat")).save(path)
    text, arrays = read(path)
    return json.loads(text), arrays, path.read_bytes()


def attribute(name, value):
    def change(record, arrays):
        record["attributes"][name] = value

    return change


def parameter(name, value):
    def change(record, arrays):
        record["parameters"][name] = value

    return change


def as_regressor(record, arrays):
    record["estimator"] = "LiftedMLPRegressor"
    del record["parameters"]["class_weight"]
    del record["parameters"]["label_smoothing"]
    record["parameters"]["input_noise"] = 0.0


def entry(name, value):
    def change(record, arrays):
        record[name] = value

    return change


def array(name, value):
    def change(record, arrays):
        arrays[name] = np.asarray(value)

    return change


def without(kind, name):
    def change(record, arrays):
        del (arrays if kind == "arrays" else record[kind] if kind else record)[name]

    return change


def classes(dtype, *values):
    return attribute("classes_", {"dtype": dtype, "values": list(values)})


def nest(depth):
    return [] if depth == 0 else [nest(depth - 1)]


NAN, LARGE = np.full((5, 4), np.nan), np.full(4, np.inf)
BAD = {
    "no JSON": ("{", "Expecting property name"),
    "other JSON": ([], "'format_version' is missing"),
    "later version": (
        entry("format_version", 2),
        r"format has version 2, written by liftnet '\d.*reads version 1",
    ),
    "version is text": (entry("format_version", "1"), "'format_version' is a str"),
    "version is true": (entry("format_version", True), "'format_version' is a bool"),
    "no version": (without("", "format_version"), "'format_version' is missing"),
    "no estimator": (without("", "estimator"), "'estimator' is missing, not a str"),
    "unknown class": (entry("estimator", "Popen"), "there is no estimator 'Popen'"),
    "dunder": (entry("estimator", "__class__"), "there is no estimator '__class__'"),
    "other class": (as_regressor, "of a regressor cannot"),
    "no parameters": (without("", "parameters"), "'parameters' is missing, not a dict"),
    "unknown parameter": (parameter("__class__", 1), "no parameter '__class__'"),
    "bad parameter": (parameter("momentum", 2), "'momentum' parameter of Lifted"),
    "object": (parameter("alpha", {"a": 1}), "{'a': 1} is no value"),
    "no float": (parameter("alpha", {"float": "0.5"}), "{'float': '0.5'} is no value"),
    "no tuple": (parameter("damping", {"tuple": 3}), "{'tuple': 3} is no value"),
    "two": (parameter("tol", {"tuple": [], "float": "nan"}), "is no value"),
    "no attributes": (without("", "attributes"), "'attributes' is missing"),
    "no classes": (without("attributes", "classes_"), "'classes_' is missing"),
    "unknown activation": (attribute("activations_", ["gelu"] * 2), "gelu"),
    "hostile activation": (attribute("activations_", ["relu", 3]), "must be 2 names"),
    "one activation": (attribute("activations_", ["relu"]), "must be 2 names"),
    "choice": (attribute("_chosen_activations", []), "_chosen_activations must be 2"),
    "no choice": (attribute("_chosen_activations", ["no"] * 2), "activation.*no"),
    "output": (attribute("out_activation_", "exp"), "of a classifier cannot be 'exp'"),
    "two classes": (classes("<U3", "a", "b"), "2 classes_ and 3 outputs"),
    "four classes": (classes("<U3", *"abcd"), "4 classes_ and 3 outputs"),
    "same": (classes("<U3", "a", "a", "b"), r"not sorted and distinct: \['a', 'a', 'b"),
    "unsorted": (classes("<i8", 3, 2, 1), "not sorted and distinct"),
    "cut": (classes("<U1", "a", "bee", "c"), "of type <U1 cannot be"),
    "mixed": (classes("<U3", "a", "b", 3), "of type <U3 cannot be"),
    "mixed objects": (classes("|O", "a", "b", 3), r"of type \|O cannot be"),
    "nested": (classes("<i8", [1], [2], [3]), "of type <i8 cannot be"),
    "text for numbers": (classes("<i8", *"123"), "of type <i8 cannot be"),
    "fractions": (classes("<i8", 0.5, 1, 2), "of type <i8 cannot be"),
    "too great": (classes("|i1", 1, 2, 300), r"of type \|i1.* 300 out of bounds"),
    "beyond all": (classes("<u8", 1, 2, 2**64), "of type <u8: "),
    "infinite": (classes("<f2", 1.0, 2.0, 1e9), "of type <f2 cannot be"),
    "NaN": (classes("<f8", 1.0, 2.0, np.nan), "not sorted and distinct|cannot be"),
    "huge labels": (classes("<U99999999", "a", "b", "c"), "3 labels of 99999999 char"),
    "no type": (classes("complex", 1, 2, 3), "of type 'complex' cannot be stored"),
    "records": (classes("i8,(9999999,)f8", 1, 2, 3), "cannot be stored"),
    "pointers": (classes("|V8", 1, 2, 3), "cannot be stored"),
    "classes": (attribute("classes_", [0, 1, 2]), "'classes_' is a list, not a d"),
    "features": (attribute("n_features_in_", 2), "n_features_in_ is 2, but"),
    "no features": (without("attributes", "n_features_in_"), "'n_features_in_' is mi"),
    "names": (attribute("feature_names_in_", ["a"]), "are not 3 strings"),
    "numbers": (attribute("feature_names_in_", [1, 2, 3]), "are not 3 strings"),
    "passes": (attribute("n_iter_", "3"), "n_iter_ cannot be '3'"),
    "status": (attribute("status_", "done"), "status_ cannot be 'done'"),
    "loss": (attribute("loss_", None), "loss_ cannot be None"),
    "history": (attribute("history_", [1]), r"history_ has the names \[1\]"),
    "no history": (attribute("history_", ["no"]), "'history_.no' is missing"),
    "no weights": (without("arrays", "coefs_.0"), "it has no coefs_.0"),
    "gap": (
        without("arrays", "coefs_.1"),
        "'(coefs_.2|intercepts_.1)' belongs to no l",
    ),
    "no intercept": (without("arrays", "intercepts_.1"), "'intercepts_.1' is missing"),
    "chain": (
        array("coefs_.1", np.ones((6, 4))),
        r"\(3, 5\) and coefs_.1 of shape \(6",
    ),
    "no layer": (
        array("intercepts_.1", np.ones(5)),
        "intercepts_.1 of shape.*no layer",
    ),
    "axes": (array("coefs_.1", np.ones((5, 4, 1))), r"type F64 and shape \[5, 4, 1\]"),
    "units": (array("coefs_.1", np.ones((5, 0))), r"type F64 and shape \[5, 0\]"),
    "integers": (array("coefs_.1", np.ones((5, 4), int)), "has the type I64"),
    "half": (array("coefs_.1", np.ones((5, 4), np.float16)), "has the type F16"),
    "precisions": (array("coefs_.1", np.ones((5, 4), "f")), "has the type float32, c"),
    "NaN weights": (array("coefs_.1", NAN), "coefs_.1 holds NaN or infinity"),
    "infinite weights": (array("intercepts_.1", LARGE), "intercepts_.1 holds NaN or"),
    "sparse labels": (attribute("_sparse_labels", ["array"]), "cannot be in a sparse"),
    "unknown array": (array("evil", [1.0]), "it holds an array 'evil'"),
    "more": (array("coefs_.x", np.ones((5, 4))), "'coefs_.x' belongs to no layer"),
    "curve": (array("loss_curve_", np.ones((2, 2))), r"'loss_curve_' has the type F64"),
    "curve of integers": (array("loss_curve_", [1, 2]), "'loss_curve_' has the type I"),
    "depth": ("[" * 10**5, "recursion"),
    "depth of a value": (parameter("alpha", nest(900)), "recursion|parameter"),
    "digits": ('{"format_version": ' + "1" * 5000 + "}", "integer string conversion"),
}


@pytest.mark.parametrize("name", BAD)
def test_record_that_is_refused(name, good, folder):
    change, match = BAD[name]
    record, arrays = copy.deepcopy(good[:2])
    if callable(change):
        change(record, arrays)
    else:
        record = change
    path = folder / "bad"
    write(path, record, arrays)
    with pytest.raises(ValueError, match=rf"(?s)cannot load {path}: .*{match}"):
        liftnet.load(path)


def test_outputs_of_a_regressor_and_of_two_classes(folder):
    path = folder / "output"
    for estimator, change, match in [
        (regressor(), attribute("out_activation_", "softmax"), "a regressor cannot be"),
        (classifier((0, 1)), classes("<i8", 0, 1, 2), "3 classes_ and 1 outputs with"),
        (classifier((0, 1)), classes("<i8", 0), "1 classes_ and 1 outputs with"),
        (classifier((0, 1)), attribute("out_activation_", "softmax"), "2 classes_ and"),
    ]:
        estimator.save(path)
        text, arrays = read(path)
        record = json.loads(text)
        change(record, arrays)
        write(path, record, arrays)
        with pytest.raises(ValueError, match=match):
            liftnet.load(path)


def test_a_parameter_that_was_not_there_yet_has_its_default(good, folder):
    record, arrays = copy.deepcopy(good[:2])
    del record["parameters"]["max_iter"]
    write(folder / "older", record, arrays)
    loaded = liftnet.load(folder / "older")
    assert loaded.max_iter == "auto"
    assert loaded.random_state == 0


def header(**entries):
    """Bytes of a file that has no arrays but says what it likes."""
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


FILES = {
    "empty": b"",
    "text": b"a model, perhaps",
    "pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x02os.",
    "header of terabytes": struct.pack("<Q", 2**42) + b"{}",
    "another's": header(__metadata__={"format": "pt"}),
    "nobody's": header(),
    "terabytes": header(
        **{
            "coefs_.0": {
                "dtype": "F64",
                "shape": [10**6, 10**6],
                "data_offsets": [0, 0],
            }
        }
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_file_that_is_refused(name, folder):
    path = folder / "bad"
    path.write_bytes(FILES[name])
    with pytest.raises(ValueError, match=f"cannot load {path}: .*(header|by liftnet)"):
        liftnet.load(path)


@pytest.mark.parametrize(
    ("dtype", "shape", "size"),
    [
        ("F64", [2**63, 0], 0),  # more than NumPy can count
        ("F64", [2**64 - 1, 0], 0),
        ("F64", [1] * 100, 8),
        ("F8_E4M3", [1, 2], 2),  # types that NumPy has not
        ("BF16", [1, 2], 4),
    ],
)
def test_shapes_and_types_that_numpy_has_not(dtype, shape, size, good, folder):
    offsets = {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}
    metadata = {"liftnet": json.dumps(good[0])}
    path = folder / "bad"
    path.write_bytes(header(**{"__metadata__": metadata, "coefs_.0": offsets}))
    with path.open("ab") as file:
        file.write(bytes(size))
    with pytest.raises(ValueError, match=rf"'coefs_.0' has the type {dtype} and shape"):
        liftnet.load(path)


def load_or_refuse(path):
    """Load, or accept the one error that is allowed."""
    try:
        return liftnet.load(path)
    except ValueError as error:
        assert str(error).startswith(f"cannot load {path}: ")
        return None


@given(st.data())
def test_bytes_that_were_changed(good, folder, data):
    raw = bytearray(good[2])
    # The record ends where the arrays begin; there most changes are other weights.
    end = 8 + struct.unpack("<Q", raw[:8])[0]
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, end) | st.integers(0, len(raw) - 1))
        length = data.draw(st.sampled_from([0, 1, 1, 8, len(raw)]))
        raw[place : place + length] = data.draw(st.binary(max_size=9))
        end = min(end, len(raw))
        if not raw:
            break
    path = folder / "changed"
    path.write_bytes(raw)
    loaded = load_or_refuse(path)
    if loaded is not None:
        assert all(np.isfinite(coef).all() for coef in loaded.coefs_)


def places(value, path=()):
    """Every place in JSON, as the keys that lead there."""
    yield path
    pairs = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    for key, entry in pairs:
        yield from places(entry, (*path, key))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
WORDS = st.sampled_from(
    ["tuple", "float", "nan", "auto", "relu", "softmax", "logistic", "|O", "<U9", "<i8"]
)
LEAVES = SCALARS | WORDS | st.sampled_from([-1, 0, 1, 2**31, 2**63, 2**64, 10**400])
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.data())
def test_records_that_were_changed(good, folder, data):
    record = copy.deepcopy(good[0])
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from([p for p in places(record) if p]))
        inner = record
        for key in way:
            inner = inner[key]
        if data.draw(st.booleans()) or not isinstance(inner, dict):
            inner[last] = data.draw(JSON)
        else:
            del inner[last]
        if not isinstance(record, dict) or not record:
            break
    path = folder / "changed"
    write(path, record, good[1])
    loaded = load_or_refuse(path)
    if loaded is not None:
        # What was accepted works.
        assert loaded.predict(inputs()).shape == (60,)
        loaded.save(path)
        assert_array_equal(liftnet.load(path).classes_, loaded.classes_)


# The module itself


def test_import_of_the_package_leaves_other_formats_alone(run_python):
    run = run_python(
        """
        import sys
        import liftnet
        clf = liftnet.LiftedMLPClassifier(3, max_iter=1).fit([[0], [1], [2]], [0, 1, 1])
        assert clf.to_state_dict()["0.weight"].shape == (3, 1)
        heavy = {"torch", "onnx", "safetensors", "skl2onnx", "onnxruntime"}
        assert not heavy & {name.split(".")[0] for name in sys.modules}
        """
    )
    assert run.returncode == 0, run.stderr


def test_missing_packages_are_explained(run_python):
    run = run_python(
        """
        import sys

        class Missing:
            def find_spec(name, path=None, target=None):
                if name in ("safetensors", "onnx"):
                    raise ModuleNotFoundError(f"No module named {name!r}")

        sys.meta_path.insert(0, Missing)
        import liftnet
        clf = liftnet.LiftedMLPClassifier(3, max_iter=1).fit([[0], [1], [2]], [0, 1, 1])
        for call in (
            lambda: clf.save("model"),
            lambda: liftnet.load("model"),
            clf.to_onnx,
            lambda: __import__("liftnet.onnx"),
        ):
            try:
                call()
            except ImportError as error:
                print(error)
            else:
                raise AssertionError("no error")
        """
    )
    assert run.returncode == 0, run.stderr
    hint = "install it with: pip install 'liftnet[export]'"
    assert run.stdout.splitlines() == [
        f"saving and loading need safetensors; {hint}",
        f"saving and loading need safetensors; {hint}",
        f"liftnet.onnx needs onnx; {hint}",
        f"liftnet.onnx needs onnx; {hint}",
    ]
