"""scikit-learn's contract for estimators."""

import numpy as np
import pytest
from sklearn.base import is_classifier
from sklearn.neural_network import MLPClassifier
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import (
    check_sample_weight_equivalence_on_dense_data,
    parametrize_with_checks,
)

from liftnet import LiftedMLPClassifier

# Weights count by their ratios: the automatic step and alpha/n go by the number of
# rows, which repeating rows changes and weighting them does not. Below, the same check
# passes with both fixed, and scikit-learn's own MLP fails it with mini-batches.
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": "alpha and the automatic step go "
    "by the number of rows; scikit-learn's MLP with mini-batches fails likewise"
}


@parametrize_with_checks(
    [LiftedMLPClassifier()], expected_failed_checks=lambda _: EXPECTED
)
def test_check(estimator, check):
    check(estimator)


def test_weights_repeat_rows_where_nothing_counts_rows():
    clf = LiftedMLPClassifier(alpha=0, learning_rate_init=0.3)
    check_sample_weight_equivalence_on_dense_data("LiftedMLPClassifier", clf)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "estimator",
    [
        LiftedMLPClassifier(),
        MLPClassifier(solver="adam", batch_size=8),
        MLPClassifier(solver="sgd", batch_size=8),
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
    assert not tags.classifier_tags.multi_label
    assert not tags.classifier_tags.poor_score
    assert tags.target_tags.required
    assert not tags.target_tags.multi_output
    assert tags.input_tags.two_d_array
    assert not tags.input_tags.sparse
    assert not tags.input_tags.allow_nan
    assert not tags.non_deterministic
    assert not tags.no_validation


def test_tags_tell_the_truth_about_determinism(iris):
    first, second = (LiftedMLPClassifier(random_state=0).fit(*iris) for _ in range(2))
    for one, other in zip(first.coefs_, second.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
