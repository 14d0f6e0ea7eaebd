"""The benchmark of initialisations starts PyTorch where it says, and judges fairly."""

import sys
from math import inf
from pathlib import Path

import numpy as np
import pytest

from liftnet import LiftedMLPClassifier

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import initialisation  # noqa: E402
import peers  # noqa: E402


@pytest.fixture(scope="module")
def images():
    """Few small images, with pixels from 0 to 255 like those of MNIST."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    X = rng.integers(0, 120, size=(120, 12)) + 60 * (np.arange(12) % 3 == y[:, None])
    return X.astype(np.float32), y


def test_adam_starts_from_the_lifted_network(images):
    lifted = LiftedMLPClassifier((8, 5), max_iter=3, random_state=0).fit(*images)
    run = {"hidden": (8, 5), "seed": 1, "threads": 1, "passes": 1, "lifted": lifted}
    (fit,) = peers.adam_passes(*images, rate=0.0, **run)
    logits = fit.model(torch.from_numpy(images[0]) / 255).detach().numpy()
    np.testing.assert_allclose(logits, lifted.decision_function(images[0]), atol=1e-3)
    (fit,) = peers.adam_passes(*images, rate=1e-2, **run)
    moved = fit.model(torch.from_numpy(images[0]) / 255).detach().numpy()
    assert abs(moved - logits).max() > 1e-2


def test_decay_ends_at_a_rate_of_zero(images, monkeypatch):
    rates = []
    step = torch.optim.Adam.step

    def record(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", record)
    run = {"hidden": (8,), "seed": 1, "threads": 1, "passes": 4, "batch_size": 50}
    list(peers.adam_passes(*images, rate=1e-2, decay=True, **run))
    assert len(rates) == 4 * 3
    assert rates[0] == 1e-2
    assert (np.diff(rates) < 0).all()
    assert rates[-1] < 3e-4


def _curve(*accuracies, first=0):
    return [
        {"epoch": epoch, "seconds": 10.0 * epoch, "accuracy": accuracy}
        for epoch, accuracy in enumerate(accuracies, first)
    ]


def _arms(own, lifted):
    return [
        {"arm": initialisation.DEFAULT, "schedule": "constant", "curves": own},
        {"arm": initialisation.LIFTED, "schedule": "constant", "curves": lifted},
    ]


def test_each_seed_has_to_reach_its_own_best():
    own = [_curve(0.5, 0.9, 0.8, first=1), _curve(0.7, 0.6, 0.8, first=1)]
    own.append(_curve(0.6, 0.6, 0.5, first=1))
    lifted = [_curve(0.85, 0.9), _curve(0.8, 0.7), _curve(0.1, 0.2, 0.3, 0.6)]
    summary = initialisation.summarise(_arms(own, lifted), "constant")
    assert summary["default_best"] == {"epoch": 2, "seconds": 20, "accuracy": 0.8}
    assert summary["lifted_reaches"]["epoch"] == 1  # the median of 1, 0 and 3
    assert summary["seeds_reaching"] == 3


def test_a_best_that_is_not_reached_has_no_epoch():
    own, lifted = [_curve(0.5, 0.9, first=1)], [_curve(0.8, 0.85)]
    summary = initialisation.summarise(_arms(own, lifted), "constant")
    assert summary["lifted_reaches"] is None
    assert summary["seeds_reaching"] == 0
    assert initialisation.first_reaching(0.9, lifted[0])["epoch"] == inf
