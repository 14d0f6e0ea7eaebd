"""Virtual environments that hold a package of liftnet and what it needs, no more."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

# What would let an environment see the working tree or another interpreter.
HIDDEN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "LD_PRELOAD")


def environment():
    """Leave out of this process's variables what leads out of an environment."""
    return {name: v for name, v in os.environ.items() if name not in HIDDEN}


def make(folder, *requirements, interpreter=sys.executable, only_binary=True):
    """Make the environment anew; return its interpreter.

    Raises
    ------
    subprocess.CalledProcessError
        Where pip cannot satisfy the requirements, its words in ``stderr``.
    """
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([interpreter, "-m", "venv", folder], check=True, env=environment())
    python = Path(folder).absolute() / "bin" / "python"
    options = ["--quiet", "--disable-pip-version-check"]
    if only_binary:
        options.append("--only-binary=:all:")
    subprocess.run(
        [python, "-m", "pip", "install", *options, *map(str, requirements)],
        check=True,
        env=environment(),
        text=True,
        stderr=subprocess.PIPE,
    )
    return python


def run(python, *arguments, **options):
    """Run that interpreter, apart from the working tree; fail with it."""
    return subprocess.run(
        [python, "-P", *map(str, arguments)], env=environment(), check=True, **options
    )


if __name__ == "__main__":
    try:
        make(*sys.argv[1:], only_binary=False)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error.stderr or ''}{error}")
