"""The trainers that liftnet is measured against, and what all benchmarks share.

Every trainer takes raw inputs in memory and class labels ``0 … n - 1``, and its clock
covers everything from there to a fitted network: scaling, conversion to tensors,
training. Evaluation is never on the clock. A trainer with a schedule has to be run
once per budget of passes (``fit_…`` returns one `Fit`); at a constant rate one run
shows every budget (``…_passes`` yields one `Fit` per pass, to be evaluated before the
next is asked for, since training goes on in the same network).

NumPy, scikit-learn and PyTorch are imported inside the functions, because their
number of threads is settled when they load: `use_threads` has to come first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata, util
from itertools import pairwise, product
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

PEAK_RATES = (3e-3, 1e-2, 2e-2)
BATCH_SIZES = (128, 256, 512)
# Flags of processors and their names, the widest first.
VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2", "asimd": "NEON"}
# Two networks whose held-out accuracies differ by less than this are not told apart by
# 10,000 images; the quicker setting is then the stronger baseline.
INDISTINCT = 0.001
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


class Fit(NamedTuple):
    """A trained network and what it cost."""

    passes: int
    seconds: float
    predict: Callable[[Any], Any]
    model: Any
    predict_proba: Callable[[Any], Any] | None = None

    def accuracy(self, X, y) -> float:
        """Return the share of the rows of `X` whose label is predicted correctly."""
        return float((self.predict(X) == y).mean())


class Split(NamedTuple):
    """Training and test part of a data set, as raw arrays."""

    X_train: Any
    y_train: Any
    X_test: Any
    y_test: Any


def use_threads(threads: int) -> None:
    """Give every library the same number of threads; RuntimeError if it is too late."""
    if "numpy" in sys.modules:
        raise RuntimeError("use_threads must be called before NumPy is imported")
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)


def has_torch() -> bool:
    """Tell whether PyTorch can be imported."""
    return util.find_spec("torch") is not None


def has_locoprop() -> bool:
    """Tell whether the package locoprop can be imported, and PyTorch with it."""
    return has_torch() and util.find_spec("locoprop") is not None


def make_parser(description, quick, threads=2, figure=None) -> argparse.ArgumentParser:
    """Return a parser with the options that the benchmarks share.

    `quick` and `figure` say what a reduced run and the picture are; without `figure`
    there is none. No number of `threads` leaves that option out.
    """
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=formatter)
    add = parser.add_argument
    if threads is not None:
        text = f"threads of every method (default: {threads})"
        add("--threads", type=int, default=threads, help=text)
    add("--quick", action="store_true", help=f"a reduced run: {quick}")
    add("--json", type=Path, metavar="JSON", help="write all measurements here")
    if figure:
        add("--figure", type=Path, metavar="PNG", help=figure)
    return parser


def print_machine(threads) -> dict[str, str]:
    """Print and return `describe_machine`."""
    machine = describe_machine(threads)
    for key, text in machine.items():
        print(f"{key:<10} {text}")
    return machine


def write_json(path, machine, args, **results) -> None:
    """Write machine, command line and results as JSON; nothing if `path` is None."""
    if path is None:
        return
    report = {"machine": machine, "arguments": vars(args), **results}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, default=str) + "\n")
    print(f"\nMeasurements: {path}")


def save_figure(figure, path, dpi=150) -> None:
    """Write a figure of Matplotlib to a file, whose folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi)
    print(f"\nFigure: {path}")


def show_progress(text) -> None:
    """Overwrite the progress line; nothing where the output is not a terminal."""
    if sys.stdout.isatty():
        print(f"\r\033[K  {text}", end="" if text else "\r", flush=True)


def timed(call) -> tuple[Any, float]:
    """Return what the call returns, and the seconds it took."""
    start = perf_counter()
    result = call()
    return result, perf_counter() - start


