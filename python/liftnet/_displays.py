"""Pictures of fitted estimators, in the manner of scikit-learn's displays."""

import re
from collections.abc import Mapping
from math import ceil, prod, sqrt
from numbers import Integral

import numpy as np
from sklearn.utils.validation import check_is_fitted

from liftnet._activations import _pyplot

# Quantities of history_ by family: what they share an axis with, and which parameter
# records them. Those of a layer end with its number.
_QUANTITIES = {
    "loss": ("loss", None),
    "score": ("score", None),
    "validation_loss": ("loss", "early_stopping=True"),
    "validation_score": ("score", "early_stopping=True"),
    "objective": ("loss", "solver='batch' or diagnostics=True"),
    "lifted_loss": ("loss", "solver='batch' or diagnostics=True"),
    "penalty": ("loss", "solver='batch' or diagnostics=True"),
    "divergence": ("loss", "solver='batch' or diagnostics=True, for hidden layers"),
    "gap": ("gap", "solver='batch' or diagnostics=True, for hidden layers"),
    "residual": ("residual", "solver='batch' or diagnostics=True"),
    "learning_rate": ("learning_rate", None),
    "input_noise": ("input_noise", "input_noise > 0"),
    "activation_parameter": (
        "activation_parameter",
        "learn_activation=True, for hidden layers that have one to learn",
    ),
}
_PER_LAYER = ("divergence", "gap", "activation_parameter")
# Those whose steps are ratios: a line that falls at a rate is straight in logarithms.
_LOGARITHMIC = ("loss", "gap", "residual")
_LINE_STYLES = ("-", "--", ":", "-.")


