"""What the units of the first layer look for: a picture of their weights."""

from math import ceil, prod, sqrt
from numbers import Integral

import numpy as np

from liftnet import _pictures


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
        network = _pictures.fitted_network(estimator)
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
        pyplot = _pictures.pyplot()
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
