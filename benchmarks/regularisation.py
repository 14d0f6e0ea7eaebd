"""Measure what `dropout` and `label_smoothing` do to accuracy and log-loss.

liftnet trains on images and on made tables: as it comes, and with each rate of dropout
and of label smoothing, everything else by default but for the number of passes, which
is the default times each of ``--factors``: a network that is thinned learns more
slowly. The stochastic solver throughout. Accuracy and log-loss on test data (10,000
images; a third of a table), medians over the seeds, which draw weights, batches, masks
and the split of a table. Two hidden layers take 20 times as long as one and get a third
of the seeds.
"""

from __future__ import annotations

import argparse
import sys
from statistics import median

import peers
import table_data
from tables import log_loss

CHOICES = (
    {},
    {"dropout": 0.1},
    {"dropout": 0.2},
    {"dropout": 0.5},
    {"label_smoothing": 0.05},
    {"label_smoothing": 0.1},
)
IMAGES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
NETWORKS = ((300,), (512, 512))
TABLES = ("noisy labels", "wide", "300 features", "yes or no", "26 classes", "digits")
TABLE_NETWORK = (100,)


def main() -> int:
    """Run the benchmark; images that are not on this machine are left out."""
    args = parse_arguments()
    peers.use_threads(args.threads)
    machine = peers.print_machine(args.threads)
    results = []
    for name, hidden in list_problems(args):
        try:
            split = make_split(name, args.rows, 0)
        except OSError as error:
            print(f"\n{IMAGES[name]} skipped, it is not on this machine: {error}")
            continue
        print_heads(name, hidden, split, count_seeds(hidden, args))
        for choice in CHOICES:
            for factor in args.factors:
                row = measure(name, split, hidden, choice, factor, args)
                results.append(row)
                print_row(row)
    peers.write_json(args.json, machine, args, results=results)
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    quick = "10,000 images, tables of 500 rows, one seed, default passes, 300 units"
    parser = peers.make_parser(__doc__, quick)
    add = parser.add_argument
    every = [*IMAGES, *TABLES]
    add("--data", nargs="+", choices=every, default=every, help="data sets")
    add("--seeds", type=int, default=3, help="fits of each kind (default: 3)")
    factors = {"type": int, "nargs": "+", "default": [1, 3]}
    add("--factors", **factors, help="passes, over the default number (default: 1 3)")
    add("--rows", type=int, help="use the first ROWS training images only")
    args = parser.parse_args()
    if args.quick:
        args.rows, args.seeds, args.factors = 10_000, 1, [1]
    if min(args.seeds, args.threads, *args.factors) < 1:
        parser.error("--seeds, --factors and --threads must be at least 1")
    return args


def list_problems(args) -> list[tuple]:
    """Return every data set with every network it is learned by."""
    networks = NETWORKS[:1] if args.quick else NETWORKS
    images = [
        (name, hidden) for name in args.data if name in IMAGES for hidden in networks
    ]
    return images + [(name, TABLE_NETWORK) for name in args.data if name not in IMAGES]


def make_split(name, rows, seed) -> peers.Split:
    """Load images, or draw the test rows of a table."""
    from sklearn.model_selection import train_test_split

    if name in IMAGES:
        return peers.load_images(name, rows)
    # A reduced run has few rows of each.
    table = table_data.make_table(name, None if rows is None else 500)
    parts = train_test_split(
        table.X, table.y, test_size=1 / 3, stratify=table.y, random_state=seed
    )
    return peers.Split(parts[0], parts[2], parts[1], parts[3])


def measure(name, split, hidden, choice, factor, args) -> dict:
    """Fit one choice with every seed; return medians."""
    runs = []
    for seed in range(count_seeds(hidden, args)):
        peers.show_progress(f"{name}, {choice or 'default'}, seed {seed}")
        if name not in IMAGES and seed > 0:
            split = make_split(name, args.rows, seed)
        passes = factor * default_passes(len(split.y_train))
        fit = peers.fit_liftnet(
            split.X_train,
            split.y_train,
            hidden=hidden,
            seed=seed,
            threads=args.threads,
            passes=passes,
            solver="stochastic",
            **choice,
        )
        proba = fit.predict_proba(split.X_test)
        run = {"seconds": fit.seconds, "log_loss": log_loss(proba, split.y_test)}
        run["accuracy"] = float((proba.argmax(axis=1) == split.y_test).mean())
        runs.append(run)
    peers.show_progress("")
    medians = {key: median(run[key] for run in runs) for key in runs[0]}
    problem = {"data": IMAGES.get(name, name), "hidden": hidden}
    problem |= {"rows": len(split.y_train), "seeds": len(runs)}
    return problem | {"choice": choice, "passes": passes} | medians


def count_seeds(hidden, args) -> int:
    """Return the number of fits of each kind."""
    return args.seeds if len(hidden) == 1 else max(args.seeds // 3, 1)


def default_passes(rows) -> int:
    """Return what `max_iter="auto"` is: 30 up to 5,000 rows, then less, at least 6."""
    return min(max(round(30 * (5000 / rows) ** 0.5), 6), 30)


def describe(choice) -> str:
    """Return a choice as it is written."""
    return ", ".join(f"{name}={value:g}" for name, value in choice.items()) or "default"


def print_heads(name, hidden, split, seeds) -> None:
    """Print what follows."""
    sizes = "-".join(map(str, hidden))
    rows = f"{len(split.y_train):,} rows, {len(split.y_test):,} test rows"
    title = f"{IMAGES.get(name, name)}, hidden {sizes}, {rows}"
    print(f"\n{title}, {seeds} {'seed' if seeds == 1 else 'seeds'}")
    print(f"{'':<24}{'passes':>7}{'accuracy':>10}{'log-loss':>10}{'seconds':>9}")


def print_row(row) -> None:
    """Print one line of the table."""
    print(
        f"{describe(row['choice']):<24}{row['passes']:>7}{row['accuracy']:>10.2%}"
        f"{row['log_loss']:>10.4f}{row['seconds']:>9.2f}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
