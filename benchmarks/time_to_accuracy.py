"""Measure how long liftnet, scikit-learn and PyTorch take to a given test accuracy.

All methods train the same networks, 784-300-10 by default (``--hidden``), in one run
and on the same number of threads. liftnet and one-cycle Adam follow a schedule, so each
budget of passes is a whole fit; scikit-learn and Adam at a constant rate show every
budget in one run, which for 784-300-10 goes on for as many passes again: without a
schedule the mark comes late.

The *time to a mark* is, with a schedule, the least time of a whole fit among the
budgets whose mean accuracy over the seeds reaches the mark; at a constant rate, the
time at the end of the first pass that does. Times are medians over the seeds, with
short fits of 784-300-10 three times for each; they run from raw arrays in memory to the
fitted network and exclude evaluation and tuning.

Seeds, budgets and the grid that one-cycle Adam is tuned on shrink as the network grows,
so that on two quiet cores 784-300-10 takes about a quarter of an hour and each of the
larger networks less than half an hour. What was run is printed, and in the JSON.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from functools import partial
from itertools import pairwise
from statistics import mean, median
from typing import NamedTuple

import peers

# Pixels and classes.
ENDS = (784, 10)
MARKS = {"mnist": 0.98, "fashion_mnist": 0.885}
# Passes of whole fits that may be repeated, being so short that a moment's disturbance
# counts.
SHORT = 3
TITLES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
LIFTNET, DEFAULTS = "liftnet", "liftnet, default budget"
ONE_CYCLE, PCA = "PyTorch Adam, one-cycle", "PyTorch Adam, one-cycle, PCA"
ADAM, SKLEARN = "PyTorch Adam, constant rate", "scikit-learn MLPClassifier"
# Okabe and Ito's palette: told apart by readers with any colour vision.
STYLES = {
    LIFTNET: {"color": "#D55E00", "marker": "o", "linewidth": 2.5},
    DEFAULTS: {"color": "#D55E00", "marker": "*", "markersize": 14, "linestyle": ""},
    ONE_CYCLE: {"color": "#0072B2", "marker": "s"},
    PCA: {"color": "#56B4E9", "marker": "D"},
    ADAM: {"color": "#009E73", "marker": "^"},
    SKLEARN: {"color": "#000000", "marker": "v"},
}


class Plan(NamedTuple):
    """What a network is run with."""

    seeds: int
    budgets: tuple[int, ...]
    # Passes of the methods that have no schedule.
    steady: int
    # Runs of each short fit.
    repeats: int
    peak_rates: tuple[float, ...]
    batch_sizes: tuple[int, ...]


# By the most weights that a network may have for it.
PLANS = {
    400_000: Plan(3, (1, 2, 3, 5, 8, 12), 24, 3, peers.PEAK_RATES, peers.BATCH_SIZES),
    1_000_000: Plan(2, (1, 2, 4, 8), 8, 1, (1e-3, 3e-3, 1e-2), (128, 256)),
    float("inf"): Plan(2, (1, 3, 6), 6, 1, (1e-3, 3e-3, 1e-2), (256,)),
}


def main() -> int:
    """Run the benchmark; the exit status is 1 if no data set was found."""
    args = parse_arguments()
    peers.use_threads(args.threads)
    machine = peers.print_machine(args.threads)
    if not peers.has_torch():
        print("\nPyTorch is not installed: its two methods are left out.")
    splits = {}
    for name in args.data:
        try:
            splits[name] = peers.load_images(name, args.rows)
        except OSError as error:
            print(f"\n{TITLES[name]} skipped, it is not on this machine: {error}")
    if not splits:
        print("\nNo data set was found, nothing was measured.", file=sys.stderr)
        return 1
    results = {}
    for hidden in args.hidden:
        for name, split in splits.items():
            key = f"{name} {'-'.join(map(str, hidden))}"
            results[key] = measure_data_set(name, split, hidden, args)
            print_summary(results[key])
            # A run of an hour that is cut short keeps what it has.
            peers.write_json(args.json, machine, args, data=results)
    if args.figure:
        draw_figure(results, args.figure)
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    quick = "one seed, 10,000 images, budgets of 1 and 3 passes, the first network"
    figure = "draw accuracy against seconds"
    parser = peers.make_parser(__doc__, quick, figure=figure)
    add = parser.add_argument
    add("--data", nargs="+", choices=MARKS, default=list(MARKS), help="data sets")
    networks = {"type": read_sizes, "nargs": "+", "default": [(300,)]}
    text = (
        "units of the hidden layers of each network, as in 300 512,512 (default: 300)"
    )
    add("--hidden", **networks, metavar="UNITS", help=text)
    usual = "(default: fewer for larger networks)"
    add("--seeds", type=int, help=f"runs per method {usual}")
    add("--budgets", type=int, nargs="+", help=f"passes over the data {usual}")
    components = "also run one-cycle Adam on K principal components (not whitened); "
    components += "without K on as many directions as liftnet keeps"
    add("--pca", type=int, nargs="?", const=0, metavar="K", help=components)
    add("--rows", type=int, help="use the first ROWS training images only: a quick try")
    args = parser.parse_args()
    if args.quick:
        args.seeds, args.rows, args.budgets = 1, 10_000, [1, 3]
        args.hidden = args.hidden[:1]
    given = [args.threads, *(args.budgets or []), *(n for n in [args.seeds] if n)]
    if min(given) < 1 or args.seeds == 0:
        parser.error("--budgets, --seeds and --threads must be at least 1")
    if args.pca is not None and args.pca < 0:
        parser.error("--pca must be at least 1")
    return args


def read_sizes(text) -> tuple[int, ...]:
    """Read units such as 512,512."""
    try:
        sizes = tuple(map(int, text.split(",")))
    except ValueError:
        sizes = (0,)
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError(
            f"must be positive numbers with commas between, as in 512,512, got {text!r}"
        )
    return sizes


def make_plan(hidden, seeds=None, budgets=None) -> Plan:
    """Return what a network is run with; seeds and budgets that are given stand."""
    sizes = (ENDS[0], *hidden, ENDS[1])
    weights = sum(a * b for a, b in pairwise(sizes))
    plan = next(plan for most, plan in PLANS.items() if weights <= most)
    if seeds:
        plan = plan._replace(seeds=seeds)
    if budgets:
        budgets = tuple(sorted(set(budgets)))
        plan = plan._replace(budgets=budgets, steady=budgets[-1], repeats=1)
    return plan


def measure_data_set(name, split, hidden, args) -> dict:
    """Run every method and seed on one data set and network and summarise."""
    plan = make_plan(hidden, args.seeds, args.budgets)
    network = "-".join(map(str, (ENDS[0], *hidden, ENDS[1])))
    print(
        f"\n{TITLES[name]}: {network}, {len(split.y_train):,} training and "
        f"{len(split.y_test):,} test images, seeds: {plan.seeds}"
    )
    train = split.X_train, split.y_train
    components = args.pca
    if components == 0:
        peers.show_progress("counting the directions that liftnet keeps")
        count = {"hidden": (), "seed": 0, "threads": args.threads, "passes": 1}
        components = peers.fit_liftnet(*train, **count).model.n_components_
    tuning = tune_budgets(train, hidden, plan, components, args.threads)
    # Every library loads and starts its threads before a clock runs.
    few = split.X_train[:2000], split.y_train[:2000]
    run = {"hidden": hidden, "threads": args.threads}
    jobs = list_steady(few, passes=1, seed=0, **run)
    jobs += list_fits(few, tuning, plan.budgets[:1], seed=0, **run)
    for method, job in jobs:
        run_job(method, 0, job, split)
    runs = []
    for seed in range(plan.seeds):
        whole = partial(list_fits, train, tuning, seed=seed, **run)
        jobs = list_steady(train, passes=plan.steady, seed=seed, **run)
        jobs += whole(plan.budgets)
        jobs.append((DEFAULTS, partial(fit_defaults, train, seed=seed, **run)))
        short = whole([passes for passes in plan.budgets if passes <= SHORT])
        # Every other turn runs backwards: a machine that drifts then favours nobody.
        for turn, listed in enumerate([jobs] + [short] * (plan.repeats - 1)):
            for method, job in listed[:: -1 if (seed + turn) % 2 else 1]:
                runs += run_job(method, seed, job, split)
    methods = summarise(runs)
    marks = {
        method: time_to_mark(points, MARKS[name])
        for method, points in methods.items()
        if method != DEFAULTS
    }
    return {
        "title": f"{TITLES[name]}, {network}",
        "mark": MARKS[name],
        "budgets": plan.budgets,
        "plan": plan._asdict() | {"components": components},
        "methods": methods,
        "time_to_mark": marks,
        "tuning": tuning,
        "runs": runs,
    }


def tune_budgets(train, hidden, plan, components, threads) -> list[dict]:
    """Tune one-cycle Adam for every budget, with one seed, on training images only."""
    if not peers.has_torch():
        return []
    tuning, variants = [], {ONE_CYCLE: None}
    if components:
        variants[PCA] = components
    for method, components in variants.items():
        for passes in plan.budgets:
            peers.show_progress(f"tuning {method} for {passes} passes")
            run = {"hidden": hidden, "passes": passes, "components": components}
            run |= {"peak_rates": plan.peak_rates, "batch_sizes": plan.batch_sizes}
            run |= {"seed": 0, "threads": threads}
            choice, grid = peers.tune_one_cycle(*train, **run)
            choice["components"] = components
            entry = {"method": method, "passes": passes, "choice": choice, "grid": grid}
            tuning.append(entry)
    return tuning


def list_steady(train, *, passes, hidden, seed, threads) -> list[tuple]:
    """List the methods without a schedule, which show every pass of one run.

    A job is a method and a function that gives an iterable of `Fit`.
    """
    run = {"hidden": hidden, "seed": seed, "passes": passes}
    jobs = [(SKLEARN, partial(peers.sklearn_passes, *train, **run))]
    if peers.has_torch():
        jobs.append((ADAM, partial(peers.adam_passes, *train, threads=threads, **run)))
    return jobs


def list_fits(train, tuning, budgets, **run) -> list[tuple]:
    """List the jobs of the methods for which each budget is a whole fit."""
    jobs = []
    for passes in budgets:
        lifted = partial(peers.fit_liftnet, *train, passes=passes, **run)
        jobs.append((LIFTNET, lambda lifted=lifted: [lifted()]))
        for tuned in tuning:
            if tuned["passes"] == passes:
                chosen = {**run, **tuned["choice"], "passes": passes}
                cycle = partial(peers.fit_one_cycle, *train, **chosen)
                jobs.append((tuned["method"], lambda cycle=cycle: [cycle()]))
    return jobs


def fit_defaults(train, **run) -> list[peers.Fit]:
    """Fit liftnet with its own budget."""
    return [peers.fit_liftnet(*train, **run)]


def run_job(method, seed, job, split) -> list[dict]:
    """Run one job and evaluate each of its fits on the test images."""
    peers.show_progress(f"seed {seed}: {method}")
    gc.collect()
    # Idle workers of the library before spin for a moment and would take a core.
    time.sleep(0.2)
    return [
        {
            "method": method,
            "seed": seed,
            "passes": int(fit.passes),
            "seconds": fit.seconds,
            "accuracy": fit.accuracy(split.X_test, split.y_test),
        }
        for fit in job()
    ]


def summarise(runs) -> dict[str, list[dict]]:
    """Average the runs: one point per method and number of passes."""
    groups: dict[tuple, list] = {}
    for run in runs:
        groups.setdefault((run["method"], run["passes"]), []).append(run)
    methods: dict[str, list] = {method: [] for method in STYLES}
    for (method, passes), group in sorted(groups.items()):
        accuracy = mean(run["accuracy"] for run in group)
        seconds = median(run["seconds"] for run in group)
        point = {"passes": passes, "accuracy": accuracy, "seconds": seconds}
        methods[method].append(point)
    return {method: points for method, points in methods.items() if points}


def time_to_mark(points, mark) -> dict | None:
    """Return the cheapest point of a method that reaches the mark, or None."""
    return min(
        (point for point in points if point["accuracy"] >= mark),
        key=lambda point: point["seconds"],
        default=None,
    )


def print_summary(result) -> None:
    """Print accuracy and seconds per method and budget, then the time to the mark."""
    peers.show_progress("")
    budgets = result["budgets"]
    cells = "".join(f"{passes:>9}" for passes in budgets)
    print(f"\n  accuracy (mean), seconds (median) at passes\n  {'':<30}{cells}")
    for method, points in result["methods"].items():
        if method == DEFAULTS:
            continue
        at = {point["passes"]: point for point in points}
        for key, form in (("accuracy", "{:>8.2%} "), ("seconds", "{:>7.2f} s")):
            row = "".join(
                form.format(at[p][key]) if p in at else f"{'-':>9}" for p in budgets
            )
            print(f"  {method if key == 'accuracy' else '':<30}{row}".rstrip())
    for point in result["methods"][DEFAULTS]:
        print(
            f"  {DEFAULTS:<30}{point['accuracy']:>8.2%} in {point['seconds']:.2f} s, "
            f"{point['passes']} passes"
        )
    print_tuning(result["tuning"], result["plan"])
    print(f"\n  time to {result['mark']:.1%} test accuracy")
    own = result["time_to_mark"][LIFTNET]
    for method, point in result["time_to_mark"].items():
        text = "not reached"
        if point:
            text = f"{point['seconds']:>7.2f} s after {point['passes']:>2} passes"
        if point and own and method != LIFTNET:
            text += f"{point['seconds'] / own['seconds']:>8.1f} x liftnet's time"
        print(f"  {method:<30}{text}")


def print_tuning(tuning, plan) -> None:
    """Print the grid that one-cycle Adam was tuned on and what was chosen."""
    if tuning:
        rates = ", ".join(f"{rate:g}" for rate in plan["peak_rates"])
        sizes = ", ".join(map(str, plan["batch_sizes"]))
        print(f"\n  one-cycle grid: peak rate {rates}; batch {sizes}; chosen on")
        print("  held-out training images, one seed, for each budget by itself:")
    for tuned in tuning:
        rate, size = tuned["choice"]["peak_rate"], tuned["choice"]["batch_size"]
        budget = f"passes {tuned['passes']:>2}"
        print(f"  {tuned['method']:<30}{budget}: peak rate {rate:g}, batch {size}")


def draw_figure(results, path) -> None:
    """Draw accuracy against seconds, one panel per network, marks as dotted lines."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    # A row of networks for each data set, where there are several.
    names = list(dict.fromkeys(key.split()[0] for key in results))
    ordered = sorted(results, key=lambda key: names.index(key.split()[0]))
    rows = len(names)
    columns = len(results) // rows
    if columns == 1:
        rows, columns = 1, len(results)
    size = (max(6.4, 4.6 * columns), 1.0 + 3.2 * rows)
    figure, panels = plt.subplots(
        rows, columns, figsize=size, squeeze=False, layout="constrained"
    )
    for panel, key in zip(panels.flat, ordered, strict=True):
        result = results[key]
        for method, points in result["methods"].items():
            seconds = [point["seconds"] for point in points]
            percent = [100 * point["accuracy"] for point in points]
            panel.plot(seconds, percent, label=method, **STYLES[method])
        panel.axhline(100 * result["mark"], color="0.4", linestyle=":")
        panel.set(title=result["title"], xscale="log", xlabel="seconds of training")
        panel.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter(ticker.NullFormatter())
        panel.grid(alpha=0.25)
    for panel in panels[:, 0]:
        panel.set_ylabel("test accuracy, %")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    columns = 2 if columns == 1 else 3
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, frameon=False
    )
    peers.save_figure(figure, path)


if __name__ == "__main__":
    sys.exit(main())
