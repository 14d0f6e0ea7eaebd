"""Measure what fits with ``input_noise`` withstand, beside plain ones.

liftnet trains 784-300-10 on images with pixels in [0, 1], as it comes, with a stronger
ridge (``alpha``, the usual way to a flatter network) and with noise on the inputs. Each
network then faces random noise on the sphere of a radius and a projected gradient
attack in the ball of that radius (Madry et al. 2018, arXiv:1706.06083): cross-entropy,
20 steps of 2.5/20 of the radius, in double precision through `to_torch`. An image
counts as right under attack when it is right after every step. ``--starts`` and
``--steps`` make the attack stronger. Means over the seeds.
"""

from __future__ import annotations

import argparse
import sys
from statistics import mean

import peers

HIDDEN = (300,)
CHOICES = (
    {},
    {"alpha": 30.0},
    {"alpha": 100.0},
    {"input_noise": 1.0},
    {"input_noise": 2.0},
    {"input_noise": 4.0},
)


def main() -> int:
    """Run the benchmark; the exit status is 1 without PyTorch or the data."""
    args = parse_arguments()
    peers.use_threads(args.threads)
    machine = peers.print_machine(args.threads)
    if not peers.has_torch():
        print("\nPyTorch is not installed: there is no attack.", file=sys.stderr)
        return 1
    try:
        split = peers.load_images(args.data, args.rows)
    except OSError as error:
        print(f"\nThe data are not on this machine: {error}", file=sys.stderr)
        return 1
    X, X_test = (part / part.dtype.type(255) for part in (split.X_train, split.X_test))
    varying = X.var(axis=0)
    deviation = float(varying[varying > 0].mean() ** 0.5)
    print(
        f"\n{args.data}, one unit of input_noise is {deviation:.3f} of a pixel's range"
    )
    radii = " ".join(f"{radius:>13g}" for radius in args.radii)
    print(f"{'accuracy, %':<18} {'clean':>6} {radii}  (random noise, attack)")
    rows = []
    for choice in CHOICES:
        rows.append(measure(choice, X, split.y_train, X_test, split.y_test, args))
        print_row(rows[-1])
    peers.write_json(args.json, machine, args, deviation=deviation, results=rows)
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = peers.make_parser(__doc__, "10,000 images, one seed, 200 attacked")
    add = parser.add_argument
    add("--data", choices=("mnist", "fashion_mnist"), default="mnist", help="data set")
    add("--radii", type=float, nargs="+", default=[0.5, 1.0, 1.5], help="of the noise")
    add("--images", type=int, default=2000, help="test images to attack")
    add("--steps", type=int, default=20, help="of the attack (default: 20)")
    add("--starts", type=int, default=1, help="of the attack; further ones are random")
    add("--seeds", type=int, default=3, help="fits of each kind (default: 3)")
    add("--rows", type=int, help="use the first ROWS training images only")
    args = parser.parse_args()
    if args.quick:
        args.rows, args.seeds, args.images = 10_000, 1, 200
    counts = (args.images, args.steps, args.starts, args.seeds, args.threads)
    if min(counts) < 1 or min(args.radii) <= 0:
        parser.error("counts must be at least 1 and radii positive")
    return args


def measure(choice, X, y, X_test, y_test, args) -> dict:
    """Fit and attack one kind of network, once for each seed."""
    runs = []
    # Spread over the test set, whose two halves differ.
    few = slice(None, None, max(1, len(X_test) // args.images))
    attacked = X_test[few][: args.images], y_test[few][: args.images]
    for seed in range(args.seeds):
        fit = peers.fit_liftnet(
            X, y, hidden=HIDDEN, seed=seed, threads=args.threads, **choice
        )
        run = {"seconds": fit.seconds, "clean": fit.accuracy(X_test, y_test)}
        for radius in args.radii:
            run[f"noise {radius:g}"] = under_noise(fit.model, *attacked, radius)
            run[f"attack {radius:g}"] = under_attack(
                fit.model, *attacked, radius, args.steps, args.starts
            )
        runs.append(run)
    return {"choice": choice} | {key: mean(run[key] for run in runs) for key in runs[0]}


def print_row(row) -> None:
    """Print one line of the table."""
    choice = ", ".join(f"{name}={value:g}" for name, value in row["choice"].items())
    pairs = [key[len("noise ") :] for key in row if key.startswith("noise ")]
    cells = " ".join(
        f"{row[f'noise {radius}']:>6.1%} {row[f'attack {radius}']:>6.1%}"
        for radius in pairs
    )
    seconds = f"{row['seconds']:.1f} s"
    print(
        f"{choice or 'default':<18} {row['clean']:>6.1%} {cells}  {seconds}", flush=True
    )


def under_noise(model, X, y, radius) -> float:
    """Return the accuracy under random noise of this length."""
    import numpy as np

    noise = np.random.default_rng(0).normal(size=X.shape)
    noise *= radius / np.linalg.norm(noise, axis=1, keepdims=True)
    return model.score((X + noise).astype(X.dtype), y)


def under_attack(model, X, y, radius, steps=20, starts=1) -> float:
    """Return the share of samples that stay right under a projected gradient attack."""
    import numpy as np
    import torch
    from torch.nn.functional import cross_entropy

    net = model.to_torch(dtype=torch.float64)
    x = torch.tensor(X, dtype=torch.float64)
    target = torch.tensor(np.searchsorted(model.classes_, y))
    generator = torch.Generator().manual_seed(0)
    right = net(x).argmax(dim=1) == target
    for start in range(starts):
        noise = torch.zeros_like(x)
        if start > 0:
            noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
            noise *= radius / noise.norm(dim=1, keepdim=True)
        for _ in range(steps):
            noise.requires_grad_(True)
            loss = cross_entropy(net(x + noise), target, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, noise)
            with torch.no_grad():
                length = gradient.norm(dim=1, keepdim=True).clamp_min(1e-300)
                noise = noise + 2.5 * radius / steps * gradient / length
                noise = noise * (
                    radius / noise.norm(dim=1, keepdim=True).clamp_min(radius)
                )
                right &= net(x + noise).argmax(dim=1) == target
    return float(right.double().mean())


if __name__ == "__main__":
    sys.exit(main())
