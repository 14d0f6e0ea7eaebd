"""Tables of numbers to classify: scikit-learn's own, and made ones with fixed seeds.

Each has one trait that real tables have and that a trainer may stumble over: few rows,
hundreds of columns, a rare class, wrong labels, units that differ by powers of ten,
heavy tails, curved boundaries. `make_mixtures` gives tables of any size, where only the
size matters. Columns are raw, labels ``0 … n - 1``, and the same call gives the same
numbers everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

# Of which the columns of `make_mixtures` are mixtures.
FACTORS = 40


class Table(NamedTuple):
    """A table and what it is for."""

    name: str
    trait: str
    X: Any
    y: Any

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, features, classes."""
        return (*self.X.shape, int(self.y.max()) + 1)


def table_names() -> list[str]:
    """Return the names of all tables, bundled ones first, then by trait."""
    return list(_TABLES)


def make_table(name, rows=None) -> Table:
    """Load or make a table; with `rows`, at most so many, classes in proportion."""
    import numpy as np

    trait, make = _TABLES[name]
    X, y = make()
    if rows is not None and rows < len(y):
        X, y = _draw_rows(X, y, rows)
    y = np.unique(y, return_inverse=True)[1].astype(np.int64)
    return Table(name, trait, np.ascontiguousarray(X, dtype=np.float64), y)


def make_mixtures(rows, features, classes, dtype="float32") -> tuple:
    """Return mixtures of 40 factors with noise; the factors decide the class.

    X is filled in pieces, so that hardly more than X is ever allocated.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((FACTORS, features), dtype)
    centers = rng.standard_normal((FACTORS, classes), dtype)
    X, y = np.empty((rows, features), dtype), np.empty(rows, np.int64)
    for start in range(0, rows, 4096):
        part = slice(start, start + 4096)
        factors = rng.standard_normal((len(y[part]), FACTORS), dtype)
        X[part] = factors @ mixing
        X[part] += rng.standard_normal(X[part].shape, dtype)
        y[part] = (factors @ centers).argmax(1)
    # However few the rows, every class has one.
    y[:classes] = np.arange(classes)
    return X, y


def _draw_rows(X, y, rows):
    from sklearn.model_selection import train_test_split

    return train_test_split(X, y, train_size=rows, stratify=y, random_state=0)[::2]


def _bundled(name) -> Callable:
    def make():
        from sklearn import datasets

        return getattr(datasets, f"load_{name}")(return_X_y=True)

    return make


def _clusters(rows, features, **options) -> Callable:
    """Gaussian clusters at the corners of a hypercube, mixed and with noise columns."""

    def make():
        from sklearn.datasets import make_classification

        seed = {"random_state": 0}
        return make_classification(rows, features, **{**seed, **options})

    return make


def _shape(name, rows, **options) -> Callable:
    """Shapes in few dimensions, from scikit-learn's other generators."""

    def make():
        from sklearn import datasets

        make = getattr(datasets, f"make_{name}")
        return make(n_samples=rows, random_state=0, **options)

    return make


def _bad_units():
    """Columns in units from 1e-4 to 1e4, far from 0 in some of them."""
    import numpy as np

    X, y = _clusters(2000, 20, n_informative=10)()
    rng = np.random.default_rng(0)
    units = 10.0 ** rng.permutation(np.linspace(-4, 4, X.shape[1]))
    return (X + rng.uniform(-10, 10, X.shape[1])) * units, y


def _heavy_tails():
    """Half of the columns stretched like log-normal ones, half with Cauchy noise."""
    import numpy as np

    X, y = _clusters(3000, 20, n_informative=10)()
    half = X.shape[1] // 2
    X[:, :half] = np.sinh(1.5 * X[:, :half])
    X[:, half:] += 0.1 * np.random.default_rng(0).standard_cauchy((len(X), half))
    return X, y


def _binary_columns():
    """Yes-or-no columns, most of them rare; pairs of them decide the class."""
    import numpy as np

    rng = np.random.default_rng(0)
    X = (rng.random((4000, 60)) < rng.uniform(0.05, 0.5, 60)).astype(float)
    pairs = X[:, :30] * X[:, 30:]
    logits = np.hstack([X, 3 * pairs]) @ rng.normal(size=(90, 3))
    return X, (logits + rng.gumbel(size=logits.shape)).argmax(1)


