"""Fit liftnet with settings and data drawn at random and report every fit that fails.

Each fit draws a table, at most 400 of its rows, and alpha, batch size, width, depth,
activations and precision, far beyond what anyone would choose. A fit fails when it
raises, returns a weight that is not finite, or classifies its own training rows worse
than the largest class alone would, by more than a point of accuracy. What is trained
is the log-loss, whose least value may be such a fit where a network can tell next to
nothing apart: beside it stand both log-losses and the accuracy of scikit-learn's
logistic regression on what its output layer sees.

Everything of fit number i is drawn from the pair (seed, i): `--only i` repeats it.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from time import perf_counter

import peers
from table_data import make_table, table_names

MOST_ROWS = 400
LEAST_ROWS = 20
# Points of accuracy on the training rows.
MARGIN = 1.0
RAISED, NOT_FINITE, WORSE = "raised", "not finite", "worse than the largest class"


def main() -> int:
    """Run the fits and report; fits that fail are a result, not an error."""
    args = parse_arguments()
    peers.use_threads(args.threads)
    machine = peers.print_machine(args.threads)
    numbers = args.only or range(args.fits)
    print(f"\n{len(numbers):,} fits, seed {args.seed}")
    start = perf_counter()
    offenders = []
    for number in numbers:
        peers.show_progress(f"fit {number}, failed so far: {len(offenders)}")
        outcome = check(draw(args.seed, number), args.threads)
        if outcome["failure"]:
            offenders.append({"number": number, **outcome})
        if outcome["failure"] or args.only:
            print_outcome(number, outcome)
    peers.show_progress("")
    counts = count(offenders)
    seconds = perf_counter() - start
    print(f"\nof {len(numbers):,} fits in {seconds:.0f} s")
    for failure, number in counts.items():
        print(f"  {failure:<30}{number:>6}")
    results = {"fits": len(numbers), "seconds": seconds}
    results |= {"counts": counts, "offenders": offenders}
    peers.write_json(args.json, machine, args, **results)
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = peers.make_parser(__doc__, "200 fits", threads=1)
    add = parser.add_argument
    add("--fits", type=int, default=2000, help="number of fits (default: 2000)")
    add("--seed", type=int, default=0, help="of all that is drawn (default: 0)")
    only = "run these fits only and print what they drew"
    add("--only", type=int, nargs="+", metavar="I", help=only)
    args = parser.parse_args()
    if args.quick:
        args.fits = 200
    if min(args.fits, args.threads) < 1 or min(args.seed, *(args.only or [0])) < 0:
        parser.error("--fits and --threads must be at least 1, --seed and --only 0")
    return args


def draw(seed, number) -> dict:
    """Draw table, rows and parameters of one fit from the pair (seed, number)."""
    import numpy as np

    from liftnet import activations

    rng = np.random.default_rng([seed, number])
    known = [activation.name for activation in activations()]
    depth = int(rng.integers(0, 6))
    # One fit in four keeps the automatic choice.
    alpha = "auto" if rng.random() < 0.25 else spread(rng, 1e-6, 1e4)
    batch_size = "auto" if rng.random() < 0.25 else round(spread(rng, 1, MOST_ROWS))
    params = {
        "hidden_layer_sizes": [round(spread(rng, 1, 200)) for _ in range(depth)],
        "activation": [known[rng.integers(len(known))] for _ in range(depth)] or "relu",
        "alpha": alpha,
        "batch_size": batch_size,
        "random_state": int(rng.integers(2**31)),
    }
    names = table_names()
    return {
        "table": names[rng.integers(len(names))],
        "rows": round(spread(rng, LEAST_ROWS, MOST_ROWS)),
        "rows_seed": int(rng.integers(2**31)),
        "dtype": ("float32", "float64")[rng.integers(2)],
        "params": params,
    }


def spread(rng, low, high) -> float:
    """Draw a number whose logarithm is uniform."""
    import numpy as np

    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def take_rows(drawn) -> tuple:
    """Return the rows of a table that were drawn, of two classes at least."""
    import numpy as np

    table = make_table(drawn["table"])
    rng = np.random.default_rng(drawn["rows_seed"])
    while True:
        rows = rng.permutation(len(table.y))[: drawn["rows"]]
        X, y = table.X[rows].astype(drawn["dtype"]), table.y[rows]
        if y.min() < y.max():
            return X, y


def check(drawn, threads) -> dict:
    """Run one fit: what was drawn, what came out, and the failure or None."""
    import numpy as np

    from liftnet import LiftedMLPClassifier

    X, y = take_rows(drawn)
    largest = float(np.bincount(y).max() / len(y))
    outcome = {**drawn, "rows": len(y), "largest_class": largest, "failure": None}
    model = LiftedMLPClassifier(**drawn["params"], n_jobs=threads)
    try:
        with warnings.catch_warnings():
            # Of 26 classes, 20 rows hold too few each for scikit-learn's taste.
            warnings.filterwarnings("ignore", "The number of unique classes")
            _, outcome["seconds"] = peers.timed(lambda: model.fit(X, y))
    except Exception as error:
        return {**outcome, "failure": RAISED, "error": f"{error!r}"}
    if not all(np.isfinite(array).all() for array in model.coefs_ + model.intercepts_):
        return {**outcome, "failure": NOT_FINITE}
    outcome["accuracy"] = float(model.score(X, y))
    if outcome["accuracy"] < largest - MARGIN / 100:
        outcome["failure"] = WORSE
        outcome |= look_closer(model, X, y)
    return outcome


def look_closer(model, X, y) -> dict:
    """Return log-losses of the model and of the classes' shares, and `logistic`.

    That is the training accuracy of logistic regression on the last hidden layer.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    seen = model.transform(X) if len(model.coefs_) > 1 else X
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=10_000))
    classes, counts = np.unique(y, return_counts=True)
    shares = np.tile(counts / len(y), (len(y), 1))
    return {
        "log_loss": float(log_loss(y, model.predict_proba(X), labels=classes)),
        "constant_log_loss": float(log_loss(y, shares, labels=classes)),
        "logistic": float(logistic.fit(seen, y).score(seen, y)),
    }


def describe(outcome) -> str:
    """Return what a fit reached beside what it should have."""
    text = f"accuracy {outcome['accuracy']:.2%}"
    text += f", largest class {outcome['largest_class']:.2%}"
    if "logistic" in outcome:
        text += (
            f", logistic regression on its last hidden layer {outcome['logistic']:.2%}"
        )
        text += f"; log-loss {outcome['log_loss']:.4f}"
        text += f", of the constant {outcome['constant_log_loss']:.4f}"
    return text


def count(offenders) -> dict[str, int]:
    """Count the failures of each kind."""
    kinds = [offender["failure"] for offender in offenders]
    return {failure: kinds.count(failure) for failure in (RAISED, NOT_FINITE, WORSE)}


def print_outcome(number, outcome) -> None:
    """Print one fit with all that is needed to repeat it."""
    peers.show_progress("")
    print(f"\nfit {number}: {outcome['failure'] or 'as it should be'}")
    print(f"  {outcome['table']!r}, {outcome['rows']} rows, {outcome['dtype']}")
    for name, value in outcome["params"].items():
        print(f"  {name}={value!r}")
    if "error" in outcome:
        print(f"  {outcome['error']}")
    if "accuracy" in outcome:
        print(f"  {describe(outcome)}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
