"""Data that keep coming: partial_fit of both estimators."""

import pickle

import numpy as np
import pytest
import sklearn.datasets
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array, random_array
from sklearn.metrics import (
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
)
from sklearn.model_selection import train_test_split

import liftnet
from liftnet import LiftedMLPClassifier, LiftedMLPRegressor, _stream


def weights(estimator):
    return np.concatenate(
        [array.ravel() for array in (*estimator.coefs_, *estimator.intercepts_)]
    )


def chunks(*arrays, size):
    for start in range(0, len(arrays[0]), size):
        yield tuple(array[start : start + size] for array in arrays)


def streamed(estimator, X, y, size, passes=1, **first):
    for _ in range(passes):
        for part in chunks(X, y, size=size):
            estimator.partial_fit(*part, **first)
    return estimator


@pytest.fixture(scope="module")
def friedman():
    X, y = sklearn.datasets.make_friedman1(2000, noise=0.5, random_state=0)
    return train_test_split(X, 1000 + 50 * y, random_state=0)


# How good it is


@pytest.mark.parametrize("size", [10, 50, 400, 2000])
def test_a_stream_of_digits_is_learned_as_by_a_fit(digits_split, size):
    X, X_test, y, y_test = digits_split
    clf = LiftedMLPClassifier(random_state=0)
    streamed(clf, X, y, size, classes=range(10))
    # Noise of no length: without the steps on the output block over all samples at once
    # that end a single pass, and that a stream can't take.
    once = LiftedMLPClassifier(random_state=0, max_iter=1, input_noise=1e-30)
    once.fit(X, y)
    assert clf.score(X_test, y_test) > once.score(X_test, y_test) - 0.025
    streamed(clf, X, y, size, passes=7)
    full = LiftedMLPClassifier(random_state=0).fit(X, y)
    assert clf.score(X_test, y_test) > full.score(X_test, y_test) - 0.015
    assert clf.n_iter_ == len(clf.loss_curve_) == 8 * -(-len(X) // size)
    assert clf.status_ == "partial_fit"


@pytest.mark.parametrize(
    ("loss", "enough"),
    [("squared_error", 0.9), ("absolute_error", 0.9), ("huber", 0.9), ("poisson", 0.8)],
)
def test_a_stream_of_numbers(friedman, loss, enough):
    X, X_test, y, y_test = friedman
    reg = LiftedMLPRegressor(loss=loss, random_state=0)
    for _ in range(12):
        streamed(reg, X, y, 100)
    assert reg.score(X_test, y_test) > enough


def test_two_outputs(friedman):
    X, X_test, y, y_test = friedman
    Y, Y_test = (np.column_stack([v, -1e-3 * v + 4]) for v in (y, y_test))
    reg = streamed(LiftedMLPRegressor(random_state=0), X, Y, 150, passes=10)
    assert reg.predict(X_test).shape == Y_test.shape
    assert reg.score(X_test, Y_test) > 0.9


def test_mean_weights_are_better_than_the_last(digits_split):
    X, X_test, y, y_test = digits_split
    clf = LiftedMLPClassifier(20, random_state=0, learning_rate_init=1.0)
    streamed(clf, X, y, 100, passes=3, classes=range(10))
    mean = clf.score(X_test, y_test)
    core = clf._stream.core
    for one, other in zip(core["weights"], core["means"], strict=True):
        assert abs(one - other).max() > 0.01
    core["means"] = [array.copy() for array in core["weights"]]
    clf.set_params(learning_rate_init=1e-12).partial_fit(X[:1], y[:1])
    assert mean > clf.score(X_test, y_test)


def test_a_stream_that_changes_is_followed(digits_split):
    X, X_test, y, y_test = digits_split
    clf = streamed(LiftedMLPClassifier(random_state=0), X, y, 200, 2, classes=range(10))
    moved = (y + 1) % 10
    streamed(clf, X, moved, 200, passes=15)
    assert clf.score(X_test, (y_test + 1) % 10) > 0.9


# What is kept


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("container", [np.array, csr_array])
def test_moments_are_those_of_all_data(dtype, weighted, container):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(300, 6)) @ rng.normal(size=(6, 6)) + 5).astype(dtype)
    X[:, 2] = 3
    X[:, 4] *= rng.random(300) < 0.2
    X[:, 5] = 0
    # Far from 0, by as much as the precision leaves of its spread.
    X[:, 1] += dtype(1e6 if dtype == np.float64 else 1e3)
    weight = rng.uniform(0.2, 1, 300).astype(dtype) if weighted else None
    moments = _stream.InputMoments(6)
    for start, stop in ((0, 7), (7, 8), (8, 200), (200, 300)):
        part = None if weight is None else weight[start:stop]
        moments = moments.with_chunk(container(X[start:stop]), part)
    core = moments.for_core()
    tolerance = 1e-4 if dtype == np.float32 else 1e-10
    expected = np.cov(X.T.astype(float), bias=True, aweights=weight)
    assert_allclose(core["covariance"], expected, rtol=tolerance, atol=tolerance)
    assert_allclose(core["mean"], np.average(X, axis=0, weights=weight), rtol=tolerance)
    assert_array_equal(core["variance"], core["covariance"].diagonal())
    assert core["variance"][2] < 1e-20
    assert_array_equal(core["low"], X.min(axis=0))
    assert_array_equal(core["high"], X.max(axis=0))