class ConvergenceDisplay:
    """How training went, pass by pass.

    Made by :meth:`from_estimator` from ``history_``.

    Parameters
    ----------
    histories : dict of {str or None: dict}
        By the name of the estimator, None for no name, its quantities by name: arrays
        with one value a pass.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes with the first of the metrics.
    right_ax_ : matplotlib Axes or None
        Its twin with metrics of another unit, on the right.
    figure_ : matplotlib Figure
        The figure that holds them.
    lines_ : list of matplotlib Line2D
        The lines, by estimator and then by metric.
    legend_ : matplotlib Legend or None
        None where there is a single line without a name.

    See Also
    --------
    FeatureMapDisplay : What the units of the first layer look for.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from liftnet import ConvergenceDisplay, LiftedMLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = LiftedMLPClassifier(early_stopping=True, random_state=0).fit(X, y)
    >>> display = ConvergenceDisplay.from_estimator(
    ...     clf, metrics=["loss", "validation_loss", "validation_score"]
    ... )
    >>> plt.show()
    """

    def __init__(self, *, histories):
        self.histories = histories

    @classmethod
    def from_estimator(
        cls,
        estimator,
        *,
        metrics="loss",
        x="pass",
        yscale="auto",
        ax=None,
        name=None,
        line_kw=None,
    ):
        """Draw what fitted estimators recorded.

        Parameters
        ----------
        estimator : estimator instance, or dict of {str: estimator instance}
            Fitted ones, by name if there are several. A pipeline stands for its last
            step, a search for its best estimator. scikit-learn's MLPs, which record
            their "loss" (and "validation_score") only, can be drawn for comparison.
        metrics : str or sequence of str, default="loss"
            Quantities of ``history_``. "gap", "divergence" and "activation_parameter"
            stand for those of all layers. Losses, the objective and its terms share an
            axis; metrics of one other kind are drawn on an axis of their own on the
            right.
        x : {"pass", "seconds"}, default="pass"
            What they are drawn over: passes over the data, or seconds since the start.
        yscale : {"auto", "linear", "log"}, default="auto"
            "auto" is logarithmic for losses, gaps and residuals that are positive and
            change by a factor of ten or more.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default. With the ``ax_`` of another display
            its lines stay.
        name : str, default=None
            Name of the estimator in the legend. Not for a dict.
        line_kw : dict, default=None
            Keyword arguments for Matplotlib's ``plot``, for every line.

        Returns
        -------
        display : ConvergenceDisplay

        Raises
        ------
        ValueError
            For a quantity that ``history_`` does not hold; the message says which
            parameter records it.
        NotFittedError
            Before ``fit``.
        ImportError
            Without Matplotlib.
        """
        if isinstance(estimator, Mapping):
            if name is not None:
                raise ValueError(
                    "name is for a single estimator; the keys of the dict are the "
                    f"names already, got name={name!r}"
                )
            if not estimator:
                raise ValueError("estimator is an empty dict; it needs one or more")
            histories = {key: _history(one) for key, one in estimator.items()}
        else:
            histories = {name: _history(estimator)}
        display = cls(histories=histories)
        return display.plot(ax, metrics=metrics, x=x, yscale=yscale, line_kw=line_kw)

    def plot(self, ax=None, *, metrics="loss", x="pass", yscale="auto", line_kw=None):
        """Draw the histories; parameters as of :meth:`from_estimator`.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        metrics : str or sequence of str, default="loss"
            Quantities of the histories.
        x : {"pass", "seconds"}, default="pass"
            What they are drawn over.
        yscale : {"auto", "linear", "log"}, default="auto"
            Scale of the vertical axes.
        line_kw : dict, default=None
            Keyword arguments for Matplotlib's ``plot``, for every line.

        Returns
        -------
        display : ConvergenceDisplay
            This one.

        Raises
        ------
        ValueError
            For a quantity that the histories do not hold.
        ImportError
            Without Matplotlib.
        """
        if x not in ("pass", "seconds"):
            raise ValueError(f"x must be 'pass' or 'seconds', got {x!r}")
        if yscale not in ("auto", "linear", "log"):
            raise ValueError(
                f"yscale must be 'auto', 'linear' or 'log', got {yscale!r}"
            )
        pyplot = _pyplot()
        curves, quantities = self._curves(metrics, x)
        for _, quantity, _, y in curves:
            if yscale == "log" and (y < 0).any():
                raise ValueError(
                    "yscale='log' needs positive values, but there are negative ones "
                    f"of {quantity!r}"
                )
        kinds = list(dict.fromkeys(map(_kind, quantities)))
        if len(kinds) > 2:
            raise ValueError(
                "metrics must be of at most two kinds, one for each side of the "
                f"picture, got {', '.join(quantities)}; draw the others on axes of "
                "their own"
            )
        if ax is None:
            _, ax = pyplot.subplots(layout="constrained")
        right = _right_of(ax)
        if right is None and len(kinds) == 2:
            right = ax.twinx()
        sides = dict(zip(kinds, (ax, right), strict=False))
        self.lines_ = self._draw(curves, quantities, sides, line_kw)
        for kind, side in sides.items():
            _set_scale(side, kind, yscale)
            labels = dict.fromkeys(
                _label(_family(q)) for q in quantities if sides[_kind(q)] is side
            )
            _add_label(side, labels)
        ax.set_xlabel("pass over the data" if x == "pass" else "seconds")
        if x == "pass":
            ax.xaxis.get_major_locator().set_params(integer=True)
        self.ax_, self.right_ax_, self.figure_ = ax, right, ax.figure
        self.legend_ = _make_legend(ax, right)
        return self

    def _curves(self, metrics, x):
        """Return name, quantity, x and y of every line, and the quantities in order."""
        metrics = [metrics] if isinstance(metrics, str) else metrics
        if not np.iterable(metrics) or not len(metrics):
            raise ValueError(
                "metrics must be a quantity of history_ or a sequence of one or more, "
                f"got {metrics!r}"
            )
        curves = []
        for name, history in self.histories.items():
            owner = "history_" if name is None else f"history_ of {name!r}"
            wanted = [q for m in metrics for q in _recorded(m, history, owner)]
            for quantity in dict.fromkeys(wanted):
                y = np.asarray(history[quantity], dtype=float)
                if x == "seconds":
                    (seconds,) = _recorded("seconds", history, owner)
                    at = np.asarray(history[seconds], dtype=float)
                else:
                    at = np.arange(1, len(y) + 1)
                curves.append((name, quantity, at, y))
        return curves, list(dict.fromkeys(quantity for _, quantity, _, _ in curves))

    def _draw(self, curves, quantities, sides, line_kw):
        """One line for each curve; colours go on from those already there."""
        from matplotlib import rcParams
        from matplotlib.cbook import normalize_kwargs
        from matplotlib.lines import Line2D

        line_kw = normalize_kwargs(line_kw, Line2D)
        cycle = rcParams["axes.prop_cycle"].by_key().get("color", ["C0"])
        taken = {
            line.get_color() for side in sides.values() for line in side.get_lines()
        }
        names = list(self.histories)
        lines = []
        for name, quantity, at, y in curves:
            side = sides[_kind(quantity)]
            metric = quantities.index(quantity)
            if len(names) > 1:
                # Estimators are told apart by colour, their metrics by dashes.
                colour, style = names.index(name), metric
            else:
                # Metrics by colour, those of the right side are dashed.
                colour, style = metric, list(sides.values()).index(side)
            words = [str(name)] if name is not None else []
            if name is None or len(quantities) > 1:
                words.append(_label(quantity))
            options = {
                "color": cycle[(len(taken) + colour) % len(cycle)],
                "linestyle": _LINE_STYLES[style % len(_LINE_STYLES)],
                # A run of one pass is a point.
                "marker": "o" if len(y) <= 50 else "",
                "markersize": 3.5,
                "label": ", ".join(words),
            }
            lines += side.plot(at, y, **options | line_kw)
        return lines


