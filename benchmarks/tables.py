"""Compare liftnet with other classifiers on small and middle tables, by default.

Every method gets the same folds of stratified cross-validation. liftnet runs with its
defaults on raw columns. scikit-learn's MLPClassifier and LogisticRegression run with
their defaults behind a StandardScaler, HistGradientBoostingClassifier with its defaults
on raw columns. The three networks have one hidden layer of 100 units.

PyTorch's Adam runs under a one-cycle schedule, also behind a StandardScaler, with the
peak rate and number of passes that have the least log-loss on a fifth of each fold's
training rows. LocoProp (Amid, Anil and Warmuth 2022) takes part where the package
`locoprop` is installed (`pip install locoprop`), with its local optimiser's rate and
the number of passes chosen in the same way.

The columns are in double precision, in which scikit-learn computes. PyTorch and the
loop of liftnet's stochastic solver compute in single precision, their default.

Seconds are those of the fits, scaling included; evaluation and tuning are not counted.
Log-loss has probabilities kept within 1e-15 of 0 and 1.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable
from functools import partial
from itertools import product
from math import exp, log
from statistics import mean

import peers
from table_data import make_table, table_names

HIDDEN = (100,)
LIFTNET, SKLEARN = "liftnet", "MLPClassifier"
ADAM, LOCOPROP = "Adam one-cycle", "LocoProp"
TREES, LOGISTIC = "boosted trees", "logistic"
METHODS = (LIFTNET, SKLEARN, ADAM, LOCOPROP, TREES, LOGISTIC)
ADAM_RATES = (1e-3, 3e-3, 1e-2, 3e-2)
# Around the package's default, 2e-5.
LOCOPROP_RATES = (2e-6, 2e-5, 2e-4)
PASSES = (10, 40)
# Log-losses below this count as this: their ratio would say nothing.
LEAST_LOSS = 1e-4
# Points of accuracy within which two methods are called even.
EVEN = 0.5
QUICK_ROWS = 600
# Okabe and Ito's palette: told apart by readers with any colour vision.
STYLES = {
    SKLEARN: {"color": "#000000", "marker": "v"},
    ADAM: {"color": "#0072B2", "marker": "s"},
    LOCOPROP: {"color": "#CC79A7", "marker": "P"},
    TREES: {"color": "#009E73", "marker": "^"},
    LOGISTIC: {"color": "#E69F00", "marker": "x"},
}


def main() -> int:
    """Run the benchmark."""
    args = parse_arguments()
    peers.use_threads(args.threads)
    machine = peers.print_machine(args.threads)
    methods = list_methods(args.threads)
    for name in METHODS:
        if name not in methods:
            print(f"\n{name} is left out: its package is not installed.")
    methods = {name: methods[name] for name in methods if name in args.methods}
    warm_up(methods)
    print_header(methods)
    results = []
    for name in args.tables:
        results.append(measure(make_table(name, args.rows), methods, args.folds))
        print_row(results[-1])
    summary = summarise(results)
    print_summary(summary)
    peers.write_json(args.json, machine, args, tables=results, summary=summary)
    if args.figure:
        draw_figure(results, args.figure)
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    quick = f"every third table, at most {QUICK_ROWS:,} rows, 2 folds"
    figure = "draw the differences of each table"
    parser = peers.make_parser(__doc__, quick, figure=figure)
    add = parser.add_argument
    names = {"nargs": "+", "choices": table_names(), "default": table_names()}
    add("--tables", **names, metavar="TABLE", help="some tables, by their names")
    names = {"nargs": "+", "choices": METHODS[1:], "default": METHODS[1:]}
    add("--methods", **names, metavar="PEER", help=f"some of {', '.join(METHODS[1:])}")
    add("--folds", type=int, default=5, help="of cross-validation (default: 5)")
    add("--rows", type=int, help="at most so many rows of each table")
    args = parser.parse_args()
    args.methods = (LIFTNET, *args.methods)
    if args.quick:
        args.rows, args.folds = QUICK_ROWS, 2
        if args.tables == table_names():
            args.tables = args.tables[1::3]
    if args.folds < 2 or args.threads < 1:
        parser.error("--folds must be at least 2, --threads at least 1")
    return args


def list_methods(threads) -> dict[str, Callable]:
    """Return functions of (X, y) that give a `Fit` and how it was tuned."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    run = {"hidden": HIDDEN, "seed": 0, "threads": threads}

    def untuned(fit):
        return lambda X, y: (fit(X, y), None)

    def sklearn(make, **options):
        # An estimator of its own for each fit.
        return untuned(lambda X, y: peers.fit_sklearn(X, y, make(), **options))

    methods = {LIFTNET: untuned(partial(peers.fit_liftnet, **run))}
    methods[SKLEARN] = sklearn(partial(MLPClassifier, HIDDEN, random_state=0))
    if peers.has_torch():
        cycle = partial(peers.fit_one_cycle, scale=None, **run)
        methods[ADAM] = partial(fit_tuned, cycle, "peak_rate", ADAM_RATES)
    if peers.has_locoprop():
        local = partial(peers.fit_locoprop, **run)
        methods[LOCOPROP] = partial(fit_tuned, local, "rate", LOCOPROP_RATES)
    trees = partial(HistGradientBoostingClassifier, random_state=0)
    methods[TREES] = sklearn(trees, standardise=False)
    methods[LOGISTIC] = sklearn(LogisticRegression)
    return methods


