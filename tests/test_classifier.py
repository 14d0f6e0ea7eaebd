"""What the classifier promises: precision, layouts, labels, weights, stopping."""

import functools
import itertools
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.special
import sklearn.datasets
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import AdaBoostClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_score,
    train_test_split,
)
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from liftnet import LiftedMLPClassifier, _core, datasets

FLOATS = (np.float32, np.float64)


def quick(**params):
    """Return a classifier that trains in milliseconds."""
    # Tiny data would be given to the batch solver, which has tests of its own.
    defaults = {
        "hidden_layer_sizes": 12,
        "max_iter": 4,
        "random_state": 0,
        "solver": "stochastic",
    }
    return LiftedMLPClassifier(**(defaults | params))


def weights(clf):
    """All coefficients and intercepts in one vector."""
    return np.concatenate([array.ravel() for array in (*clf.coefs_, *clf.intercepts_)])


def assert_same_bits(one, other):
    assert_array_equal(weights(one), weights(other))
    assert one.loss_curve_ == other.loss_curve_
    assert one.validation_scores_ == other.validation_scores_


def forward(clf, X):
    """Logits by the book, in double precision."""
    functions = {
        "identity": lambda z: z,
        "relu": lambda z: np.maximum(z, 0),
        "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
        "clipped_relu": lambda z: np.clip(z, 0, 6),
        "hard_tanh": lambda z: np.clip(z, -1, 1),
        "hard_sigmoid": lambda z: np.clip(0.5 + z / 4, 0, 1),
        "logistic": lambda z: 1 / (1 + np.exp(-z)),
        "tanh": np.tanh,
        "softplus": lambda z: np.logaddexp(0, z),
        "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        "softsign": lambda z: z / (1 + np.abs(z)),
        "arctan": np.arctan,
        "soft_threshold": lambda z: np.sign(z) * np.maximum(np.abs(z) - 0.5, 0),
        "step": lambda z: (z > 0).astype(float),
        "sign": np.sign,
        "softmax": lambda z: scipy.special.softmax(z, axis=1),
    }
    x = np.asarray(X, dtype=np.float64)
    for coef, intercept in zip(clf.coefs_[:-1], clf.intercepts_[:-1], strict=True):
        x = functions[clf.activation](x @ coef + intercept)
    return x @ clf.coefs_[-1] + clf.intercepts_[-1]


# Precision and layout


@pytest.mark.parametrize(
    ("given", "trained"),
    [
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.float16, np.float64),
        (np.longdouble, np.float64),
        (np.int64, np.float64),
        (np.uint8, np.float64),
        (bool, np.float64),
    ],
)
@pytest.mark.parametrize("classes", [2, 3])
def test_precision_of_X_is_kept(iris, given, trained, classes):
    X, y = iris
    X, y = X[y < classes].astype(given), y[y < classes]
    clf = quick(early_stopping=True).fit(X, y)
    assert {array.dtype for array in (*clf.coefs_, *clf.intercepts_)} == {
        np.dtype(trained)
    }
    for method in ("decision_function", "predict_proba", "predict_log_proba"):
        assert getattr(clf, method)(X).dtype == trained
        # The network decides about the precision, not the inputs of the day.
        assert getattr(clf, method)(X.tolist()).dtype == trained


def test_single_and_double_precision_agree(iris):
    X, y = iris
    single, double = (quick().fit(X.astype(dtype), y) for dtype in FLOATS)
    assert_allclose(single.predict_proba(X), double.predict_proba(X), atol=1e-3)


def unaligned(X):
    raw = np.zeros(X.nbytes + 1, np.uint8)
    view = raw[1:].view(X.dtype).reshape(X.shape)
    view[:] = X
    assert not view.flags.aligned
    return view


def strided(X):
    roomy = np.full((2 * X.shape[0], 3 * X.shape[1]), np.nan, X.dtype)
    roomy[::2, 1::3] = X
    return roomy[::2, 1::3]


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


LAYOUTS = {
    "fortran": np.asfortranarray,
    "strided": strided,
    "strided fortran": lambda X: strided(X.T).T,
    "reversed": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": read_only,
    "unaligned": unaligned,
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "list": lambda X: X.tolist(),
}


# scikit-learn's validation makes double precision of the last two in any case.
LAYOUTS_AND_TYPES = [
    *((layout, np.float64) for layout in LAYOUTS),
    *((layout, np.float32) for layout in list(LAYOUTS)[:-2]),
]


