"""Measure what lifted weights are worth as the start of training in PyTorch.

PyTorch's Adam trains a network of one hidden layer and a deep, narrow one without
normalisation layers, whose signals PyTorch's default initialisation shrinks from layer
to layer. One arm starts from that initialisation, the other from the weights of a
LiftedMLPClassifier with its defaults, by `to_torch`. Everything else is the same:
pixels divided by 255, optimiser, batch size, seeds, a fixed number of epochs and the
grid of learning rates, from which each arm takes its best one on a held-out sixth of
the training images (one seed). Under the decaying schedule the lifted arm gets a
quarter of the epochs, because a rate that has not decayed yet reaches little.

The default arm's best is its highest test accuracy at the end of any epoch, chosen on
the test images in its favour; the lifted arm has to reach that of the same seed. Its
epoch 0 is the lifted fit itself. Seconds run from raw arrays in memory, the lifted fit
counted, and exclude evaluation and tuning. Medians over the seeds are reported.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from math import inf
from statistics import median

import peers
from time_to_accuracy import TITLES

NETWORKS = {"784-300-10": (300,), "784-5x100-10": (100, 100, 100, 100, 100)}
RATES = (1e-4, 3e-4, 1e-3, 3e-3)
BATCH_SIZE = 128
DEFAULT, LIFTED = "default initialisation", "from lifted weights"
SCHEDULES = {"constant": "constant rate", "cosine": "cosine decay"}
FIT_ALONE = "lifted fit alone"
# Points of accuracy that the figure shows below what the weaker arm reached: the first
# epochs from the default initialisation would press everything else together.
SHOWN_POINTS = 2.0
COLORS = {DEFAULT: "#0072B2", LIFTED: "#D55E00"}
LINES = {"constant": "-", "cosine": "--"}


def main() -> int:
    """Run the benchmark; the exit status is 1 without PyTorch or any data set."""
    args = parse_arguments()
    peers.use_threads(args.threads)
    machine = peers.print_machine(args.threads)
    if not peers.has_torch():
        print("\nPyTorch is not installed: nothing to initialise.", file=sys.stderr)
        return 1
    results = []
    for name in args.data:
        try:
            split = peers.load_images(name, args.rows)
        except OSError as error:
            print(f"\n{TITLES[name]} skipped, it is not on this machine: {error}")
            continue
        for network in args.networks:
            results.append(measure(TITLES[name], network, split, args))
            print_result(results[-1])
    if not results:
        print("\nNo data set was found, nothing was measured.", file=sys.stderr)
        return 1
    peers.write_json(args.json, machine, args, results=results)
    if args.figure:
        draw_figure(results, args.figure)
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    quick = "MNIST, 10,000 images, 4 epochs, a constant rate, one seed"
    figure = "draw accuracy by epochs and seconds"
    parser = peers.make_parser(__doc__, quick, figure=figure)
    add = parser.add_argument
    add("--data", nargs="+", choices=TITLES, default=list(TITLES), help="data sets")
    names = {"nargs": "+", "choices": NETWORKS, "default": list(NETWORKS)}
    add("--networks", **names, help="networks")
    names = {"nargs": "+", "choices": SCHEDULES, "default": list(SCHEDULES)}
    add("--schedules", **names, help="of the learning rate")
    add("--epochs", type=int, default=16, help="epochs of a run (default: 16)")
    add("--seeds", type=int, default=3, help="runs per arm (default: 3)")
    add("--rows", type=int, help="use the first ROWS training images only")
    args = parser.parse_args()
    if args.quick:
        args.data, args.schedules = ["mnist"], ["constant"]
        args.rows, args.epochs, args.seeds = 10_000, 4, 1
    if min(args.epochs, args.seeds, args.threads) < 1:
        parser.error("--epochs, --seeds and --threads must be at least 1")
    return args


def measure(title, network, split, args) -> dict:
    """Tune and run both arms under every schedule on one data set and network."""
    run = {"hidden": NETWORKS[network], "threads": args.threads}
    arms = [
        (arm, schedule, max(1, args.epochs // 4) if shorter else args.epochs)
        for schedule in args.schedules
        for arm, shorter in ((DEFAULT, False), (LIFTED, schedule == "cosine"))
    ]
    # Every library loads and starts its threads before a clock runs.
    few = split._replace(X_train=split.X_train[:2000], y_train=split.y_train[:2000])
    for arm, schedule, _ in arms:
        train(arm, schedule, 1, few, rate=1e-3, seed=0, **run)
    tuning = [tune(*arm, split, run) for arm in arms]
    curves = [[] for _ in arms]
    for seed in range(args.seeds):
        jobs = list(zip(arms, tuning, curves, strict=True))
        # Every other seed runs backwards: a machine that drifts then favours nobody.
        for arm, tuned, seeds in jobs[:: -1 if seed % 2 else 1]:
            peers.show_progress(f"{title} {network}, seed {seed}: {arm[0]}, {arm[1]}")
            gc.collect()
            # Idle workers of the library before spin for a moment and take a core.
            time.sleep(0.2)
            seeds.append(train(*arm, split, rate=tuned["rate"], seed=seed, **run))
    peers.show_progress("")
    rows = [
        {"arm": arm, "schedule": schedule, "epochs": epochs, **tuned, "curves": seeds}
        for (arm, schedule, epochs), tuned, seeds in zip(
            arms, tuning, curves, strict=True
        )
    ]
    return {
        "title": title,
        "network": network,
        "arms": rows,
        "summaries": {
            schedule: summarise(rows, schedule) for schedule in args.schedules
        },
    }


def tune(arm, schedule, epochs, split, run) -> dict:
    """Choose an arm's rate by its best accuracy on a held-out sixth."""
    from sklearn.model_selection import train_test_split

    X_fit, X_held, y_fit, y_held = train_test_split(
        split.X_train,
        split.y_train,
        test_size=1 / 6,
        stratify=split.y_train,
        random_state=0,
    )
    held_out = peers.Split(X_fit, y_fit, X_held, y_held)
    accuracies = {}
    for rate in RATES:
        peers.show_progress(f"tuning: {arm}, {schedule}, rate {rate:g}")
        curve = train(arm, schedule, epochs, held_out, rate=rate, seed=0, **run)
        # The start is common to all rates and says nothing of them.
        accuracies[rate] = max(p["accuracy"] for p in curve if p["epoch"] > 0)
    best = max(RATES, key=lambda rate: accuracies[rate])
    return {"rate": best, "held_out": accuracies}


