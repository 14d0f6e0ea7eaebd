"""How training went: a picture of ``history_``."""

import re
from collections.abc import Mapping

import numpy as np

from liftnet import _pictures

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
        pyplot = _pictures.pyplot()
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


def _history(estimator):
    """Quantities with one value a pass that a fitted estimator recorded."""
    estimator = _pictures.fitted_network(estimator)
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