@pytest.mark.parametrize(("layout", "dtype"), LAYOUTS_AND_TYPES)
def test_layout_of_X_leaves_no_trace(digits, layout, dtype):
    X, y = digits[0][:300].astype(dtype), digits[1][:300]
    other = LAYOUTS[layout](X)
    expected, got = quick(max_iter=2).fit(X, y), quick(max_iter=2).fit(other, y)
    assert_same_bits(expected, got)
    assert_array_equal(expected.decision_function(X), got.decision_function(other))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", ["fortran", "strided", "reversed", "read-only"])
def test_X_is_not_copied_on_its_way_to_the_core(iris, layout, dtype, monkeypatch):
    X = LAYOUTS[layout](iris[0].astype(dtype))
    borrowed = []

    def spied(call):
        def spy(x, *args, **kwargs):
            borrowed.append(x)
            return call(x, *args, **kwargs)

        return spy

    for name in ("fit", "decision_function", "first_non_finite"):
        monkeypatch.setattr(_core, name, spied(getattr(_core, name)))
    quick().fit(X, iris[1]).predict(X)
    assert len(borrowed) == 4
    assert all(np.shares_memory(x, X) for x in borrowed)


def test_memory_mapped_X(tmp_path, digits):
    X, y = digits
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    expected, got = quick(max_iter=2).fit(X, y), quick(max_iter=2).fit(mapped, y)
    assert_same_bits(expected, got)
    assert_array_equal(expected.predict_proba(X), got.predict_proba(mapped))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("early_stopping", [False, True])
def test_arguments_are_not_modified(iris, dtype, order, early_stopping):
    X, y = iris[0].astype(dtype, order=order), iris[1].copy()
    sample_weight = np.linspace(0, 2, len(y)).astype(dtype)
    arguments = X, y, sample_weight
    copies = [array.copy() for array in arguments]
    clf = quick(early_stopping=early_stopping).fit(*arguments)
    clf.predict_proba(X)
    for argument, copy in zip(arguments, copies, strict=True):
        assert_array_equal(argument, copy)


def test_names_of_features(iris):
    X = pd.DataFrame(iris[0], columns=["a", "b", "c", "d"])
    clf = quick().fit(X, iris[1])
    assert clf.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert clf.n_features_in_ == 4
    assert_array_equal(clf.predict(X), quick().fit(*iris).predict(iris[0]))
    with pytest.raises(ValueError, match="feature names"):
        clf.predict(X[["b", "a", "c", "d"]])
    with pytest.warns(UserWarning, match="feature names"):
        clf.predict(iris[0])


# The network


def test_coefs_take_raw_inputs(digits, activation):
    X, y = digits
    clf = quick(activation=activation, hidden_layer_sizes=(9, 7)).fit(X, y)
    assert_allclose(clf.decision_function(X), forward(clf, X), rtol=1e-9, atol=1e-9)


def test_coefs_take_raw_inputs_of_leading_directions_too(wide):
    X, y = wide
    clf = quick().fit(X, y)
    assert clf.n_components_ < X.shape[1]
    assert_allclose(clf.decision_function(X), forward(clf, X), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        (5, (5,)),
        (np.int32(5), (5,)),
        ((5,), (5,)),
        ((5, 4, 3), (5, 4, 3)),
        ([5, 4], (5, 4)),
        (np.array([5, 4]), (5, 4)),
        (np.array([5, 4], np.uint8), (5, 4)),
        ((), ()),
        ([], ()),
    ],
)
def test_hidden_layer_sizes(iris, given, sizes):
    clf = quick(hidden_layer_sizes=given).fit(*iris)
    layers = (4, *sizes, 3)
    assert [coef.shape for coef in clf.coefs_] == [*itertools.pairwise(layers)]
    assert [intercept.shape for intercept in clf.intercepts_] == [
        (units,) for units in layers[1:]
    ]
    assert clf.n_layers_ == len(layers)
    assert clf.hidden_layer_sizes is given


def test_binary(cancer):
    X, y = cancer
    clf = quick().fit(X, y)
    assert (clf.n_outputs_, clf.out_activation_) == (1, "logistic")
    assert clf.coefs_[-1].shape == (12, 1)
    logits = clf.decision_function(X)
    assert logits.shape == (len(y),)
    assert_array_equal(clf.predict(X), (logits > 0).astype(int))
    proba = clf.predict_proba(X)
    assert proba.shape == (len(y), 2)
    assert_allclose(proba[:, 1], 1 / (1 + np.exp(-logits)))
    assert_allclose(proba.sum(axis=1), 1)
    assert clf.score(X, y) > 0.93