def fit_tuned(fit, key, rates, X, y) -> tuple[peers.Fit, dict]:
    """Fit with the rate and the passes of least log-loss on a held-out fifth."""
    from sklearn.model_selection import train_test_split

    X_fit, X_held, y_fit, y_held = train_test_split(
        X, y, test_size=0.2, stratify=y, random_state=0
    )
    batch_size = choose_batch_size(len(y))
    losses = {}
    for rate, passes in product(rates, PASSES):
        setting = {key: rate, "passes": passes}
        tried = fit(X_fit, y_fit, batch_size=batch_size, **setting)
        losses[rate, passes] = log_loss(tried.predict_proba(X_held), y_held)
    rate, passes = min(losses, key=losses.get)
    setting = {key: rate, "passes": passes, "batch_size": batch_size}
    return fit(X, y, **setting), setting


def choose_batch_size(rows) -> int:
    """Return a hundredth of the rows, as a power of two within 32 and 256."""
    return min(256, max(32, 2 ** round(log(rows / 100, 2))))


def log_loss(proba, y) -> float:
    """Return the mean of -log p of the true class, p within 1e-15 of 0 and 1."""
    import numpy as np

    true = proba[np.arange(len(y)), y]
    return float(-np.log(true.clip(1e-15, 1 - 1e-15)).mean())


def warm_up(methods) -> None:
    """Run every method once: libraries load and start their threads off the clock."""
    table = make_table("iris")
    for method in methods.values():
        method(table.X, table.y)


def measure(table, methods, folds) -> dict:
    """Cross-validate all methods on one table, on the same folds."""
    from sklearn.model_selection import StratifiedKFold

    runs = {name: [] for name in methods}
    splitter = StratifiedKFold(folds, shuffle=True, random_state=0)
    for number, (train, test) in enumerate(splitter.split(table.X, table.y)):
        jobs = list(methods.items())
        # Every other fold runs backwards: a machine that drifts then favours nobody.
        for name, method in jobs[:: -1 if number % 2 else 1]:
            peers.show_progress(f"{table.name}, fold {number + 1}: {name}")
            gc.collect()
            fit, setting = method(table.X[train], table.y[train])
            loss = log_loss(fit.predict_proba(table.X[test]), table.y[test])
            run = {"accuracy": fit.accuracy(table.X[test], table.y[test])}
            run |= {"log_loss": loss, "seconds": fit.seconds, "setting": setting}
            runs[name].append(run)
    peers.show_progress("")
    rows, features, classes = table.shape
    sizes = {"rows": rows, "features": features, "classes": classes}
    means = {name: average(folds) for name, folds in runs.items()}
    return {"table": table.name, "trait": table.trait, **sizes, "methods": means}


def average(folds) -> dict:
    """Return mean accuracy and log-loss of the folds, total seconds, and the folds."""
    return {
        "accuracy": mean(fold["accuracy"] for fold in folds),
        "log_loss": mean(fold["log_loss"] for fold in folds),
        "seconds": sum(fold["seconds"] for fold in folds),
        "folds": folds,
    }


def summarise(results) -> dict[str, dict]:
    """Compare liftnet with every other method over all tables.

    Returns
    -------
    dict of str to dict
        For each peer: `points`, the mean difference of accuracy in points (positive
        where liftnet is better); `log_loss`, the geometric mean of liftnet's log-loss
        over the peer's; `time`, the peer's total seconds over liftnet's; the numbers
        of tables on which liftnet is `better`, `even` and `worse`; and the `worst` one.
    """
    names = [name for name in results[0]["methods"] if name != LIFTNET]
    return {name: compare(results, name) for name in names}


