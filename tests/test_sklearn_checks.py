"""scikit-learn's contract for estimators."""

from functools import partial

import numpy as np
import pytest
from sklearn.base import is_classifier, is_regressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils._testing import assert_allclose_dense_sparse
from sklearn.utils.estimator_checks import (
    check_sample_weight_equivalence_on_dense_data,
    parametrize_with_checks,
)
from sklearn.utils.validation import has_fit_parameter

from liftnet import LiftedMLPClassifier, LiftedMLPRegressor

# Weights count by their ratios: the automatic step, alpha/n and the samples that a
# first layer starts from go by rows, which repeating changes and weighting does not.
# Below, the same check passes without these, and scikit-learn's own MLP fails it with
# mini-batches.
EXPECTED = dict.fromkeys(
    [
        "check_sample_weight_equivalence_on_dense_data",
        "check_sample_weight_equivalence_on_sparse_data",
    ],
    "alpha, the step and the start go by rows; scikit-learn's MLP with "
    "mini-batches fails likewise",
)

# The one check that does not heed the tag of positive targets; tests of the regressor
# fit several outputs with this loss.
NEGATIVE = {"check_regressor_multioutput": "the check draws negative counts"}


def expected(estimator):
    poisson = getattr(estimator, "loss", None) == "poisson"
    return EXPECTED | NEGATIVE if poisson else EXPECTED


@parametrize_with_checks(
    [
        LiftedMLPClassifier(),
        LiftedMLPRegressor(),
        LiftedMLPRegressor(loss="absolute_error"),
        LiftedMLPRegressor(loss="huber"),
        LiftedMLPRegressor(loss="poisson"),
    ],
    expected_failed_checks=expected,
)
def test_check(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [
        LiftedMLPClassifier(solver="batch", max_iter=40),
        LiftedMLPRegressor(solver="batch", max_iter=40),
    ]
)
def test_check_of_the_batch_solver(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "estimator",
    [
        LiftedMLPClassifier(),
        LiftedMLPRegressor(),
        LiftedMLPRegressor(loss="absolute_error"),
        LiftedMLPRegressor(loss="huber"),
        LiftedMLPRegressor(loss="poisson"),
    ],
    ids=str,
)
def test_weights_repeat_rows_where_nothing_counts_rows(estimator, monkeypatch):
    # Training rounds to single precision, which runs that differ in it answer.
    monkeypatch.setattr(
        estimator_checks,
        "assert_allclose_dense_sparse",
        partial(assert_allclose_dense_sparse, rtol=1e-3, atol=1e-3),
    )
    # First layers start from samples, drawn by their rows. With a penalty on single
    # weights, here one that never binds, they start from random numbers.
    estimator.set_params(penalty=["box(-1e6, 1e6)", None])
    estimator.set_params(alpha=0, learning_rate_init=0.3)
    name = type(estimator).__name__
    check_sample_weight_equivalence_on_dense_data(name, estimator)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "estimator",
    [
        LiftedMLPClassifier(),
        LiftedMLPRegressor(),
        *(
            peer(solver=solver, batch_size=8)
            for peer in (MLPClassifier, MLPRegressor)
            for solver in ("adam", "sgd")
            if has_fit_parameter(peer, "sample_weight")  # since 1.7
        ),
    ],
    ids=str,
)
def test_expected_failure_is_shared_with_scikit_learns_mlp(estimator):
    with pytest.raises(AssertionError, match="not equivalent to fitting with removed"):
        check_sample_weight_equivalence_on_dense_data("MLP", estimator)


def test_tags():
    tags = get_tags(LiftedMLPClassifier())
    assert tags.estimator_type == "classifier"
    assert is_classifier(LiftedMLPClassifier())
    assert tags.classifier_tags.multi_class
    assert tags.classifier_tags.multi_label
    assert not tags.classifier_tags.poor_score
    assert tags.target_tags.required
    assert not tags.target_tags.multi_output
    assert tags.input_tags.two_d_array
    assert tags.input_tags.sparse
    assert not tags.input_tags.allow_nan
    assert not tags.non_deterministic
    assert not tags.no_validation


def test_tags_of_the_regressor():
    tags = get_tags(LiftedMLPRegressor())
    assert tags.estimator_type == "regressor"
    assert is_regressor(LiftedMLPRegressor())
    assert not tags.regressor_tags.poor_score
    assert tags.target_tags.required
    assert tags.target_tags.multi_output
    assert not tags.target_tags.positive_only
    assert get_tags(LiftedMLPRegressor(loss="poisson")).target_tags.positive_only
    assert tags.input_tags.sparse
    assert not tags.input_tags.allow_nan
    assert not tags.non_deterministic


def test_tags_tell_the_truth_about_determinism(iris):
    first, second = (LiftedMLPClassifier(random_state=0).fit(*iris) for _ in range(2))
    for one, other in zip(first.coefs_, second.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
