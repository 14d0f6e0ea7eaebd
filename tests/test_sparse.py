"""Sparse inputs, which are never made dense as a whole."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from liftnet import LiftedMLPClassifier, LiftedMLPRegressor

FORMATS = [
    sp.csr_matrix,
    sp.csr_array,
    sp.csc_matrix,
    sp.coo_array,
    sp.lil_matrix,
    sp.dok_array,
    sp.bsr_array,
]
SOLVERS = ["stochastic", "batch"]


@pytest.fixture(scope="module")
def images():
    """Pixels of digits, half of them 0."""
    X, y = load_digits(return_X_y=True)
    return X[:400], y[:400]


def quick(kind=LiftedMLPClassifier, **params):
    params = {"hidden_layer_sizes": 12, "max_iter": 4, "random_state": 0} | params
    return kind(**params)


def same(one, other, **tolerance):
    for a, b in zip(one.coefs_, other.coefs_, strict=True):
        assert_allclose(a, b, **({"rtol": 1e-5, "atol": 1e-7} | tolerance))


def alike(dense, sparse, X):
    """Predictions, and weights for what varies: of a pixel that is nearly always 0 its
    weight is rounding in single precision.
    """
    name = "predict" if isinstance(dense, LiftedMLPRegressor) else "decision_function"
    spread = X.std(axis=0)[:, np.newaxis]

    def parts(model):
        first, *others = model.coefs_
        return [getattr(model, name)(X), spread * first, *others]

    for expected, got in zip(parts(dense), parts(sparse), strict=True):
        share = 1e-5 if len(expected) == len(X) else 2e-5
        assert_allclose(got, expected, rtol=0, atol=share * np.abs(expected).max())


@pytest.mark.parametrize("container", FORMATS)
def test_every_format(images, container):
    X, y = images
    same(quick().fit(X, y), quick().fit(container(X), y))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"early_stopping": True},
        {"n_components": 10},
        {"scale": "feature"},
        {"penalty": ["l1(0.1)", None]},
        {"input_noise": 0.5},
        {"hidden_layer_sizes": ()},
        {"class_weight": "balanced"},
    ],
    ids=str,
)
def test_fits_are_those_of_dense_inputs(images, solver, params):
    X, y = images
    weights = np.arange(len(y)) % 3
    for sample_weight in (None, weights):
        dense = quick(solver=solver, **params).fit(X, y, sample_weight)
        sparse = quick(solver=solver, **params).fit(sp.csr_array(X), y, sample_weight)
        alike(dense, sparse, X)
        if solver == "batch":
            same(dense, sparse)
        assert dense.validation_scores_ == pytest.approx(sparse.validation_scores_)


def test_single_precision(images):
    X, y = images[0].astype(np.float32), images[1]
    sparse = quick().fit(sp.csr_array(X), y)
    assert sparse.coefs_[0].dtype == np.float32
    same(quick().fit(X, y), sparse, rtol=1e-2, atol=1e-3)


def test_integers_and_wide_indices(images):
    X, y = images
    expected = quick().fit(X, y)
    whole = sp.csr_array(X.astype(np.int64))
    same(expected, quick().fit(whole, y))
    wide = sp.csr_array(X)
    wide.indices, wide.indptr = (
        wide.indices.astype("int64"),
        wide.indptr.astype("int64"),
    )
    same(expected, quick().fit(wide, y))


def test_what_is_stored_twice_is_added_and_left_as_it_is(images):
    X, y = images
    half = sp.csr_array(X)
    twice = sp.csr_array(
        (
            np.repeat(half.data / 2, 2),
            np.repeat(half.indices, 2),
            2 * half.indptr,
        ),
        shape=X.shape,
    )
    before = twice.data.copy()
    model = quick().fit(twice, y)
    same(quick().fit(X, y), model)
    assert_allclose(model.predict_proba(twice), model.predict_proba(X), rtol=1e-9)
    assert_array_equal(twice.data, before)
    assert twice.nnz == 2 * half.nnz


def test_every_method(images):
    X, y = images
    model, S = quick(hidden_layer_sizes=(12, 5)).fit(X, y), sp.csr_matrix(X)
    for name in (
        "decision_function",
        "predict_proba",
        "predict_log_proba",
        "predict",
        "transform",
        "hidden_activations",
    ):
        method = getattr(model, name)
        assert_allclose(method(S), method(X), rtol=1e-9, atol=1e-12)
    assert model.score(S, y) == model.score(X, y)
    assert_allclose(model.hidden_activations(S, 0), model.hidden_activations(X, 0))


@pytest.mark.parametrize("solver", SOLVERS)
def test_regression(images, solver):
    X, y = images[0], images[1].astype(float)
    dense = quick(LiftedMLPRegressor, solver=solver).fit(X, y)
    sparse = quick(LiftedMLPRegressor, solver=solver).fit(sp.csr_array(X), y)
    alike(dense, sparse, X)
    if solver == "batch":
        same(dense, sparse)
    assert_allclose(sparse.predict(sp.csr_array(X)), dense.predict(X), rtol=1e-5)


def test_multilabel_and_starts():
    X, Y = make_multilabel_classification(300, random_state=0)
    dense = quick(early_stopping=True).fit(X, Y)
    sparse = quick(early_stopping=True).fit(sp.csr_array(X), sp.csr_array(Y))
    same(dense, sparse)
    still = quick(init=dense, max_iter=1, learning_rate_init=1e-12)
    again = still.fit(sp.csr_array(X), Y)
    assert_allclose(again.predict_proba(X), dense.predict_proba(X), rtol=1e-6)
    warm = quick(warm_start=True).fit(sp.csr_array(X), Y)
    assert warm.fit(sp.csr_array(X), Y).score(X, Y) >= 0


def test_same_bits_for_every_number_of_threads():
    X = sp.random_array((300, 2500), density=0.02, rng=np.random.default_rng(0)).tocsr()
    y = np.asarray(X[:, :1250].sum(axis=1) > X[:, 1250:].sum(axis=1)).ravel()
    one, two = (quick(n_jobs=k).fit(X, y) for k in (1, 2))
    for a, b in zip(one.coefs_, two.coefs_, strict=True):
        assert_array_equal(a, b)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_values_are_named(images, value):
    X = sp.csr_array(images[0])
    place = X.indptr[7] + 3
    X.data[place], X.data[-1] = value, np.nan
    message = f"in feature {X.indices[place]}, first in row 7"
    with pytest.raises(ValueError, match=message):
        quick().fit(X, images[1])
    with pytest.raises(ValueError, match=message):
        quick().fit(*images).predict(X)


def test_validation_data_of_ones_own(images):
    X, y = images
    scores = []
    for container in (np.asarray, sp.csr_array, sp.coo_array):
        model = quick(early_stopping=True, scoring="f1_macro")
        model.fit(container(X[:300]), y[:300], X_val=container(X[300:]), y_val=y[300:])
        scores.append(model.validation_scores_)
    assert scores[1] == scores[2] == pytest.approx(scores[0])
    bad = sp.csr_array(X[300:])
    bad.data[0] = np.nan
    with pytest.raises(ValueError, match="X_val: Input X contains NaN in feature"):
        quick().fit(X[:300], y[:300], X_val=bad, y_val=y[300:])


@pytest.mark.parametrize("penalty", [None, "l1(0.01)"])
def test_partial_fit(images, penalty, monkeypatch):
    X, y = images
    dense, sparse = quick(penalty=penalty), quick(penalty=penalty)
    weight = np.linspace(0.5, 1, 400)
    for rows in (slice(0, 200), slice(200, 400)):
        dense.partial_fit(X[rows], y[rows], range(10), weight[rows])
        part = sp.csr_array(X[rows])
        with monkeypatch.context() as patch:
            patch.setattr(type(part), "toarray", only_of_features)
            sparse.partial_fit(part, y[rows], range(10), weight[rows])
    same(dense, sparse)


def test_partial_fit_of_targets(images):
    X, y = images
    dense, sparse = quick(LiftedMLPRegressor), quick(LiftedMLPRegressor)
    for rows in (slice(0, 200), slice(200, 400)):
        dense.partial_fit(X[rows], y[rows])
        sparse.partial_fit(sp.csr_matrix(X[rows]), y[rows])
    same(dense, sparse)


def test_partial_fit_of_wide_rows():
    # Dense, the chunk would take 1.6 GB.
    X = sp.random_array((2000, 100_000), density=1e-4, rng=0, format="csr")
    y = np.tile([0, 1], 1000)
    telling = sp.coo_array((y, (np.arange(2000), np.full(2000, 7))), X.shape)
    X = (X + 3 * telling).tocsr()
    model = quick(n_components=8, scale="global")
    for _ in range(6):
        model.partial_fit(X, y, [0, 1])
    assert model.score(X, y) > 0.9


def only_of_features(part, original=sp.csr_array.toarray):
    """Make an array only of the features' products."""
    assert part.shape[0] == part.shape[1]
    return original(part)