def compare(results, peer) -> dict:
    """Compare liftnet with one peer; see `summarise`."""
    points = {row["table"]: difference(row, peer) for row in results}
    return {
        "points": mean(points.values()),
        "log_loss": exp(mean(log(loss_ratio(row, peer)) for row in results)),
        "time": total_seconds(results, peer) / total_seconds(results, LIFTNET),
        "better": sum(value > EVEN for value in points.values()),
        "even": sum(abs(value) <= EVEN for value in points.values()),
        "worse": sum(value < -EVEN for value in points.values()),
        "worst": min(points, key=points.get),
        "worst_points": min(points.values()),
    }


def difference(row, peer) -> float:
    """Return liftnet's accuracy less the peer's on one table, in points."""
    methods = row["methods"]
    return 100 * (methods[LIFTNET]["accuracy"] - methods[peer]["accuracy"])


def loss_ratio(row, peer) -> float:
    """Return liftnet's log-loss over the peer's on one table."""
    own, other = row["methods"][LIFTNET], row["methods"][peer]
    return max(own["log_loss"], LEAST_LOSS) / max(other["log_loss"], LEAST_LOSS)


def total_seconds(results, name) -> float:
    """Return the seconds of all fits of one method."""
    return sum(row["methods"][name]["seconds"] for row in results)


def print_header(methods) -> None:
    """Print the head of the table."""
    columns = "".join(f"{name:>16}" for name in methods)
    print(
        f"\naccuracy in %, log-loss\n{'table':<18}{'rows':>7}{'f.':>4}{'c.':>3}", end=""
    )
    print(columns)


def print_row(result) -> None:
    """Print one table."""
    cells = "".join(
        f"{100 * at['accuracy']:>9.2f}{at['log_loss']:>7.3f}"
        for at in result["methods"].values()
    )
    sizes = f"{result['rows']:>7}{result['features']:>4}{result['classes']:>3}"
    print(f"{result['table']:<18}{sizes}{cells}", flush=True)


def print_summary(summary) -> None:
    """Print the comparison with each peer."""
    print(
        f"\n{'liftnet against':<17}accuracy  log-loss  time of peer  "
        "tables where liftnet"
    )
    print(f"{'':<17}  points     ratio  over its own  is better/even/worse; the worst")
    for name, row in summary.items():
        counts = f"{row['better']}/{row['even']}/{row['worse']}"
        print(
            f"{name:<17}{row['points']:>+8.2f}{row['log_loss']:>10.2f}"
            f"{row['time']:>14.1f}  {counts}; "
            f"{row['worst']} ({row['worst_points']:+.2f})"
        )
    print(f"(even: within {EVEN} points)")


def draw_figure(results, path) -> None:
    """Draw differences of accuracy and ratios of log-loss, a line for each table."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    names = [name for name in STYLES if name in results[0]["methods"]]
    rows = sorted(results, key=lambda row: difference(row, names[0]))
    size = (9.6, 1.6 + 0.24 * len(rows))
    figure, (left, right) = plt.subplots(
        1, 2, figsize=size, sharey=True, layout="constrained"
    )
    for panel, value in ((left, difference), (right, loss_ratio)):
        for name in names:
            values = [value(row, name) for row in rows]
            style = {"linestyle": "", "markersize": 5, "alpha": 0.85, **STYLES[name]}
            panel.plot(values, range(len(rows)), label=name, **style)
        panel.grid(alpha=0.25)
    left.axvline(0, color="0.4")
    right.axvline(1, color="0.4")
    left.set_xscale("symlog", linthresh=2, linscale=1.5)
    left.set_xticks([-30, -10, -2, -1, 0, 1, 2, 10, 30])
    left.xaxis.set_major_formatter("{x:g}")
    left.set_yticks(range(len(rows)), [row["table"] for row in rows])
    left.set_xlabel("accuracy of liftnet less the other's, points: right is better")
    right.set_xscale("log")
    right.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    right.xaxis.set_minor_formatter(ticker.NullFormatter())
    right.xaxis.set_major_formatter("{x:g}")
    right.set_xlabel("log-loss of liftnet over the other's: left is better")
    handles, labels = left.get_legend_handles_labels()
    style = {"loc": "outside lower center", "ncols": len(names), "frameon": False}
    figure.legend(handles, labels, **style)
    peers.save_figure(figure, path)


if __name__ == "__main__":
    sys.exit(main())