def train(arm, schedule, epochs, split, *, hidden, rate, seed, threads) -> list[dict]:
    """Train one arm; the accuracy on the test part and the seconds at every epoch."""
    train_part = split.X_train, split.y_train
    run = {"hidden": hidden, "seed": seed, "threads": threads}
    curve, head_start, lifted = [], 0.0, None
    if arm == LIFTED:
        fit = peers.fit_liftnet(*train_part, **run)
        head_start, lifted = fit.seconds, fit.model
        curve.append(evaluate(0, head_start, fit, split))
    run |= {"passes": epochs, "rate": rate, "batch_size": BATCH_SIZE}
    run |= {"decay": schedule == "cosine", "lifted": lifted}
    for fit in peers.adam_passes(*train_part, **run):
        curve.append(evaluate(fit.passes, head_start + fit.seconds, fit, split))
    return curve


def evaluate(epoch, seconds, fit, split) -> dict:
    """Return one point of a curve."""
    accuracy = fit.accuracy(split.X_test, split.y_test)
    return {"epoch": epoch, "seconds": seconds, "accuracy": accuracy}


def summarise(arms, schedule) -> dict:
    """Compare the arms under one schedule, seed by seed, and take medians."""
    own, lifted = (
        next(row for row in arms if (row["arm"], row["schedule"]) == (arm, schedule))
        for arm in (DEFAULT, LIFTED)
    )
    bests = [best_point(curve) for curve in own["curves"]]
    reached = [
        first_reaching(best["accuracy"], curve)
        for best, curve in zip(bests, lifted["curves"], strict=True)
    ]
    return {
        "default_best": median_point(bests),
        "lifted_fit": median_point([curve[0] for curve in lifted["curves"]]),
        "lifted_best": median_point([best_point(curve) for curve in lifted["curves"]]),
        "lifted_reaches": median_point(reached),
        "seeds_reaching": sum(at["epoch"] < inf for at in reached),
        "seeds": len(reached),
    }


def best_point(curve) -> dict:
    """Return the first of the most accurate points of a curve."""
    return max(curve, key=lambda at: at["accuracy"])


def first_reaching(accuracy, curve) -> dict:
    """Return the first point as accurate as that; one at infinity if there is none."""
    never = {"epoch": inf, "seconds": inf, "accuracy": accuracy}
    return next((at for at in curve if at["accuracy"] >= accuracy), never)


def median_point(points) -> dict | None:
    """Return the medians of epoch, seconds and accuracy; None if they are infinite."""
    middle = {key: median(at[key] for at in points) for key in points[0]}
    return middle if middle["epoch"] < inf else None


