"""Data that several test files use, and how hypothesis runs."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import sklearn.datasets
from hypothesis import settings
from sklearn.model_selection import train_test_split

from liftnet import _core

# The same examples in every run, however slow the machine.
settings.register_profile("liftnet", deadline=None, derandomize=True)
settings.load_profile("liftnet")


def pytest_collection_finish(session):
    """Lift the environment's cap on threads, or n_jobs=1 and n_jobs=2 were the same.

    PyTorch and BLAS have read it by now, liftnet reads it in every call.
    """
    for variable in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ.pop(variable, None)


# random_state=None draws from NumPy's global generator: no test depends on chance, on
# its order or on its worker. Another seed finds tests whose margins are thin.
_SEED = int(os.environ.get("LIFTNET_TEST_SEED", "0"))


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup():
    np.random.seed(_SEED)  # noqa: NPY002


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call():
    np.random.seed(_SEED)  # noqa: NPY002


@pytest.fixture(params=_core.activation_names())
def activation(request):
    """Every activation that the core knows: a new one is tested at once."""
    return request.param


@pytest.fixture(scope="session")
def run_python():
    """Function that runs code in a fresh interpreter."""

    def run(code, **options):
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
            capture_output=True,
            text=True,
            timeout=120,
            **options,
        )

    return run


def _frozen(loaded):
    for array in loaded:
        array.flags.writeable = False  # no test may spoil it for the next
    return loaded


@pytest.fixture(scope="session")
def iris():
    """150 rows, 4 features, 3 classes."""
    return _frozen(sklearn.datasets.load_iris(return_X_y=True))


@pytest.fixture(scope="session")
def cancer():
    """569 rows, 30 features in mixed units, 2 classes."""
    return _frozen(sklearn.datasets.load_breast_cancer(return_X_y=True))


@pytest.fixture(scope="session")
def digits():
    """1,797 images of 8 x 8 pixels, 10 classes."""
    return _frozen(sklearn.datasets.load_digits(return_X_y=True))


@pytest.fixture(scope="session")
def digits_split(digits):
    """X_train, X_test, y_train, y_test."""
    return train_test_split(*digits, test_size=0.3, stratify=digits[1], random_state=0)


@pytest.fixture(scope="session")
def wide():
    """200 rows, 400 features, 3 classes: far more features than directions."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=200)
    centers = rng.normal(size=(3, 400))
    mixing = rng.normal(size=(20, 400))
    X = centers[y] + rng.normal(size=(200, 20)) @ mixing
    return _frozen((X + 0.1 * rng.normal(size=X.shape), y))
