"""Labels that do not exclude each other."""

import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, log_expit
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.utils.class_weight import compute_sample_weight

import liftnet
from liftnet import LiftedMLPClassifier

SOLVERS = ["stochastic", "batch"]


@pytest.fixture(scope="module")
def labelled():
    """600 rows, 20 features, 4 labels."""
    return make_multilabel_classification(
        600, n_features=20, n_classes=4, n_labels=2, random_state=0
    )


@pytest.fixture(scope="module")
def signs(digits):
    """Images of digits; whether each is even, above 4, a multiple of 3."""
    X, y = digits
    return X, np.stack([y % 2 == 0, y > 4, y % 3 == 0], axis=1).astype(int)


def quick(**params):
    params = {"hidden_layer_sizes": 10, "max_iter": 5, "random_state": 0} | params
    return LiftedMLPClassifier(**params)


def total_loss(Y, proba):
    return sum(log_loss(y, p, labels=[0, 1]) for y, p in zip(Y.T, proba.T, strict=True))


@pytest.mark.parametrize("solver", SOLVERS)
def test_shapes_and_links(labelled, solver):
    X, Y = labelled
    model = quick(solver=solver, max_iter=20).fit(X, Y)
    logits = model.decision_function(X)
    assert logits.shape == Y.shape
    assert model.out_activation_ == "logistic"
    assert model.n_outputs_ == 4
    assert_array_equal(model.classes_, np.arange(4))
    assert_array_equal(model.predict_proba(X), expit(logits))
    assert_array_equal(model.predict_log_proba(X), log_expit(logits))
    predicted = model.predict(X)
    assert predicted.dtype == np.int64
    assert_array_equal(predicted, logits > 0)
    assert model.score(X, Y) == accuracy_score(Y, predicted)
    assert model.score(X, Y) > 0.4


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_hidden_layers_it_is_one_logistic_regression_a_label(
    labelled, solver, dtype
):
    X, Y = labelled
    X = X.astype(dtype)
    params = {"alpha": 1.0, "scale": "none", "hidden_layer_sizes": (), "tol": 0}
    # The ridge is in the metric of the inputs: of whitened ones it is a plain one.
    U = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)[0] * np.sqrt(len(X))
    U = U.astype(dtype)
    model = quick(solver=solver, max_iter=300, damping=1e-9, **params).fit(U, Y)
    for k in range(4):
        other = LogisticRegression(C=1.0, tol=1e-8).fit(U, Y[:, k])
        atol = 0.01 if solver == "batch" else 0.1  # the noise of mini-batches
        assert_allclose(model.coefs_[0][:, k], other.coef_[0], atol=atol)
        assert_allclose(model.intercepts_[0][k], other.intercept_[0], atol=atol)


@pytest.mark.parametrize("solver", SOLVERS)
def test_real_data(signs, solver):
    X, Y = signs
    ours = quick(hidden_layer_sizes=50, max_iter=15, solver=solver).fit(
        X[:1200], Y[:1200]
    )
    assert ours.score(X[1200:], Y[1200:]) > 0.8
    apart = MultiOutputClassifier(LogisticRegression(max_iter=5000)).fit(
        X[:1200], Y[:1200]
    )
    assert ours.score(X[1200:], Y[1200:]) > apart.score(X[1200:], Y[1200:])


@pytest.mark.parametrize(
    "container",
    [
        scipy.sparse.csr_matrix,
        scipy.sparse.csc_array,
        scipy.sparse.coo_array,
        np.asfortranarray,
        lambda Y: Y.astype(bool),
        lambda Y: Y.astype(float),
        lambda Y: Y.tolist(),
    ],
)
def test_containers(labelled, container):
    X, Y = labelled
    model, other = quick().fit(X, Y), quick().fit(X, container(Y))
    assert_array_equal(model.coefs_[0], other.coefs_[0])
    assert model.score(X, container(Y)) == model.score(X, Y)