def test_moments_of_very_many_features_are_variances():
    X = random_array((50, 3000), density=0.1, rng=0, format="csr")
    weight = np.random.default_rng(1).uniform(0.2, 1, 50)
    sparse = _stream.InputMoments(3000).with_chunk(X, weight).for_core()
    dense = _stream.InputMoments(3000).with_chunk(X.toarray(), weight).for_core()
    assert sparse["covariance"] is None
    for name in ("mean", "variance", "low", "high"):
        assert_allclose(sparse[name], dense[name], rtol=1e-12, atol=1e-15)


def test_target_moments_are_those_of_all_data():
    y = np.random.default_rng(0).normal(3, 2, size=(500, 2))
    moments = _stream.TargetMoments("squared_error", 2)
    for (part,) in chunks(y, size=70):
        moments = moments.with_chunk(part, None)
    assert_allclose(moments.offset, y.mean(axis=0))
    assert_allclose(moments.gain, y.std(axis=0))
    standard = moments.standard(y)
    assert_allclose(standard * moments.gain + moments.offset, y)


def test_units_of_the_targets_do_not_matter(friedman):
    X, X_test, y, _ = friedman
    plain = streamed(LiftedMLPRegressor(random_state=0), X, y, 200)
    other = streamed(LiftedMLPRegressor(random_state=0), X, 1024 * y, 200)
    assert_allclose(other.predict(X_test), 1024 * plain.predict(X_test), rtol=1e-6)


def test_features_that_begin_to_vary(digits_split):
    X, X_test, y, y_test = digits_split
    order = np.argsort(X[:, 1], kind="stable")  # 0 in all of the first chunks
    assert not X[order[:300], 1].any()
    clf = LiftedMLPClassifier(random_state=0)
    streamed(clf, X[order], y[order], 100, passes=5, classes=range(10))
    assert clf.score(X_test, y_test) > 0.94


def test_same_seed_same_bits_for_every_number_of_threads(digits):
    X, y = digits
    one, other = (
        streamed(
            LiftedMLPClassifier(random_state=0, n_jobs=n), X, y, 300, classes=range(10)
        )
        for n in (1, 2)
    )
    assert_array_equal(weights(one), weights(other))
    another = LiftedMLPClassifier(random_state=1)
    streamed(another, X, y, 300, classes=range(10))
    assert (weights(one) != weights(another)).any()


def test_a_pickle_goes_on(digits):
    X, y = digits
    clf = streamed(LiftedMLPClassifier(random_state=0), X, y, 600, classes=range(10))
    copy = pickle.loads(pickle.dumps(clf))
    assert_array_equal(
        weights(clf.partial_fit(X[:99], y[:99])),
        weights(copy.partial_fit(X[:99], y[:99])),
    )


def test_it_goes_on_from_a_fit_and_from_a_file(digits_split, tmp_path):
    X, X_test, y, _ = digits_split
    clf = LiftedMLPClassifier(random_state=0).fit(X, y)
    before = clf.predict_proba(X_test)
    clf.save(tmp_path / "clf.safetensors")
    loaded = liftnet.load(tmp_path / "clf.safetensors")
    for estimator in (clf, loaded):
        estimator.set_params(learning_rate_init=1e-12).partial_fit(X, y)
        assert_allclose(estimator.predict_proba(X_test), before, atol=1e-6)
    fresh = LiftedMLPClassifier(random_state=0).fit(X, y)
    clf.set_params(learning_rate_init="auto").fit(X, y)
    assert_array_equal(weights(clf), weights(fresh))
    assert not hasattr(clf, "_stream")


