"""The view in notebooks: scikit-learn's diagram and a drawing of the network."""

import reprlib
from html import escape

import numpy as np
from sklearn.base import BaseEstimator

# Units of a layer, and layers, that are drawn one by one.
_MAX_UNITS = 8
_MAX_LAYERS = 9
# In pixels. Letters are of one width, so that text can be placed without measuring it.
_STEP = 17
_RADIUS = 5
_LETTER = 6.7
_FONT = 11
_MAX_LETTERS = 18


class NetworkHTMLMixin:
    """Adds a drawing of the network to what scikit-learn shows of an estimator.

    scikit-learn writes the parameters' table of an estimator into its box, alone or in
    a pipeline; the drawing goes on top of that table. The colours are those of the box.
    """

    def _get_params_html(self, *args, **kwargs):
        params = super()._get_params_html(*args, **kwargs)
        table = params._html_repr
        params._html_repr = lambda: f"{_drawing(self)}{table()}{_fitted_table(self)}"
        return params

    # scikit-learn 1.6 has no such table: there the drawing follows the diagram.
    def _repr_html_inner(self):
        return super()._repr_html_inner() + _below(self)

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] += _below(self)
        return bundle


def _below(estimator):
    if hasattr(BaseEstimator, "_get_params_html"):
        return ""
    return _drawing(estimator) + _fitted_table(estimator)


def _drawing(estimator):
    """Draw the network, or nothing where the parameters do not say what it will be."""
    if hasattr(estimator, "coefs_"):
        coefs = estimator.coefs_
        sizes = [len(coefs[0]), *(coef.shape[1] for coef in coefs)]
        names = ["input", *estimator.activations_, estimator.out_activation_]
        labels = _input_labels(estimator), _output_labels(estimator)
        count = sum(array.size for array in (*coefs, *estimator.intercepts_))
        caption = f"{count:,} weights and intercepts"
    else:
        try:
            hidden, activations = estimator._layer_sizes(), estimator._activations()
        except (TypeError, ValueError):
            return ""
        sizes = [None, *hidden, None]
        names = ["input", *activations, "output"]
        labels, caption = (None, None), "sizes of input and output follow from the data"
    return (
        '<div style="padding: 0.5em; text-align: center; font-family: monospace">'
        f"{network_svg(sizes, names, *labels)}"
        f'<div style="font-size: {_FONT}px; padding-top: 0.5em">{caption}</div></div>'
    )


def _input_labels(estimator):
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else list(map(str, names))


def _output_labels(estimator):
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        return None
    classes = list(map(str, np.asarray(classes).tolist()))
    # The one output of two classes speaks for the second.
    return classes[1:] if estimator.n_outputs_ == 1 else classes


def network_svg(sizes, names, input_labels=None, output_labels=None):
    """Draw a network, layer by layer, for light and dark pages.

    Parameters
    ----------
    sizes : sequence of (int or None)
        Units of the layers, input and output included; None where not known yet.
    names : sequence of str
        What each layer is, in the notation of activations.
    input_labels, output_labels : sequence of str or None, default=None
        Names of the units at both ends.

    Returns
    -------
    str
        An ``<svg>`` element in the colour of the text around it.
    """
    columns = _columns(sizes)
    captions = [() if k is None else _caption(sizes[k], names[k]) for k in columns]
    left, right = _shown(input_labels, sizes[0]), _shown(output_labels, sizes[-1])
    widest = max(len(line) for caption in captions for line in caption)
    spacing = max(90, _LETTER * widest + 14)
    margin = spacing / 2
    start, end = (max(margin, _width(labels) + 14) for labels in (left, right))
    heights = [_units_shown(sizes[k]) for k in columns if k is not None]
    middle = _STEP * max(heights) / 2 + 4
    width = start + spacing * (len(columns) - 1) + end
    lines = max(map(len, captions))
    height = 2 * middle + lines * (_FONT + 3) + 2

    edges, parts, previous = [], [], None
    for place, (k, caption) in enumerate(zip(columns, captions, strict=True)):
        x = start + spacing * place
        if k is None:
            skipped = len(sizes) + 1 - len(columns)
            parts += [_text(x, middle + 4, "⋯", size=20)]
            parts += [_text(x, 2 * middle + _FONT, f"{skipped} more")]
            previous = None
            continue
        unit_heights = _heights(sizes[k], middle)
        ys = [y for y in unit_heights if y is not None]
        if previous is not None:
            edges += [
                f"M{x - spacing + _RADIUS:.5g} {a:.5g}L{x - _RADIUS:.5g} {b:.5g}"
                for a in previous
                for b in ys
            ]
        colour = {0: "none", len(sizes) - 1: "currentColor"}.get(k, "cornflowerblue")
        dashes = ""
        if sizes[k] is None:
            colour, dashes = "none", ' stroke-dasharray="2 2"'
        parts += [
            f'<circle cx="{x:.5g}" cy="{y:.5g}" r="{_RADIUS}" fill="{colour}" '
            f'fill-opacity="0.55" stroke="currentColor"{dashes}/>'
            for y in ys
        ]
        if None in unit_heights:
            parts.append(_text(x, middle + 5, "⋮", size=16))
        for y, label in zip(ys, left if k == 0 else (), strict=False):
            parts.append(_text(x - 10, y + 4, label, anchor="end"))
        for y, label in zip(ys, right if k == len(sizes) - 1 else (), strict=False):
            parts.append(_text(x + 10, y + 4, label, anchor="start"))
        for row, line in enumerate(caption):
            y = 2 * middle + (_FONT + 3) * row + _FONT
            parts.append(_text(x, y, line, weight="normal" if row else "bold"))
        previous = ys

    described = ", ".join(
        f"{name} {'?' if size is None else size}"
        for size, name in zip(sizes, names, strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width:.5g}" '
        f'height="{height:.5g}" viewBox="0 0 {width:.5g} {height:.5g}" '
        'style="max-width: 100%; height: auto; font-family: monospace" '
        f'aria-label="network: {escape(described)}">'
        f'<path d="{"".join(edges)}" fill="none" stroke="currentColor" '
        f'stroke-width="0.6" stroke-opacity="0.3"/>{"".join(parts)}</svg>'
    )