@pytest.mark.parametrize("kind", [scipy.sparse.csc_matrix, scipy.sparse.coo_array])
def test_sparse_labels_are_predicted_for_sparse_ones(labelled, kind, tmp_path):
    X, Y = labelled
    dense, model = quick().fit(X, Y), quick().fit(X, kind(Y))
    model.save(tmp_path / "model.safetensors")
    for sparse in (model, liftnet.load(tmp_path / "model.safetensors"), clone(model)):
        if not hasattr(sparse, "coefs_"):
            sparse.fit(X, kind(Y))
        labels = sparse.predict(X)
        assert labels.format == "csr"
        assert scipy.sparse.isspmatrix(labels) == scipy.sparse.isspmatrix(kind(Y))
        assert_array_equal(labels.toarray(), dense.predict(X))
        assert f1_score(Y, labels, average="micro") > 0.8
    assert isinstance(model.fit(X, Y).predict(X), np.ndarray)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_loss_is_the_sum_over_labels(labelled, solver):
    X, Y = labelled
    model = quick(alpha=0, learning_rate_init=1e-12, max_iter=1).fit(X, Y)
    assert model.loss_ == pytest.approx(4 * np.log(2), rel=1e-6)
    model = quick(solver=solver, alpha=0, max_iter=30).fit(X, Y)
    if solver == "batch":
        assert model.loss_ == pytest.approx(total_loss(Y, model.predict_proba(X)))
    assert total_loss(Y, model.predict_proba(X)) < 4 * np.log(2) / 1.5


def test_batch_objective_never_rises(labelled):
    history = quick(solver="batch", max_iter=30, tol=0).fit(*labelled).history_
    assert max(np.diff(history["objective"])) <= 1e-12


def test_two_labels_are_not_two_classes(labelled):
    X, Y = labelled
    model = quick().fit(X, Y[:, :2])
    assert model.predict(X).shape == (600, 2)
    assert np.ptp(model.predict_proba(X).sum(axis=1)) > 0.5


@pytest.mark.parametrize("solver", SOLVERS)
def test_labels_that_all_or_none_have(labelled, solver):
    X, Y = labelled
    Y = Y.copy()
    Y[:, 0], Y[:, 1] = 1, 0
    model = quick(solver=solver).fit(X, Y)
    assert_array_equal(model.predict(X)[:, :2], Y[:, :2])
    assert all(np.isfinite(array).all() for array in model.coefs_ + model.intercepts_)
    quick(solver=solver, activation="sign").fit(X, Y)


def test_no_worse_than_the_best_constant(labelled):
    X, Y = labelled
    model = quick(learning_rate_init=1e-12, max_iter=1).fit(X, Y)
    best = total_loss(Y, np.broadcast_to(Y.mean(axis=0), Y.shape))
    assert total_loss(Y, model.predict_proba(X)) <= best + 1e-9


@pytest.mark.parametrize("solver", SOLVERS)
def test_early_stopping_keeps_the_best_pass(labelled, solver):
    X, Y = labelled
    model = quick(solver=solver, early_stopping=True, max_iter=20).fit(X, Y)
    scores = model.validation_scores_
    assert model.best_validation_score_ == max(scores) > 0.3
    assert len(model.history_["validation_loss"]) == model.n_iter_


def test_validation_data_of_ones_own(labelled):
    X, Y = labelled
    split = X[:400], Y[:400]
    held = {"X_val": X[400:], "y_val": Y[400:]}
    model = quick(early_stopping=True).fit(*split, **held)
    assert max(model.validation_scores_) == model.score(X[400:], Y[400:])
    sparse = {name: scipy.sparse.csr_array(value) for name, value in held.items()}
    again = quick(early_stopping=True).fit(*split, **sparse)
    assert again.validation_scores_ == model.validation_scores_
    scored = quick(early_stopping=True, scoring="f1_micro").fit(*split, **held)
    best = f1_score(Y[400:], scored.predict(X[400:]), average="micro")
    assert max(scored.validation_scores_) == best
    for wrong, message in (
        (Y[400:, :3], "with 4 columns, as y is, got the shape"),
        (Y[400:, 0], "with 4 columns"),
        (Y[400:] * 2, "y_val must hold 0 and 1 only"),
        (Y[401:], "inconsistent numbers of samples"),
    ):
        with pytest.raises(ValueError, match=message):
            quick().fit(*split, X_val=X[400:], y_val=wrong)


