"""What the benchmarks compute beside times: tables, summaries, counts, the page."""

import argparse
import json
import os
import sys
from math import sqrt
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.tree import DecisionTreeClassifier

from liftnet import LiftedMLPClassifier

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import defaults
import grid_search
import memory
import micro
import peers
import rate
import regularisation
import report
import scaling
import stability
import table_data
import tables
import time_to_accuracy

SHAPES = {
    "iris": (150, 4, 3),
    "wine": (178, 13, 3),
    "breast cancer": (569, 30, 2),
    "digits": (1797, 64, 10),
    "few rows": (150, 10, 2),
    "2 features": (1000, 2, 2),
    "5 features": (4000, 5, 3),
    "300 features": (3000, 300, 2),
    "wide": (200, 300, 3),
    "rare class": (6000, 20, 2),
    "rare class, noisy": (800, 10, 2),
    "noisy labels": (3000, 20, 2),
    "redundant": (2000, 50, 2),
    "bad units": (2000, 20, 2),
    "heavy tails": (3000, 20, 2),
    "yes or no": (4000, 60, 3),
    "26 classes": (10_000, 16, 26),
    "20 blobs": (2000, 6, 20),
    "xor": (3000, 10, 2),
    "moons": (1000, 2, 2),
    "circles": (1000, 2, 2),
    "spirals": (1500, 2, 3),
    "checkerboard": (4000, 2, 2),
    "shells": (8000, 10, 4),
    "hastie": (12_000, 10, 2),
    "many rows": (20_000, 40, 5),
}


@pytest.mark.parametrize("name", table_data.table_names())
def test_tables_are_what_they_say(name):
    table = table_data.make_table(name)
    assert table.shape == SHAPES[name]
    assert table.X.dtype == np.float64 and table.X.flags.c_contiguous
    assert table.y.dtype == np.int64
    assert np.isfinite(table.X).all()
    counts = np.bincount(table.y)
    assert len(counts) == table.shape[2]
    # Five folds and a held-out fifth of their training rows hold every class.
    assert counts.min() >= 10
    if "rare" in name:
        assert counts.min() / len(table.y) == pytest.approx(0.05, abs=0.02)
    again = table_data.make_table(name)
    assert_array_equal(again.X, table.X)
    assert_array_equal(again.y, table.y)


def test_the_traits_of_made_tables():
    deviation = table_data.make_table("bad units").X.std(0)
    assert deviation.min() < 1e-3 and deviation.max() > 1e3
    tails = table_data.make_table("heavy tails").X
    scores = abs(tails - np.median(tails, 0)) / tails.std(0)
    assert (scores.max(0) > 8).mean() > 0.8
    redundant = table_data.make_table("redundant").X
    assert np.linalg.matrix_rank(redundant - redundant.mean(0)) <= 6
    assert set(np.unique(table_data.make_table("yes or no").X)) == {0, 1}


@pytest.mark.parametrize("name", ["xor", "circles", "spirals", "checkerboard"])
def test_curved_boundaries_are_no_lines(name):
    X, y = table_data.make_table(name)[2:]
    line = LogisticRegression().fit(X, y).score(X, y)
    curve = HistGradientBoostingClassifier(max_iter=50).fit(X, y).score(X, y)
    assert line < 0.7 < 0.85 < curve


def test_labels_of_the_board_and_of_xor_are_mostly_right():
    board, xor = (table_data.make_table(name) for name in ("checkerboard", "xor"))
    for y, truth in (
        (board.y, np.floor(board.X).sum(1) % 2),
        (xor.y, xor.X[:, 0] * xor.X[:, 1] > 0),
    ):
        assert 0.93 < (y == truth).mean() < 0.99


def test_fewer_rows_keep_the_shares_of_the_classes():
    table = table_data.make_table("rare class", 200)
    assert table.shape == (200, 20, 2)
    assert table.y.mean() == pytest.approx(0.05, abs=0.01)
    assert table_data.make_table("iris", 1000).shape == SHAPES["iris"]


