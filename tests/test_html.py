"""The view in notebooks: a drawing of the network in scikit-learn's diagram."""

import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from liftnet import LiftedMLPClassifier, LiftedMLPRegressor
from liftnet._html import network_svg

SVG = "{http://www.w3.org/2000/svg}"
IN_THE_BOX = hasattr(BaseEstimator, "_get_params_html")  # scikit-learn 1.7 on


def drawings(html):
    """Every drawing of the page, read as XML: bad escapes would not parse."""
    found = re.findall(r"<svg .*?</svg>", html, flags=re.DOTALL)
    return [ElementTree.fromstring(text) for text in found]


def drawing(estimator):
    (svg,) = drawings(estimator._repr_html_())
    return svg


def texts(svg):
    return [text.text for text in svg.iter(f"{SVG}text")]


def units_of(svg):
    """Number of the units drawn in each layer, from left to right."""
    places = [float(circle.get("cx")) for circle in svg.iter(f"{SVG}circle")]
    return [places.count(place) for place in sorted(set(places))]


@pytest.fixture(scope="module")
def iris_frame(iris):
    X = pd.DataFrame(iris[0], columns=["a < b", "width & so", "<i>c</i>", "d"])
    y = np.array(["<script>alert(1)</script>", "b & c", '"quoted"'])[iris[1]]
    return X, y


def test_a_fitted_network(digits):
    clf = LiftedMLPClassifier(
        (50, 5), ["relu", "leaky_relu(slope=0.2)"], max_iter=2, random_state=0
    ).fit(*digits)
    svg = drawing(clf)
    assert units_of(svg) == [6, 6, 5, 6]
    words = texts(svg)
    for word in (
        *("64", "input", "50", "relu", "5", "leaky_relu", "slope=0.2", "10", "softmax"),
        *"012789",
    ):
        assert word in words
    assert words.count("⋮") == 3
    assert "4" not in words  # its unit is left out
    assert svg.get("aria-label") == (
        "network: input 64, relu 50, leaky_relu(slope=0.2) 5, softmax 10"
    )
    count = 64 * 50 + 50 + 50 * 5 + 5 + 5 * 10 + 10
    assert f"{count:,} weights and intercepts" in clf._repr_html_()


def test_learned_activations_are_shown(digits):
    clf = LiftedMLPClassifier(
        (5,), "elu(alpha=0.5)", learn_activation=True, max_iter=2, random_state=0
    ).fit(*digits)
    parameter = clf.activations_[0].partition("(")[2].rstrip(")")
    assert parameter != "alpha=0.5"
    shown = next(word for word in texts(drawing(clf)) if word.startswith("alpha="))
    assert parameter.startswith(shown.rstrip("…"))


def test_names_of_features_and_classes(iris_frame):
    clf = LiftedMLPClassifier((3,), max_iter=2).fit(*iris_frame)
    words = texts(drawing(clf))
    for name in iris_frame[0].columns:
        assert name in words
    assert "b & c" in words
    assert '"quoted"' in words
    assert "<script>alert(1)<…" in words


@pytest.mark.parametrize("fitted_table", ["scikit-learn's", "ours"])
def test_everything_is_escaped(iris_frame, fitted_table, monkeypatch):
    if fitted_table == "ours":
        monkeypatch.delattr(BaseEstimator, "_get_fitted_attr_html", raising=False)
    clf = LiftedMLPClassifier((3,), max_iter=2).fit(*iris_frame)
    html = clf._repr_html_()
    assert "alert(1)" in html
    assert "<script>alert" not in html
    assert "<i>c</i>" not in html
    assert "width & so" not in html


def test_two_classes_have_one_output(cancer):
    names = np.array(["sick", "well"])
    clf = LiftedMLPClassifier((4,), max_iter=2).fit(cancer[0], names[cancer[1]])
    svg = drawing(clf)
    assert units_of(svg) == [6, 4, 1]
    assert {"well", "logistic"} <= set(texts(svg))
    assert "sick" not in texts(svg)


def test_regressors(iris):
    reg = LiftedMLPRegressor((), loss="poisson", max_iter=2).fit(
        iris[0], iris[0][:, :3]
    )
    svg = drawing(reg)
    assert units_of(svg) == [4, 3]
    assert "exp" in texts(svg)


def test_before_a_fit():
    svg = drawing(LiftedMLPRegressor((30, 4), "tanh"))
    assert units_of(svg) == [2, 6, 4, 2]
    assert texts(svg).count("?") == 2
    assert texts(svg).count("tanh") == 2


@pytest.mark.parametrize(
    "params",
    [
        {"hidden_layer_sizes": (0,)},
        {"hidden_layer_sizes": None},
        {"activation": "gelu"},
        {"activation": ["relu", "relu"]},
        {"activation": 3},
    ],
    ids=str,
)
def test_parameters_that_no_network_has_are_shown_without(params):
    html = LiftedMLPClassifier(**params)._repr_html_()
    assert not drawings(html)
    assert "LiftedMLPClassifier" in html


def test_every_layer_has_as_many_lines_as_pairs_of_units(iris):
    clf = LiftedMLPClassifier((5, 7), max_iter=1).fit(*iris)
    (path,) = drawing(clf).iter(f"{SVG}path")
    assert path.get("d").count("M") == 4 * 5 + 5 * 7 + 7 * 3


def test_long_networks_are_abbreviated():
    svg = ElementTree.fromstring(network_svg([3] * 40, ["relu"] * 40))
    assert units_of(svg) == [3] * 8
    assert "32 more" in texts(svg)
    assert len(ElementTree.tostring(svg)) < 10_000
    whole = ElementTree.fromstring(network_svg([3] * 9, ["relu"] * 9))
    assert units_of(whole) == [3] * 9
    # Over the gap there are no lines.
    (path,) = svg.iter(f"{SVG}path")
    assert path.get("d").count("M") == 6 * 9