def test_a_regressor_goes_on_from_a_fit(friedman):
    X, X_test, y, _ = friedman
    reg = LiftedMLPRegressor(random_state=0, max_iter=5).fit(X, y)
    before = reg.predict(X_test)
    # Other centres and spreads of the targets: the same predictions.
    for part in (y[:50] * 2, y[:50] - 5000, y[:50] * 0.01):
        reg.set_params(learning_rate_init=1e-12).partial_fit(X[:50], part)
        assert_allclose(reg.predict(X_test), before, rtol=1e-6)


@pytest.mark.parametrize(
    "params",
    [
        {"penalty": ["nonnegative", None]},
        {"penalty": "l1(0.1)"},
        {"penalty": [None, "sparse(0.5)"]},
        {"penalty": ["rank(3)", None]},
        {"input_noise": 0.3},
        {"activation": "leaky_relu", "learn_activation": True},
        {"hidden_layer_sizes": ()},
        {"hidden_layer_sizes": (20, 10), "activation": ["tanh", "relu"]},
        {"n_components": 20},
        {"class_weight": {0: 2.0}},
        {"dropout": 0.2, "label_smoothing": 0.1},
    ],
    ids=str,
)
def test_parameters_of_the_fit(digits_split, params):
    X, X_test, y, y_test = digits_split
    clf = LiftedMLPClassifier(**{"hidden_layer_sizes": 30, "random_state": 0} | params)
    # A limit of the rank is tightened over 400 steps.
    passes = 15 if clf.penalty == ["rank(3)", None] else 3
    streamed(clf, X, y, 200, passes=passes, classes=range(10))
    assert clf.score(X_test, y_test) > (0.75 if passes == 15 else 0.85)
    if clf.penalty == ["nonnegative", None]:
        assert (clf.coefs_[0] >= 0).all()
    if clf.penalty == [None, "sparse(0.5)"]:
        assert (clf.coefs_[1] == 0).mean() >= 0.5
    if clf.penalty == ["rank(3)", None]:
        assert np.linalg.matrix_rank(clf.coefs_[0], tol=1e-6) == 3
    if clf.learn_activation:
        assert clf.activations_ != ["leaky_relu(slope=0.01)"]


def test_very_wide_data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 2100)).astype(np.float32)
    y = (X[:, :20].sum(axis=1) > 0).astype(int)
    clf = LiftedMLPClassifier(10, random_state=0)
    streamed(clf, X, y, 60, passes=20, classes=[0, 1])
    assert clf._stream.inputs.products.ndim == 1
    assert clf.score(X, y) > 0.8


# Weights and labels


def test_weight_zero_removes_a_row(digits):
    X, y = digits
    weight = (np.arange(300) % 3 > 0).astype(float)
    one, other = (LiftedMLPClassifier(random_state=0) for _ in range(2))
    one.partial_fit(X[:300], y[:300], classes=range(10), sample_weight=weight)
    kept = weight > 0
    other.partial_fit(X[:300][kept], y[:300][kept], classes=range(10))
    assert_array_equal(weights(one), weights(other))


def test_labels_that_come_later(iris):
    X, y = iris
    names = np.array(["setosa", "versicolor", "virginica"])
    clf = LiftedMLPClassifier(random_state=0)
    clf.partial_fit(X[:50], names[y[:50]], classes=names[::-1])
    assert_array_equal(clf.classes_, names)
    assert_array_equal(clf.predict(X[:50]), names[y[:50]])
    order = np.random.default_rng(0).permutation(150)
    for _ in range(30):
        clf.partial_fit(X[order], names[y[order]])
    assert clf.score(X, names[y]) > 0.95


# Watching it


@pytest.fixture(scope="module")
def noisy():
    """Rows whose labels are wrong in the second half: the best is in between."""
    X, y = sklearn.datasets.make_classification(
        900, 10, n_informative=6, random_state=0
    )
    wrong = np.arange(600) >= 320
    return X[:600], np.where(wrong, 1 - y[:600], y[:600]), X[600:], y[600:]


def smoothed_loss(clf, X, y):
    """Minus the cross-entropy of labels smoothed by a tenth."""
    proba = clf.predict_proba(X)
    hot = 0.9 * np.eye(2)[y] + 0.05
    return -(-hot * np.log(proba)).sum(axis=1).mean()


