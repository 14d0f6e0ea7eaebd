"""Penalties on weights: what is promised holds to the last bit, in the raw units.

Convex penalties of linear models are compared with scikit-learn's solutions.
"""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from liftnet import LiftedMLPClassifier, LiftedMLPRegressor, _core

CONSTRAINTS = ["nonnegative", "box(-0.02, 0.1)", "box(0.01, 0.3)", "sparse(0.7)"]
DTYPES = [np.float32, np.float64]

both_solvers = pytest.mark.parametrize("solver", ["stochastic", "batch"])


@pytest.fixture(scope="module")
def wild():
    """240 rows of 12 features, whose units differ by 10**8; one is constant."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 12))
    y = (X[:, 0] - X[:, 1] * X[:, 2] > 0).astype(int) + (X[:, 3] > 0.7)
    X *= 10.0 ** np.linspace(-4, 4, 12)
    X += 3 * X.std(axis=0)
    X[:, 5] = 7.0
    return X, y


def net(penalty, **params):
    """Return a classifier that trains in a fraction of a second."""
    defaults = {"hidden_layer_sizes": (16, 8), "max_iter": 6, "random_state": 0}
    defaults["solver"] = "stochastic"
    return LiftedMLPClassifier(penalty=penalty, **(defaults | params))


def holds(text, coef):
    """Whether weights satisfy a constraint, without any tolerance."""
    name, _, rest = text.partition("(")
    values = [float(value) for value in rest.rstrip(")").split(",") if value]
    if name == "nonnegative":
        return bool((coef >= 0).all())
    if name == "box":
        low, high = np.array(values).astype(coef.dtype)
        return bool(((coef >= low) & (coef <= high)).all())
    if name == "sparse":
        return np.count_nonzero(coef == 0) >= values[0] * coef.size - 1e-9
    return np.linalg.matrix_rank(coef) <= values[0]


@both_solvers
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layer", [0, 1, 2, None])
@pytest.mark.parametrize("penalty", [*CONSTRAINTS, "rank(2)"])
def test_constraints_hold_exactly_in_raw_units(wild, penalty, layer, dtype, solver):
    X, y = wild
    each = [None] * 3
    if layer is not None:
        each[layer] = penalty
    clf = net(penalty if layer is None else each, solver=solver)
    clf.fit(X.astype(dtype), y)
    for index, coef in enumerate(clf.coefs_):
        assert coef.dtype == dtype
        assert np.isfinite(coef).all()
        if layer in (None, index):
            assert holds(penalty, coef)
        elif index < 2 and penalty.startswith(("rank", "sparse")):
            # The columns of a softmax layer sum to 0: three of them have rank 2.
            assert not holds(penalty, coef)


@both_solvers
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", [(), (10,)])
@pytest.mark.parametrize("penalty", CONSTRAINTS)
def test_regressors_keep_them_in_the_units_of_the_targets(
    wild, penalty, hidden, dtype, solver
):
    X, _ = wild
    X = X.astype(dtype)
    Y = np.column_stack([X[:, 0] * 1e7, X[:, 1] - 3]).astype(dtype)
    clf = LiftedMLPRegressor(
        hidden, penalty=penalty, max_iter=8, random_state=0, solver=solver
    )
    for coef in clf.fit(X, Y).coefs_:
        assert holds(penalty, coef)


@pytest.mark.parametrize("penalty", CONSTRAINTS)
def test_a_constant_feature_does_not_matter(wild, penalty):
    X, y = wild
    clf = net([penalty, None, None]).fit(X, y)
    other = net([penalty, None, None]).fit(np.delete(X, 5, axis=1), y)
    # Bounds that exclude 0 give it a weight, which the intercept takes back.
    lower = 0.01 if penalty == "box(0.01, 0.3)" else 0.0
    np.testing.assert_array_equal(clf.coefs_[0][5], lower)
    if not penalty.startswith("sparse"):
        return
    assert clf.coefs_[0].shape[0] == other.coefs_[0].shape[0] + 1


@pytest.mark.parametrize("share", [0.0, 0.07, 0.5, 0.9, 0.99])
def test_sparse_share_is_that_asked_for(digits_split, share):
    X, _, y, _ = digits_split
    clf = net([f"sparse({share})", None], hidden_layer_sizes=40, max_iter=10).fit(X, y)
    size = clf.coefs_[0].size
    kept = np.count_nonzero(clf.coefs_[0])
    constant = 40 * np.count_nonzero(X.std(axis=0) == 0)
    # No fewer zeros, and no more than that share and the constant pixels ask for.
    most = min(size - int(np.ceil(share * size - 1e-9)), size - constant)
    assert kept == most


@pytest.mark.parametrize("limit", [1, 3, 8])
def test_rank_by_singular_values(digits_split, limit):
    X, _, y, _ = digits_split
    clf = net(f"rank({limit})", hidden_layer_sizes=(20, 15), max_iter=5).fit(X, y)
    for coef in clf.coefs_:
        singular = np.linalg.svd(coef, compute_uv=False)
        assert (singular[limit:] < 1e-10 * singular[0]).all()
        assert singular[min(limit, len(singular)) - 1] > 1e-6 * singular[0]


def test_nuclear_norm_lowers_the_rank(digits_split):
    X, _, y, _ = digits_split
    ranks = []
    for strength in (0, 8, 60):
        clf = net([f"nuclear({strength})", None], hidden_layer_sizes=40, max_iter=12)
        ranks.append(np.linalg.matrix_rank(clf.fit(X, y).coefs_[0], tol=1e-8))
    assert ranks[0] > ranks[1] > ranks[2]


def test_l1_and_elastic_net_make_zeros(digits_split):
    X, _, y, _ = digits_split
    zeros = []
    for penalty in ("l1(0)", "elastic_net(1, 0.5)", "l1(1)", "l1(5)"):
        clf = net(penalty, hidden_layer_sizes=40, max_iter=20).fit(X, y)
        zeros.append(np.mean(clf.coefs_[1] == 0))
    assert zeros == sorted(zeros)
    assert zeros[0] == 0
    assert zeros[-1] > 0.3


@both_solvers
@pytest.mark.parametrize(
    ("penalty", "within"),
    [
        ("sparse(0.9)", 0.03),
        (["sparse(0.9)", None], 0.02),
        ("nonnegative", 0.05),
        (["rank(10)", None], 0.03),
        ("l1(0.3)", 0.02),
        ([None, "nuclear(0.3)"], 0.02),
    ],
)
def test_accuracy_is_close_to_that_of_the_dense_network(
    digits_split, penalty, within, solver
):
    X, X_test, y, y_test = digits_split
    max_iter = 15 if solver == "stochastic" else 100
    dense, given = (
        net(choice, hidden_layer_sizes=50, max_iter=max_iter, solver=solver).fit(X, y)
        for choice in (None, penalty)
    )
    assert given.score(X_test, y_test) > dense.score(X_test, y_test) - within


@pytest.mark.parametrize("penalty", [None, "ridge", ["ridge", None, "ridge"]])
def test_nothing_beyond_the_ridge_changes_nothing(wild, penalty):
    X, y = wild
    # 240 samples, for which "auto" is the batch solver.
    plain = LiftedMLPClassifier((16, 8), max_iter=6, random_state=0).fit(X, y)
    given = net(penalty, solver="auto").fit(X, y)
    for a, b in zip(plain.coefs_, given.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


# Linear models: convex problems with known solutions


def linear(X, y, penalty, loss, **options):
    """Train without hidden layers, in the units of X, to the optimum."""
    plain = LiftedMLPClassifier(
        (),
        penalty=penalty,
        solver="stochastic",
        alpha=0.0,
        penalty_weight=10.0,
        input_noise=0.0,
        scale="none",
        n_components=None,
        damping=0.05,
        batch_size=len(X),
        max_iter=1500,
        learning_rate_init=1.0,
        momentum=0.5,
        tol=0.0,
        n_iter_no_change=10**6,
        random_state=0,
        n_jobs=1,
    )
    defaults = plain._options(loss, None)
    if options.get("solver") == "batch":
        # Its first step is one that a line search shortens.
        defaults |= {"batch_size": None, "momentum": 0.9, "learning_rate_init": 3.0}
    fitted = _core.fit(X, y, 1, defaults | options)
    return fitted.coefs[0][:, 0], fitted.intercepts[0][0], fitted.loss_curve[-1]


@pytest.fixture(scope="module")
def plane():
    """200 rows of 8 correlated features; half of the coefficients are negative."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 8)) @ (np.eye(8) + 0.3 * rng.normal(size=(8, 8)))
    coef = np.array([1.0, -0.7, 0.4, -0.2, 0.05, 0.0, 0.0, 0.8])
    value = X @ coef + 0.3 + 0.5 * rng.normal(size=200)
    # Strengths are in units of scaled targets: in those units already.
    return X, (value - value.mean()) / value.std()