def test_multiclass(iris):
    X, y = iris
    clf = quick().fit(X, y)
    assert (clf.n_outputs_, clf.out_activation_) == (3, "softmax")
    logits = clf.decision_function(X)
    assert logits.shape == (len(y), 3)
    assert_array_equal(clf.predict(X), logits.argmax(axis=1))
    proba = clf.predict_proba(X)
    assert_allclose(proba, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("classes", [2, 3])
def test_log_probabilities_where_probabilities_vanish(iris, classes):
    X, y = iris
    clf = quick().fit(X[y < classes], y[y < classes])
    clf.coefs_[-1] *= 1e4
    clf.intercepts_[-1] *= 1e4
    logits = clf.decision_function(X)
    if classes == 2:
        logits = np.column_stack([0 * logits, logits])
    log_proba = clf.predict_log_proba(X)
    assert clf.predict_proba(X).min() == 0
    assert np.isfinite(log_proba).all()
    # From the largest logit on, log-sum-exp adds less than log 3.
    assert_allclose(log_proba, logits - logits.max(axis=1, keepdims=True), atol=1.1)
    differences = log_proba - log_proba[:, :1]
    assert_allclose(differences, logits - logits[:, :1], rtol=1e-10, atol=1e-9)
    if classes == 2:
        # A probability of almost one: log(1 - eps) is -eps, not 0.
        clf.coefs_[-1][:], clf.intercepts_[-1][:] = 0, 50
        assert_allclose(clf.predict_log_proba(X)[:, 1], -np.exp(-50), rtol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "encode",
    [
        lambda y: np.array(["ape", "bee", "cat"])[y],
        lambda y: np.array(["ape", "bee", "cat"], dtype=object)[y],
        lambda y: [["ape", "bee", "cat"][label] for label in y],
        lambda y: np.array([-7, 3, 10**12])[y],
        lambda y: y.astype(np.uint8) + 1,
        lambda y: y.astype(float),
        lambda y: pd.Series(["ape", "bee", "cat"])[y],
        lambda y: pd.Series(["ape", "bee", "cat"])[y].astype("category"),
        lambda y: pd.Series(y).astype("Int64"),
        lambda y: y > 0,
    ],
    ids="str object list gap uint8 float series category Int64 bool".split(),
)
def test_labels_are_given_back(iris, encode, classes):
    X, y = iris[0][iris[1] < classes], iris[1][iris[1] < classes]
    labels = encode(y)
    values, codes = np.unique(np.asarray(labels), return_inverse=True)
    clf = quick().fit(X, labels)
    assert_array_equal(clf.classes_, values)
    assert_same_bits(clf, quick().fit(X, codes))
    predicted = clf.predict(X)
    assert predicted.dtype == clf.classes_.dtype
    assert_array_equal(predicted, values[quick().fit(X, codes).predict(X)])
    assert clf.score(X, labels) > 0.8


def test_every_activation_learns(digits_split, activation):
    X_train, X_test, y_train, y_test = digits_split
    clf = LiftedMLPClassifier(activation=activation, random_state=0)
    score = clf.fit(X_train, y_train).score(X_test, y_test)
    # A linear model reaches 0.95, the others more.
    assert score > 0.93


def test_hidden_layers_are_used():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (600, 2))
    y = X[:, 0] * X[:, 1] > 0  # which no linear model can tell
    linear = quick(hidden_layer_sizes=(), max_iter=30).fit(X, y).score(X, y)
    deep = quick(hidden_layer_sizes=(30, 30), max_iter=30).fit(X, y).score(X, y)
    assert linear < 0.65
    assert deep > 0.93


@st.composite
def problems(draw):
    dtype = draw(st.sampled_from(FLOATS))
    shape = draw(st.tuples(st.integers(2, 30), st.integers(1, 5)))
    elements = st.floats(-1000, 1000, width=16)
    X = draw(hnp.arrays(dtype, shape, elements=elements))
    y = draw(hnp.arrays(np.int64, shape[0], elements=st.integers(0, 3)))
    y[:2] = 0, 1
    return X, y


