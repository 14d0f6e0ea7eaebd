"""Measure the rate of a whole fit in GFLOP/s, as a share of the machine's peak.

The operations are counted from the algorithm, two for each multiply-add: in every pass
three products for each layer (forward, back, gradient; the first layer needs no product
back), in every step the metric applied to the gradient of every layer but the first,
the Gram matrices of the hidden layers wherever they are refreshed, and once the Gram
matrix of the inputs and the input map. In passes with noise on the inputs (a default
fit's second half) all layers once more forward and back, and in all directions of the
inputs the metric of the noise. Factorisations and eigenvectors, activations, updates
and everything else take time but count nothing.

The peak is the best rate of a product of two 4096 x 4096 matrices in single precision,
by NumPy, PyTorch or liftnet's own kernel, in the same run on the same threads.

The fits are liftnet's default network, 784-300-10, and 784-1024-1024-10 in all
directions of the inputs, on MNIST or, where it is not on this machine, on made data of
its size. Times are the least of the runs.
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise

import peers
from table_data import make_mixtures

NETWORKS = {
    "784-300-10": {"hidden": (300,)},
    "784-1024-1024-10": {"hidden": (1024, 1024), "n_components": None, "passes": 3},
}
THREADS = (1, 2)
ROWS, FEATURES, CLASSES = 60_000, 784, 10
# What liftnet takes by itself for 60,000 rows.
BATCH_SIZE = 512
NUMPY, TORCH, LIFTNET = "NumPy", "PyTorch", "liftnet"


def main() -> int:
    """Run the benchmark."""
    args = parse_arguments()
    peers.use_threads(max(args.threads))
    machine = peers.print_machine(max(args.threads))
    X, y, data = load_data(args.rows)
    peaks, fits = {}, []
    for threads in args.threads:
        peaks[threads] = measure_peak(args.size, threads, args.repeats)
        print_peak(threads, peaks[threads])
        for network in args.networks:
            fit = measure_fit(network, X, y, threads, args.repeats)
            fit |= {"data": data, "share": fit["rate"] / max(peaks[threads].values())}
            fits.append(fit)
            print_fit(fit)
    peers.write_json(args.json, machine, args, peaks=peaks, fits=fits)
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    quick = "10,000 rows, products of 2048 x 2048, one run of each"
    parser = peers.make_parser(__doc__, quick, threads=None)
    add = parser.add_argument
    names = {"nargs": "+", "choices": NETWORKS, "default": list(NETWORKS)}
    add("--networks", **names, help="networks")
    threads = {"type": int, "nargs": "+", "default": THREADS}
    add("--threads", **threads, help="numbers of threads (default: 1 2)")
    add("--rows", type=int, default=ROWS, help="training rows (default: 60,000)")
    add("--size", type=int, default=4096, help="of the peak's product (default: 4096)")
    add("--repeats", type=int, default=3, help="runs of each (default: 3)")
    args = parser.parse_args()
    if args.quick:
        args.rows, args.size, args.repeats = 10_000, 2048, 1
    if min(*args.threads, args.size, args.repeats) < 1 or args.rows < 1000:
        parser.error(
            "--threads, --size and --repeats must be at least 1, --rows at least 1,000"
        )
    return args


def load_data(rows) -> tuple:
    """Return X, y and the name of the data."""
    try:
        split = peers.load_images("mnist", rows)
    except OSError:
        return *make_mixtures(rows, FEATURES, CLASSES), "synthetic"
    return split.X_train, split.y_train, "MNIST"


def measure_peak(size, threads, repeats) -> dict[str, float]:
    """Return the best rate of each library's product, in GFLOP/s."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    from liftnet import _core

    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((2, size, size), np.float32)
    zeros = np.zeros(size, np.float32)
    # A network of one linear layer is a product.
    products = {
        NUMPY: lambda: A @ B,
        LIFTNET: lambda: _core.decision_function(A, [B], [zeros], [], threads),
    }
    if peers.has_torch():
        import torch

        torch.set_num_threads(threads)
        tensors = torch.from_numpy(A), torch.from_numpy(B)
        products[TORCH] = lambda: tensors[0] @ tensors[1]
    rates = {}
    with threadpool_limits(threads):
        for name, multiply in products.items():
            multiply()
            seconds = min(peers.timed(multiply)[1] for _ in range(repeats))
            rates[name] = 2 * size**3 / seconds / 1e9
    return rates


