"""Licences of what a wheel contains beside liftnet: system libraries and crates."""

import json
import re
import subprocess
from pathlib import Path

COMMON = Path("/usr/share/common-licenses")


def library_licences(extension, bundled):
    """Texts by name for the bundled libraries, from the Debian packages they come from.

    Parameters
    ----------
    extension : Path
        The extension before the repair, which still names the system's files.
    bundled : iterable of str
        Files in the wheel, as ``libgfortran-040039e1.so.5``.
    """
    resolved = subprocess.run(
        ["ldd", extension], text=True, capture_output=True, check=True
    ).stdout
    paths = [Path(path).resolve() for path in re.findall(r"=> (/\S+)", resolved)]
    texts = {}
    for name in bundled:
        # auditwheel puts a hash behind the first part of the name.
        stem = re.sub(r"-[0-9a-f]{8}\..*", "", name)
        source = next(path for path in paths if path.name.startswith(stem))
        owner = subprocess.run(
            ["dpkg", "-S", source], text=True, capture_output=True, check=True
        ).stdout
        package = owner.split(":")[0]
        text = Path("/usr/share/doc", package, "copyright").read_text(encoding="utf-8")
        texts[f"{package}.txt"] = text
        for common in re.findall(rf"{COMMON}/([\w.+-]*\w)", text):
            # What is called GPL is its latest version.
            path = (COMMON / common).resolve()
            texts[f"{path.name}.txt"] = path.read_text(encoding="utf-8")
    return texts


def crate_licences(root):
    """Texts by name for every crate that is linked into the extension."""
    command = [
        "cargo",
        "metadata",
        "--locked",
        "--format-version=1",
        "--features=python",
    ]
    target = re.search(
        r"host: (\S+)",
        subprocess.run(
            ["rustc", "-vV"], text=True, capture_output=True, check=True
        ).stdout,
    )[1]
    metadata = json.loads(
        subprocess.run(
            [*command, f"--filter-platform={target}"],
            cwd=root,
            text=True,
            capture_output=True,
            check=True,
        ).stdout
    )
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    start = metadata["resolve"]["root"]
    linked, left = set(), [start]
    while left:
        node = left.pop()
        for dependency in nodes[node]["deps"]:
            one = dependency["pkg"]
            kinds = {kind["kind"] for kind in dependency["dep_kinds"]}
            macro = any("proc-macro" in t["kind"] for t in packages[one]["targets"])
            if None in kinds and not macro and one not in linked:
                linked.add(one)
                left.append(one)
    texts, table = {}, []
    for package in sorted((packages[one] for one in linked), key=lambda p: p["name"]):
        name = f"{package['name']}-{package['version']}"
        table.append(f"{name}: {package['license']}, {package['repository']}")
        folder = Path(package["manifest_path"]).parent
        for path in sorted(folder.iterdir()):
            if path.is_file() and re.match(
                r"(licen[cs]e|copying|copyright|notice)", path.name, re.IGNORECASE
            ):
                text = path.read_text(encoding="utf-8", errors="replace")
                texts[f"crates/{name}/{path.name}"] = text
    return {"crates/README.txt": "\n".join(table) + "\n", **texts}