@given(problems(), st.sampled_from(["relu", "tanh", "identity"]))
def test_any_problem_gives_finite_consistent_answers(problem, name):
    X, y = problem
    clf = quick(max_iter=2, activation=name).fit(X, y)
    assert np.isfinite(weights(clf)).all()
    assert np.isfinite(clf.loss_curve_).all()
    assert_array_equal(clf.classes_, np.unique(y))
    proba = clf.predict_proba(X)
    assert proba.shape == (len(y), len(clf.classes_))
    assert (proba >= 0).all()
    assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    top = np.take_along_axis(
        proba, np.searchsorted(clf.classes_, clf.predict(X))[:, None], 1
    )[:, 0]
    # Rounded probabilities may tie where logits do not.
    assert_allclose(top, proba.max(axis=1), rtol=1e-6)


@given(problems(), st.data())
def test_any_layout_gives_the_same_logits(problem, data):
    X, y = problem
    clf = quick(max_iter=1).fit(X, y)
    names = ["fortran", "strided", "strided fortran", "reversed", "unaligned"]
    layout = data.draw(st.sampled_from(names))
    assert_array_equal(
        clf.decision_function(X), clf.decision_function(LAYOUTS[layout](X))
    )


@given(
    hnp.arrays(np.int64, 4, elements=st.integers(-20, 20)),
    hnp.arrays(np.float64, 4, elements=st.integers(-100, 100)),
)
def test_units_of_the_features_do_not_matter(exponents, shift):
    X, y = sklearn.datasets.load_iris(return_X_y=True)
    other = (X + shift) * 2.0**exponents
    expected = quick(scale="feature").fit(X, y).predict_proba(X)
    got = quick(scale="feature").fit(other, y).predict_proba(other)
    assert_allclose(got, expected, atol=1e-7)


# Randomness and threads


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("data", ["digits", "wide", "iris"])
def test_bits_do_not_depend_on_the_threads(data, dtype, request, monkeypatch):
    X, y = request.getfixturevalue(data)
    X = X.astype(dtype)
    # More threads than the machine may have, and batches that are worth sharing.
    monkeypatch.setattr("liftnet._base.n_threads", lambda n_jobs: n_jobs)
    params = {"hidden_layer_sizes": (256, 40), "batch_size": 256, "max_iter": 2}
    one, *others = (quick(n_jobs=jobs, **params).fit(X, y) for jobs in (1, 2, 3, 7))
    many = np.tile(X, (10, 1))
    for other in others:
        assert_same_bits(one, other)
        assert_array_equal(one.decision_function(many), other.decision_function(many))


def test_n_jobs_and_blocks_of_rows_leave_no_trace_in_predictions(digits):
    X, y = digits
    clf = quick(hidden_layer_sizes=300).fit(X, y)
    whole = clf.decision_function(np.tile(X, (20, 1)))
    assert_array_equal(whole, np.tile(whole[: len(X)], (20, 1)))
    assert_array_equal(clf.set_params(n_jobs=1).decision_function(X), whole[: len(X)])


def test_random_state(iris):
    assert_same_bits(quick(random_state=3).fit(*iris), quick(random_state=3).fit(*iris))
    different = [weights(quick(random_state=seed).fit(*iris)) for seed in (0, 1, None)]
    assert not np.array_equal(different[0], different[1])
    assert not np.array_equal(
        different[2], weights(quick(random_state=None).fit(*iris))
    )


def test_random_state_instance_advances(iris):
    def fits():
        state = np.random.RandomState(0)
        return [quick(random_state=state).fit(*iris) for _ in range(2)]

    (first, second), (again, _) = fits(), fits()
    assert_same_bits(first, again)
    assert not np.array_equal(weights(first), weights(second))


def test_global_random_state_is_untouched(iris):
    before = np.random.get_state()  # noqa: NPY002 - that is the point
    quick().fit(*iris)
    after = np.random.get_state()  # noqa: NPY002
    assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]


# Life in scikit-learn


def test_pickle(iris):
    X, y = iris
    clf = quick(early_stopping=True).fit(X, y)
    copy = pickle.loads(pickle.dumps(clf))
    assert_same_bits(clf, copy)
    assert_array_equal(clf.predict_proba(X), copy.predict_proba(X))
    assert vars(copy).keys() == vars(clf).keys()


def test_joblib_with_memory_mapped_weights(tmp_path, digits):
    X, y = digits
    clf = quick(warm_start=True).fit(X, y)
    joblib.dump(clf, tmp_path / "clf")
    copy = joblib.load(tmp_path / "clf", mmap_mode="r")
    assert not copy.coefs_[0].flags.writeable
    assert_array_equal(clf.predict_proba(X), copy.predict_proba(X))
    assert_same_bits(clf.fit(X, y), copy.fit(X, y))


