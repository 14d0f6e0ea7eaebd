"""The batch solver as the estimators show it."""

import numpy as np
import pytest

from liftnet import LiftedMLPClassifier, datasets


@pytest.fixture(scope="module")
def digits():
    X, y = datasets.load_digits(return_X_y=True)
    return X.astype(np.float64), y


def fit(X, y, sizes=(20, 20, 20), **options):
    options = {"solver": "batch", "max_iter": 8, "tol": 0.0, **options}
    return LiftedMLPClassifier(sizes, random_state=0, **options).fit(X, y)


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layers_solved_in_parallel_give_the_same_bits(digits, accelerate, dtype):
    X, y = digits
    one, two, four = (
        fit(X.astype(dtype), y, accelerate=accelerate, n_jobs=threads)
        for threads in (1, 2, 4)
    )
    for other in (two, four):
        for a, b in zip(one.coefs_, other.coefs_, strict=True):
            assert a.dtype == dtype
            np.testing.assert_array_equal(a, b)
        for a, b in zip(one.intercepts_, other.intercepts_, strict=True):
            np.testing.assert_array_equal(a, b)
        assert one.history_["objective"] == other.history_["objective"]


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("activation", ["relu", "step", ("tanh", "sign", "relu")])
def test_history_tells_of_the_network_itself(digits, accelerate, activation):
    X, y = digits
    clf = fit(X, y, accelerate=accelerate, activation=activation, alpha=0.0)
    assert clf.history_["score"][-1] == pytest.approx(clf.score(X, y), abs=1e-12)
    loss = -clf.predict_log_proba(X)[np.arange(len(X)), y].mean()
    assert clf.history_["loss"][-1] == pytest.approx(loss, rel=1e-6)
    assert clf.history_["loss"] == clf.loss_curve_


def test_gap_of_plain_blocks_is_that_of_the_sweep(digits):
    clf = fit(*digits, accelerate=False)
    for layer in ("gap_1", "gap_2", "gap_3"):
        gaps = np.array(clf.history_[layer])
        assert (gaps > 0).all()
        assert (np.diff(gaps) != 0).all()
