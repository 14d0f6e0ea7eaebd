"""Show liftnet beside scikit-learn, then carry a trained network over to PyTorch.

Runs in under three minutes on two cores. Digits come with scikit-learn; MNIST and
Fashion-MNIST take part if they are on this machine. Both methods train the same network
on the same rows in the same run, liftnet with its defaults; the seconds cover
everything from raw arrays to a fitted network.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, NamedTuple

import peers

BUDGETS = (1, 2, 3, 5)
# scikit-learn would stop by itself only after dozens of passes over 60,000 images.
CAP = 10
FINE_TUNING_RATE = 1e-4
LOGIT_TOLERANCE = 1e-3


class Task(NamedTuple):
    """A data set and the network that is trained on it."""

    title: str
    split: peers.Split
    hidden: tuple[int, ...]
    scale: float
    cap: int


class Point(NamedTuple):
    """What one fit took and what it reached on the test rows."""

    passes: int
    seconds: float
    accuracy: float


class Result(NamedTuple):
    """Points of one task: liftnet's default and budgets, scikit-learn per pass."""

    task: Task
    model: Any
    default: Point
    budgets: list[Point]
    sklearn: list[Point]


def main() -> int:
    """Run the demonstration; the exit status is 1 if the exported network differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--figure", type=Path, default=Path("docs/figures/demo.png"), metavar="PNG")
    add("--threads", type=int, default=2, help="threads of both methods (default: 2)")
    add("--rows", type=int, help="use the first ROWS training images only: a quick try")
    args = parser.parse_args()
    peers.use_threads(args.threads)

    print(f"liftnet and scikit-learn on {args.threads} threads\n")
    tasks = [load_digits(), *load_image_tasks(args.rows)]
    # Every library loads and starts its threads before a clock runs.
    run_task(tasks[0]._replace(cap=2), args.threads)
    results = []
    print_header()
    for task in tasks:
        results.append(run_task(task, args.threads))
        print_row(results[-1])
    print_footnotes(results)
    draw_figure(results, args.figure)
    by_title = {result.task.title: result for result in results}
    return continue_in_torch(by_title.get("MNIST", results[0]), args.threads)


def load_digits() -> Task:
    """Load scikit-learn's 8 x 8 digits and set a fifth aside for testing."""
    from sklearn.model_selection import train_test_split

    from liftnet import datasets

    X, y = datasets.load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.2, stratify=y, random_state=0
    )
    split = peers.Split(X_train, y_train, X_test, y_test)
    return Task("Digits", split, (100,), 16.0, 200)


def load_image_tasks(rows) -> list[Task]:
    """Load MNIST and Fashion-MNIST, or say that they are missing."""
    tasks = []
    for name, title in (("mnist", "MNIST"), ("fashion_mnist", "Fashion-MNIST")):
        try:
            split = peers.load_images(name, rows)
        except OSError:
            print(
                f"{title} is not on this machine and is left out; to fetch it once:\n"
                f"  python -c 'from liftnet import datasets; "
                f"datasets.fetch_{name}(download_if_missing=True)'\n"
            )
            continue
        tasks.append(Task(title, split, (300,), 255.0, CAP))
    return tasks


def run_task(task, threads) -> Result:
    """Fit liftnet by default and at each budget, and scikit-learn pass by pass."""
    split = task.split
    train = split.X_train, split.y_train
    run = {"hidden": task.hidden, "seed": 0}

    def evaluate(fit):
        accuracy = fit.accuracy(split.X_test, split.y_test)
        return Point(fit.passes, fit.seconds, accuracy)

    default = peers.fit_liftnet(*train, threads=threads, **run)
    budgets = [
        evaluate(peers.fit_liftnet(*train, threads=threads, passes=passes, **run))
        for passes in BUDGETS
    ]
    passes = peers.sklearn_passes(*train, passes=task.cap, scale=task.scale, **run)
    sklearn = [evaluate(fit) for fit in passes]
    return Result(task, default.model, evaluate(default), budgets, sklearn)


def print_header() -> None:
    """Print the head of the table."""
    print(f"{'data set':<15}{'network':<13}{'method':<14}passes  accuracy  seconds")
    print("-" * 67)


def print_row(result) -> None:
    """Print both methods on one data set, and the ratio of their times."""
    task, own, peer = result.task, result.default, result.sklearn[-1]
    sizes = (task.split.X_train.shape[1], *task.hidden, 10)
    first = f"{task.title:<15}{'-'.join(map(str, sizes)):<13}"
    capped = "*" if peer.passes == task.cap else " "
    for start, name, point in ((first, "liftnet", own), ("", "scikit-learn", peer)):
        mark = capped if point is peer else " "
        print(
            f"{start:<28}{name:<14}{point.passes:>6}{mark}{point.accuracy:>9.2%}"
            f"{point.seconds:>9.2f}"
        )
    ratio = f"{peer.seconds / own.seconds:.1f} x liftnet's seconds"
    print(f"{'':<28}{'':<14}{ratio:>25}\n", flush=True)


