"""The published block descent that liftnet is timed against does what it should."""

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import block_descent  # noqa: E402


def _objective(model):
    """Zeng et al.'s objective, without the proximal terms."""
    value = (model.V[-1] - model.targets).square().sum() / 2
    for layer, (W, b, U) in enumerate(zip(model.W, model.b, model.U, strict=True)):
        output = U if layer == len(model.U) - 1 else U.clamp(min=0)
        value += model.gamma / 2 * (model.V[layer + 1] - output).square().sum()
        value += model.gamma / 2 * (U - model.V[layer] @ W - b).square().sum()
    return float(value)


def _small_model(**options):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.rand(80, 6, generator=generator, dtype=torch.float64)
    labels = (inputs.sum(1) > 3).long() + (inputs[:, 0] > 0.5).long()
    targets = torch.nn.functional.one_hot(labels, 3).double()
    return block_descent.BlockDescent(inputs, targets, (7, 5), 0, **options)


def test_relu_prox_is_the_lowest_point_of_a_grid():
    rng = np.random.default_rng(0)
    v, c = torch.from_numpy(rng.normal(size=(2, 200)) * 2)
    grid = torch.linspace(-8, 8, 3201, dtype=torch.float64)
    for rho in (0.5, 2.0):

        def cost(u, rho=rho):
            fit = (v[:, None] - u.clamp(min=0)).square()
            return fit + rho * (u - c[:, None]).square()

        u = block_descent.relu_prox(v, c, rho)
        assert (cost(u[:, None])[:, 0] <= cost(grid).min(1).values + 1e-12).all()


@pytest.mark.parametrize("block", ["activations", "preactivations", "weights"])
@pytest.mark.parametrize(("gamma", "alpha"), [(1.0, 1.0), (0.5, 2.0)])
def test_no_block_raises_the_objective(block, gamma, alpha):
    model = _small_model(gamma=gamma, alpha=alpha)
    for _ in range(5):
        model.sweep()
        for layer in range(len(model.U) - 1):
            before = _objective(model)
            getattr(model, f"_update_{block}")(layer)
            assert _objective(model) <= before * (1 + 1e-12)


def test_every_sweep_lowers_the_objective():
    model = _small_model()
    values = [_objective(model)]
    for _ in range(60):
        model.sweep()
        values.append(_objective(model))
    assert (np.diff(values) < 0).all()
    assert values[-1] < 0.2 * values[0]


def test_weights_are_the_proximal_ridge_solution():
    model = _small_model(gamma=0.7, alpha=1.3)
    model.sweep()
    for layer in range(len(model.W)):
        old = torch.cat([model.W[layer], model.b[layer][None]])
        model._update_weights(layer)
        new = torch.cat([model.W[layer], model.b[layer][None]])
        V = torch.cat([model.V[layer], torch.ones(len(model.V[layer]), 1)], 1)
        slope = 0.7 * V.T @ (V @ new - model.U[layer]) + 1.3 * (new - old)
        assert slope.abs().max() < 1e-9