@both_solvers
def test_l1_logistic_regression_is_scikit_learns(plane, solver):
    X, value = plane
    y = (value > -0.3).astype(np.uint32)
    strength = 8.0
    coef, intercept, loss = linear(X, y, f"l1({strength})", "logistic", solver=solver)
    logits = X @ coef + intercept
    probability = 1 / (1 + np.exp(-logits))
    # Subgradient of sum of losses + strength * sum |w|.
    gradient = X.T @ (probability - y)
    zero = coef == 0
    assert zero.any()
    assert not zero.all()
    np.testing.assert_allclose(
        gradient[~zero], -strength * np.sign(coef[~zero]), atol=1e-3
    )
    assert (np.abs(gradient[zero]) <= strength + 1e-3).all()
    assert abs(np.sum(probability - y)) < 1e-3
    # Where it converges: liblinear would penalise the intercept.
    other = LogisticRegression(
        C=1 / strength, l1_ratio=1.0, solver="saga", max_iter=100_000, tol=1e-10
    ).fit(X, y)
    np.testing.assert_allclose(coef, other.coef_[0], atol=1e-4)
    mean = np.mean(np.logaddexp(0, logits) - y * logits)
    assert loss == pytest.approx(mean + strength / 200 * np.abs(coef).sum(), rel=1e-6)


