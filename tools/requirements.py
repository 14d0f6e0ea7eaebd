"""Print what pip should install for an extra of this project, without building it."""

import sys
import tomllib
from pathlib import Path

config = tomllib.loads(
    (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
)
project, build = config["project"], config["build-system"]


def expand(extra):
    """List an extra's requirements; one that names liftnet's extras holds theirs."""
    for requirement in project["optional-dependencies"][extra]:
        if requirement.startswith("liftnet["):
            for name in requirement[len("liftnet[") : -1].split(","):
                yield from expand(name)
        else:
            yield requirement


print(*sorted({*build["requires"], *project["dependencies"], *expand(sys.argv[1])}))