class FeatureMapDisplay:
    """Weights of the units of the first layer, as images.

    Made by :meth:`from_estimator`. Red weights say yes to a pixel, blue ones no.

    Parameters
    ----------
    maps : ndarray of shape (n_units, height, width) or (n_units, height, width, 3)
        Weights of each unit.
    units : ndarray of shape (n_units,)
        Numbers of the units.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes with the images.
    figure_ : matplotlib Figure
        The figure that holds them.
    image_ : matplotlib AxesImage
        All images in one.
    colorbar_ : matplotlib Colorbar or None
        Its scale, if asked for.
    texts_ : list of matplotlib Text
        Numbers of the units, if asked for.

    See Also
    --------
    ConvergenceDisplay : How training went.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from liftnet import FeatureMapDisplay, LiftedMLPClassifier
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = LiftedMLPClassifier(random_state=0).fit(X, y)
    >>> display = FeatureMapDisplay.from_estimator(clf, shape=(8, 8))
    >>> plt.show()
    """

    def __init__(self, *, maps, units):
        self.maps = maps
        self.units = units

    @classmethod
    def from_estimator(
        cls,
        estimator,
        shape=None,
        *,
        units=25,
        ax=None,
        n_cols=None,
        scale="unit",
        cmap="RdBu_r",
        colorbar=False,
        numbers=False,
    ):
        """Draw the first layer of a fitted estimator.

        Parameters
        ----------
        estimator : estimator instance
            Fitted, with ``coefs_``. A pipeline stands for its last step, a search for
            its best estimator.
        shape : (height, width) or (height, width, 3), default=None
            Shape of an image whose pixels, row by row, are the features; the last
            axis red, green and blue. By default a square of them.
        units : int, None or sequence of int, default=25
            How many units to show: those with the largest norm of their weights, in
            descending order; None for all. Or the numbers of the units.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        n_cols : int, default=None
            Images in a row; about as many as rows by default.
        scale : {"unit", "common"}, default="unit"
            What the strongest colour stands for: the largest weight of each unit, or
            of all units shown.
        cmap : str or matplotlib Colormap, default="RdBu_r"
            A diverging colour map; its middle is a weight of 0. Images with three
            colours have none: grey is 0.
        colorbar : bool, default=False
            Draw the scale of the colours, where there is a colour map.
        numbers : bool, default=False
            Write the number of each unit on its image.

        Returns
        -------
        display : FeatureMapDisplay

        Raises
        ------
        ValueError
            For a shape that does not have as many values as there are features, or
            units that there are not.
        NotFittedError
            Before ``fit``.
        ImportError
            Without Matplotlib.
        """
        network = _network(estimator)
        check_is_fitted(network)
        if not hasattr(network, "coefs_"):
            raise TypeError(
                f"estimator must have coefs_, which {type(network).__name__} has not"
            )
        weights = np.asarray(network.coefs_[0])
        shape = _image_shape(shape, len(weights))
        units = _chosen_units(units, weights)
        maps = np.ascontiguousarray(weights.T[units]).reshape(-1, *shape)
        return cls(maps=maps, units=units).plot(
            ax,
            n_cols=n_cols,
            scale=scale,
            cmap=cmap,
            colorbar=colorbar,
            numbers=numbers,
        )

    def plot(
        self,
        ax=None,
        *,
        n_cols=None,
        scale="unit",
        cmap="RdBu_r",
        colorbar=False,
        numbers=False,
    ):
        """Draw the images; parameters as of :meth:`from_estimator`.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure by default.
        n_cols : int, default=None
            Images in a row; about as many as rows by default.
        scale : {"unit", "common"}, default="unit"
            What the strongest colour stands for.
        cmap : str or matplotlib Colormap, default="RdBu_r"
            A diverging colour map.
        colorbar : bool, default=False
            Draw the scale of the colours.
        numbers : bool, default=False
            Write the number of each unit on its image.

        Returns
        -------
        display : FeatureMapDisplay
            This one.

        Raises
        ------
        ValueError
            For an option outside its choices.
        ImportError
            Without Matplotlib.
        """
        if scale not in ("unit", "common"):
            raise ValueError(f"scale must be 'unit' or 'common', got {scale!r}")
        if n_cols is not None and not (isinstance(n_cols, Integral) and n_cols >= 1):
            raise ValueError(
                f"n_cols must be None or a positive integer, got {n_cols!r}"
            )
        coloured = self.maps.ndim == 4
        if colorbar and coloured:
            raise ValueError("colorbar is for images of one colour, these have three")
        pyplot = _pyplot()
        count = len(self.maps)
        columns = min(count, n_cols or ceil(sqrt(count)))
        largest = np.abs(self.maps).max(axis=tuple(range(1, self.maps.ndim)))
        if scale == "common":
            largest = np.full(count, largest.max())
        largest[largest == 0] = 1
        relative = self.maps / largest.reshape(-1, *[1] * (self.maps.ndim - 1))
        mosaic, corners = _mosaic(relative, columns)
        limit = 1.0 if scale == "unit" else largest[0]
        if ax is None:
            rows = ceil(count / columns)
            size = 0.8 * columns + 0.3 + colorbar, 0.8 * rows + 0.3
            _, ax = pyplot.subplots(figsize=size, layout="constrained")
        if coloured:
            # Between the images nothing, not even white.
            seen = np.dstack([0.5 + 0.5 * mosaic, np.isfinite(mosaic[..., 0])])
            self.image_ = ax.imshow(np.nan_to_num(seen))
        else:
            self.image_ = ax.imshow(limit * mosaic, cmap=cmap, vmin=-limit, vmax=limit)
        ax.set_axis_off()
        self._frame(ax, corners)
        self.ax_, self.figure_ = ax, ax.figure
        self.colorbar_ = None
        if colorbar:
            label = "weight" if scale == "common" else "weight / largest of its unit"
            self.colorbar_ = ax.figure.colorbar(
                self.image_, ax=ax, label=label, shrink=0.8
            )
        self.texts_ = [
            ax.text(
                column - 0.5,
                row - 0.5,
                f" {unit}",
                va="top",
                fontsize="xx-small",
                bbox={"facecolor": "white", "alpha": 0.6, "linewidth": 0, "pad": 0.5},
            )
            for unit, (row, column) in zip(self.units, corners, strict=True)
            if numbers
        ]
        return self

    def _frame(self, ax, corners):
        """Draw thin lines around the images: at their rims weights are often near 0."""
        from matplotlib.collections import PatchCollection
        from matplotlib.patches import Rectangle

        height, width = self.maps.shape[1:3]
        frames = [
            Rectangle((column - 0.5, row - 0.5), width, height)
            for row, column in corners
        ]
        ax.add_collection(
            PatchCollection(frames, facecolor="none", edgecolor="0.75", linewidth=0.5)
        )