def print_footnotes(results) -> None:
    """Explain the stars of the table, if there are any."""
    if any(result.sklearn[-1].passes == result.task.cap for result in results):
        print("* scikit-learn was stopped here, before its own rule would stop it:")
        print("  at 200 passes over digits, because that is its default limit;")
        print(f"  at {CAP} passes over images, to keep this demonstration short.\n")


def draw_figure(results, path) -> None:
    """Draw test accuracy against seconds, one panel per data set."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    size = (max(7.6, 3.8 * len(results)), 3.8)
    figure, panels = plt.subplots(1, len(results), figsize=size, layout="constrained")
    panels = [panels] if len(results) == 1 else panels
    for panel, result in zip(panels, results, strict=True):
        for points, style in (
            (result.budgets, {"color": "#D55E00", "marker": "o", "linewidth": 2.5}),
            ([result.default], {"color": "#D55E00", "marker": "*", "markersize": 14}),
            (result.sklearn, {"color": "#000000", "marker": "v", "markersize": 4}),
        ):
            percent = [100 * point.accuracy for point in points]
            panel.plot([point.seconds for point in points], percent, **style)
        panel.set(title=result.task.title, xscale="log", xlabel="seconds of training")
        panel.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter(ticker.NullFormatter())
        panel.grid(alpha=0.25)
    panels[0].set_ylabel("test accuracy, %")
    names = (
        f"liftnet, whole fits of {', '.join(map(str, BUDGETS))} passes",
        "liftnet, default",
        "scikit-learn, per pass",
    )
    lines = panels[0].get_lines()
    figure.legend(lines, names, loc="outside lower center", ncols=3, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    print(f"Figure of accuracy against seconds: {path}\n")


def continue_in_torch(result, threads) -> int:
    """Export liftnet's network to PyTorch, compare the logits and fine-tune there."""
    if not peers.has_torch():
        print("PyTorch is not installed, so the export to it is not shown.")
        return 0
    print(f"The {result.task.title} network goes on in PyTorch: clf.to_torch()")
    net = result.model.to_torch()
    tensors = to_tensors(result.task.split, net, threads)
    ours = result.model.decision_function(result.task.split.X_test)
    if not logits_agree(net, tensors[2], ours):
        print("ERROR: PyTorch computes other logits than liftnet.", file=sys.stderr)
        return 1
    before = torch_accuracy(net, *tensors[2:])
    fine_tune(net, *tensors[:2], result.task.scale)
    after = torch_accuracy(net, *tensors[2:])
    print(f"  accuracy as exported                     {before:.2%}")
    print(f"  after one more pass, of Adam in PyTorch  {after:.2%}")
    return 0


def to_tensors(split, net, threads) -> list[Any]:
    """Return the parts of a split as tensors, inputs raw as the export takes them."""
    import torch

    torch.set_num_threads(threads)
    dtype = next(net.parameters()).dtype
    tensors = [torch.as_tensor(part) for part in split]
    return [part.to(dtype) if part.is_floating_point() else part for part in tensors]


def logits_agree(net, inputs, ours) -> bool:
    """Compare PyTorch's logits with liftnet's, in proportion to large ones."""
    import torch

    with torch.inference_mode():
        theirs = net(inputs).numpy()
    difference = abs(theirs - ours)
    print(f"  largest difference between the logits    {difference.max():.1e}")
    return bool((difference <= LOGIT_TOLERANCE * abs(ours).clip(1)).all())


def torch_accuracy(net, inputs, labels) -> float:
    """Return the share of the inputs that the PyTorch network labels correctly."""
    import torch

    with torch.inference_mode():
        return float((net(inputs).argmax(1) == labels).double().mean())


def fine_tune(net, inputs, labels, scale) -> None:
    """Train the exported network for one pass with Adam, all rates falling to zero."""
    import torch

    torch.manual_seed(0)
    # Adam moves every weight by about its rate, whatever the inputs' unit: weights that
    # meet raw pixels must move as much less as pixels are larger than 1.
    groups = [
        {"params": [net[0].weight], "lr": FINE_TUNING_RATE / scale},
        {"params": [p for p in net.parameters() if p is not net[0].weight]},
    ]
    optimizer = torch.optim.Adam(groups, lr=FINE_TUNING_RATE)
    batches = torch.randperm(len(inputs)).split(128)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, len(batches))
    for rows in batches:
        loss = torch.nn.functional.cross_entropy(net(inputs[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


if __name__ == "__main__":
    sys.exit(main())
