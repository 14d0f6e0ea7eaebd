"""Measure how much memory a fit takes beside its data, which is 60,000 x 784.

Each fit runs in a process of its own. The resident size is read once the data are
there and a tiny fit has loaded every library and started every thread; the peak
is that of the fit alone (on Linux, where the kernel can be asked to forget an earlier
one; elsewhere an earlier, higher peak would hide it). What is reported is the peak less
the size before, over the size of X: 1 means that the fit needed as much again as X.

X holds the pixels of MNIST divided by 255 or, where MNIST is not on this machine or
with `--synthetic`, mixtures of 40 factors with noise. scikit-learn's MLPClassifier
trains for one pass only, which is enough to see what it allocates. The network is
784-300-10.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import peers
from table_data import make_mixtures

FEATURES, CLASSES = 784, 10
HIDDEN, TINY_HIDDEN = (300,), (8,)
LIFTNET, LIFTNET_ALL, SKLEARN = "liftnet", "liftnet, all directions", "MLPClassifier"
METHODS = (LIFTNET, LIFTNET_ALL, SKLEARN)
DTYPES = ("float32", "float64")


def main() -> int:
    """Measure all methods and precisions, or with --child one of them."""
    args = parse_arguments()
    peers.use_threads(args.threads)
    if args.child:
        print(json.dumps(measure(*args.child, args)))
        return 0
    machine = peers.print_machine(args.threads)
    print(f"\n{args.rows:,} x {FEATURES}; MiB")
    print(f"{'method':<25}{'X':<9}{'size':>7}{'before':>8}{'peak':>8}  (peak-before)/X")
    results = []
    for dtype in DTYPES:
        for method in METHODS:
            results.append(run_child(method, dtype))
            print_row(results[-1])
    peers.write_json(args.json, machine, args, results=results)
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = peers.make_parser(__doc__, "10,000 rows")
    add = parser.add_argument
    add("--rows", type=int, default=60_000, help="rows of X (default: 60,000)")
    add("--synthetic", action="store_true", help="made data even where MNIST is")
    add("--child", nargs=2, metavar=("METHOD", "DTYPE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.rows = 10_000
    if not 1000 <= args.rows <= 60_000:
        parser.error("--rows must be within 1,000 and 60,000")
    return args


def run_child(method, dtype) -> dict:
    """Measure in a process of its own, with this one's options."""
    command = [sys.executable, __file__, *sys.argv[1:], "--child", method, dtype]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(method, dtype, args) -> dict:
    """Fit in this process and return sizes in bytes."""
    X, y, data = make_data(args.rows, dtype, args.synthetic)
    make_fit(method, TINY_HIDDEN, args.threads)(X[:200, :16].copy(), y[:200])
    fit = make_fit(method, HIDDEN, args.threads)
    gc.collect()
    before = forget_peak()
    model = fit(X, y)
    peak = peak_size()
    return {
        "method": method,
        "dtype": dtype,
        "data": data,
        "size": X.nbytes,
        "before": before,
        "peak": peak,
        "ratio": (peak - before) / X.nbytes,
        "directions": getattr(model, "n_components_", None),
    }


def make_data(rows, dtype, synthetic) -> tuple:
    """Return X in [0, 1] or thereabouts, y, and the name of the data."""
    if not synthetic:
        try:
            split = peers.load_images("mnist", rows)
        except OSError:
            pass
        else:
            X = split.X_train.astype(dtype)
            X /= 255
            return X, split.y_train, "MNIST"
    return *make_mixtures(rows, FEATURES, CLASSES, dtype), "synthetic"


def make_fit(method, hidden, threads):
    """Return a function of (X, y) that gives a fitted estimator."""
    run = {"hidden": hidden, "seed": 0, "threads": threads}
    if method == SKLEARN:
        # fit itself, not peers.sklearn_passes, which would scale a copy.
        return partial(fit_one_pass, hidden)
    if method == LIFTNET_ALL:
        run["n_components"] = None
    return lambda X, y: peers.fit_liftnet(X, y, **run).model


def fit_one_pass(hidden, X, y):
    """Train scikit-learn's MLPClassifier for one pass."""
    import warnings

    from sklearn.neural_network import MLPClassifier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MLPClassifier(hidden, max_iter=1, random_state=0).fit(X, y)


def forget_peak() -> int:
    """Forget the peak so far, where the system can; return the size in bytes now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return read_status("VmRSS")
    except OSError:
        return peak_size()


def peak_size() -> int:
    """Return the largest resident size in bytes since `forget_peak`."""
    try:
        return read_status("VmHWM")
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # macOS counts bytes, others KiB.
        return peak if sys.platform == "darwin" else 1024 * peak


def read_status(key) -> int:
    """Return an entry of /proc/self/status, in bytes; OSError without such a file."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no entry {key}")


def print_row(row) -> None:
    """Print one measurement."""
    size, before, peak = (row[key] / 2**20 for key in ("size", "before", "peak"))
    directions = f", {row['directions']} directions" if row["directions"] else ""
    print(
        f"{row['method']:<25}{row['dtype']:<9}{size:>7.0f}{before:>8.0f}{peak:>8.0f}"
        f"{row['ratio']:>9.2f}  ({row['data']}{directions})",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
