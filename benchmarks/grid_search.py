"""Measure what a grid search in processes gains, and that threads do not fight.

`GridSearchCV` over `alpha` searches in three ways: in one process, whose fits use every
thread; in as many processes as there are processors, each fit on its share of the
threads, which is what joblib and liftnet agree on by default; and in as many processes
of as many threads each, what happens where nobody limits them. The number of threads is
that which a fit in a worker sees. Seconds are medians of searches in turn, with workers
already started and no final fit.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import nullcontext
from statistics import median

import peers

ALPHAS = (1e-2, 1e-1, 1.0, 10.0)
ONE, SHARES, ALL = "one process", "processes, by default", "processes, all threads each"
DATA = {"digits": None, "mnist": 20_000}
TITLES = {"digits": "digits", "mnist": "MNIST"}


def main() -> int:
    """Run the benchmark; images that are not on this machine are left out."""
    args = parse_arguments()
    # A variable that is set decides for joblib's workers too.
    for variable in peers.THREAD_VARIABLES:
        os.environ.pop(variable, None)
    machine = peers.print_machine(args.processes)
    results = []
    for name in args.data:
        try:
            X, y = load(name, args.rows or DATA[name])
        except OSError as error:
            print(f"\n{TITLES[name]} skipped, it is not on this machine: {error}")
            continue
        results += measure(name, X, y, args)
        print_rows(results[-len(ways(args.processes)) :])
    if not results:
        print("\nNo data set was found, nothing was measured.", file=sys.stderr)
        return 1
    peers.write_json(args.json, machine, args, results=results)
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    from joblib import cpu_count

    parser = peers.make_parser(__doc__, "500 rows, one search", threads=None)
    add = parser.add_argument
    processors = cpu_count()
    text = f"number of processes (default: {processors}, the processors)"
    add("--processes", type=int, default=processors, help=text)
    add("--data", nargs="+", choices=DATA, default=list(DATA), help="data sets")
    add("--rows", type=int, help="use the first ROWS rows only")
    add("--folds", type=int, default=3, help="of the cross-validation (default: 3)")
    add("--repeats", type=int, default=3, help="searches of each kind (default: 3)")
    args = parser.parse_args()
    if args.quick:
        args.rows, args.repeats = 500, 1
    if min(args.processes, args.repeats, args.rows or 1) < 1 or args.folds < 2:
        text = "--processes, --repeats and --rows must be at least 1, --folds 2"
        parser.error(text)
    return args


def load(name, rows) -> tuple:
    """Return inputs and classes of one data set."""
    if name == "mnist":
        return peers.load_images(name, rows)[:2]
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return X[:rows], y[:rows]


def ways(processes) -> dict[str, tuple]:
    """Return number of processes, and limit of their threads or None, by name."""
    return {ONE: (1, None), SHARES: (processes, None), ALL: (processes, processes)}


def search(X, y, processes, limit, folds) -> tuple[float, int]:
    """Search once; return the seconds, and the threads that a fit sees."""
    from joblib import parallel_config
    from sklearn.model_selection import GridSearchCV

    from liftnet import LiftedMLPClassifier

    # Without a limit the way that users go.
    place = parallel_config("loky", inner_max_num_threads=limit)
    with place if limit else nullcontext():
        grid = GridSearchCV(
            LiftedMLPClassifier(random_state=0),
            {"alpha": ALPHAS},
            scoring={"score": score, "threads": count_threads},
            cv=folds,
            refit=False,
            n_jobs=processes,
        )
        _, seconds = peers.timed(lambda: grid.fit(X, y))
    return seconds, int(grid.cv_results_["mean_test_threads"].max())


def score(model, X, y) -> float:
    """Return the accuracy."""
    return model.score(X, y)


def count_threads(model, X, y) -> int:
    """Return how many threads a fit with the default `n_jobs` uses here."""
    from liftnet._threads import n_threads

    return n_threads(model.n_jobs)


def measure(name, X, y, args) -> list[dict]:
    """Return one row for each way, from searches in turn."""
    seconds = {way: [] for way in ways(args.processes)}
    threads = {}
    for repeat in range(args.repeats):
        for way, (processes, limit) in ways(args.processes).items():
            peers.show_progress(f"{TITLES[name]}, {way}, {repeat + 1}")
            if processes > 1:
                # Workers of another limit are replaced: start them first.
                few = slice(None, None, max(1, len(X) // 100))
                search(X[few], y[few], processes, limit, 2)
            taken, threads[way] = search(X, y, processes, limit, args.folds)
            seconds[way].append(taken)
    peers.show_progress("")
    fits = len(ALPHAS) * args.folds
    return [
        {
            "data": TITLES[name],
            "rows": len(X),
            "fits": fits,
            "way": way,
            "threads": threads[way],
            "seconds": median(taken),
            "ratio": median(taken) / median(seconds[ONE]),
        }
        for way, taken in seconds.items()
    ]


def print_rows(rows) -> None:
    """Print the ways of one data set."""
    print(f"\n{rows[0]['data']}, {rows[0]['rows']:,} rows, {rows[0]['fits']} fits")
    for row in rows:
        print(
            f"  {row['way']:<30}{row['threads']} threads a fit"
            f"{row['seconds']:9.2f} s{row['ratio']:7.2f}"
        )
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
