"""Check an installed liftnet: where its libraries come from, and that it fits.

Runs in an environment of its own (tools/fresh.py). With --bundled nothing but what
every Linux of the wheel's age has may come from outside the wheel.
"""

import re
import subprocess
import sys
from importlib.metadata import files
from pathlib import Path

from sklearn.datasets import load_digits

import liftnet
from liftnet import _core

# Those of the manylinux policies that Rust, Fortran or OpenBLAS can ask for.
EVERYWHERE = re.compile(
    r"(linux-vdso|ld-linux[\w-]*|libc|libm|libdl|librt|libpthread|libgcc_s)\.so[.\d]*"
)


def outside(extension):
    """Libraries that the extension and what it loads take from outside its wheel."""
    site = extension.parents[1]
    found = []
    for library in [extension, *(site / "liftnet.libs").glob("*")]:
        listing = subprocess.run(
            ["ldd", library], text=True, capture_output=True, check=True
        ).stdout
        for line in listing.splitlines():
            name, _, place = line.strip().partition(" => ")
            file = Path((place or name).split(" (")[0])
            if EVERYWHERE.fullmatch(Path(name.split(" (")[0]).name):
                continue
            if "not found" in line or not file.resolve().is_relative_to(site):
                found.append(f"{library.name}: {line.strip()}")
    return found


def loaded(word):
    """Files in this process's memory whose names contain a word."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    return {Path(path) for path in re.findall(rf"(/\S*{word}\S*)$", maps, re.MULTILINE)}


extension = Path(_core.__file__).resolve()
assert extension.is_relative_to(Path(sys.prefix).resolve()), extension
if "--bundled" in sys.argv:
    assert not (strangers := outside(extension)), strangers
    site = extension.parents[1]
    assert all(path.is_relative_to(site) for path in loaded("openblas")), loaded(
        "openblas"
    )
    licences = [str(file) for file in files("liftnet") if "third_party" in file.parts]
    for library in "openblas", "libgfortran", "libquadmath", "crates/gemm":
        assert any(library in name for name in licences), (library, licences)

X, y = load_digits(return_X_y=True)
score = (
    liftnet.LiftedMLPClassifier(random_state=0)
    .fit(X[::2], y[::2])
    .score(X[1::2], y[1::2])
)
assert score > 0.95, score
print(f"liftnet {liftnet.__version__} from {extension.parent}: accuracy {score:.3f}")