def test_clone_is_unfitted_and_equal(iris):
    clf = quick(alpha=0.5, damping=(1.0, 2.0), hidden_layer_sizes=[4, 5]).fit(*iris)
    copy = clone(clf)
    assert copy.get_params() == clf.get_params()
    assert not [name for name in vars(copy) if name.endswith("_")]
    assert_same_bits(clf, copy.fit(*iris))


def test_fit_leaves_parameters_alone(iris):
    clf = quick(hidden_layer_sizes=[6], warm_start=True, early_stopping=True)
    before = clf.get_params()
    copies = {name: pickle.dumps(value) for name, value in before.items()}
    clf.fit(*iris).fit(*iris)
    after = clf.get_params()
    assert all(after[name] is value for name, value in before.items())
    assert {name: pickle.dumps(value) for name, value in after.items()} == copies


def test_grid_search_in_worker_processes(iris):
    search = GridSearchCV(quick(), {"alpha": [0.3, 1e4]}, cv=3, n_jobs=2).fit(*iris)
    assert search.best_params_ == {"alpha": 0.3}
    serial = GridSearchCV(quick(), {"alpha": [0.3, 1e4]}, cv=3).fit(*iris)
    scores = "mean_test_score"
    assert_array_equal(search.cv_results_[scores], serial.cv_results_[scores])


def test_pipeline_and_cross_validation(iris):
    model = make_pipeline(StandardScaler(), quick(max_iter=20))
    assert cross_val_score(model, *iris, cv=5).mean() > 0.9
    weight = np.ones(len(iris[1]))
    model.fit(*iris, liftedmlpclassifier__sample_weight=weight)
    assert model.score(*iris) > 0.9


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(cancer, method):
    X, y = cancer
    weight = np.linspace(0.5, 1.5, len(y))
    model = CalibratedClassifierCV(quick(), method=method, cv=3)
    assert model.fit(X, y, sample_weight=weight).score(X, y) > 0.93


def test_boosting_whose_weights_sum_to_one(iris):
    model = AdaBoostClassifier(quick(max_iter=20), n_estimators=3, random_state=0)
    assert model.fit(*iris).score(*iris) > 0.9


# Sample weights


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_weight_zero_removes_a_row(iris, dtype, early_stopping):
    X, y = iris[0].astype(dtype), iris[1]
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.5, 2, len(y)) * (rng.random(len(y)) < 0.7)
    used = weight > 0
    clf, other = (quick(early_stopping=early_stopping) for _ in range(2))
    assert_same_bits(
        clf.fit(X, y, weight), other.fit(X[used], y[used], sample_weight=weight[used])
    )


def test_weight_zero_removes_a_class(iris):
    X, y = iris
    clf = quick().fit(X, y, sample_weight=(y != 1).astype(float))
    assert_array_equal(clf.classes_, [0, 2])
    assert_same_bits(clf, quick().fit(X[y != 1], y[y != 1]))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("value", [1, 1.0, 7, 0.1])
def test_equal_weights_are_no_weights(iris, dtype, early_stopping, value):
    X, y = iris[0].astype(dtype), iris[1]
    clf, other = (quick(early_stopping=early_stopping) for _ in range(2))
    assert_same_bits(clf.fit(X, y), other.fit(X, y, np.full(len(y), value)))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("factor", [1024.0, 0.3, 1e-60, 1e60, 1e300])
def test_only_ratios_of_weights_count(iris, dtype, factor):
    X, y = iris[0].astype(dtype), iris[1]
    weight = np.random.default_rng(0).uniform(0, 9, len(y))
    one, other = quick().fit(X, y, weight), quick().fit(X, y, factor * weight)
    tolerance = 1e-4 if dtype == np.float32 else 1e-10
    assert_allclose(other.predict_proba(X), one.predict_proba(X), atol=tolerance)
    if factor == 1024:
        assert_same_bits(one, other)


def test_weights_push_predictions(cancer):
    X, y = cancer[0][:, :2], cancer[1]  # two features: the classes overlap
    shares = [
        quick(max_iter=20).fit(X, y, np.where(y, weight, 1.0)).predict(X).mean()
        for weight in (0.05, 1, 20)
    ]
    assert shares[0] < shares[1] - 0.1 < shares[2] - 0.2


# Stopping


@pytest.mark.parametrize("max_iter", [1, 3, 7])
def test_max_iter_counts_passes(iris, max_iter):
    clf = quick(max_iter=max_iter).fit(*iris)
    assert clf.n_iter_ == len(clf.loss_curve_) == max_iter
    assert clf.loss_ == clf.loss_curve_[-1]
    assert clf.best_loss_ == min(clf.loss_curve_)
    assert clf.validation_scores_ is clf.best_validation_score_ is None
    assert all(isinstance(loss, float) for loss in clf.loss_curve_)