@both_solvers
@pytest.mark.parametrize("ratio", [1.0, 0.4])
def test_elastic_net_meets_its_optimality_condition(plane, ratio, solver):
    X, y = plane
    strength = 20.0
    penalty = f"elastic_net({strength}, {ratio})"
    coef, intercept, _ = linear(X, y[:, None], penalty, "squared_error", solver=solver)
    gradient = X.T @ (X @ coef + intercept - y) + strength * (1 - ratio) * coef
    zero = coef == 0
    l1 = strength * ratio
    assert not zero.all()
    np.testing.assert_allclose(gradient[~zero], -l1 * np.sign(coef[~zero]), atol=1e-3)
    assert (np.abs(gradient[zero]) <= l1 + 1e-3).all()


@both_solvers
def test_non_negative_least_squares_is_scikit_learns(plane, solver):
    X, y = plane[0], 100 + 1000 * plane[1]
    coef, intercept, _ = linear(
        X, y[:, None], "nonnegative", "squared_error", solver=solver
    )
    other = LinearRegression(positive=True).fit(X, y)
    assert (coef >= 0).all()
    assert (other.coef_ == 0).any()
    np.testing.assert_allclose(coef, other.coef_, atol=1e-2)
    assert intercept == pytest.approx(other.intercept_, abs=1e-2)


@both_solvers
@pytest.mark.parametrize("unit", [1.0, 1e-5, 1e5])
@pytest.mark.parametrize("scale", ["none", "feature"])
def test_box_bounded_least_squares_meets_its_conditions(plane, scale, unit, solver):
    X, y = plane[0], unit * plane[1]
    X = X * np.array([1e3, 1, 1, 1e-3, 1, 1, 1, 1])
    low, high = -0.15 * unit, 0.35 * unit
    # Badly scaled columns are for the scaling, not for the metric alone.
    columns = slice(None) if scale == "feature" else [1, 2, 4, 5, 6, 7]
    X = np.ascontiguousarray(X[:, columns])
    coef, intercept, _ = linear(
        X,
        y[:, None],
        f"box({low}, {high})",
        "squared_error",
        scale=scale,
        solver=solver,
    )
    assert ((coef >= low) & (coef <= high)).all()
    gradient = X.T @ (X @ coef + intercept - y) / (X.std(axis=0) * unit)
    free = (coef > low) & (coef < high)
    assert free.any()
    assert not free.all()
    np.testing.assert_allclose(gradient[free], 0, atol=1e-3)
    assert (gradient[coef == low] >= -1e-3).all()
    assert (gradient[coef == high] <= 1e-3).all()


# Where weights come from and where they go


@both_solvers
@pytest.mark.parametrize("penalty", ["sparse(0.9)", "rank(2)", "nonnegative"])
def test_the_best_weights_of_early_stopping_satisfy_it(digits, penalty, solver):
    X, y = digits
    for max_iter in (2, 8):
        clf = net(penalty, max_iter=max_iter, batch_size=100, early_stopping=True)
        clf.set_params(solver=solver).fit(X, y)
        assert all(holds(penalty, coef) for coef in clf.coefs_)
        held_out = clf.validation_scores_[np.argmax(clf.validation_scores_)]
        assert held_out == clf.best_validation_score_


@both_solvers
@pytest.mark.parametrize("penalty", ["sparse(0.9)", "rank(2)", "box(-0.01, 0.02)"])
def test_an_interrupted_fit_satisfies_it(digits, penalty, solver):
    X, y = digits

    class Interrupted(LiftedMLPClassifier):
        @staticmethod
        def _print_pass(iteration, loss, validation_score, seconds, passes):
            raise KeyboardInterrupt

    clf = Interrupted(20, penalty=penalty, max_iter=100, random_state=0, verbose=True)
    clf.set_params(solver=solver)
    with pytest.warns(Warning, match="interrupted"):
        clf.fit(X, y)
    assert clf.n_iter_ < 100
    assert all(holds(penalty, coef) for coef in clf.coefs_)