@pytest.mark.parametrize(
    ("scoring", "score"),
    [
        (None, lambda clf, X, y: clf.score(X, y)),
        ("neg_log_loss", lambda clf, X, y: -log_loss(y, clf.predict_proba(X))),
        ("loss", smoothed_loss),
    ],
)
def test_early_stopping_keeps_the_best_chunk(noisy, scoring, score):
    X, y, X_val, y_val = noisy
    params = {"hidden_layer_sizes": 12, "random_state": 0, "label_smoothing": 0.1}
    params |= {"scoring": scoring, "n_iter_no_change": 3, "tol": 1e-3}
    plain = LiftedMLPClassifier(**params)
    early = LiftedMLPClassifier(**params, early_stopping=True)
    val = {"X_val": X_val, "y_val": y_val}
    scores, states, mark, stale, ended = [], [], -np.inf, 0, []
    for part in chunks(X, y, size=40):
        plain.partial_fit(*part, classes=[0, 1])
        early.partial_fit(*part, classes=[0, 1], **val)
        scores.append(score(plain, X_val, y_val))
        states.append(weights(plain))
        stale = 0 if scores[-1] > mark + 1e-3 else stale + 1
        mark = scores[-1] if stale == 0 else mark
        ended.append("converged" if stale >= 3 else "partial_fit")
        best = len(scores) - 1 - int(np.argmax(scores[::-1]))
        assert_array_equal(weights(early), states[best])
        assert early.status_ == ended[-1]
    assert best < len(scores) - 1 and "converged" in ended and ended[0] != ended[-1]
    assert_allclose(early.validation_scores_, scores, rtol=1e-6)
    assert early.history_["validation_score"] == early.validation_scores_
    assert early.best_validation_score_ == max(early.validation_scores_)
    assert early.best_loss_ is None and early.loss_curve_ == plain.loss_curve_


def test_watching_a_stream_changes_nothing(noisy):
    X, y, X_val, y_val = noisy
    plain, watched = (LiftedMLPClassifier(9, random_state=0) for _ in range(2))
    weight = np.linspace(0, 1, len(y_val))
    for part in chunks(X, y, size=200):
        plain.partial_fit(*part, classes=[0, 1])
        watched.partial_fit(
            *part,
            classes=[0, 1],
            X_val=csr_array(X_val),
            y_val=y_val,
            sample_weight_val=weight,
        )
        assert_array_equal(weights(watched), weights(plain))
        expected = plain.score(X_val, y_val, weight)
        assert watched.validation_scores_[-1] == pytest.approx(expected)
    assert plain.validation_scores_ is None and len(watched.validation_scores_) == 3
    # A chunk more that is not watched.
    watched.partial_fit(X, y)
    assert len(watched.validation_scores_) == 3 and watched.n_iter_ == 4
    assert "validation_score" not in watched.history_


def test_early_stopping_of_a_stream_outlives_a_pickle(noisy):
    X, y, X_val, y_val = noisy
    val = {"classes": [0, 1], "X_val": X_val, "y_val": y_val}
    clf = LiftedMLPClassifier(9, random_state=0, early_stopping=True)
    whole = LiftedMLPClassifier(9, random_state=0, early_stopping=True)
    for part in chunks(X, y, size=100):
        clf = pickle.loads(pickle.dumps(clf)).partial_fit(*part, **val)
        whole.partial_fit(*part, **val)
    assert_array_equal(weights(clf), weights(whole))
    assert clf.validation_scores_ == whole.validation_scores_


def expected_loss(loss, y, prediction):
    """Loss of targets in units of their spread, by other means."""
    distance = np.abs(y - np.median(y))
    if loss == "squared_error":
        return mean_squared_error(y, prediction) / (2 * y.var())
    if loss == "absolute_error":
        return mean_absolute_error(y, prediction) / (1.4826 * np.median(distance))
    if loss == "poisson":
        return (prediction - y * np.log(prediction)).mean() / y.mean()
    epsilon = 1.35 if loss == "huber" else 0.5
    r = np.abs(y - prediction) / (1.4826 * np.median(distance))
    return np.where(r < epsilon, r**2 / 2, epsilon * (r - epsilon / 2)).mean()


@pytest.mark.parametrize(
    "loss",
    ["squared_error", "absolute_error", "huber", "huber(epsilon=0.5)", "poisson"],
)
@pytest.mark.parametrize("scoring", [None, "loss", "r2"])
def test_early_stopping_of_numbers(friedman, loss, scoring):
    X, X_val, y, y_val = friedman
    reg = LiftedMLPRegressor(9, loss=loss, scoring=scoring, early_stopping=True)
    reg.set_params(random_state=0)
    scores = []
    for part in chunks(X[:600], y[:600], size=100):
        reg.partial_fit(*part, X_val=X_val, y_val=y_val)
        now = reg.predict(X_val)
        one = (
            r2_score(y_val, now)
            if scoring == "r2"
            else -expected_loss(loss, y_val, now)
        )
        scores.append(one)
        # The estimator is at the best of them.
        assert max(reg.validation_scores_) == pytest.approx(one, rel=1e-6)
    assert len(reg.validation_scores_) == 6 and scores == sorted(scores)