def test_training_lowers_the_loss(digits, activation):
    clf = quick(activation=activation, max_iter=10).fit(*digits)
    # Logits start at 0: the first batch costs log 10, the pass less.
    assert clf.loss_curve_[0] < 1.1 * np.log(10)
    assert clf.loss_ < 0.4 * clf.loss_curve_[0]


def test_tol_ends_a_long_run(iris):
    clf = quick(max_iter=500, tol=100.0, n_iter_no_change=3).fit(*iris)
    # The first pass counts; three do not; within three more the step falls to 0.
    assert 4 <= clf.n_iter_ <= 8
    patient = quick(max_iter=500, tol=100.0, n_iter_no_change=20).fit(*iris)
    assert clf.n_iter_ < patient.n_iter_ <= 42
    assert quick(max_iter=50, tol=0, n_iter_no_change=50).fit(*iris).n_iter_ == 50


def test_early_stopping_keeps_the_best_weights():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 5)), rng.integers(3, size=300)  # noise: it overfits
    clf = quick(
        hidden_layer_sizes=50,
        early_stopping=True,
        validation_fraction=0.2,
        max_iter=400,
        n_iter_no_change=5,
        alpha=0,
        random_state=4,
    ).fit(X, y)
    assert clf.n_iter_ < 100
    scores = clf.validation_scores_
    assert len(scores) == len(clf.loss_curve_) == clf.n_iter_
    assert clf.best_validation_score_ == max(scores)
    assert clf.best_loss_ is None
    assert scores[-1] < max(scores), "choose another example: the last pass is the best"
    _, X_val, _, y_val = train_test_split(
        X, y, test_size=0.2, stratify=y, random_state=4
    )
    assert clf.score(X_val, y_val) == pytest.approx(clf.best_validation_score_)


def test_early_stopping_trains_on_the_rest_alone(iris):
    X, y = iris
    clf = quick(early_stopping=True, validation_fraction=0.3).fit(X, y)
    X_train, X_val, y_train, y_val = train_test_split(
        X, y, test_size=0.3, stratify=y, random_state=0
    )
    plain = quick(max_iter=1).fit(X_train, y_train)
    early = quick(max_iter=1, early_stopping=True, validation_fraction=0.3).fit(X, y)
    assert_same = functools.partial(assert_allclose, rtol=1e-12)
    assert_same(weights(early), weights(plain))
    assert clf.validation_scores_[0] == pytest.approx(early.score(X_val, y_val), abs=1)
    assert early.best_validation_score_ == pytest.approx(early.score(X_val, y_val))


def test_early_stopping_with_weights(iris):
    X, y = iris
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    early = quick(max_iter=1, early_stopping=True).fit(X, y, weight)
    X_train, _, y_train, _, weight_train, _ = train_test_split(
        X, y, weight, test_size=0.1, stratify=y, random_state=0
    )
    plain = quick(max_iter=1).fit(X_train, y_train, weight_train)
    assert_allclose(weights(early), weights(plain), rtol=1e-9)


# Warm start


@pytest.mark.parametrize("data", ["digits", "wide"])
@pytest.mark.parametrize("scale", ["global", "feature"])
def test_warm_start_starts_where_the_last_fit_ended(data, scale, request):
    X, y = request.getfixturevalue(data)
    clf = quick(warm_start=True, n_components=None, scale=scale).fit(X, y)
    before, first_loss = clf.predict_proba(X), clf.loss_curve_[0]
    clf.set_params(max_iter=1, learning_rate_init=1e-12).fit(X, y)
    assert clf.n_iter_ == 1
    assert_allclose(clf.predict_proba(X), before, atol=1e-6)
    assert clf.loss_curve_[0] < 0.7 * first_loss


def test_warm_start_needs_no_direction_that_the_map_would_drop(wide):
    X, y = wide
    clf = quick(warm_start=True, n_components=None).fit(X, y)
    before = clf.predict_proba(X)
    clf.set_params(max_iter=1, learning_rate_init=1e-12, n_components=3).fit(X, y)
    assert_allclose(clf.predict_proba(X), before, atol=1e-6)