def test_mixtures_have_the_size_asked_for_and_every_class():
    for dtype in ("float32", "float64"):
        X, y = table_data.make_mixtures(5000, 60, 7, dtype)
        assert X.shape == (5000, 60) and X.dtype == dtype
        assert_array_equal(np.unique(y), np.arange(7))
        # 40 factors, then noise: what the input map is meant to see.
        values = np.linalg.eigvalsh(np.cov(X.T.astype(float)))[::-1]
        assert values[40:].max() < 1.5 < 5 < values[20]
    assert len(np.unique(table_data.make_mixtures(50, 5, 50)[1])) == 50


def test_log_loss_is_scikit_learns():
    rng = np.random.default_rng(0)
    proba, y = rng.dirichlet(np.ones(4), 100), rng.integers(4, size=100)
    own = tables.log_loss(proba, y)
    assert own == pytest.approx(log_loss(y, proba, labels=range(4)))
    sure = tables.log_loss(np.array([[0.0, 1.0]]), np.array([0]))
    assert sure == pytest.approx(-np.log(1e-15))


def test_batches_are_a_hundredth_of_the_rows():
    sizes = [tables.choose_batch_size(rows) for rows in (20, 3000, 6400, 20_000, 10**6)]
    assert sizes == [32, 32, 64, 256, 256]


def _row(name, **methods):
    methods = {
        method: {"accuracy": a, "log_loss": loss, "seconds": s}
        for method, (a, loss, s) in methods.items()
    }
    sizes = {"rows": 100, "features": 2, "classes": 2, "trait": "planted"}
    return {"table": name, **sizes, "methods": methods}


@pytest.fixture
def planted():
    """Three tables with a peer that liftnet beats, equals and loses to."""
    return [
        _row("one", liftnet=(0.90, 0.2, 1.0), peer=(0.80, 0.4, 2.0)),
        _row("two", liftnet=(0.704, 0.5, 1.0), peer=(0.70, 0.5, 3.0)),
        _row("three", liftnet=(0.50, 0.9, 2.0), peer=(0.56, 0.1, 7.0)),
    ]


def test_the_summary_of_planted_numbers(planted):
    summary = tables.summarise(planted)
    assert list(summary) == ["peer"]
    row = summary["peer"]
    assert row["points"] == pytest.approx((10 + 0.4 - 6) / 3)
    assert row["log_loss"] == pytest.approx((0.5 * 1 * 9) ** (1 / 3))
    assert row["time"] == pytest.approx(12 / 4)
    assert (row["better"], row["even"], row["worse"]) == (1, 1, 1)
    assert row["worst"] == "three" and row["worst_points"] == pytest.approx(-6)


def test_a_vanishing_log_loss_has_a_finite_ratio():
    row = _row("sure", liftnet=(1, 0.0, 1), peer=(1, 1e-3, 1))
    assert tables.loss_ratio(row, "peer") == pytest.approx(0.1)


def test_all_methods_see_the_same_folds_and_are_averaged():
    table = table_data.make_table("iris")
    seen = {"liftnet": [], "peer": []}

    def method(name, seconds):
        def fit(X, y):
            seen[name].append(X)
            model = DecisionTreeClassifier(random_state=0).fit(X, y)
            proba = model.predict_proba
            return peers.Fit(1, seconds, model.predict, model, proba), {"of": name}

        return fit

    methods = {"liftnet": method("liftnet", 1.0), "peer": method("peer", 2.0)}
    result = tables.measure(table, methods, 3)
    assert len(seen["peer"]) == 3
    for own, other in zip(*seen.values(), strict=True):
        assert own.shape == (100, 4)
        assert_array_equal(own, other)
    own, other = result["methods"].values()
    assert own["accuracy"] == other["accuracy"] > 0.9
    assert (own["seconds"], other["seconds"]) == (3.0, 6.0)
    assert [fold["setting"] for fold in other["folds"]] == [{"of": "peer"}] * 3


