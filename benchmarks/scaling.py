"""Measure how the time of a fit grows with rows, features, width, depth and classes.

One of them varies at a time, the others stay at 20,000 rows, 100 features, one hidden
layer of 100 units and 10 classes. Every fit is two passes in batches of 256 over made
single-precision data, on one thread and on two, input map included; each time is the
least of up to three fits. The exponent b of time = a size^b is fitted to all sizes, and
*at the end* to the two largest. More than 128 features are mapped to their leading
directions, which is a step in that curve.
"""

from __future__ import annotations

import argparse
import sys
from math import log

import peers
from table_data import make_mixtures

BASE = {"rows": 20_000, "features": 100, "width": 100, "depth": 1, "classes": 10}
SIZES = {
    "rows": (1000, 10_000, 100_000, 1_000_000),
    "features": (10, 50, 200, 1000, 4000),
    "width": (32, 128, 512, 2048),
    "depth": (1, 2, 4, 8),
    "classes": (2, 10, 50, 200),
}
QUICK_MOST = {"rows": 20_000, "features": 1000, "width": 512, "depth": 4}
THREADS = (1, 2)
PASSES, BATCH_SIZE = 2, 256
# A fit is repeated until this many seconds are spent, three times at most.
ENOUGH = 2.0


def main() -> int:
    """Run the benchmark."""
    args = parse_arguments()
    peers.use_threads(max(args.threads))
    machine = peers.print_machine(max(args.threads))
    base = {**BASE, "rows": 5000} if args.quick else BASE
    heads = "".join(f"{threads:>6} thr. s" for threads in args.threads)
    results = {}
    for axis in args.axes:
        most = QUICK_MOST.get(axis) if args.quick else None
        sizes = [size for size in SIZES[axis] if most is None or size <= most]
        print(f"\n{axis:<12}{heads}")
        points = [measure(base, axis, size, args.threads) for size in sizes]
        slopes = {
            threads: exponents([(point["size"], point[threads]) for point in points])
            for threads in args.threads
        }
        print_exponents(slopes)
        results[axis] = {"points": points, "exponents": slopes}
    peers.write_json(args.json, machine, args, base=base, axes=results)
    if args.figure:
        draw_figure(results, args.threads, args.figure)
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    quick = "5,000 rows where others vary, and only the smaller sizes"
    figure = "draw time against size"
    parser = peers.make_parser(__doc__, quick, threads=None, figure=figure)
    add = parser.add_argument
    add("--axes", nargs="+", choices=SIZES, default=list(SIZES), help="what to vary")
    threads = {"type": int, "nargs": "+", "default": THREADS}
    add("--threads", **threads, help="numbers of threads (default: 1 2)")
    args = parser.parse_args()
    if min(args.threads) < 1:
        parser.error("--threads must be at least 1")
    return args


def measure(base, axis, size, threads) -> dict:
    """Time fits of one size on every number of threads, and print the row."""
    problem = {**base, axis: size}
    X, y = make_mixtures(problem["rows"], problem["features"], problem["classes"])
    hidden = (problem["width"],) * problem["depth"]
    point = {"size": size}
    for count in threads:
        point[count] = time_fit(X, y, hidden, count)
    cells = "".join(f"{point[count]:>12.3f}" for count in threads)
    print(f"{size:<12,}{cells}", flush=True)
    return point


def time_fit(X, y, hidden, threads) -> float:
    """Return the least seconds of up to three fits, all libraries on those threads."""
    from threadpoolctl import threadpool_limits

    run = {"hidden": hidden, "seed": 0, "threads": threads, "passes": PASSES}
    run |= {"solver": "stochastic", "batch_size": BATCH_SIZE, "tol": 0.0}
    seconds = []
    with threadpool_limits(threads):
        peers.fit_liftnet(X[:1000], y[:1000], **run)
        while len(seconds) < 3 and sum(seconds) < ENOUGH:
            seconds.append(peers.fit_liftnet(X, y, **run).seconds)
    return min(seconds)


def exponents(points) -> dict[str, float]:
    """Fit b of seconds = a size^b to pairs (size, seconds): all, and the last two."""
    logs = [(log(size), log(seconds)) for size, seconds in points]
    return {"all": slope(logs), "end": slope(logs[-2:])}


def slope(points) -> float:
    """Return the slope of the line through points (x, y), by least squares."""
    n = len(points)
    mean_x, mean_y = (sum(values) / n for values in zip(*points, strict=True))
    above = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return above / sum((x - mean_x) ** 2 for x, _ in points)


def print_exponents(slopes) -> None:
    """Print the exponents below a table."""
    for key, title in (("all", "exponent"), ("end", "at the end")):
        cells = "".join(f"{row[key]:>12.2f}" for row in slopes.values())
        print(f"{title:<12}{cells}")


def write_size(size) -> str:
    """Return a size in at most five characters: 512, 2,048, 10k, 1M."""
    if size >= 1e6:
        return f"{size / 1e6:g}M"
    return f"{size / 1e3:g}k" if size >= 1e4 else f"{size:,.0f}"


def draw_figure(results, threads, path) -> None:
    """Draw seconds against size, a panel for each quantity, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    size = (2.6 * len(results) + 0.8, 3.2)
    shape = {"nrows": 1, "ncols": len(results), "squeeze": False, "sharey": True}
    figure, panels = plt.subplots(**shape, figsize=size, layout="constrained")
    colors = ("#D55E00", "#0072B2", "#009E73", "#000000")
    for panel, (axis, result) in zip(panels[0], results.items(), strict=True):
        sizes = [point["size"] for point in result["points"]]
        for count, color in zip(threads, colors, strict=False):
            seconds = [point[count] for point in result["points"]]
            panel.plot(
                sizes, seconds, color=color, marker="o", label=f"threads: {count}"
            )
        panel.set(xscale="log", yscale="log", xlabel=axis)
        panel.set_xticks(sizes)
        panel.xaxis.set_major_formatter(lambda size, _: write_size(size))
        panel.xaxis.set_minor_locator(ticker.NullLocator())
        panel.grid(alpha=0.25)
    panels[0, 0].set_ylabel("seconds of a fit, two passes")
    panels[0, 0].legend(frameon=False)
    peers.save_figure(figure, path)


if __name__ == "__main__":
    sys.exit(main())