def test_warm_start_goes_on(digits_split):
    X_train, X_test, y_train, y_test = digits_split
    clf = quick(warm_start=True, max_iter=1).fit(X_train, y_train)
    loss, score = clf.loss_, clf.score(X_test, y_test)
    for _ in range(5):
        clf.fit(X_train, y_train)
    assert clf.loss_ < 0.5 * loss
    assert clf.score(X_test, y_test) > score


def test_without_warm_start_every_fit_is_the_first(iris):
    clf = quick().fit(*iris)
    fresh = quick().fit(iris[0][:, :2], iris[1])
    assert_same_bits(clf.fit(iris[0][:, :2], iris[1]), fresh)
    assert clf.n_features_in_ == 2


def test_warm_start_across_precisions(iris):
    X, y = iris
    clf = quick(warm_start=True).fit(X, y)
    clf.set_params(max_iter=1, learning_rate_init=1e-12)
    before = clf.predict_proba(X)
    clf.fit(X.astype(np.float32), y)
    assert clf.coefs_[0].dtype == np.float32
    assert_allclose(clf.predict_proba(X), before, atol=1e-4)


# Output


@pytest.mark.parametrize("early_stopping", [False, True])
def test_verbose_prints_a_line_a_pass(iris, capfd, early_stopping):
    clf = quick(verbose=True, early_stopping=early_stopping).fit(*iris)
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert len(lines) == clf.n_iter_ == 4
    for i, (line, loss) in enumerate(zip(lines, clf.loss_curve_, strict=True), 1):
        assert line.startswith(f"Iteration {i}, loss = {loss:.8f}")
        assert ("validation score = " in line) == early_stopping


def test_quiet_by_default(iris, capfd):
    clf = quick().fit(*iris)
    clf.predict_proba(iris[0])
    assert capfd.readouterr() == ("", "")


# Parameters


EFFECTS = [
    ("n_components", 2, 3),
    ("scale", "feature", "none"),
    ("scale", "feature", "global"),
    ("damping", 1.0, 2.0),
    ("damping", (1.0, 1.0), (2.0, 1.0)),
    ("damping", (1.0, 1.0), (1.0, 2.0)),
    ("batch_size", 16, 64),
    ("learning_rate_init", 0.1, 0.2),
    ("momentum", 0.0, 0.9),
    ("alpha", 0.0, 1.0),
    ("penalty_weight", 1.0, 100.0),
    ("activation", "relu", "tanh"),
    ("max_iter", 4, 5),
]


@pytest.mark.parametrize(("name", "one", "other"), EFFECTS)
def test_every_parameter_has_an_effect(iris, name, one, other):
    first, second = (quick(**{name: value}).fit(*iris) for value in (one, other))
    change = np.abs(weights(first) - weights(second)).max()
    assert change > 1e-4 * np.abs(weights(first)).max()


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("damping", 2.0, (2.0, 2.0)),
        ("n_components", None, "auto"),
        ("n_components", None, 4),
        ("batch_size", 150, 10**30),
        ("n_iter_no_change", 50, 10**30),
        ("scale", "auto", "global"),  # four lengths in centimetres
        ("n_jobs", None, 10**30),
    ],
)
def test_two_ways_to_say_the_same(iris, name, one, other):
    assert_same_bits(*(quick(**{name: value}).fit(*iris) for value in (one, other)))


def test_damping_pair_is_of_the_input_layer_and_the_others(iris):
    # A linear model has an input layer only.
    linear = {"hidden_layer_sizes": ()}
    one, other, more = (
        quick(damping=damping, **linear).fit(*iris)
        for damping in ((1.0, 1.0), (1.0, 5.0), (5.0, 1.0))
    )
    assert_same_bits(one, other)
    assert not np.array_equal(weights(one), weights(more))


def test_automatic_scale_tells_mixed_units(iris):
    X, y = iris[0] * [1, 1e3, 1, 1e-3], iris[1]
    automatic, feature, common = (
        quick(scale=scale).fit(X, y) for scale in ("auto", "feature", "global")
    )
    assert_same_bits(automatic, feature)
    assert not np.array_equal(weights(automatic), weights(common))


@pytest.mark.parametrize(
    ("given", "expected"),
    [(1, {1}), (17, {17}), (None, {400}), (1000, {400}), ("auto", {*range(2, 40)})],
)
def test_n_components(wide, given, expected):
    assert quick(n_components=given).fit(*wide).n_components_ in expected


