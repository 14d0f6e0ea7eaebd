"""Measure the rates of the kernels of a fit, as shares of a large product's rate.

Builds and runs the crate in ``benchmarks/micro`` (criterion), once for each number of
threads: the products, blocks and factors that fits are made of, at the sizes of
784-300-10 on MNIST, and in the same run a product of two 2048 x 2048 matrices in single
precision, the peak. Operations are counted as two for each multiply-add, those of
element-wise kernels one by one; times are criterion's medians.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import peers

CRATE = Path(__file__).parent / "micro"
TARGET = CRATE.parents[1] / "target" / "micro"
PEAK = "peak"


def main() -> int:
    """Run the benchmark."""
    parser = peers.make_parser(__doc__, "a tenth of the time", threads=None)
    add = parser.add_argument
    threads = {"type": int, "nargs": "+", "default": (1, 2)}
    add("--threads", **threads, help="numbers of threads (default: 1 2)")
    args = parser.parse_args()
    if min(args.threads) < 1:
        parser.error("--threads must be at least 1")
    peers.use_threads(max(args.threads))
    machine = peers.print_machine(max(args.threads))
    build()
    rates = {}
    for threads in args.threads:
        rates[threads] = measure(threads, args.quick)
        print_rates(threads, rates[threads])
    peers.write_json(args.json, machine, args, rates=rates)
    return 0


def build() -> None:
    """Compile the crate."""
    run_cargo("build")


def measure(threads, quick) -> list[dict]:
    """Run all kernels; return name, operations, seconds and share of the peak."""
    home = TARGET / f"criterion-{threads}"
    times = ["--warm-up-time", "0.1", "--measurement-time", "0.3"] if quick else []
    options = ["--", "--bench", "--noplot", "--quiet", *times]
    environment = {"MICRO_THREADS": str(threads), "CRITERION_HOME": str(home)}
    run_cargo("run", *options, environment=environment)
    return add_shares(read_results(home))


def run_cargo(command, *options, environment=None) -> None:
    """Run cargo on the crate; where it fails, its words are shown and the run ends."""
    call = ["cargo", command, "--release", "--locked", "--quiet"]
    call += ["--manifest-path", str(CRATE / "Cargo.toml")]
    call += ["--target-dir", str(TARGET), *options]
    done = subprocess.run(
        call, env={**os.environ, **(environment or {})}, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(call)} failed:\n{done.stderr}")


def read_results(home) -> list[dict]:
    """Return what criterion wrote, in the order of its running."""
    rows = []
    for path in home.glob("*/*/new/benchmark.json"):
        benchmark = json.loads(path.read_text(encoding="utf-8"))
        estimates = json.loads(
            path.with_name("estimates.json").read_text(encoding="utf-8")
        )
        seconds = estimates["median"]["point_estimate"] / 1e9
        operations = benchmark["throughput"]["Elements"]
        rows.append(
            {
                "kernel": benchmark["function_id"],
                "operations": operations,
                "seconds": seconds,
                "rate": operations / seconds / 1e9,
                "written": path.stat().st_mtime,
            }
        )
    rows.sort(key=lambda row: row.pop("written"))
    return rows


def add_shares(kernels) -> list[dict]:
    """Return the kernels with their share of the peak."""
    peak = next(row["rate"] for row in kernels if row["kernel"] == PEAK)
    return [row | {"share": row["rate"] / peak} for row in kernels]


def print_rates(threads, rows) -> None:
    """Print the rates of one number of threads."""
    print(f"\nthreads: {threads}")
    print(f"  {'kernel':<42}{'us':>10}{'GFLOP/s':>9}{'of the peak':>13}")
    for row in rows:
        print(
            f"  {row['kernel']:<42}{1e6 * row['seconds']:>10.1f}"
            f"{row['rate']:>9.1f}{row['share']:>12.0%}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
