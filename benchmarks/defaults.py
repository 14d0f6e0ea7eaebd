"""Study of the default `alpha` on tables that are drawn at random.

Tables differ in rows (200 to 3,000), features (2 to 80), classes, noise and the shape
of the boundary; another ``--seed`` gives other tables. LiftedMLPClassifier is
cross-validated (4-fold) with its default and with each of ``--alphas``, everything else
by default. Printed: accuracy and log-loss of each table, then for few, some and many
features the mean difference in accuracy from the default and the geometric mean of the
log-losses over the default's.
"""

from __future__ import annotations

import sys
from statistics import geometric_mean, mean

import peers

ROWS, FEATURES, CLASSES = (
    (200, 400, 800, 1500, 3000),
    (2, 3, 4, 6, 8, 12, 16, 24, 40, 80),
    (2, 3, 5),
)
GROUPS = {"2 to 8 features": (2, 8), "9 to 16": (9, 16), "17 to 80": (17, 80)}
KINDS = ("clusters", "quantiles", "surface", "noisy surface")


def main() -> int:
    """Run the study."""
    args = parse_arguments()
    peers.use_threads(args.threads)
    machine = peers.print_machine(args.threads)
    choices = ["auto", *args.alphas]
    print(f"\n{'table':<16}{'shape':>12} " + "".join(f"{c!s:>15}" for c in choices))
    results = []
    for name, X, y in draw_tables(args.tables, args.seed):
        scores = {str(choice): validate(choice, X, y) for choice in choices}
        results.append({"table": name, "shape": X.shape, "scores": scores})
        cells = "".join(
            f"{score['accuracy']:>7.1%} {score['log_loss']:<6.3f} "
            for score in scores.values()
        )
        print(f"{name:<16}{X.shape!s:>12} {cells}", flush=True)
    summary = {str(choice): summarise(results, str(choice)) for choice in args.alphas}
    print(f"\n{'against the default':<22}{'tables':>7}  accuracy  log-loss")
    for choice, groups in summary.items():
        for group, (count, points, ratio) in groups.items():
            title = f"{choice}, {group}"
            print(f"{title:<22}{count:>7}{points:>+10.2f}{ratio:>10.3f}")
    peers.write_json(args.json, machine, args, results=results, summary=summary)
    return 0


def parse_arguments():
    """Read the command line."""
    parser = peers.make_parser(__doc__, "six tables")
    add = parser.add_argument
    add("--tables", type=int, default=36, help="tables to draw (default: 36)")
    add("--seed", type=int, default=0, help="of the tables (default: 0)")
    alphas = {"type": float, "nargs": "+", "default": [0.3, 1.0, 3.0, 10.0]}
    add("--alphas", **alphas, help="to compare with the default (default: 0.3 1 3 10)")
    args = parser.parse_args()
    if args.quick:
        args.tables = 6
    if args.tables < 1 or min(args.alphas) < 0:
        parser.error("--tables must be at least 1 and --alphas not negative")
    return args


def draw_tables(count, seed):
    """Yield `count` tables: name, X, y."""
    import numpy as np

    rng = np.random.default_rng(seed)
    for number in range(count):
        kind = KINDS[int(rng.integers(len(KINDS)))]
        rows, features, classes = (
            int(rng.choice(c)) for c in (ROWS, FEATURES, CLASSES)
        )
        X, y = draw_table(kind, rows, features, classes, rng)
        yield f"{kind} {number}", X, y


def draw_table(kind, rows, features, classes, rng):
    """Return X and y of one table, classes about equally large."""
    import numpy as np
    from sklearn.datasets import make_classification, make_gaussian_quantiles

    state = int(rng.integers(2**31))
    if kind == "clusters":
        informative = max(2, int(features * rng.choice([0.3, 0.6, 1.0])))
        return make_classification(
            rows,
            features,
            n_informative=informative,
            n_redundant=0,
            # Two informative features have four corners to put clusters at.
            n_classes=min(classes, 2**informative // 2),
            n_clusters_per_class=1 if informative == 2 else int(rng.choice([1, 2])),
            flip_y=float(rng.choice([0.0, 0.05, 0.2])),
            class_sep=float(rng.choice([0.6, 1.0, 1.5])),
            random_state=state,
        )
    if kind == "quantiles":
        return make_gaussian_quantiles(
            n_samples=rows, n_features=features, n_classes=classes, random_state=state
        )
    X = rng.normal(size=(rows, features))
    first, second, third = rng.normal(size=(3, features)) / np.sqrt(features) @ X.T
    value = np.sin(2 * first) + second * third
    if kind == "noisy surface":
        value += 0.7 * rng.normal(size=rows)
    return X, np.digitize(value, np.quantile(value, np.arange(1, classes) / classes))


def validate(alpha, X, y) -> dict[str, float]:
    """Return accuracy and log-loss, means over four folds."""
    import numpy as np
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedKFold

    from liftnet import LiftedMLPClassifier

    accuracies, losses = [], []
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    for train, test in folds.split(X, y):
        clf = LiftedMLPClassifier(alpha=alpha, random_state=0).fit(X[train], y[train])
        proba = np.clip(clf.predict_proba(X[test]), 1e-7, None)
        proba /= proba.sum(axis=1, keepdims=True)
        accuracies.append((clf.classes_[proba.argmax(axis=1)] == y[test]).mean())
        losses.append(log_loss(y[test], proba, labels=clf.classes_))
    return {"accuracy": float(mean(accuracies)), "log_loss": float(mean(losses))}


def summarise(results, choice) -> dict[str, tuple[int, float, float]]:
    """Return tables, points of accuracy and ratio of log-losses for each group."""
    summary = {}
    for group, (least, most) in GROUPS.items():
        pairs = [
            (row["scores"][choice], row["scores"]["auto"])
            for row in results
            if least <= row["shape"][1] <= most
        ]
        if pairs:
            points = 100 * mean(one["accuracy"] - own["accuracy"] for one, own in pairs)
            ratio = geometric_mean(
                one["log_loss"] / own["log_loss"] for one, own in pairs
            )
            summary[group] = (len(pairs), points, ratio)
    return summary


if __name__ == "__main__":
    sys.exit(main())