def _network(estimator):
    """Look into pipelines and meta-estimators for the network that they hold."""
    while not hasattr(estimator, "coefs_"):
        if hasattr(estimator, "steps"):
            estimator = estimator.steps[-1][1]
            continue
        inner = (
            getattr(estimator, name, None)
            for name in ("best_estimator_", "estimator_", "regressor_")
        )
        found = next((one for one in inner if hasattr(one, "fit")), None)
        if found is None:
            break
        estimator = found
    return estimator


def _history(estimator):
    """Quantities with one value a pass that a fitted estimator recorded."""
    estimator = _network(estimator)
    check_is_fitted(estimator)
    history = getattr(estimator, "history_", None)
    if history is None:
        # What scikit-learn's MLPs keep.
        history = {
            "loss": getattr(estimator, "loss_curve_", None),
            "validation_score": getattr(estimator, "validation_scores_", None),
        }
        if history["loss"] is None:
            raise ValueError(
                f"{type(estimator).__name__} has no history_ to draw: it records none, "
                "or its weights come from elsewhere and it has not been fitted since"
            )
    return {
        name: np.asarray(values, dtype=float)
        for name, values in history.items()
        if values is not None and name != "blocks"
    }


def _family(quantity):
    """Name of a quantity, without the number of its layer."""
    family, _, number = quantity.rpartition("_")
    return family if number.isdecimal() and family in _PER_LAYER else quantity