def test_tuning_takes_what_is_best_on_the_held_out_fifth():
    X, y = np.arange(100.0)[:, None], np.arange(100) % 2
    calls = []

    def fit(X, y, *, rate, passes, batch_size):
        calls.append((len(y), rate, passes))
        sure = 0.9 if (rate, passes) == (3, tables.PASSES[1]) else 0.6

        def predict_proba(rows):
            right = np.where(rows[:, 0] % 2 == 1, sure, 1 - sure)
            return np.column_stack([1 - right, right])

        return SimpleNamespace(predict_proba=predict_proba)

    _, setting = tables.fit_tuned(fit, "rate", (1, 3), X, y)
    assert setting == {"rate": 3, "passes": tables.PASSES[1], "batch_size": 32}
    assert [rows for rows, *_ in calls] == [80] * 4 + [100]
    assert calls[-1][1:] == (3, tables.PASSES[1])


def test_every_method_classifies_a_simple_table():
    X, y = table_data.make_table("breast cancer", 200)[2:]
    for name, method in tables.list_methods(1).items():
        fit, setting = method(X, y)
        proba = fit.predict_proba(X)
        assert fit.accuracy(X, y) > 0.9, name
        assert_allclose(proba.sum(1), 1, atol=1e-9)
        assert_array_equal(proba.argmax(1), fit.predict(X))
        assert (setting is None) == (name not in (tables.ADAM, tables.LOCOPROP))


def test_what_is_drawn_depends_on_seed_and_number_alone():
    drawn = [stability.draw(3, number) for number in range(60)]
    assert drawn[7] == stability.draw(3, 7) != stability.draw(4, 7)
    assert len({one["table"] for one in drawn}) > 10
    for one in drawn:
        assert 20 <= one["rows"] <= 400
        params = one["params"]
        hidden, names = params["hidden_layer_sizes"], params["activation"]
        assert names == "relu" if not hidden else len(names) == len(hidden)
    X, y = stability.take_rows(drawn[0])
    again = stability.take_rows(drawn[0])
    assert X.dtype == drawn[0]["dtype"] and len(X) <= drawn[0]["rows"]
    assert_array_equal(X, again[0])
    assert_array_equal(y, again[1])


@pytest.mark.parametrize("failure", [None, "raised", "not finite", "worse"])
def test_every_failure_is_told_from_a_good_fit(failure, monkeypatch, capsys):
    drawn = {"table": "iris", "rows": 90, "rows_seed": 0, "dtype": "float32"}
    drawn["params"] = {"hidden_layer_sizes": [5], "random_state": 1}

    class Planted:
        coefs_ = (np.ones((4, 3)),)
        intercepts_ = (np.full(3, np.nan if failure == "not finite" else 0.0),)

        def __init__(self, **params):
            assert params == {**drawn["params"], "n_jobs": 1}

        def fit(self, X, y):
            assert X.shape == (90, 4) and X.dtype == np.float32
            # Half a point below the largest class is no failure, two points are.
            share = np.bincount(y).max() / len(y)
            self.accuracy = share - (0.02 if failure == "worse" else 0.005)
            if failure == "raised":
                raise FloatingPointError("planted")

        def score(self, X, y):
            return self.accuracy

        def predict_proba(self, X):
            return np.tile([0.5, 0.25, 0.25], (len(X), 1))

    monkeypatch.setattr("liftnet.LiftedMLPClassifier", Planted)
    outcome = stability.check(drawn, 1)
    expected = stability.WORSE if failure == "worse" else failure
    assert outcome["failure"] == expected
    stability.print_outcome(5, outcome)
    printed = capsys.readouterr().out
    assert "fit 5" in printed and "'iris', 90 rows" in printed
    assert "hidden_layer_sizes=[5]" in printed and "random_state=1" in printed
    assert ("planted" in printed) == (failure == "raised")
    assert ("logistic regression" in printed) == (failure == "worse")
    if failure:
        assert stability.count([outcome])[expected] == 1