def describe_machine(threads: int) -> dict[str, str]:
    """Return versions, processor, BLAS libraries and thread counts as text."""
    import sklearn.neural_network  # noqa: F401 - loads every BLAS, to be seen below
    from threadpoolctl import threadpool_info

    versions = {"Python": platform.python_version()}
    for name in ("liftnet", "numpy", "scikit-learn", "torch"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    counts = f"{threads} for every method"
    if has_torch():
        counts += f" (PyTorch reports {_import_torch(threads).get_num_threads()})"
    blas = [
        f"{pool['internal_api']} {pool['version']}, {pool['num_threads']} threads"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    ]
    return {
        "versions": ", ".join(f"{name} {text}" for name, text in versions.items()),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "load": f"{os.getloadavg()[0]:.1f} before the run (near 0 on a quiet machine)",
        "BLAS": "; ".join(sorted(set(blas))) or "none reported",
        "threads": counts,
    }


def load_images(name: str, rows: int | None = None) -> Split:
    """Load ``"mnist"`` or ``"fashion_mnist"``; OSError if it is not on this machine."""
    from liftnet import datasets

    fetch = getattr(datasets, f"fetch_{name}")
    options = {"return_X_y": True, "download_if_missing": False}
    X, y = fetch(subset="train", **options)
    return Split(X[:rows], y[:rows], *fetch(subset="test", **options))


def fit_liftnet(X, y, *, hidden, seed, threads, passes=None, **params) -> Fit:
    """Fit liftnet with its defaults but for `passes` (``max_iter``) and `params`."""
    from liftnet import LiftedMLPClassifier

    if passes is not None:
        params["max_iter"] = passes
    model = LiftedMLPClassifier(hidden, random_state=seed, n_jobs=threads, **params)
    _, seconds = timed(lambda: model.fit(X, y))
    passes = passes or model.n_iter_
    return Fit(passes, seconds, model.predict, model, model.predict_proba)


def fit_sklearn(X, y, estimator, *, standardise=True) -> Fit:
    """Fit an estimator of scikit-learn, by default behind a StandardScaler."""
    import numpy as np
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    steps = [StandardScaler(), estimator] if standardise else [estimator]
    model = make_pipeline(*steps)
    with warnings.catch_warnings():
        # Defaults are what is measured, limits on iterations with them.
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, seconds = timed(lambda: model.fit(X, y))
    passes = int(np.max(estimator.n_iter_))
    return Fit(passes, seconds, model.predict, model, model.predict_proba)


def sklearn_passes(X, y, *, hidden, seed, passes=200, scale=255.0) -> Iterator[Fit]:
    """Train scikit-learn's MLPClassifier with its defaults, one pass at a time.

    Calls of ``partial_fit`` keep Adam's moments, which ``warm_start`` throws away, and
    cost a check of the input (2 % of a pass over MNIST). The random state is an object,
    not a number: a number would start each call, and so each pass, from the same
    shuffle. Stops where ``fit`` would.
    """
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(hidden, random_state=np.random.RandomState(seed))
    start = perf_counter()
    scaled, classes = X / np.float32(scale), np.unique(y)
    seconds = perf_counter() - start
    for number in range(1, passes + 1):
        start = perf_counter()
        model.partial_fit(scaled, y, classes=classes)
        seconds += perf_counter() - start
        yield Fit(
            number, seconds, lambda rows: model.predict(rows / np.float32(scale)), model
        )
        if _has_settled(model.loss_curve_, model.tol, model.n_iter_no_change):
            return


def adam_passes(
    X,
    y,
    *,
    hidden,
    seed,
    threads,
    passes,
    rate=1e-3,
    batch_size=128,
    scale=255.0,
    decay=False,
    lifted=None,
) -> Iterator[Fit]:
    """Train the same network in PyTorch with Adam, one pass at a time.

    The rate is constant or, with `decay`, falls to 0 along a cosine over `passes`.
    `lifted`, a fitted LiftedMLPClassifier, gives the initial weights in place of
    PyTorch's own; the time of its fit is not counted here.
    """
    torch = _import_torch(threads)
    start = perf_counter()
    net, optimizer, tensors, methods = _start_torch(X, y, hidden, seed, rate, scale)
    if lifted is not None:
        _copy_lifted(lifted, net, scale)
    schedule = None
    if decay:
        steps = passes * -(-len(X) // batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    seconds = perf_counter() - start
    for number in range(1, passes + 1):
        start = perf_counter()
        _train_pass(net, optimizer, tensors, batch_size, schedule)
        seconds += perf_counter() - start
        yield Fit(number, seconds, methods[0], net, methods[1])


def fit_one_cycle(
    X,
    y,
    *,
    hidden,
    seed,
    threads,
    passes,
    peak_rate,
    batch_size,
    components=None,
    scale=255.0,
) -> Fit:
    """Train the same network in PyTorch with Adam under a one-cycle schedule.

    Inputs are divided by `scale` or, if that is None, standardised feature by feature.
    With `components`, they are first projected on that many principal components,
    not whitened; finding them is on the clock.
    """
    torch = _import_torch(threads)
    start = perf_counter()
    net, optimizer, tensors, methods = _start_torch(
        X, y, hidden, seed, peak_rate, scale, components
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=peak_rate, total_steps=passes * -(-len(X) // batch_size)
    )
    for _ in range(passes):
        _train_pass(net, optimizer, tensors, batch_size, schedule)
    return Fit(passes, perf_counter() - start, methods[0], net, methods[1])


def fit_locoprop(X, y, *, hidden, seed, threads, passes, rate, batch_size) -> Fit:
    """Train the same network by LocoProp, as the package locoprop 0.1.0 has it.

    Its defaults but for the `rate` of its local optimiser; inputs are standardised
    feature by feature.
    """
    torch = _import_torch(threads)
    from locoprop import LocoLayer, LocopropTrainer
    from torch import nn

    start = perf_counter()
    torch.manual_seed(seed)
    prepare = _input_map(X, None, None)
    inputs, labels = prepare(X), torch.from_numpy(y)
    *below, last = _build_net((inputs.shape[1], *hidden, int(y.max()) + 1))
    layers = [
        LocoLayer(linear, relu)
        for linear, relu in zip(below[::2], below[1::2], strict=True)
    ]
    net = nn.Sequential(*layers, LocoLayer(last, nn.Softmax(1), implicit=True))
    local = {"lr": rate, "eps": 1e-6, "momentum": 0.999, "alpha": 0.9}
    loss = nn.functional.cross_entropy
    trainer = LocopropTrainer(net, loss, optimizer_hparams=local)
    for _ in range(passes):
        for rows in torch.randperm(len(inputs)).split(batch_size):
            trainer.step(inputs[rows], labels[rows])
    seconds = perf_counter() - start
    predict, predict_proba = _torch_methods(net, prepare)
    return Fit(passes, seconds, predict, net, predict_proba)


def tune_one_cycle(
    X, y, *, peak_rates=PEAK_RATES, batch_sizes=BATCH_SIZES, **run
) -> tuple[dict, list[dict]]:
    """Choose peak rate and batch size of `fit_one_cycle` on a held-out sixth.

    Returns
    -------
    choice, grid : dict, list of dict
        The quickest of the settings that are as accurate as the best one; and every
        setting with its held-out accuracy.
    """
    from sklearn.model_selection import train_test_split

    X_fit, X_held, y_fit, y_held = train_test_split(
        X, y, test_size=1 / 6, stratify=y, random_state=run["seed"]
    )
    grid = []
    for rate, size in product(peak_rates, batch_sizes):
        setting = {"peak_rate": rate, "batch_size": size}
        fit = fit_one_cycle(X_fit, y_fit, **setting, **run)
        grid.append({**setting, "accuracy": fit.accuracy(X_held, y_held)})
    best = max(row["accuracy"] for row in grid)
    good = [row for row in grid if row["accuracy"] >= best - INDISTINCT]
    choice = dict(max(good, key=lambda row: (row["batch_size"], row["accuracy"])))
    del choice["accuracy"]
    return choice, grid


def _processor() -> str:
    # The model and the widest vectors, on which products depend more than on the model.
    info = Path("/proc/cpuinfo")
    fields: dict[str, str] = {}
    if info.exists():
        for line in info.read_text().splitlines():
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    flags = fields.get("flags", fields.get("Features", "")).split()
    vectors = [name for flag, name in VECTORS.items() if flag in flags][:1]
    model = fields.get("model name") or platform.processor() or platform.machine()
    return ", ".join([model, *vectors])


def _import_torch(threads):
    import torch

    torch.set_num_threads(threads)
    return torch


def _has_settled(losses, tol, patience) -> bool:
    # scikit-learn's own rule: more than `patience` passes in a row that did not beat
    # the least loss so far by `tol`.
    best, idle = float("inf"), 0
    for loss in losses:
        idle = idle + 1 if loss > best - tol else 0
        best = min(best, loss)
    return idle > patience


def _start_torch(X, y, hidden, seed, rate, scale, components=None):
    import torch

    torch.manual_seed(seed)
    prepare = _input_map(X, scale, components)
    inputs, labels = prepare(X), torch.from_numpy(y)
    net = _build_net((inputs.shape[1], *hidden, int(y.max()) + 1))
    # The fused form is the quickest of Adam's three on CPUs.
    optimizer = torch.optim.Adam(net.parameters(), lr=rate, fused=True)
    return net, optimizer, (inputs, labels), _torch_methods(net, prepare)


def _torch_methods(net, prepare):
    import torch

    def logits(rows):
        with torch.inference_mode():
            return net(prepare(rows)).double()

    def predict(rows):
        return logits(rows).argmax(1).numpy()

    def predict_proba(rows):
        return logits(rows).softmax(1).numpy()

    return predict, predict_proba


def _input_map(X, scale, components):
    import torch
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    if scale is None:
        scaler = StandardScaler().fit(X)
        return lambda rows: torch.from_numpy(scaler.transform(rows)).float()
    if components is None:
        return lambda rows: torch.from_numpy(rows).float() / scale
    pca = PCA(components, random_state=0).fit(X / scale)
    return lambda rows: torch.from_numpy(pca.transform(rows / scale)).float()


def _build_net(sizes):
    from torch import nn

    layers = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _copy_lifted(model, net, scale) -> None:
    import torch

    exported = model.to_torch(dtype=net[0].weight.dtype)
    with torch.no_grad():
        # The export takes raw inputs, `net` takes inputs divided by `scale`. The two
        # compute the same; but Adam moves all weights alike, and those that meet raw
        # pixels would be far too small for that.
        exported[0].weight.mul_(scale)
    net.load_state_dict(exported.state_dict())


def _train_pass(net, optimizer, tensors, batch_size, schedule=None):
    # Tensors in memory and shuffled indices: a DataLoader would only add to the time.
    import torch

    inputs, labels = tensors
    for rows in torch.randperm(len(inputs)).split(batch_size):
        logits = net(inputs.index_select(0, rows))
        loss = torch.nn.functional.cross_entropy(logits, labels.index_select(0, rows))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