def _kind(quantity):
    """Name what a quantity shares an axis with; an unknown one has its own."""
    return _QUANTITIES.get(_family(quantity), (quantity, None))[0]


def _label(quantity):
    return quantity.replace("_", " ")


def _recorded(metric, history, owner):
    """Names in the history that a metric stands for, one or more."""
    if metric in _PER_LAYER:
        names = [name for name in history if _family(name) == metric]
    else:
        names = [metric] if metric in history else []
    if names:
        return names
    known = isinstance(metric, str) and (
        metric == "seconds" or _family(metric) in _QUANTITIES
    )
    message = (
        f"{owner} does not hold {metric!r}, but {', '.join(map(repr, history))}"
        if known
        else f"metrics must be quantities of history_, got {metric!r}; {owner} holds "
        f"{', '.join(map(repr, history))}"
    )
    recorder = _QUANTITIES.get(_family(metric), (None, None))[1] if known else None
    if recorder is not None:
        message += f". {metric!r} is recorded with {recorder}"
    raise ValueError(message)


def _right_of(ax):
    """Find the twin of an axes that an earlier display has drawn on."""
    for other in ax.get_shared_x_axes().get_siblings(ax):
        same_place = other.get_position().bounds == ax.get_position().bounds
        if (
            other is not ax
            and same_place
            and other.yaxis.get_label_position() == "right"
        ):
            return other
    return None


def _set_scale(ax, kind, yscale):
    """Set the vertical scale; an automatic one looks at all lines of the axes."""
    lines = [np.asarray(line.get_ydata(), dtype=float) for line in ax.get_lines()]
    values = np.concatenate([np.ravel(line) for line in lines])
    values = values[np.isfinite(values)]
    if yscale == "auto":
        positive = values.size and (values > 0).all()
        wide = positive and values.max() >= 10 * values.min()
        yscale = "log" if wide and kind in _LOGARITHMIC else None
    if yscale is not None:
        ax.set_yscale(yscale)
    values = values[values > 0]
    if ax.get_yscale() == "log" and values.size and values.max() < 100 * values.min():
        # Within two powers of ten their names alone would be too few.
        from matplotlib.ticker import LogLocator, NullFormatter

        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())


def _add_label(ax, labels):
    """Name the vertical axis; what an earlier display has written there stays."""
    before = re.split(", ", ax.get_ylabel()) if ax.get_ylabel() else []
    ax.set_ylabel(", ".join(dict.fromkeys([*before, *labels])))


def _make_legend(ax, right):
    """One legend for both sides, on top of the lines."""
    sides = [side for side in (ax, right) if side is not None]
    handles = [h for side in sides for h in side.get_legend_handles_labels()[0]]
    for side in sides:
        if side.get_legend() is not None:
            side.get_legend().remove()
    if len(handles) == 1 and handles[0].get_label() == ax.get_ylabel():
        return None
    place = "best" if right is None else _empty_corner(ax, right, handles)
    return sides[-1].legend(handles=handles, loc=place)