def test_wide_layers_are_abbreviated():
    svg = ElementTree.fromstring(
        network_svg([8, 9, 10**6], ["input", "relu", "identity"])
    )
    assert units_of(svg) == [8, 6, 6]
    assert {"8", "9", "1,000,000"} <= set(texts(svg))


def test_names_cannot_break_the_drawing():
    names = ['<a href="x">', "b & 'c'"]
    svg = ElementTree.fromstring(network_svg([1, 1], names, ["<"], ['"']))
    assert svg.get("aria-label") == """network: <a href="x"> 1, b & 'c' 1"""
    assert {*names, "<", '"'} <= set(texts(svg))


def test_all_is_inside_the_picture():
    names = [f"feature {k} with a very long name" for k in range(30)]
    svg = ElementTree.fromstring(
        network_svg(
            [30, 2, 3],
            ["input", "soft_threshold(threshold=0.25)", "softmax"],
            names,
            ["x" * 40, "y", "z"],
        )
    )
    width, height = float(svg.get("width")), float(svg.get("height"))
    for text in svg.iter(f"{SVG}text"):
        # Letters of a monospaced face are 0.6 of its size wide.
        length = 0.6 * float(text.get("font-size")) * len(text.text)
        shift = {"start": 0, "middle": 0.5, "end": 1}[text.get("text-anchor")]
        left = float(text.get("x")) - shift * length
        assert 0 <= left <= left + length <= width
        assert 0 <= float(text.get("y")) <= height
    labels = [text for text in texts(svg) if "feature" in text]
    assert labels[-1].startswith("feature 29 with")
    assert len(labels) == 6


def test_names_of_neighbours_do_not_touch():
    name = "soft_threshold(threshold=0.25)"
    svg = ElementTree.fromstring(network_svg([3] * 4, [name] * 4))
    ends = {}
    for text in svg.iter(f"{SVG}text"):
        half = 0.3 * float(text.get("font-size")) * len(text.text)
        x, y = float(text.get("x")), text.get("y")
        assert x - half > ends.get(y, 0)
        ends[y] = x + half
    assert len(ends) == 3  # size, name, parameter


def test_it_takes_the_colours_of_the_page():
    svg = drawing(LiftedMLPClassifier((3,)))
    for text in svg.iter(f"{SVG}text"):
        assert text.get("fill") == "currentColor"
    for circle in svg.iter(f"{SVG}circle"):
        assert circle.get("stroke") == "currentColor"
        assert circle.get("fill") in ("none", "cornflowerblue", "currentColor")


@pytest.mark.skipif(not IN_THE_BOX, reason="scikit-learn 1.6 shows steps as text")
@pytest.mark.parametrize("fitted", [False, True])
def test_inside_of_pipelines_and_searches(iris, fitted):
    pipe = make_pipeline(StandardScaler(), LiftedMLPClassifier((3,), max_iter=1))
    for model in (pipe, GridSearchCV(pipe, {}, cv=2)):
        if fitted:
            model.fit(*iris)
        html = model._repr_html_()
        assert "StandardScaler" in html
        svgs = drawings(html)
        assert len(svgs) == 1
        assert ("softmax" in texts(svgs[0])) == fitted


def test_mime_bundle(iris):
    clf = LiftedMLPClassifier((3,), max_iter=1).fit(*iris)
    bundle = clf._repr_mimebundle_()
    assert bundle["text/plain"] == repr(clf)
    assert len(drawings(bundle["text/html"])) == 1
    with sklearn.config_context(display="text"):
        assert clf._repr_mimebundle_().keys() == {"text/plain"}
        assert not hasattr(clf, "_repr_html_")


def test_fitted_attributes_are_shown_once(digits):
    clf = LiftedMLPClassifier((3,), max_iter=2, early_stopping=True).fit(*digits)
    html = clf._repr_html_()
    assert html.count("Fitted attributes") == 1
    for name in ("n_features_in_", "classes_", "n_iter_", "best_validation_score_"):
        assert name in html


def test_fitted_attributes_where_scikit_learn_shows_none(digits, monkeypatch):
    monkeypatch.delattr(BaseEstimator, "_get_fitted_attr_html", raising=False)
    clf = LiftedMLPClassifier((3,), max_iter=2, early_stopping=True, random_state=0)
    assert "Fitted attributes" not in clf._repr_html_()
    html = clf.fit(*digits)._repr_html_()
    assert html.count("Fitted attributes") == 1
    rows = dict(
        re.findall(r'<td class="param">(\w+_)</td><td class="value">(.*?)</td>', html)
    )
    assert rows["classes_"] == "[0, 1, 2, …, 7, 8, 9], 10 in all"
    assert rows["coefs_"] == "(64, 3), (3, 10)"
    assert rows["n_features_in_"] == "64"
    assert rows["n_iter_"] == "2"
    assert rows["loss_"] == f"{clf.loss_:.4g}"
    assert rows["best_validation_score_"] == f"{clf.best_validation_score_:.4g}"
    assert rows["loss_curve_"] == "[{:.4g}, {:.4g}]".format(*clf.loss_curve_)
    assert "best_loss_" not in rows  # None


def test_without_hidden_layers(iris):
    clf = LiftedMLPClassifier((), max_iter=1).fit(*iris)
    assert units_of(drawing(clf)) == [4, 3]


def test_a_network_of_torch(iris):
    pytest.importorskip("torch")
    from liftnet.torch import from_torch

    clf = LiftedMLPClassifier((5,), max_iter=1).fit(*iris)
    assert units_of(drawing(from_torch(clf.to_torch()))) == [4, 5, 3]