def test_sample_weights_and_class_weights(labelled):
    X, Y = labelled
    weights = np.random.default_rng(0).integers(0, 3, len(X))
    one = quick(solver="batch").fit(X, Y, weights)
    repeated = quick(solver="batch").fit(
        np.repeat(X, weights, axis=0), np.repeat(Y, weights, axis=0)
    )
    assert_allclose(one.predict_proba(X), repeated.predict_proba(X), atol=1e-6)
    for class_weight in ("balanced", [{1: 3.0}, {0: 0.5}, {}, {0: 1.0, 1: 2.0}]):
        given = compute_sample_weight(class_weight, Y)
        model = quick(class_weight=class_weight).fit(X, Y)
        other = quick().fit(X, Y, given)
        assert_allclose(model.coefs_[0], other.coefs_[0], rtol=1e-9)
    with pytest.raises(ValueError, match="list of dicts"):
        quick(class_weight={0: 1.0}).fit(X, Y)


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array, pd.DataFrame])
def test_partial_fit_refuses_several_labels(labelled, kind):
    X, Y = labelled
    model = quick()
    with pytest.raises(ValueError, match="got an indicator matrix of several labels"):
        model.partial_fit(X, kind(Y), classes=[0, 1])
    assert not hasattr(model, "classes_")


def test_starts(labelled):
    X, Y = labelled
    mlp = MLPClassifier(10, max_iter=300, tol=1e-2, random_state=0).fit(X, Y)
    still = {"max_iter": 1, "learning_rate_init": 1e-12, "solver": "stochastic"}
    model = quick(init=mlp, alpha=0, **still).fit(X, Y)
    assert_allclose(model.predict_proba(X), mlp.predict_proba(X), rtol=1e-6, atol=1e-9)
    assert model.loss_ == pytest.approx(total_loss(Y, mlp.predict_proba(X)), rel=1e-6)
    again = quick(warm_start=True).fit(X, Y)
    first = total_loss(Y, again.predict_proba(X))
    assert total_loss(Y, again.fit(X, Y).predict_proba(X)) < first
    with pytest.raises(ValueError, match="needs the classes of the previous fit"):
        again.fit(X, Y[:, :3])
    with pytest.raises(ValueError, match="'logistic', but y needs 'softmax'"):
        quick(init=mlp).fit(X, Y @ [1, 2, 0, 0])
    again = quick(warm_start=True).fit(X, Y[:, :2])
    with pytest.raises(ValueError, match="2 outputs of the previous fit"):
        again.fit(X, Y[:, 0])


@pytest.mark.parametrize("solver", SOLVERS)
def test_robust_and_penalised_fits(labelled, solver):
    X, Y = labelled
    model = quick(solver=solver, input_noise=0.3, penalty="nonnegative").fit(X, Y)
    assert all((coef >= 0).all() for coef in model.coefs_)
    quick(solver=solver, activation="leaky_relu", learn_activation=True).fit(X, Y)
    quick(solver=solver, diagnostics=True, n_components=5).fit(X, Y)