def print_result(result) -> None:
    """Print what each arm reached and when the lifted one passes the other."""
    title = f"{result['title']}, {result['network']}"
    print(f"\n{title:<35}rate   epochs  best accuracy  at epoch  seconds")
    rows = {(row["arm"], row["schedule"]): row for row in result["arms"]}
    for schedule, summary in result["summaries"].items():
        print(f"  {SCHEDULES[schedule]}")
        for label, at in (
            (DEFAULT, summary["default_best"]),
            (FIT_ALONE, summary["lifted_fit"]),
            (LIFTED, summary["lifted_best"]),
        ):
            row = rows.get((label, schedule))
            setting = f"{row['rate']:>9g}{row['epochs']:>9}" if row else ""
            print(
                f"    {label:<26}{setting:<18}{at['accuracy']:>15.2%}"
                f"{at['epoch']:>10g}{at['seconds']:>9.1f}"
            )
        print_crossing(summary)


def print_crossing(summary) -> None:
    """Print when the lifted arm reaches the default arm's best, and the ratios."""
    best, at = summary["default_best"], summary["lifted_reaches"]
    seeds = f"{summary['seeds_reaching']} of {summary['seeds']} seeds"
    print(f"    default's best reached from lifted weights with {seeds}", end="")
    if at is None:
        print()
        return
    print(
        f":\n    after {at['epoch']:g} epochs and {at['seconds']:.1f} s, "
        f"{at['epoch'] / best['epoch']:.2f} of its epochs and "
        f"{at['seconds'] / best['seconds']:.2f} of its seconds",
        flush=True,
    )


def draw_figure(results, path) -> None:
    """Draw a row per network and, per data set, accuracy by epochs and by seconds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    titles = list(dict.fromkeys(result["title"] for result in results))
    networks = list(dict.fromkeys(result["network"] for result in results))
    shape = {"nrows": len(networks), "ncols": 2 * len(titles), "squeeze": False}
    size = (6.4 * len(titles), 3.1 * len(networks) + 0.5)
    figure, grid = plt.subplots(**shape, figsize=size, layout="constrained")
    for result in results:
        row = grid[networks.index(result["network"])]
        left = 2 * titles.index(result["title"])
        draw_arms(row[left], row[left + 1], result["arms"])
        row[left].set_title(f"{result['title']}, {result['network']}", loc="left")
        row[left].set(xlabel="epochs of PyTorch", ylabel="test accuracy, %")
        row[left].xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        row[left + 1].set(xscale="log", xlabel="seconds, lifted fit included")
        row[left + 1].xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        row[left + 1].xaxis.set_major_formatter("{x:g}")
        row[left + 1].xaxis.set_minor_formatter(ticker.NullFormatter())
    handles, labels = grid[0, 0].get_legend_handles_labels()
    unique = dict(sorted(zip(labels, handles, strict=True), key=lambda pair: pair[0]))
    columns = 2 if len(titles) == 1 else 3
    style = {"loc": "outside lower center", "ncols": columns, "frameon": False}
    figure.legend(unique.values(), unique.keys(), **style)
    peers.save_figure(figure, path, dpi=120)


def draw_arms(by_epochs, by_seconds, arms) -> None:
    """Draw every arm's curve, medians over the seeds, in both panels."""
    bests = []
    for arm in arms:
        curve = [median_point(points) for points in zip(*arm["curves"], strict=True)]
        percent = [100 * at["accuracy"] for at in curve]
        bests.append(max(percent))
        style = {"color": COLORS[arm["arm"]], "linestyle": LINES[arm["schedule"]]}
        style |= {"marker": "o", "markersize": 3}
        style["label"] = f"{arm['arm']}, {SCHEDULES[arm['schedule']]}"
        by_epochs.plot([at["epoch"] for at in curve], percent, **style)
        by_seconds.plot([at["seconds"] for at in curve], percent, **style)
        if arm["arm"] == LIFTED:
            for panel, key in ((by_epochs, "epoch"), (by_seconds, "seconds")):
                star = {"color": COLORS[LIFTED], "marker": "*", "markersize": 13}
                star |= {"linestyle": "", "label": FIT_ALONE}
                panel.plot(curve[0][key], percent[0], **star)
    for panel in (by_epochs, by_seconds):
        panel.set_ylim(min(bests) - SHOWN_POINTS, max(bests) + 0.1 * SHOWN_POINTS)
        panel.grid(alpha=0.25)


if __name__ == "__main__":
    sys.exit(main())