def test_a_failure_is_set_beside_a_convex_fit():
    X, y = load_iris(return_X_y=True)
    model = LiftedMLPClassifier([5], random_state=0).fit(X, y)
    seen = stability.look_closer(model, X, y)
    assert seen["log_loss"] == pytest.approx(log_loss(y, model.predict_proba(X)))
    assert seen["constant_log_loss"] == pytest.approx(np.log(3))
    assert seen["logistic"] > 0.9
    without = LiftedMLPClassifier([], random_state=0).fit(X, y)
    assert stability.look_closer(without, X, y)["logistic"] > 0.9


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_is_that_of_what_follows():
    piece = 64 * 2**20
    np.ones(4 * piece // 8)
    before = memory.forget_peak()
    np.ones(piece // 8)
    assert 0.8 * piece < memory.peak_size() - before < 1.5 * piece


def test_made_data_of_the_memory_benchmark():
    X, y, data = memory.make_data(1000, "float32", True)
    assert (X.shape, X.dtype, data) == ((1000, 784), np.float32, "synthetic")
    assert_array_equal(np.unique(y), np.arange(10))


def test_exponents_of_a_power_law():
    sizes = (10, 100, 1000, 4000)
    power = scaling.exponents([(n, 3e-6 * n**1.7) for n in sizes])
    assert power == pytest.approx({"all": 1.7, "end": 1.7})
    # A fixed cost hides the growth of small sizes, not the end.
    bent = scaling.exponents([(n, 1 + 1e-6 * n**2) for n in sizes])
    assert bent["all"] < 0.5 < 1 < bent["end"] < 2


def test_operations_are_counted_by_hand():
    # 100 rows of 6 features in 4 directions, layers 5 x 3 and 4 x 2, 25 steps a pass.
    counts = rate.count_operations(100, 6, 4, (3, 2), 2, 4)
    forward = 5 * 3 + 4 * 2
    refreshes = len([0, 1, 2, 4, 8, 16, 32])
    assert counts == {
        "layers": 2 * 2 * 100 * (2 * forward + 3 * 2),
        "metrics": 2 * 2 * 25 * (4 * 4 * 2),
        "Gram matrices": 2 * (refreshes * 100 * (forward + 8) + 100 * 18),
        "input map": 2 * 100 * 6 * 4,
        "noise": 0,
    }
    noisy = rate.count_operations(100, 6, 4, (3, 2), 2, 4, 1.5)
    assert noisy["noise"] == 2 * 1.5 * 100 * (forward + 4 * 3 + 3 * 2)
    assert {**noisy, "noise": 0} == counts
    # In all directions the noise has a metric, a matrix.
    whole = rate.count_operations(100, 4, 4, (3, 2), 2, 4, 1.5)
    assert whole["noise"] == noisy["noise"] + 2 * 1.5 * 100 * 4 * 4
    # A linear model has no metric but that of its input map.
    assert rate.count_operations(100, 6, 4, (2,), 2, 4)["metrics"] == 0


def test_refreshes_come_once_a_pass_in_the_end():
    assert rate.count_refreshes(10, 1) == len([0, 1, 2, 4, 8])
    assert rate.count_refreshes(10, 4) == len([0, 1, 2, 4, 8, 16, 26, 36])


@pytest.fixture
def results(planted):
    """Small results of some benchmarks, as their files hold them."""
    machine = {"versions": "liftnet 0", "load": "0.1 before", "threads": "1"}
    offender = {**stability.draw(0, 3), "number": 3, "failure": stability.WORSE}
    offender |= {"accuracy": 0.5, "largest_class": 0.75}
    counts = {stability.WORSE: 1}
    curve = [{"size": n, "1": n / 100} for n in (10, 1000)]
    own = {
        "tables": {"tables": planted, "summary": tables.summarise(planted)},
        "stability": {"fits": 9, "counts": counts, "offenders": [offender]},
        "scaling": {
            "base": {"rows": 50, "width": 3},
            "axes": {
                "rows": {
                    "points": curve,
                    "exponents": {"1": {"all": 1.0, "end": sqrt(2)}},
                }
            },
        },
    }
    arguments = {"folds": 3, "seed": 0, "quick": False}
    return {
        name: {"machine": machine, "arguments": arguments, **rest}
        for name, rest in own.items()
    }


def test_the_page_holds_what_the_files_hold(results, tmp_path, monkeypatch, capsys):
    page = tmp_path / "docs" / "benchmarks.md"
    (page.parent / "figures").mkdir(parents=True)
    (page.parent / "figures" / "tables.png").touch()
    for name, result in results.items():
        arguments = SimpleNamespace(**result.pop("arguments"))
        path = tmp_path / f"{name}.json"
        peers.write_json(path, result.pop("machine"), arguments, **result)
    (tmp_path / "unknown.json").write_text("no JSON")
    command = ["report.py", "--results", str(tmp_path), "--page", str(page)]
    monkeypatch.setattr(sys, "argv", command)
    assert report.main() == 0
    text = page.read_text()
    assert text.startswith(report.NOTICE) and "Generated" in report.NOTICE
    assert text.count("- versions: liftnet 0") == len(results)
    assert "| peer | +1.47 | 1.65 | 3.0 | 1 / 1 / 1 | three (-6.00) |" in text
    assert "| one (planted) | 100 x 2, 2 | 90.00, 0.200, 1.00 s |" in text
    assert "![Small and middle tables](figures/tables.png)" in text
    assert "`--seed 0 --only 3`" in text and "50.00%, largest class 75.00%" in text
    assert "| exponent at the end | 1.41 |" in text
    assert "figures/scaling.png" not in text and "Kernels" not in text


def test_rates_are_read_from_what_criterion_writes(tmp_path, capsys):
    for name, operations, nanoseconds in [("peak", 4e6, 1e6), ("a block", 6e3, 2e3)]:
        folder = tmp_path / "kernels" / name.replace(" ", "_") / "new"
        folder.mkdir(parents=True)
        (folder / "estimates.json").write_text(
            json.dumps({"median": {"point_estimate": nanoseconds}})
        )
        throughput = {"Elements": int(operations)}
        benchmark = {"function_id": name, "throughput": throughput}
        (folder / "benchmark.json").write_text(json.dumps(benchmark))
    peak, block = micro.add_shares(micro.read_results(tmp_path))
    assert (peak["kernel"], peak["rate"], peak["share"]) == ("peak", 4.0, 1.0)
    assert (block["seconds"], block["rate"], block["share"]) == (2e-6, 3.0, 0.75)
    micro.print_rates(1, [peak, block])
    assert "75%" in capsys.readouterr().out
    text = report.render_micro({"rates": {"1": [peak, block], "2": [peak, block]}})
    assert "| a block | 2.0 | 3.0 | 75% | 2.0 | 3.0 | 75% |" in text
    assert "1 thread, us" in text and "2 threads, us" in text


def test_a_crate_that_does_not_build_says_why(monkeypatch):
    monkeypatch.setattr(micro, "CRATE", Path("nowhere"))
    with pytest.raises(SystemExit, match=r"cargo build .* failed:\n.*nowhere"):
        micro.build()


def test_the_page_tells_machines_and_reduced_runs_apart(results, tmp_path):
    results["scaling"]["machine"] = {"versions": "liftnet 1"}
    results["scaling"]["arguments"] = {"quick": True}
    text = report.write_page(results, tmp_path)
    assert text.count("- versions: liftnet 0") == 2
    assert text.count("- versions: liftnet 1") == 1
    assert text.count("a reduced run") == 1


def test_the_page_keeps_what_was_not_run_again(results, tmp_path, monkeypatch):
    page = tmp_path / "benchmarks.md"
    page.write_text(report.write_page(results, tmp_path))
    before = report.split_page(page.read_text())
    assert list(before) == ["tables", "scaling", "stability"]
    machine = results["scaling"]["machine"] | {"versions": "liftnet 1"}
    one = results["scaling"] | {"machine": machine}
    (tmp_path / "scaling.json").write_text(json.dumps(one))
    command = ["report.py", "--results", str(tmp_path), "--page", str(page)]
    monkeypatch.setattr(sys, "argv", [*command, "--keep"])
    assert report.main() == 0
    after = report.split_page(page.read_text())
    assert list(after) == list(before)
    assert after["scaling"] == before["scaling"].replace("liftnet 0", "liftnet 1")
    assert [after[name] == before[name] for name in after] == [True, False, True]
    # What is no section of any benchmark goes.
    page.write_text(page.read_text() + "\n## Other\n\nwords\n")
    assert report.main() == 0
    assert report.split_page(page.read_text()) == after
    assert "words" not in page.read_text()
    monkeypatch.setattr(sys, "argv", command)
    assert report.main() == 0
    assert list(report.split_page(page.read_text())) == ["scaling"]


def test_larger_networks_have_smaller_plans():
    usual, deep, wide = (
        time_to_accuracy.make_plan(hidden)
        for hidden in [(300,), (512, 512), (1024, 1024)]
    )
    budgets = (1, 2, 3, 5, 8, 12)
    assert usual == (3, budgets, 24, 3, peers.PEAK_RATES, peers.BATCH_SIZES)
    assert usual.seeds > deep.seeds >= wide.seeds
    fits = [len(plan.peak_rates) * len(plan.batch_sizes) for plan in (deep, wide)]
    assert 9 > fits[0] > fits[1] and sum(deep.budgets) > sum(wide.budgets)
    given = time_to_accuracy.make_plan((1024, 1024), 5, [4, 2, 4])
    assert given == (5, (2, 4), 4, 1, *wide[4:])


def test_a_run_cut_short_keeps_the_networks_it_has(monkeypatch, tmp_path, capsys):
    path, done = tmp_path / "larger_networks.json", []
    command = ["x", "--hidden", "5,4", "3", "--json", str(path), "--threads", "1"]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(peers, "use_threads", lambda threads: None)
    monkeypatch.setattr(peers, "load_images", lambda name, rows: name)

    def measure(name, split, hidden, args):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append((name, hidden))
        plan = time_to_accuracy.make_plan(hidden)._asdict() | {"components": None}
        result = {"title": f"{name}, {hidden}", "mark": 0.5, "budgets": [1]}
        return result | {"plan": plan, "methods": {}, "time_to_mark": {}}

    monkeypatch.setattr(time_to_accuracy, "measure_data_set", measure)
    monkeypatch.setattr(time_to_accuracy, "print_summary", lambda result: None)
    with pytest.raises(KeyboardInterrupt):
        time_to_accuracy.main()
    expected = [("mnist", (5, 4)), ("fashion_mnist", (5, 4)), ("mnist", (3,))]
    assert done == expected
    results = report.read_results(tmp_path)
    assert list(results["larger_networks"]["data"]) == [
        "mnist 5-4",
        "fashion_mnist 5-4",
        "mnist 3",
    ]
    page = report.write_page(results, tmp_path)
    assert "## Larger networks\n\n`benchmarks/time_to_accuracy.py`; load" in page


def test_units_are_read_from_the_command_line():
    assert time_to_accuracy.read_sizes("512,256") == (512, 256)
    for text in ("", "0", "300,", "-3", "a", "3.5"):
        with pytest.raises(argparse.ArgumentTypeError, match=repr(text)):
            time_to_accuracy.read_sizes(text)


def test_time_to_accuracy_of_several_networks(monkeypatch, capsys, tmp_path):
    plan = time_to_accuracy.Plan(1, (1, 2), 3, 2, (1e-2, 3e-2), (64,))
    monkeypatch.setattr(time_to_accuracy, "PLANS", {float("inf"): plan})
    monkeypatch.setattr(time_to_accuracy, "MARKS", {"mnist": 0.5})
    X, y = load_digits(return_X_y=True)
    X = (16 * X).astype(np.float32)
    split = peers.Split(X[:600], y[:600], X[600:], y[600:])
    args = SimpleNamespace(threads=1, seeds=None, budgets=None, pca=0)
    results = {}
    for hidden in [(20,), (20, 10)]:
        result = time_to_accuracy.measure_data_set("mnist", split, hidden, args)
        results[f"mnist {hidden}"] = result
        time_to_accuracy.print_summary(result)
    methods = set(time_to_accuracy.STYLES)
    if not peers.has_torch():
        methods -= {time_to_accuracy.ONE_CYCLE, time_to_accuracy.PCA}
        methods -= {time_to_accuracy.ADAM}
    for result in results.values():
        assert set(result["methods"]) == methods
        assert (
            result["plan"]["components"]
            == LiftedMLPClassifier((20,), solver="stochastic", max_iter=1)
            .fit(X[:600], y[:600])
            .n_components_
        )
        points = result["methods"][time_to_accuracy.LIFTNET]
        assert [point["passes"] for point in points] == [1, 2]
        assert points[-1]["accuracy"] > 0.5
        runs = [run["method"] for run in result["runs"]]
        assert runs.count(time_to_accuracy.LIFTNET) == 4
        assert runs.count(time_to_accuracy.DEFAULTS) == 1
        steady = result["methods"][time_to_accuracy.SKLEARN]
        assert [point["passes"] for point in steady] == [1, 2, 3]
        assert {len(one["grid"]) for one in result["tuning"]} <= {2}
    printed = capsys.readouterr().out
    assert "784-20-10, 600 training" in printed and "784-20-10-10, 600" in printed
    text = report.render_time_to_accuracy({"data": json.loads(json.dumps(results))})
    for network in ("784-20-10", "784-20-10-10"):
        assert f"| MNIST, {network}, accuracy after passes: | 1 | 2 | time" in text
    assert text.count("Seeds: 1. Grid of one-cycle Adam") == 2
    pytest.importorskip("matplotlib")
    time_to_accuracy.draw_figure(results, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0


def test_grid_search_takes_medians_of_searches_in_turn(monkeypatch):
    seen = []

    def search(X, y, processes, limit, folds):
        seen.append((len(X), processes, limit, folds))
        return {1: 6.0, 2: 3.0}[processes] + len(seen) % 2, 2 // processes

    monkeypatch.setattr(grid_search, "search", search)
    args = SimpleNamespace(processes=2, repeats=3, folds=4)
    X = np.zeros((250, 3))
    rows = grid_search.measure("digits", X, X[:, 0], args)
    # Workers are started by a small search, whose time is not counted.
    once = [(250, 1, None, 4), (125, 2, None, 2), (250, 2, None, 4)]
    assert seen == 3 * [*once, (125, 2, 2, 2), (250, 2, 2, 4)]
    assert [row["threads"] for row in rows] == [2, 1, 1]
    assert [row["fits"] for row in rows] == [16] * 3
    assert rows[0]["ratio"] == 1 and 0.4 < rows[1]["ratio"] < 0.7
    text = report.render_grid_search({"results": rows})
    assert "| digits, 250 rows | 16 | processes, by default | 1 |" in text


def test_grid_search_counts_the_threads_of_its_fits(iris):
    seconds, threads = grid_search.search(*iris, 1, None, 2)
    assert seconds > 0 and threads == len(os.sched_getaffinity(0))


def test_regularisation_fits_every_choice_and_takes_medians(monkeypatch):
    seen = []

    def fit(X, y, *, hidden, seed, threads, passes, solver, **choice):
        seen.append((len(y), seed, passes, solver, choice))
        sure = (0.6, 0.9, 0.8)[seed]

        def predict_proba(rows):
            proba = np.full((len(rows), 2), 1 - sure)
            proba[:, 0] = sure
            return proba

        return peers.Fit(passes, seed, None, None, predict_proba)

    monkeypatch.setattr(peers, "fit_liftnet", fit)
    args = SimpleNamespace(seeds=3, rows=None, threads=1)
    split = regularisation.make_split("noisy labels", None, 0)
    assert len(split.y_train) == 2000 and len(split.y_test) == 1000
    choice = {"dropout": 0.5}
    row = regularisation.measure("noisy labels", split, (9,), choice, 3, args)
    assert seen == [(2000, seed, 90, "stochastic", choice) for seed in range(3)]
    first = (split.y_test == 0).mean()
    assert row["accuracy"] == pytest.approx(first, abs=1e-3)
    assert row["log_loss"] == pytest.approx(
        -first * np.log(0.8) - (1 - first) * np.log(0.2), abs=2e-3
    )
    assert (row["seconds"], row["passes"], row["rows"]) == (1, 90, 2000)
    text = report.render_regularisation({"results": [row, {**row, "choice": {}}]})
    assert "| noisy labels, 2,000 rows, hidden 9, 3 seeds | passes |" in text
    assert "| dropout=0.5 | 90 |" in text and "| default | 90 |" in text


def test_regularisation_fits_two_layers_with_a_third_of_the_seeds():
    for seeds, deep in [(1, 1), (3, 1), (9, 3)]:
        args = SimpleNamespace(seeds=seeds)
        assert regularisation.count_seeds((300,), args) == seeds
        assert regularisation.count_seeds((512, 512), args) == deep


def test_regularisation_knows_the_default_number_of_passes():
    for rows in (200, 8000):
        X, y = table_data.make_mixtures(rows, 3, 2)
        clf = LiftedMLPClassifier((2,), solver="stochastic", tol=0, n_iter_no_change=99)
        assert clf.fit(X, y).n_iter_ == regularisation.default_passes(rows)


def test_regularisation_lists_images_by_network_and_tables_once():
    args = SimpleNamespace(data=["mnist", "wide"], quick=False)
    problems = regularisation.list_problems(args)
    assert problems == [("mnist", (300,)), ("mnist", (512, 512)), ("wide", (100,))]
    args.quick = True
    assert regularisation.list_problems(args) == [("mnist", (300,)), ("wide", (100,))]


def test_no_results_make_no_page(tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    command = ["report.py", "--results", str(tmp_path), "--page", str(page)]
    monkeypatch.setattr(sys, "argv", command)
    assert report.main() == 1
    assert not page.exists()
    assert "No result" in capsys.readouterr().err


def test_no_path_writes_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    peers.write_json(None, {}, SimpleNamespace())
    assert not list(tmp_path.iterdir())
    peers.write_json(tmp_path / "a" / "b.json", {"x": "y"}, SimpleNamespace(n=1), c=[2])
    content = json.loads((tmp_path / "a" / "b.json").read_text())
    assert content == {"machine": {"x": "y"}, "arguments": {"n": 1}, "c": [2]}


def test_the_study_of_defaults_draws_the_same_tables_of_its_sizes():
    drawn = list(defaults.draw_tables(12, 3))
    for (name, X, y), (_, again, labels) in zip(
        drawn, defaults.draw_tables(12, 3), strict=True
    ):
        assert_array_equal(X, again)
        assert_array_equal(y, labels)
        assert X.shape[0] in defaults.ROWS, name
        assert X.shape[1] in defaults.FEATURES, name
        assert len(np.unique(y)) in defaults.CLASSES, name
    other = next(defaults.draw_tables(1, 4))
    assert other[1].shape != drawn[0][1].shape or (other[1] != drawn[0][1]).any()


def test_the_study_of_defaults_summarises_by_features():
    def row(features, points, ratio):
        own = {"accuracy": 0.5, "log_loss": 2.0}
        one = {"accuracy": 0.5 + points / 100, "log_loss": 2.0 * ratio}
        return {"shape": (100, features), "scores": {"auto": own, "1.0": one}}

    rows = [row(2, 1.0, 0.5), row(8, 3.0, 2.0), row(40, -1.0, 4.0)]
    summary = defaults.summarise(rows, "1.0")
    assert list(summary) == ["2 to 8 features", "17 to 80"]
    assert summary["2 to 8 features"] == (2, pytest.approx(2.0), pytest.approx(1.0))
    assert summary["17 to 80"] == (1, pytest.approx(-1.0), pytest.approx(4.0))
