"""Pictures of fitted estimators: what is drawn, where, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from liftnet import (
    ConvergenceDisplay,
    FeatureMapDisplay,
    LiftedMLPClassifier,
    LiftedMLPRegressor,
)

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

draw = ConvergenceDisplay.from_estimator
show = FeatureMapDisplay.from_estimator


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def full(digits):
    """Everything recorded, for two hidden layers."""
    clf = LiftedMLPClassifier(
        (10, 6), early_stopping=True, diagnostics=True, max_iter=6, random_state=0
    )
    return clf.fit(*digits)


@pytest.fixture(scope="module")
def plain(digits):
    return LiftedMLPClassifier((8,), max_iter=4, random_state=0).fit(*digits)


def labels(display):
    return [text.get_text() for text in display.legend_.get_texts()]


# --- ConvergenceDisplay


def test_loss_by_pass(plain):
    display = draw(plain)
    (line,) = display.lines_
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
    np.testing.assert_array_equal(line.get_ydata(), plain.history_["loss"])
    assert display.ax_.get_xlabel() == "pass over the data"
    assert display.ax_.get_ylabel() == "loss"
    assert display.figure_ is display.ax_.figure
    assert display.right_ax_ is None
    assert display.legend_ is None  # it would say what the axis says
    display.figure_.draw_without_rendering()
    ticks = display.ax_.get_xticks()
    np.testing.assert_array_equal(ticks, np.round(ticks))


def test_over_seconds(plain):
    display = draw(plain, x="seconds", metrics="score")
    (line,) = display.lines_
    np.testing.assert_array_equal(line.get_xdata(), plain.history_["seconds"])
    np.testing.assert_array_equal(line.get_ydata(), plain.history_["score"])
    assert display.ax_.get_xlabel() == "seconds"


def test_losses_on_the_left_scores_on_the_right(full):
    metrics = ["loss", "validation_score", "validation_loss"]
    display = draw(full, metrics=metrics)
    assert [line.axes for line in display.lines_] == [
        display.ax_,
        display.right_ax_,
        display.ax_,
    ]
    for line, metric in zip(display.lines_, metrics, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), full.history_[metric])
    assert display.ax_.get_ylabel() == "loss, validation loss"
    assert display.right_ax_.get_ylabel() == "validation score"
    assert labels(display) == ["loss", "validation loss", "validation score"]
    assert len({line.get_color() for line in display.lines_}) == 3
    assert [line.get_linestyle() for line in display.lines_] == ["-", "--", "-"]


def test_a_family_is_all_its_layers(full):
    display = draw(full, metrics=["gap", "divergence_2"])
    assert [line.get_label() for line in display.lines_] == [
        "gap 1",
        "gap 2",
        "divergence 2",
    ]
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), full.history_["gap_2"])
    assert display.ax_.get_ylabel() == "gap"


def test_a_quantity_named_twice_is_drawn_once(full):
    assert len(draw(full, metrics=["gap", "gap_1"]).lines_) == 2


@pytest.mark.parametrize(
    ("options", "metric"),
    [
        ({"input_noise": 0.5}, "input_noise"),
        ({"learn_activation": True, "activation": "elu"}, "activation_parameter"),
        ({}, "learning_rate"),
        ({"solver": "batch"}, "residual"),
        ({"solver": "batch"}, "objective"),
    ],
)
def test_every_quantity_can_be_drawn(digits, options, metric):
    clf = LiftedMLPClassifier((5,), max_iter=2, random_state=0, **options).fit(*digits)
    (line,) = draw(clf, metrics=metric).lines_
    (name,) = (key for key in clf.history_ if key.startswith(metric))
    np.testing.assert_array_equal(line.get_ydata(), clf.history_[name])


def test_all_that_is_recorded_can_be_drawn(full):
    for name in full.history_:
        assert len(draw(full, metrics=name).lines_) == 1
        plt.close()


def test_scales(plain, full):
    # The loss of this fit falls by less than ten times.
    assert max(plain.history_["loss"]) < 10 * min(plain.history_["loss"])
    assert draw(plain).ax_.get_yscale() == "linear"
    assert draw(plain, yscale="log").ax_.get_yscale() == "log"

    def scale(metric, values, yscale="auto"):
        display = ConvergenceDisplay(histories={None: {metric: values}})
        return display.plot(metrics=metric, yscale=yscale).ax_.get_yscale()

    assert scale("loss", [10.0, 1.0]) == "log"
    assert scale("loss", [10.0, 1.1]) == "linear"
    assert scale("gap_1", [1e-2, 1e-5]) == "log"
    assert scale("residual", [1.0, 0.0]) == "linear"
    assert scale("loss", [1.0, np.nan, 0.01]) == "log"
    assert scale("score", [0.01, 1.0]) == "linear"
    assert scale("score", [0.01, 1.0], "log") == "log"
    assert scale("loss", [100.0, 1.0], "linear") == "linear"


def test_ticks_of_a_narrow_logarithmic_axis_have_names(plain):
    display = draw(plain, yscale="log")
    display.figure_.draw_without_rendering()
    names = [text.get_text() for text in display.ax_.get_yticklabels()]
    low, high = display.ax_.get_ylim()
    assert sum(low <= float(name) <= high for name in names) >= 2


def test_several_estimators_in_a_dict(plain, full):
    display = draw({"one": plain, "other": full}, metrics=["loss", "score"])
    assert labels(display) == ["one, loss", "other, loss", "one, score", "other, score"]
    one_loss, one_score, other_loss, other_score = display.lines_
    assert one_loss.get_color() == one_score.get_color() != other_loss.get_color()
    assert other_score.get_linestyle() != other_loss.get_linestyle()
    assert one_loss.get_linestyle() == other_loss.get_linestyle()
    np.testing.assert_array_equal(other_score.get_ydata(), full.history_["score"])


def test_a_family_may_have_more_layers_in_one_than_in_another(digits, full):
    clf = LiftedMLPClassifier((5,), solver="batch", max_iter=2).fit(*digits)
    display = draw({"shallow": clf, "deep": full}, metrics="gap")
    assert labels(display) == ["shallow, gap 1", "deep, gap 1", "deep, gap 2"]


def test_one_after_the_other_on_the_same_axes(plain, full):
    metrics = ["loss", "score"]
    first = draw(plain, metrics=metrics, name="first")
    second = draw(full, metrics=metrics, name="second", ax=first.ax_)
    assert second.ax_ is first.ax_
    assert second.right_ax_ is first.right_ax_
    assert len(first.figure_.axes) == 2
    lines = first.lines_ + second.lines_
    assert len({line.get_color() for line in lines}) == 4
    assert second.ax_.get_ylabel() == "loss"
    assert len(labels(second)) == 4
    legends = [ax.get_legend() for ax in first.figure_.axes]
    assert sum(legend is not None for legend in legends) == 1


def test_one_legend_where_the_right_side_comes_later(plain, full):
    first = draw(plain, name="first")
    second = draw(full, metrics=["loss", "score"], name="second", ax=first.ax_)
    assert first.ax_.get_legend() is None
    assert labels(second) == ["first", "second, loss", "second, score"]


@pytest.mark.parametrize("corner", [0, 1])
def test_the_legend_of_two_sides_hides_no_line(corner):
    # Losses along the top and scores in the lower half of one side.
    passes = np.arange(60)
    score = np.where((passes < 30) == corner, 0.8 + 0.001 * (passes % 2), 0.1)
    history = {"loss": np.r_[0.0, np.ones(59)], "score": np.r_[0.0, 1.0, score]}
    display = ConvergenceDisplay(histories={None: history})
    display.plot(metrics=["loss", "score"])
    display.figure_.draw_without_rendering()
    box = display.legend_.get_window_extent()
    for line in display.lines_:
        points = line.get_transform().transform(line.get_xydata())
        assert not any(box.contains(*point) for point in points)


def test_a_later_line_may_make_the_axis_logarithmic():
    def display(values):
        return ConvergenceDisplay(histories={str(values): {"loss": values}})

    first = display([1.0, 0.5]).plot()
    assert first.ax_.get_yscale() == "linear"
    display([1.0, 0.05]).plot(first.ax_)
    assert first.ax_.get_yscale() == "log"


def test_axes_that_share_x_elsewhere_are_left_alone(plain):
    _, (top, bottom) = plt.subplots(2, sharex=True)
    display = draw(plain, metrics=["loss", "score"], ax=top)
    assert display.right_ax_ not in (top, bottom)
    assert not bottom.get_lines()
    # Nor is the twin of another one taken.
    below = draw(plain, metrics=["loss", "score"], ax=bottom)
    assert below.right_ax_ is not display.right_ax_


def test_plot_draws_other_quantities_of_the_same_record(full):
    display = draw(full)
    left = display.ax_
    assert display.plot(metrics="residual") is display
    assert display.ax_ is not left
    assert display.ax_.get_ylabel() == "residual"


def test_line_kw(plain):
    (line,) = draw(plain, line_kw={"c": "red", "lw": 5, "label": "mine"}).lines_
    assert line.get_color() == "red"
    assert line.get_linewidth() == 5
    assert line.get_label() == "mine"


def test_a_run_of_one_pass_is_visible(digits):
    clf = LiftedMLPClassifier((5,), max_iter=1).fit(*digits)
    assert draw(clf).lines_[0].get_marker() == "o"


@pytest.mark.parametrize("wrap", ["pipeline", "search", "both"])
def test_inside_of_meta_estimators(digits, wrap):
    model = LiftedMLPClassifier((5,), max_iter=2, random_state=0)
    if wrap != "search":
        model = make_pipeline(StandardScaler(), model)
    if wrap != "pipeline":
        model = GridSearchCV(model, {}, cv=2)
    model.fit(*digits)
    inner = getattr(model, "best_estimator_", model)
    inner = inner if wrap == "search" else inner[-1]
    (line,) = draw(model).lines_
    np.testing.assert_array_equal(line.get_ydata(), inner.history_["loss"])
    np.testing.assert_array_equal(show(model).maps, show(inner).maps)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learns_mlp_beside_it(digits, plain):
    mlp = MLPClassifier((8,), max_iter=3, early_stopping=True, random_state=0)
    mlp.fit(*digits)
    display = draw({"lifted": plain, "scikit-learn": mlp})
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), mlp.loss_curve_)
    (line,) = draw(mlp, metrics="validation_score").lines_
    np.testing.assert_array_equal(line.get_ydata(), mlp.validation_scores_)
    with pytest.raises(ValueError, match="does not hold 'seconds'"):
        draw(mlp, x="seconds")


def test_a_regressor(iris):
    reg = LiftedMLPRegressor((5,), max_iter=3).fit(iris[0], iris[0][:, 0])
    display = draw(reg, metrics=["loss", "score"])
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), reg.history_["score"])


@pytest.mark.parametrize(
    ("metric", "recorder"),
    [
        ("validation_loss", "early_stopping=True"),
        ("validation_score", "early_stopping=True"),
        ("objective", "solver='batch' or diagnostics=True"),
        ("gap", "solver='batch' or diagnostics=True"),
        ("gap_1", "solver='batch' or diagnostics=True"),
        ("residual", "solver='batch' or diagnostics=True"),
        ("input_noise", "input_noise > 0"),
        ("activation_parameter_1", "learn_activation=True"),
    ],
)
def test_what_is_not_recorded(plain, metric, recorder):
    with pytest.raises(ValueError) as caught:
        draw(plain, metrics=["loss", metric])
    message = str(caught.value)
    assert message.startswith(f"history_ does not hold '{metric}', but 'loss', 'score'")
    assert message.endswith(f"'{metric}' is recorded with {recorder}") or (
        f"'{metric}' is recorded with {recorder}, for hidden layers" in message
    )
    assert not plt.get_fignums()


def test_the_estimator_that_lacks_it_is_named(plain, full):
    with pytest.raises(ValueError, match="history_ of 'plain' does not hold 'gap_2'"):
        draw({"full": full, "plain": plain}, metrics="gap_2")


@pytest.mark.parametrize("metrics", ["lost", ["loss", 3], "blocks", "loss_1"])
def test_unknown_quantities(plain, metrics):
    with pytest.raises(ValueError, match="metrics must be quantities of history_"):
        draw(plain, metrics=metrics)


@pytest.mark.parametrize("metrics", [[], 3, None])
def test_no_quantities(plain, metrics):
    with pytest.raises(ValueError, match="metrics must be a quantity of history_ or"):
        draw(plain, metrics=metrics)


def test_bad_choices(plain, full):
    with pytest.raises(ValueError, match="x must be 'pass' or 'seconds', got 'hour'"):
        draw(plain, x="hour")
    with pytest.raises(ValueError, match=r"yscale must be .*, got 'exp'"):
        draw(plain, yscale="exp")
    with pytest.raises(ValueError, match=r"at most two kinds.*loss, score, residual"):
        draw(full, metrics=["loss", "score", "residual"])
    with pytest.raises(ValueError, match="name is for a single estimator"):
        draw({"one": plain}, name="two")
    with pytest.raises(ValueError, match="empty dict"):
        draw({})
    reg = LiftedMLPRegressor((5,), max_iter=2).fit([[0], [1], [2]], [0, 1, 5])
    with pytest.raises(ValueError, match=r"yscale='log' needs positive.*'score'"):
        draw(reg, metrics="score", yscale="log")
    assert not plt.get_fignums()  # nothing half drawn


def test_not_fitted():
    with pytest.raises(NotFittedError):
        draw(LiftedMLPClassifier())
    with pytest.raises(NotFittedError):
        draw(make_pipeline(StandardScaler(), LiftedMLPClassifier()))
    with pytest.raises(NotFittedError):
        show(LiftedMLPClassifier())


def test_estimators_without_a_record(iris, plain):
    with pytest.raises(ValueError, match="LogisticRegression has no history_"):
        draw(LogisticRegression(max_iter=1_000).fit(*iris))
    pytest.importorskip("torch")
    from liftnet.torch import from_torch

    with pytest.raises(ValueError, match="its weights come from elsewhere"):
        draw(from_torch(plain.to_torch()))


# --- FeatureMapDisplay


def tiles(display):
    """Each image of the mosaic, in order."""
    data = np.ma.filled(display.image_.get_array(), np.nan)
    height, width = display.maps.shape[1:3]
    columns = np.flatnonzero(np.isfinite(data[:, 0]))
    rows = columns.reshape(-1, height)
    cells = np.flatnonzero(np.isfinite(data[0])).reshape(-1, width)
    images = [data[np.ix_(row, cell)] for row in rows for cell in cells]
    return [image for image in images if np.isfinite(image).all()]


def test_images_are_the_strongest_units(plain):
    weights = plain.coefs_[0]
    display = show(plain, shape=(8, 8), units=5)
    norms = np.linalg.norm(weights, axis=0)
    np.testing.assert_array_equal(display.units, np.argsort(-norms)[:5])
    images = tiles(display)
    assert len(images) == 5
    for unit, image in zip(display.units, images, strict=True):
        column = weights[:, unit].reshape(8, 8)
        np.testing.assert_allclose(image, column / np.abs(column).max())


def test_a_given_choice_of_units_in_its_order(plain):
    display = show(plain, (8, 8), units=[6, 0, 3], n_cols=2, scale="common")
    assert display.units.tolist() == [6, 0, 3]
    for unit, image in zip(display.units, tiles(display), strict=True):
        np.testing.assert_allclose(image, plain.coefs_[0][:, unit].reshape(8, 8))
    limit = np.abs(plain.coefs_[0][:, [6, 0, 3]]).max()
    np.testing.assert_allclose(display.image_.get_clim(), (-limit, limit))


@pytest.mark.parametrize("scale", ["unit", "common"])
def test_zero_is_in_the_middle_of_the_colours(plain, scale):
    low, high = show(plain, scale=scale).image_.get_clim()
    assert low == -high < 0


def test_shape_of_the_image_is_height_width(cancer):
    clf = LiftedMLPClassifier((4,), max_iter=2).fit(*cancer)
    display = show(clf, (3, 10), units=None)
    assert display.maps.shape == (4, 3, 10)
    np.testing.assert_array_equal(
        display.maps[0, 1], clf.coefs_[0][10:20, display.units[0]]
    )


def test_three_colours(iris):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 12))
    clf = LiftedMLPClassifier((3,), max_iter=2).fit(X, iris[1])
    display = show(clf, (2, 2, 3), units=[1])
    image = display.image_.get_array()
    assert image.shape == (2, 2, 4)
    column = clf.coefs_[0][:, 1].reshape(2, 2, 3)
    np.testing.assert_allclose(
        image[..., :3], 0.5 + 0.5 * column / np.abs(column).max()
    )
    several = show(clf, (2, 2, 3)).image_.get_array()
    assert set(np.unique(several[..., 3])) == {0.0, 1.0}  # nothing between them
    with pytest.raises(ValueError, match="colorbar is for images of one colour"):
        show(clf, (2, 2, 3), colorbar=True)


def test_dead_units_are_blank(iris):
    clf = LiftedMLPClassifier((3,), max_iter=2).fit(*iris)
    clf.coefs_[0][:, 1] = 0
    images = tiles(show(clf, (2, 2), units=[0, 1, 2]))
    assert not images[1].any()
    assert np.abs(images[0]).max() == 1


def test_numbers_colorbar_and_axes(plain):
    _, ax = plt.subplots()
    display = show(plain, ax=ax, numbers=True, colorbar=True, n_cols=3)
    assert display.ax_ is ax
    assert [int(text.get_text()) for text in display.texts_] == display.units.tolist()
    assert display.colorbar_.mappable is display.image_
    assert display.plot().texts_ == []
    assert display.colorbar_ is None
    display.figure_.draw_without_rendering()


def test_linear_models_show_their_classes(digits):
    clf = LiftedMLPClassifier((), max_iter=2).fit(*digits)
    assert show(clf, units=None).maps.shape == (10, 8, 8)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((28, 28), r"shape=\(28, 28\) holds 28 x 28 = 784 values.*with 64 features"),
        ((64,), r"shape must be \(height, width\) or"),
        ((4, 4, 4), r"shape must be \(height, width\) or"),
        ((-8, -8), r"shape must be \(height, width\) or"),
        ((8.0, 8), r"shape must be \(height, width\) or"),
        (64, r"shape must be \(height, width\) or"),
        ("64", r"shape must be \(height, width\) or"),
    ],
)
def test_bad_shapes(plain, shape, message):
    with pytest.raises(ValueError, match=message):
        show(plain, shape)


def test_a_shape_is_needed_where_there_is_no_square(cancer):
    clf = LiftedMLPClassifier((4,), max_iter=1).fit(*cancer)
    with pytest.raises(ValueError, match="30 features do not make a square"):
        show(clf)


@pytest.mark.parametrize(
    ("units", "message"),
    [
        (0, "at least 1, got 0"),
        ([8], r"within \[0, 7\].*got \[8\]"),
        ([-1], r"within \[0, 7\]"),
        ([], "units must be None, a number"),
        ([0.5], "units must be None, a number"),
        ("strongest", "units must be None, a number"),
        ([[0, 1]], "units must be None, a number"),
    ],
)
def test_bad_units(plain, units, message):
    with pytest.raises(ValueError, match=message):
        show(plain, units=units)


def test_bad_options_of_the_images(plain, iris):
    with pytest.raises(ValueError, match="scale must be 'unit' or 'common'"):
        show(plain, scale="log")
    for n_cols in (0, 1.5):
        with pytest.raises(ValueError, match="n_cols must be None or a positive"):
            show(plain, n_cols=n_cols)
    with pytest.raises(TypeError, match="must have coefs_, which LogisticRegression"):
        show(LogisticRegression(max_iter=1_000).fit(*iris))


# --- Matplotlib is optional


def test_matplotlib_comes_with_the_first_picture_only():
    code = "import sys, liftnet; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_matplotlib(plain, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for picture in (draw, show):
        with pytest.raises(ImportError, match=r"liftnet\[plot\]"):
            picture(plain)