def test_torch_and_back(labelled):
    torch = pytest.importorskip("torch")
    from liftnet.torch import from_torch

    X, Y = labelled
    model = quick().fit(X, Y)
    module = model.to_torch(head="softmax")
    assert isinstance(module[-1], torch.nn.Sigmoid)
    with torch.no_grad():
        proba = module(torch.from_numpy(X)).numpy()
    assert_allclose(proba, model.predict_proba(X), rtol=1e-9)
    for each in (module, model.to_torch()):
        back = from_torch(each, task="multilabel", random_state=0)
        assert_array_equal(back.predict_proba(X), model.predict_proba(X))
        assert_array_equal(back.predict(X), model.predict(X))
        assert back.fit(X, Y).score(X, Y) > 0.4
        start = quick(init=each, max_iter=1, learning_rate_init=1e-12).fit(X, Y)
        assert_allclose(start.predict_proba(X), model.predict_proba(X), rtol=1e-6)
    with pytest.raises(ValueError, match="binary='two' is for two classes that"):
        model.to_torch(binary="two")
    with pytest.raises(ValueError, match="two outputs or more"):
        from_torch(torch.nn.Linear(2, 1), task="multilabel")
    with pytest.raises(ValueError, match="classes are for task='classification' only"):
        from_torch(torch.nn.Linear(2, 3), task="multilabel", classes=[0, 1, 2])
    with pytest.raises(ValueError, match="task must be 'classification', 'multilabel'"):
        from_torch(torch.nn.Linear(2, 3), task="labels")
    softmax = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Softmax(1))
    with pytest.raises(ValueError, match="cannot take over"):
        from_torch(softmax, task="multilabel")
    sigmoid = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Sigmoid())
    with pytest.raises(ValueError, match="cannot take over"):
        from_torch(sigmoid)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_onnx(labelled, dtype):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    X, Y = labelled
    X = X.astype(dtype)
    model = quick().fit(X, Y)
    session = runtime.InferenceSession(model.to_onnx().SerializeToString())
    labels, proba = session.run(["label", "probabilities"], {"X": X})
    assert_array_equal(labels, model.predict(X))
    assert_allclose(proba, model.predict_proba(X), rtol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_onnx_pipelines(labelled):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    import liftnet.onnx

    X, Y = labelled
    X = X.astype(np.float32)
    pipeline = make_pipeline(StandardScaler(), quick()).fit(X, Y)
    liftnet.onnx.register()
    exported = skl2onnx.to_onnx(pipeline, X[:1], options={"zipmap": False})
    session = runtime.InferenceSession(exported.SerializeToString())
    labels, proba = session.run(None, {"X": X})
    assert_allclose(proba, pipeline.predict_proba(X), rtol=1e-3, atol=1e-5)
    assert (labels == pipeline.predict(X)).mean() > 0.999


def test_saved_and_loaded(labelled, tmp_path):
    pytest.importorskip("safetensors")
    X, Y = labelled
    model = quick(warm_start=True).fit(X, Y)
    model.save(tmp_path / "model")
    again = liftnet.load(tmp_path / "model")
    assert_array_equal(again.predict(X), model.predict(X))
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert_array_equal(again.fit(X, Y).coefs_[0], model.fit(X, Y).coefs_[0])


def test_view_in_notebooks(labelled):
    html = quick().fit(*labelled)._repr_html_()
    assert re.search("logistic</text>", html)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([[1, 2], [0, 3], [1, 1]], "sklearn.multioutput.MultiOutputClassifier"),
        ([["a", "b"], ["b", "a"], ["a", "a"]], "multioutput.MultiOutputClassifier"),
        ([[1, -1], [-1, 1], [1, 1]], r"must hold 1 .* got the values \[-1, 1\]"),
        ([[0.5, 1.5], [0.1, 0.2], [0.0, 1.0]], "Unknown label type"),
        (scipy.sparse.csr_array([[1], [2], [0]]), "sparse y must be an indicator"),
        (scipy.sparse.csr_array([[1, 2], [0, 1], [2, 0]]), "MultiOutputClassifier"),
    ],
    ids=str,
)
def test_other_targets(y, message):
    model = quick()
    with pytest.raises(ValueError, match=message):
        model.fit(np.eye(3), y)
    assert not hasattr(model, "coefs_")