def _columns(sizes):
    """Layers to draw; None stands for those left out of a long network."""
    layers = list(range(len(sizes)))
    if len(layers) <= _MAX_LAYERS:
        return layers
    half = _MAX_LAYERS // 2
    return [*layers[:half], None, *layers[-half:]]


def _units_shown(size):
    """Height of a layer's column, in units."""
    if size is None:
        return 3
    return size if size <= _MAX_UNITS else _MAX_UNITS - 1


def _heights(size, middle):
    """Where the units of a layer are drawn; None stands for those left out."""
    shown = _units_shown(size)
    ys = [middle + _STEP * (k - (shown - 1) / 2) for k in range(shown)]
    if size is None or size > shown:
        ys[shown // 2] = None
    return ys


def _shown(labels, size):
    """Labels of the units that are drawn, shortened."""
    if not labels:
        return []
    shown = _units_shown(size)
    if size > shown:
        labels = [*labels[: shown // 2], *labels[-(shown // 2) :]]
    return [_short(label) for label in labels]


def _caption(size, name):
    """Size, name and parameter of a layer."""
    name, _, parameter = name.partition("(")
    lines = ["?" if size is None else f"{size:,}", name]
    return [*lines, _short(parameter.rstrip(")"))] if parameter else lines


def _short(text):
    text = " ".join(text.split())
    return text if len(text) <= _MAX_LETTERS else f"{text[: _MAX_LETTERS - 1]}…"


def _width(labels):
    return _LETTER * max(map(len, labels), default=0)


def _text(x, y, text, *, anchor="middle", weight="normal", size=_FONT):
    return (
        f'<text x="{x:.5g}" y="{y:.5g}" text-anchor="{anchor}" font-size="{size}" '
        f'font-weight="{weight}" fill="currentColor">{escape(text)}</text>'
    )


def _fitted_table(estimator):
    """Fitted attributes, which scikit-learn shows by itself from 1.9 on."""
    if hasattr(BaseEstimator, "_get_fitted_attr_html"):
        return ""
    if not hasattr(estimator, "coefs_"):
        return ""
    fitted = {
        name: value
        for name, value in sorted(vars(estimator).items())
        if name.endswith("_") and not name.startswith("_") and value is not None
    }
    rows = "".join(
        f'<tr class="default"><td class="param">{escape(name)}</td>'
        f'<td class="value">{escape(_brief(value))}</td></tr>'
        for name, value in fitted.items()
    )
    return (
        '<div class="estimator-table" style="font-family: monospace"><details>'
        '<summary>Fitted attributes</summary><table class="parameters-table"><tbody>'
        f"{rows}</tbody></table></details></div>"
    )


def _brief(value):
    """One line for a value: long ones by their ends or their shapes."""
    if isinstance(value, dict):
        return ", ".join(map(str, value))
    if isinstance(value, np.ndarray) and value.ndim != 1:
        return f"array of shape {value.shape}"
    if isinstance(value, (list, np.ndarray)):
        if len(value) and isinstance(value[0], np.ndarray):
            return ", ".join(str(array.shape) for array in value)
        listed = value.tolist() if isinstance(value, np.ndarray) else value
        if len(listed) <= 6:
            return f"[{', '.join(map(_brief, listed))}]"
        first, last = (", ".join(map(_brief, v)) for v in (listed[:3], listed[-3:]))
        return f"[{first}, …, {last}], {len(listed)} in all"
    return f"{value:.4g}" if isinstance(value, float) else reprlib.repr(value)