def test_several_outputs_are_scored_together(friedman):
    X, X_val, y, y_val = friedman
    reg = LiftedMLPRegressor(9, random_state=0)
    reg.partial_fit(
        X, np.c_[y, -1e3 * y], X_val=X_val, y_val=np.c_[y_val, -1e3 * y_val]
    )
    first, second = reg.predict(X_val).T
    expected = expected_loss("squared_error", y_val, first)
    expected += expected_loss("squared_error", -1e3 * y_val, second)
    assert reg.validation_scores_ == [pytest.approx(-expected)]


def test_bad_validation_data_of_a_chunk(noisy):
    X, y, X_val, y_val = noisy

    def broken(estimator, X, y):
        raise KeyError("broken")

    clf = LiftedMLPClassifier(9, random_state=0, early_stopping=True)
    with pytest.raises(ValueError, match="early_stopping=True needs X_val and y_val"):
        clf.partial_fit(X, y, classes=[0, 1])
    assert not hasattr(clf, "coefs_")
    clf.partial_fit(X, y, classes=[0, 1], X_val=X_val, y_val=y_val)
    before = pickle.dumps(vars(clf))
    for wrong, message in [
        ({"X_val": X_val}, "X_val and y_val must be given together, but y_val is None"),
        ({"X_val": X_val[:, :3], "y_val": y_val}, "X_val: X has 3 features"),
        ({"X_val": X_val, "y_val": y_val + 1}, r"y_val has classes .*: \[2\]"),
        ({"X_val": X_val, "y_val": y_val[:-1]}, "inconsistent numbers of samples"),
    ]:
        with pytest.raises(ValueError, match=message):
            clf.partial_fit(X, y, **wrong)
    clf.scoring = broken
    with pytest.raises(KeyError, match="broken"):
        clf.partial_fit(X, y, X_val=X_val, y_val=y_val)
    clf.scoring = None
    assert pickle.dumps(vars(clf)) == before


# What is refused


def refuses(match, estimator, *arguments, **params):
    before = vars(estimator).copy()
    with pytest.raises(ValueError, match=match):
        estimator.partial_fit(*arguments, **params)
    assert vars(estimator).keys() == before.keys()
    assert all(vars(estimator)[name] is value for name, value in before.items())


def test_bad_chunks(iris):
    X, y = iris
    clf = LiftedMLPClassifier(5, random_state=0)
    refuses("classes must be passed on the first call", clf, X, y)
    refuses("needs at least 2 classes, but classes holds one: 3", clf, X, y, [3])
    unknown = r"y has classes that partial_fit does not know: \[2\]"
    refuses(unknown, clf, X, y, [0, 1])
    clf.partial_fit(X, y, [0, 1, 2])
    refuses("is not the same as on last call", clf, X, y, [0, 1])
    refuses(r"does not know: \[7\]", clf, X[:1], [7])
    refuses("X has 2 features", clf, X[:, :2], y)
    refuses("contains NaN", clf, X * np.nan, y)
    clf.set_params(class_weight="balanced")
    refuses("cannot balance classes", clf, X, y)
    clf.set_params(class_weight={5: 1.0})
    refuses(r"class_weight has classes that are not known: \[5\]", clf, X, y)
    clf.set_params(class_weight=None, hidden_layer_sizes=6)
    refuses(r"goes on with hidden_layer_sizes=\(5,\)", clf, X, y)
    clf.set_params(hidden_layer_sizes=5, activation="tanh")
    refuses(r"goes on with activation=\['relu'\]", clf, X, y)


def test_bad_chunks_of_a_regressor(friedman):
    X, _, y, _ = friedman
    reg = LiftedMLPRegressor(5, random_state=0).partial_fit(X, y)
    refuses("goes on with 1 outputs, but y has 2", reg, X, np.column_stack([y, y]))
    reg.set_params(loss="huber")
    refuses("goes on with loss='squared_error'", reg, X, y)
    reg = LiftedMLPRegressor(5, loss="poisson")
    refuses("for the poisson loss, got zeros only", reg, X[:9], np.zeros(9))


@pytest.mark.parametrize("kind", [LiftedMLPClassifier, LiftedMLPRegressor])
def test_the_batch_solver_has_none(kind):
    assert hasattr(kind(), "partial_fit")
    assert not hasattr(kind(solver="batch"), "partial_fit")