def _xor():
    """Sign of x_0 x_1, with eight columns of noise and 5 % of the labels wrong."""
    import numpy as np

    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 10))
    y = X[:, 0] * X[:, 1] > 0
    return X, y ^ (rng.random(len(y)) < 0.05)


def _checkerboard():
    """Fields of a board, 4 x 4 in two colours, with 3 % of the labels wrong."""
    import numpy as np

    rng = np.random.default_rng(0)
    X = rng.uniform(0, 4, (4000, 2))
    y = X.astype(int).sum(1) % 2
    return X, y ^ (rng.random(len(y)) < 0.03)


def _spirals():
    """Three arms that wind once around each other."""
    import numpy as np

    rng = np.random.default_rng(0)
    y = np.arange(1500) % 3
    radius = rng.uniform(0.1, 1, len(y))
    angle = 2 * np.pi * (radius + y / 3) + rng.normal(0, 0.15, len(y))
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]), y


_NO_NOISE_COLUMNS = {"n_redundant": 0, "n_repeated": 0}
_TABLES: dict[str, tuple[str, Callable]] = {
    "iris": ("bundled", _bundled("iris")),
    "wine": ("bundled", _bundled("wine")),
    "breast cancer": ("bundled", _bundled("breast_cancer")),
    "digits": ("bundled, images", _bundled("digits")),
    "few rows": ("150 rows", _clusters(150, 10, n_informative=5, flip_y=0.05)),
    "2 features": (
        "few features",
        _clusters(1000, 2, n_informative=2, flip_y=0.05, **_NO_NOISE_COLUMNS),
    ),
    "5 features": (
        "few features",
        _clusters(4000, 5, n_classes=3, n_informative=5, **_NO_NOISE_COLUMNS),
    ),
    "300 features": ("many features", _clusters(3000, 300, n_informative=20)),
    "wide": (
        "more features than rows",
        _clusters(200, 300, n_classes=3, n_informative=10, n_clusters_per_class=1),
    ),
    "rare class": (
        "5 % of one class",
        _clusters(6000, 20, n_informative=8, weights=[0.95], flip_y=0),
    ),
    "rare class, noisy": (
        "5 % of one class, few rows, wrong labels",
        _clusters(800, 10, n_informative=6, weights=[0.95], flip_y=0.02),
    ),
    "noisy labels": (
        "a fifth of the labels drawn anew",
        _clusters(3000, 20, n_informative=10, flip_y=0.2),
    ),
    "redundant": (
        "5 informative columns, 45 mixtures of them",
        _clusters(2000, 50, n_informative=5, n_redundant=45),
    ),
    "bad units": ("units from 1e-4 to 1e4", _bad_units),
    "heavy tails": ("log-normal and Cauchy columns", _heavy_tails),
    "yes or no": ("binary columns that interact", _binary_columns),
    "26 classes": (
        "many classes",
        _clusters(
            10_000,
            16,
            n_classes=26,
            n_informative=16,
            n_clusters_per_class=1,
            **_NO_NOISE_COLUMNS,
        ),
    ),
    "20 blobs": (
        "many classes, round",
        _shape("blobs", 2000, n_features=6, centers=20, cluster_std=2.5),
    ),
    "xor": ("curved boundary, noise columns", _xor),
    "moons": ("curved boundary", _shape("moons", 1000, noise=0.25)),
    "circles": ("curved boundary", _shape("circles", 1000, noise=0.15, factor=0.6)),
    "spirals": ("curved boundary", _spirals),
    "checkerboard": ("many corners", _checkerboard),
    "shells": (
        "shells around the origin",
        _shape("gaussian_quantiles", 8000, n_features=10, n_classes=4),
    ),
    "hastie": ("a sphere, 12,000 rows", _shape("hastie_10_2", 12_000)),
    "many rows": (
        "20,000 rows",
        _clusters(20_000, 40, n_classes=5, n_informative=15, flip_y=0.02),
    ),
}