@pytest.mark.parametrize("data", ["wide", "digits"])
def test_n_components_as_a_share_of_the_variance(data, request):
    X, y = request.getfixturevalue(data)
    eigenvalues = np.linalg.eigvalsh(np.cov(X.T))[::-1]
    held = np.cumsum(eigenvalues) / eigenvalues.sum()
    for share in (0.5, 0.8, 0.95):
        clf = quick(n_components=share, scale="global").fit(X, y)
        assert abs(clf.n_components_ - (1 + np.argmax(held >= share))) <= 1


def test_alpha_shrinks_the_weights(digits):
    def norm(alpha):
        return np.linalg.norm(weights(quick(alpha=alpha, max_iter=10).fit(*digits)))

    def spread(alpha):
        fitted = quick(alpha=alpha, max_iter=10).fit(*digits)
        return fitted.decision_function(digits[0]).std()

    alphas = (0, 30, 300, 3000)
    for size in map(norm, alphas), map(spread, alphas):
        size = list(size)
        assert size == sorted(size, reverse=True)
        assert size[-1] < 0.5 * size[0]


@pytest.mark.parametrize("alpha", [100, 1e4, 1e6])
def test_intercepts_are_not_penalised(alpha):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 3)), (np.arange(400) < 40).astype(int)
    clf = quick(alpha=alpha, max_iter=30).fit(X, y)
    assert_allclose(clf.predict_proba(X)[:, 1], 0.1, atol=0.02)


# Quality


def folds():
    return StratifiedKFold(5, shuffle=True, random_state=0)


@functools.cache
def accuracy(data, scaled=False):
    """Mean accuracy over five folds with every default."""
    X, y = getattr(sklearn.datasets, f"load_{data}")(return_X_y=True)
    X = X * 10.0 ** np.linspace(-6, 6, X.shape[1]) if scaled else X
    clf = LiftedMLPClassifier(random_state=0)
    return cross_val_score(clf, X, y, cv=folds()).mean()


@pytest.mark.parametrize(
    ("dtype", "exponent"),
    [*((np.float32, e) for e in (-30, 30)), *((np.float64, e) for e in (-100, 100))],
)
def test_any_common_unit_will_do(iris, dtype, exponent):
    X, y = iris
    X = (X * 10.0**exponent).astype(dtype)
    assert quick(max_iter=30).fit(X, y).score(X, y) > 0.95


@pytest.mark.parametrize("data", ["breast_cancer", "wine", "digits"])
def test_badly_scaled_inputs_cost_nothing(data):
    X, y = getattr(sklearn.datasets, f"load_{data}")(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), LiftedMLPClassifier(random_state=0))
    standardised = cross_val_score(pipeline, X, y, cv=folds()).mean()
    assert accuracy(data, scaled=True) >= standardised - 0.01
    assert accuracy(data) >= standardised - 0.01


@pytest.mark.filterwarnings(
    f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning"
)
def test_as_accurate_as_scikit_learns_mlp(digits):
    peer = make_pipeline(StandardScaler(), MLPClassifier(max_iter=200, random_state=0))
    # Its small products crawl on many threads of a busy machine.
    with threadpool_limits(1):
        reference = cross_val_score(peer, *digits, cv=folds()).mean()
    assert accuracy("digits") >= reference - 0.005


def test_mnist_in_two_passes():
    try:
        X, y = datasets.fetch_mnist(
            subset="train", return_X_y=True, download_if_missing=False
        )
        X_test, y_test = datasets.fetch_mnist(
            subset="test", return_X_y=True, download_if_missing=False
        )
    except FileNotFoundError as error:
        pytest.skip(str(error).splitlines()[0])
    clf = LiftedMLPClassifier((300,), max_iter=2, random_state=0).fit(X, y)
    assert clf.coefs_[0].dtype == np.float32
    assert clf.score(X_test, y_test) >= 0.978


@pytest.mark.parametrize("rank", [40, 700, 2100])
def test_directions_of_wide_inputs(rank):
    """As many as hold 95 % of the variance, but 1,024 at most."""
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(2100, rank)))[0]
    deviations = np.linspace(2, 1, rank)
    X = (rng.normal(size=(1500, rank)) * deviations) @ directions.T
    clf = quick(max_iter=1, scale="global").fit(
        X.astype(np.float32), rng.integers(3, size=len(X))
    )
    values = np.linalg.svd(X - X.mean(axis=0), compute_uv=False) ** 2
    needed = 1 + np.argmax(np.cumsum(values) >= 0.95 * values.sum())
    # Ritz values of the last of many nearly equal directions are a little low.
    assert min(needed, 1024) <= clf.n_components_ <= min(1.02 * needed, 1024)