def measure_fit(network, X, y, threads, repeats) -> dict:
    """Time fits of a network and return the rate, and what was counted."""
    from threadpoolctl import threadpool_limits

    run = {"seed": 0, "threads": threads, **NETWORKS[network]}
    run |= {"solver": "stochastic", "batch_size": BATCH_SIZE}
    with threadpool_limits(threads):
        peers.fit_liftnet(X[:1000], y[:1000], **{**run, "passes": 1})
        fits = [peers.fit_liftnet(X, y, **run) for _ in range(repeats)]
    best = min(fits, key=lambda fit: fit.seconds)
    shape = (*X.shape, best.model.n_components_)
    sizes = (*run["hidden"], CLASSES)
    passes = best.model.n_iter_
    # By default it acts in the second half of the run.
    noisy = passes / 2 if "input_noise" in best.model.history_ else 0
    counts = count_operations(*shape, sizes, passes, BATCH_SIZE, noisy)
    return {
        "network": network,
        "threads": threads,
        "passes": best.model.n_iter_,
        "directions": best.model.n_components_,
        "seconds": best.seconds,
        "operations": counts,
        "rate": sum(counts.values()) / best.seconds / 1e9,
    }


def count_operations(
    rows, features, directions, sizes, passes, batch_size, noisy=0
) -> dict:
    """Count the operations of a stochastic fit, two for each multiply-add.

    `sizes` are the units of all layers, the output included, and `noisy` the passes
    with noise on the inputs. Inputs of a layer have a column of ones beside them, and a
    Gram matrix is half a product.
    """
    layers = [(before + 1, after) for before, after in pairwise((directions, *sizes))]
    steps_per_pass = -(-rows // batch_size)
    # As the solver has them: ten rows a feature, 1,024 or twice the width.
    input_rows = min(rows, max(4096, min(10 * features, 32_768)))
    hidden_rows = min(rows, max(1024, 2 * max((n for n, _ in layers[1:]), default=0)))
    forward = sum(n * m for n, m in layers)
    back = sum((n - 1) * m for n, m in layers[1:])
    half_grams = sum(n * n / 2 for n, _ in layers[1:])
    refreshes = count_refreshes(steps_per_pass, passes)
    noise = forward + sum((n - 1) * m for n, m in layers)
    if directions == features:
        # That of leading directions is diagonal.
        noise += directions**2
    multiply_adds = {
        "layers": passes * rows * (2 * forward + back),
        "metrics": passes * steps_per_pass * sum(n * n * m for n, m in layers[1:]),
        "Gram matrices": refreshes * hidden_rows * (forward + half_grams)
        + input_rows * features**2 / 2,
        "input map": rows * features * directions,
        "noise": noisy * rows * noise,
    }
    return {part: 2 * number for part, number in multiply_adds.items()}


def count_refreshes(steps_per_pass, passes) -> int:
    """Count the refreshes of the metrics: at steps 0, 1, 2, 4, …, then once a pass."""
    step, number = 0, 0
    while step < steps_per_pass * passes:
        number += 1
        step += min(max(step, 1), steps_per_pass)
    return number


def print_peak(threads, rates) -> None:
    """Print the rates of the libraries' products."""
    text = ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
    print(f"\nthreads: {threads}; product in GFLOP/s: {text}")
    print(f"  {'fit':<18}passes  seconds  GFLOP  GFLOP/s  share of the peak")


def print_fit(fit) -> None:
    """Print the rate of one network."""
    total = sum(fit["operations"].values())
    print(
        f"  {fit['network']:<18}{fit['passes']:>6}{fit['seconds']:>9.2f}"
        f"{total / 1e9:>7.0f}{fit['rate']:>9.1f}{fit['share']:>10.0%}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