def test_other_errors(images):
    X, y = sp.csr_array(images[0]), images[1]
    model = quick().fit(X, y)
    with pytest.raises(ValueError, match="X has 63 features, but"):
        model.predict(X[:, :-1])
    with pytest.raises(ValueError, match="omplex"):
        quick().fit(X * 1j, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        quick().fit(X, y[:-1])


def test_text_in_a_pipeline():
    rng = np.random.default_rng(0)
    words = np.array([f"word{k}" for k in range(3000)])
    y = rng.integers(2, size=400)
    # Each class prefers its own hundred words.
    chosen = rng.integers(3000, size=(400, 40))
    chosen[:, :12] = rng.integers(100, size=(400, 12)) + 100 * y[:, None]
    texts = [" ".join(words[row]) for row in chosen]
    pipeline = make_pipeline(
        TfidfVectorizer(), LiftedMLPClassifier(20, max_iter=10, random_state=0)
    )
    assert cross_val_score(pipeline, texts, y, cv=2).min() > 0.9


def test_wide_inputs_are_never_made_dense(run_python):
    run = run_python(
        """
        import resource
        import numpy as np
        import scipy.sparse as sp
        from liftnet import LiftedMLPClassifier

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

        n, d = 3000, 20_000
        rng = np.random.default_rng(0)
        X = sp.random_array((n, d), density=0.001, rng=rng).tocsr()
        y = np.arange(n) % 2
        model = LiftedMLPClassifier(10, max_iter=2, random_state=0)
        model.fit(X[:, :100], y)
        before = peak()
        model.set_params(n_components=40).fit(X, y).predict(X)
        assert peak() - before < 0.5 * 8 * n * d, peak() - before
        """
    )
    assert run.returncode == 0, run.stderr
