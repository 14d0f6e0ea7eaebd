"""Try the built wheel with every supported scikit-learn and print a table.

Each with the oldest and the newest NumPy 2 that it takes, on every Python at hand.
"""

import argparse
import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import fresh

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
SCIKIT_LEARN = ("1.6", "1.7", "1.8", "1.9")
NUMPY = ("2.0", "2.1", "2.2", "2.3", "2.4")
SHOWN = ("scikit-learn", "numpy", "scipy", "pandas")


def interpreters(wanted):
    """Find Pythons by version: on the path, and among those of pyenv."""
    found = {}
    for version in wanted:
        places = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        candidates = [shutil.which(f"python{version}"), *places]
        for candidate in filter(None, candidates):
            code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
            answer = subprocess.run(
                [candidate, "-c", code], text=True, capture_output=True
            )
            if answer.stdout.strip() == version:
                found[version] = candidate
                break
    return found


def made(folder, interpreter, wheel, needs, scikit_learn, end):
    """Make an environment with these versions; None where they do not go together."""
    oldest_first = [f"numpy=={minor}.*" for minor in NUMPY]
    for numpy in oldest_first if end == "oldest" else ["numpy==2.*"]:
        pins = f"scikit-learn=={scikit_learn}.*", numpy
        try:
            return fresh.make(folder, wheel, *needs, *pins, interpreter=interpreter)
        except subprocess.CalledProcessError as error:
            text = error.stderr or ""
            if "No matching distribution" not in text and "conflicting" not in text:
                sys.exit(f"{text}{error}")
    return None


def versions(python):
    """Return what is installed, in the order of SHOWN."""
    code = f"from importlib.metadata import version; print(*map(version, {SHOWN}))"
    return fresh.run(
        python, "-c", code, text=True, stdout=subprocess.PIPE
    ).stdout.split()


def tested(python, tests):
    """Run the tests; return whether they passed and what pytest said."""
    run = subprocess.run(
        [python, "-P", "-m", "pytest", "-q", *tests],
        cwd=ROOT,
        env=fresh.environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return run.returncode == 0, run.stdout.strip()


def main():
    """Run the tests given in every combination; fail where one of them does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tests", nargs="+", help="test files")
    parser.add_argument("--python", nargs="+", default=PYTHONS)
    parser.add_argument("--scikit-learn", nargs="+", default=SCIKIT_LEARN)
    parser.add_argument("--numpy", nargs="+", default=("oldest", "newest"))
    parser.add_argument(
        "--needs", nargs="+", default=("pytest", "hypothesis", "pandas")
    )
    options = parser.parse_args()
    (wheel,) = (ROOT / "dist").glob("liftnet-*.whl")
    folder = ROOT / "target" / "fresh" / "versions"
    found, all_passed = interpreters(options.python), True
    for version in sorted(set(options.python) - found.keys()):
        print(f"Python {version}: none here")
    print("Python", *SHOWN, "result", sep="\t", flush=True)
    for python, scikit_learn, end in itertools.product(
        found, options.scikit_learn, options.numpy
    ):
        place = made(folder, found[python], wheel, options.needs, scikit_learn, end)
        if place is None:
            print(python, scikit_learn, "none with NumPy 2", sep="\t", flush=True)
            continue
        passed, said = tested(place, options.tests)
        print(python, *versions(place), said.splitlines()[-1], sep="\t", flush=True)
        if not passed:
            all_passed = False
            print(said, file=sys.stderr, flush=True)
    sys.exit(not all_passed)


if __name__ == "__main__":
    main()
