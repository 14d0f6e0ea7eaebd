"""Dropout: what is minimised, by whom, and together with what."""

from copy import copy

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_diabetes
from sklearn.utils._param_validation import InvalidParameterError

import liftnet
from liftnet import LiftedMLPClassifier, LiftedMLPRegressor


def thinned_losses(fitted, X, y, weight=None):
    """Losses over many passes that move nothing: those of thinned networks."""
    rest = {"warm_start": True, "learning_rate_init": 1e-12, "max_iter": 200, "tol": 0}
    rest |= {"n_iter_no_change": 1000}
    return copy(fitted).set_params(**rest).fit(X, y, weight).loss_curve_


@pytest.fixture(scope="module")
def table():
    """Inputs, and targets of mean 0 and variance 1: the units of the loss."""
    X, y = load_diabetes(return_X_y=True)
    return X, (y - y.mean()) / y.std()


def expected_loss(reg, X, y, rate):
    """Mean over all masks of the loss of one hidden layer, in closed form."""
    hidden, w = reg.transform(X), reg.coefs_[1][:, 0]
    variance = rate / (1 - rate) * hidden**2 @ w**2
    return 0.5 * ((y - reg.predict(X)) ** 2 + variance)


@pytest.mark.parametrize("rate", [0.1, 0.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_is_the_mean_over_masks(table, rate, weighted):
    X, y = table
    reg = LiftedMLPRegressor((30,), dropout=rate, alpha=0, random_state=0).fit(X, y)
    losses = expected_loss(reg, X, y, rate)
    weight = None
    if weighted:
        weight = np.where(np.arange(len(y)) % 3, 1.0, 2.0)
        # Another scale of the targets: that of the weighted ones.
        mean = np.average(y, weights=weight)
        losses /= np.average((y - mean) ** 2, weights=weight)
    got = np.mean(thinned_losses(reg, X, y, weight))
    assert got == pytest.approx(np.average(losses, weights=weight), rel=0.02)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sign"])
def test_that_mean_is_what_a_fit_lowers(table, activation):
    X, y = table
    params = {"activation": activation, "alpha": 0.1, "random_state": 0}
    plain, thinned = (
        LiftedMLPRegressor((30,), dropout=rate, **params).fit(X, y)
        for rate in (0.0, 0.5)
    )
    own, other = (expected_loss(reg, X, y, 0.5).mean() for reg in (thinned, plain))
    assert own < 0.95 * other
    assert own < 0.45  # and that of the mean of y is 0.5
    whole = [expected_loss(reg, X, y, 0.0).mean() for reg in (thinned, plain)]
    assert whole[0] > whole[1]


@pytest.mark.parametrize("rates", [(0.3, 0.3), (0.0, 0.5), (0.6, 0.0)])
def test_losses_are_those_of_pytorchs_dropout(digits, rates):
    torch = pytest.importorskip("torch")
    X, y = (part[:600] for part in digits)
    clf = LiftedMLPClassifier(
        (30, 20), dropout=list(rates), alpha=0, max_iter=5, random_state=0
    ).fit(X, y)
    losses = thinned_losses(clf, X, y)
    layers = list(clf.to_torch())
    assert [type(layer).__name__ for layer in layers] == [
        "Linear", "ReLU", "Linear", "ReLU", "Linear"
    ]  # fmt: skip
    layers.insert(4, torch.nn.Dropout(rates[1]))
    layers.insert(2, torch.nn.Dropout(rates[0]))
    net = torch.nn.Sequential(*layers).train()
    inputs, labels = torch.tensor(X), torch.tensor(y)
    torch.manual_seed(0)
    with torch.no_grad():
        expected = [
            torch.nn.functional.cross_entropy(net(inputs), labels).item()
            for _ in range(200)
        ]
    assert np.mean(losses) == pytest.approx(np.mean(expected), rel=0.02)
    # From one pass to the next they differ as much.
    assert np.std(losses) == pytest.approx(np.std(expected), rel=0.35)


@pytest.mark.parametrize("n_hidden", [1, 2])
def test_the_same_bits_for_every_number_of_threads(digits, n_hidden):
    X, y = digits
    fits = [
        LiftedMLPClassifier(
            (256,) * n_hidden,
            dropout=0.3,
            batch_size=300,
            max_iter=3,
            random_state=seed,
            n_jobs=n_jobs,
        ).fit(X, y)
        for seed, n_jobs in [(0, 1), (0, 2), (0, 3), (1, 1)]
    ]
    one, two, three, other = (fit.coefs_ + fit.intercepts_ for fit in fits)
    for a, b, c in zip(one, two, three, strict=True):
        assert_array_equal(a, b)
        assert_array_equal(a, c)
    assert fits[0].loss_curve_ == fits[1].loss_curve_ != fits[3].loss_curve_
    assert (one[0] != other[0]).any()


@pytest.mark.parametrize("none", [0, 0.0, [0.0], (0, 0), np.zeros(2), np.float32(0)])
def test_no_dropout_is_no_change(digits, none):
    params = {"max_iter": 2, "random_state": 0}
    plain = LiftedMLPClassifier((10, 8), **params).fit(*digits)
    zero = LiftedMLPClassifier((10, 8), dropout=none, **params).fit(*digits)
    for a, b in zip(plain.coefs_, zero.coefs_, strict=True):
        assert_array_equal(a, b)
    assert plain.loss_curve_ == zero.loss_curve_


def test_rates_are_those_of_the_layers(digits):
    def fit(dropout):
        clf = LiftedMLPClassifier(
            (10, 8), dropout=dropout, max_iter=2, random_state=0
        ).fit(*digits)
        return clf.coefs_[1]

    assert_array_equal(fit(0.4), fit([0.4, 0.4]))
    assert_array_equal(fit([0.4]), fit(np.array([0.4, 0.4])))
    fits = [fit(rates) for rates in ([0.4, 0.4], [0.4, 0], [0, 0.4], [0, 0])]
    for i, one in enumerate(fits):
        assert all((one != other).any() for other in fits[:i])


@pytest.mark.parametrize("rate", [0.2, 0.5, (0.8, 0.5)])
def test_digits_are_learned(digits_split, rate):
    X, X_test, y, y_test = digits_split
    clf = LiftedMLPClassifier((200, 100), dropout=rate, random_state=0).fit(X, y)
    assert clf.score(X_test, y_test) > 0.965
    # No good run is taken for one that diverges.
    assert clf.history_["learning_rate"][0] == pytest.approx(0.29)
    # Predictions are those of the whole network, and certain.
    assert_array_equal(clf.predict_proba(X_test), clf.predict_proba(X_test))
    assert clf.history_["score"][-1] <= clf.score(X, y)
    assert clf.history_["score"][3] < clf.score(X, y)


OPTIONS = [
    {"input_noise": 0.5},
    {"activation": "leaky_relu", "learn_activation": True},
    {"activation": ["sign", "softmax"], "alpha": 0.1},
    {"activation": "hard_tanh", "divergence": "euclidean"},
    {"penalty": ["l1(0.05)", "sparse(0.5)", None]},
    {"penalty": "nonnegative"},
    {"early_stopping": True, "max_iter": 60},
    {"diagnostics": True, "class_weight": "balanced"},
    {"n_components": 15, "label_smoothing": 0.1},
    {"input_noise": 0.3, "learn_activation": True, "activation": "elu"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_with_other_options(digits_split, options, dtype):
    X, X_test, y, y_test = digits_split
    weight = np.linspace(0.5, 1.5, len(y))
    clf = LiftedMLPClassifier((60, 40), dropout=[0.3, 0.2], random_state=0, **options)
    clf.fit(X.astype(dtype), y, weight)
    assert clf.score(X_test, y_test) > 0.9
    assert clf.coefs_[0].dtype == dtype
    if "diagnostics" in options:
        # Of the whole network, whose loss is below that of thinned ones.
        assert clf.history_["lifted_loss"][-1] < clf.history_["loss"][-1]
    if "sparse(0.5)" in options.get("penalty", ()):
        assert (clf.coefs_[1] == 0).mean() >= 0.5
    if options.get("penalty") == "nonnegative":
        assert min(coef.min() for coef in clf.coefs_) >= 0
    if options.get("early_stopping"):
        # The best pass is found, and kept, for the whole network.
        assert max(clf.validation_scores_) == clf.best_validation_score_ > 0.95
        assert clf.validation_scores_[0] > clf.history_["score"][0]


@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", "huber", "poisson"]
)
def test_regressors(loss):
    X, y = load_diabetes(return_X_y=True)
    reg = LiftedMLPRegressor((50,), loss=loss, dropout=0.3, random_state=0).fit(X, y)
    assert reg.score(X, y) > 0.45


def test_a_warm_start_goes_on(digits_split):
    X, X_test, y, y_test = digits_split
    clf = LiftedMLPClassifier((60,), warm_start=True, random_state=0).fit(X, y)
    clf.set_params(dropout=0.5, max_iter=10).fit(X, y)
    assert clf.score(X_test, y_test) > 0.96


def test_a_stream_draws_other_units_in_every_call(digits):
    X, y = digits

    def stream(dropout, parts):
        clf = LiftedMLPClassifier((30,), dropout=dropout, random_state=0)
        for part in parts:
            clf.partial_fit(X[part], y[part], classes=range(10))
        return clf

    parts = [slice(start, start + 300) for start in range(0, 1797, 300)] * 3
    clf = stream(0.3, parts)
    assert clf.score(X, y) > 0.93
    assert_array_equal(clf.coefs_[0], stream(0.3, parts).coefs_[0])
    assert (clf.coefs_[0] != stream(0.0, parts).coefs_[0]).any()
    # The same chunk twice, whose thinned networks differ.
    clf.set_params(learning_rate_init=1e-12)
    losses = [clf.partial_fit(X[:300], y[:300]).loss_ for _ in range(3)]
    assert len(set(losses)) == 3


def test_tiny_data_are_left_to_the_stochastic_solver(iris):
    plain = LiftedMLPClassifier(random_state=0).fit(*iris)
    thinned = LiftedMLPClassifier(dropout=0.2, random_state=0).fit(*iris)
    assert "objective" in plain.history_
    assert "objective" not in thinned.history_
    assert thinned.score(*iris) > 0.95


def test_files_keep_the_rates(digits, tmp_path):
    clf = LiftedMLPClassifier((9, 8), dropout=(0.5, 0.1), max_iter=2, random_state=0)
    clf.fit(*digits).save(tmp_path / "clf.safetensors")
    loaded = liftnet.load(tmp_path / "clf.safetensors")
    assert list(loaded.dropout) == [0.5, 0.1]
    assert_allclose(loaded.predict_proba(digits[0]), clf.predict_proba(digits[0]))


@pytest.mark.parametrize("estimator", [LiftedMLPClassifier, LiftedMLPRegressor])
@pytest.mark.parametrize(
    ("dropout", "match"),
    [
        ([0.5, 1.0], r"dropout must be a rate in \[0, 1\), or one for each .* 1\.0\]"),
        ([0.5, "0.1"], r"dropout must be a rate in \[0, 1\)"),
        ({"rate": 0.5}, r"dropout must be a rate in \[0, 1\)"),
        ([[0.5, 0.5]], r"dropout must be a rate in \[0, 1\)"),
        ([np.nan, 0.1], r"dropout must be a rate in \[0, 1\)"),
        ([0.1, 0.2, 0.3], r"dropout must be one rate or one for each .* 3 rates"),
        ([], r"dropout must be one rate or one for each .* 0 rates"),
    ],
)
def test_bad_sequences_are_refused_by_name(iris, estimator, dropout, match):
    with pytest.raises(ValueError, match=match):
        estimator((5, 4), dropout=dropout).fit(*iris)


@pytest.mark.parametrize("dropout", [1, 1.5, -0.1, np.nan, None, "0.5"])
def test_bad_rates_are_refused_by_name(iris, dropout):
    with pytest.raises(InvalidParameterError, match="The 'dropout' parameter"):
        LiftedMLPClassifier(dropout=dropout).fit(*iris)


def test_who_cannot_leave_units_out(iris):
    clf = LiftedMLPClassifier((5,), random_state=0).fit(*iris)
    before = clf.coefs_[0].copy()
    with pytest.raises(
        ValueError, match=r"dropout must be 0 with that solver.*'batch'"
    ):
        clf.set_params(dropout=0.5, solver="batch").fit(*iris)
    with pytest.raises(ValueError, match="dropout must be 0 without hidden layers"):
        clf.set_params(solver="auto", hidden_layer_sizes=()).fit(*iris)
    assert_array_equal(clf.coefs_[0], before)
    clf.set_params(dropout=0.0, solver="batch").fit(*iris)