@both_solvers
@pytest.mark.parametrize("penalty", ["sparse(0.8)", "nonnegative", "rank(3)"])
def test_warm_start_from_outside_the_set_projects_first(digits, penalty, solver):
    X, y = digits
    clf = net(None, warm_start=True, solver=solver).fit(X, y)
    assert not any(holds(penalty, coef) for coef in clf.coefs_)
    clf.set_params(penalty=penalty, learning_rate_init=1e-12, max_iter=1).fit(X, y)
    assert all(holds(penalty, coef) for coef in clf.coefs_)
    clf.set_params(learning_rate_init="auto", max_iter=3).fit(X, y)
    assert all(holds(penalty, coef) for coef in clf.coefs_)


@pytest.mark.parametrize("penalty", ["sparse(0.8)", "nonnegative", "l1(0.1)"])
def test_warm_start_continues_where_it_stood(digits, penalty):
    X, y = digits
    clf = net(penalty, hidden_layer_sizes=20, max_iter=8, warm_start=True).fit(X, y)
    before = clf.decision_function(X)
    clf.set_params(learning_rate_init=1e-12, max_iter=1).fit(X, y)
    assert np.abs(clf.decision_function(X) - before).max() < 1e-6 * np.abs(before).max()


@both_solvers
def test_the_loss_holds_the_penalty(digits, solver):
    X, y = digits
    clf = net(["l1(7)", None, "elastic_net(4, 0.5)"], scale="none", alpha=0.0)
    # A network that is worth keeping as it is, then a pass that leaves it there.
    clf.set_params(solver=solver, max_iter=10, warm_start=True).fit(X, y)
    clf.set_params(learning_rate_init=1e-9, max_iter=1).fit(X, y)
    first, _, last = clf.coefs_
    logits = clf.decision_function(X)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probability = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -np.mean(log_probability[np.arange(len(y)), y])
    loss += 7 * np.abs(first).sum() / len(y)
    loss += 4 * (0.5 * np.abs(last).sum() + 0.25 * (last**2).sum()) / len(y)
    assert clf.loss_ == pytest.approx(loss, rel=1e-5)


@both_solvers
def test_same_bits_for_every_number_of_threads(digits, solver):
    X, y = digits
    penalty = ["sparse(0.5)", "nuclear(0.1)", "l1(0.1)"]
    one, two = (net(penalty, n_jobs=n, solver=solver).fit(X, y) for n in (1, 2))
    for a, b in zip(one.coefs_, two.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


@both_solvers
def test_sample_weights_and_wide_data(wide, solver):
    X, y = wide
    clf = net(["sparse(0.9)", None], hidden_layer_sizes=30, max_iter="auto")
    clf.set_params(solver=solver)
    clf.fit(X, y, sample_weight=np.linspace(0, 2, len(y)))
    assert holds("sparse(0.9)", clf.coefs_[0])
    assert clf.n_components_ == X.shape[1]
    assert clf.score(X, y) > 0.9


# Errors


@pytest.mark.parametrize(
    ("penalty", "message"),
    [
        ("lasso(1)", "penalty must be one of ridge, l1, .*sparse, got 'lasso'"),
        ("l1(-1)", "penalty must be 'l1.strength.' .*0 or more, got 'l1.-1.'"),
        ("l1", "penalty must be 'l1.strength.'"),
        ("elastic_net(1, 2)", r"penalty must be .*l1_ratio in \[0, 1\]"),
        ("nuclear(nan)", "penalty must be"),
        ("box(2, 1)", "penalty must be .*lower at most upper"),
        ("box(1)", "penalty must be"),
        ("rank(0)", "penalty must be .*from 1 on"),
        ("rank(2.5)", "penalty must be"),
        ("sparse(1)", r"penalty must be .*\[0, 1\)"),
        ("sparse(-0.1)", "penalty must be"),
        ("sparse(0.9", "penalty must be"),
        (["l1(1)", None, None], "penalty must be .*2 layers, got 3 entries"),
        ([], "penalty must be .*got 0 entries"),
        ([None, 0.1], "penalty must be None, a string"),
        (3, "penalty"),
    ],
)
def test_what_makes_no_sense_is_refused(digits, penalty, message):
    X, y = digits
    clf = net(None, hidden_layer_sizes=5).fit(X, y)
    before = [coef.copy() for coef in clf.coefs_]
    with pytest.raises(ValueError, match=message):
        clf.set_params(penalty=penalty).fit(X, y)
    for a, b in zip(before, clf.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("n_components", [5, 0.9])
def test_directions_and_single_features_exclude_each_other(digits, n_components):
    X, y = digits
    clf = net(["sparse(0.5)", None, None], n_components=n_components)
    with pytest.raises(ValueError, match=r"n_components must be .*sparse"):
        clf.fit(X, y)
    clf.set_params(penalty=[None, "sparse(0.5)", None]).fit(X, y)
    assert holds("sparse(0.5)", clf.coefs_[1])