def _empty_corner(ax, right, handles):
    """Find where a legend hides the least of either side; Matplotlib looks at one."""
    for side in (ax, right):
        side.autoscale_view()  # otherwise put off until the figure is drawn
    # Its size in shares of the axes, from that of its letters.
    letter = 0.6 * _letter_size()
    size = ax.get_window_extent().size * 72 / ax.figure.dpi
    longest = max(len(handle.get_label()) for handle in handles)
    box = np.array([longest + 8, 2.5 * len(handles) + 1]) * letter / size
    width, height = box
    covered = {}
    for across in ("right", "center", "left"):
        for upright in ("upper", "center", "lower"):
            # Axes run from 0 to 1, the legend stands a little off their rim.
            low_x = {"left": 0.02, "center": 0.5 - width / 2, "right": 0.98 - width}
            low_y = {"lower": 0.02, "center": 0.5 - height / 2, "upper": 0.98 - height}
            corner = np.array([low_x[across], low_y[upright]])
            place = f"{upright} {across}".replace("center center", "center")
            covered[place] = sum(
                _share_within(line, side, corner, corner + box)
                for side in (ax, right)
                for line in side.get_lines()
            )
    return min(covered, key=covered.get)


def _letter_size():
    """Size of the letters of a legend, in points."""
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties

    return FontProperties(size=rcParams["legend.fontsize"]).get_size_in_points()


def _share_within(line, ax, low, high):
    """Share of a line, as it is drawn, inside a box in the coordinates of the axes."""
    path = (line.get_transform() - ax.transAxes).transform(line.get_xydata())
    path = path[np.isfinite(path).all(axis=1)]
    along = np.linspace(0, len(path) - 1, 400)
    dense = np.column_stack([np.interp(along, range(len(path)), c) for c in path.T])
    return np.mean((dense >= low).all(axis=1) & (dense <= high).all(axis=1))


def _image_shape(shape, n_features):
    """Check the shape of the images; a square by default."""
    if shape is None:
        side = round(sqrt(n_features))
        if side * side != n_features:
            raise ValueError(
                f"shape is needed: {n_features} features do not make a square image"
            )
        return side, side
    shape = tuple(shape) if np.iterable(shape) else (shape,)
    if not all(isinstance(size, Integral) and size >= 1 for size in shape) or not (
        len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)
    ):
        raise ValueError(
            f"shape must be (height, width) or (height, width, 3), got {shape!r}"
        )
    if prod(shape) != n_features:
        product = " x ".join(map(str, shape))
        raise ValueError(
            f"shape={shape} holds {product} = {prod(shape)} values, but the estimator "
            f"was fitted with {n_features} features"
        )
    return shape


def _chosen_units(units, weights):
    """Numbers of the units to show."""
    n_units = weights.shape[1]
    if units is None or isinstance(units, Integral):
        if units is not None and units < 1:
            raise ValueError(f"units must be at least 1, got {units}")
        order = np.argsort(-np.linalg.norm(weights, axis=0), kind="stable")
        return order if units is None else order[: int(units)]
    chosen = np.asarray(units)
    if chosen.ndim != 1 or not chosen.size or chosen.dtype.kind not in "iu":
        raise ValueError(
            "units must be None, a number of units, or a sequence of their numbers, "
            f"got {units!r}"
        )
    if chosen.min() < 0 or chosen.max() >= n_units:
        raise ValueError(
            f"units must be within [0, {n_units - 1}], the units of the first layer, "
            f"got {chosen.tolist()}"
        )
    return chosen


def _mosaic(maps, columns):
    """Images side by side, with lines of NaN between them, and their corners."""
    count, height, width, *colours = maps.shape
    rows = ceil(count / columns)
    # A line of about a tenth of an image, at least a pixel.
    gap = max(1, round(max(height, width) / 14))
    mosaic = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, *colours), np.nan
    )
    corners = []
    for k, image in enumerate(maps):
        row, column = (height + gap) * (k // columns), (width + gap) * (k % columns)
        mosaic[row : row + height, column : column + width] = image
        corners.append((row, column))
    return mosaic, corners
