"""The examples of docstrings and pages run; the pages are complete; the site builds."""

import doctest
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from numpydoc.docscrape import ClassDoc
from sklearn.neural_network import MLPClassifier, MLPRegressor

from liftnet import LiftedMLPClassifier, LiftedMLPRegressor, _core

plt = pytest.importorskip("matplotlib.pyplot")
pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MODULES = sorted(
    "liftnet" if path.stem == "__init__" else f"liftnet.{path.stem}"
    for path in (ROOT / "python" / "liftnet").glob("*.py")
)
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("guide/*.md")])
# Written by a benchmark, without examples.
PAGES.remove(DOCS / "benchmarks.md")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(autouse=True)
def no_windows(monkeypatch):
    """`plt.show()` of an example does nothing, as where pictures go to files."""
    monkeypatch.setattr(plt, "show", lambda: None)
    yield
    plt.close("all")


def run(tests, flags=0):
    """Number of examples; what fails is printed, and fails."""
    runner, examples = doctest.DocTestRunner(optionflags=flags), 0
    for test in tests:
        examples += len(test.examples)
        runner.run(test, clear_globs=True)
    assert runner.failures == 0
    return examples


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(name)
    examples = run(doctest.DocTestFinder(exclude_empty=True).find(module, name))
    source = Path(module.__file__).read_text(encoding="utf-8")
    assert examples == len(re.findall(r"^ *>>> ", source, re.M))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages(page):
    """Examples of a page share their names, from top to bottom."""
    lines, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if re.match(r"\s*```", line):
            inside, line = line.strip() == "```python", ""
        # Elsewhere empty lines: messages then name the line of the page.
        lines.append(line if inside else "")
    text = "\n".join(lines) + "\n"
    test = doctest.DocTestParser().get_doctest(text, {}, page.stem, str(page), 0)
    run([test], FLAGS)


def test_a_wrong_example_fails(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\n>>> 1 + 1\n3\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError):
        test_pages(page)


def rows(page, heading):
    """What the first column of the table under a heading names."""
    text = (DOCS / page).read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return re.findall(r"^\| `(\w+)`", section, re.M)


@pytest.mark.parametrize("peer", [MLPClassifier, MLPRegressor])
def test_migration_has_every_row(peer):
    parameters = list(inspect.signature(peer).parameters)
    assert set(parameters) <= set(rows("migration.md", "Parameters"))
    attributes = [parameter.name for parameter in ClassDoc(peer)["Attributes"]]
    fitted = peer(max_iter=1, early_stopping=True)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        fitted.fit([[k % 5.0] for k in range(40)], [k % 2 for k in range(40)])
    attributes += [name for name in vars(fitted) if re.fullmatch(r"[a-z]\w*_", name)]
    assert len(attributes) > 20
    assert set(attributes) <= set(rows("migration.md", "Attributes"))
    # Without those of every estimator.
    general = re.compile("_|[gs]et_.*(params|request|routing)")
    methods = [name for name in dir(peer) if not general.match(name)]
    methods = [name for name in methods if inspect.isfunction(getattr(peer, name))]
    assert "partial_fit" in methods
    assert set(methods) <= set(rows("migration.md", "Methods"))


@pytest.mark.parametrize("kind", [LiftedMLPClassifier, LiftedMLPRegressor])
def test_migration_names_every_parameter(kind):
    page = (DOCS / "migration.md").read_text(encoding="utf-8")
    section = page.split("## Parameters\n")[1].split("\n## ")[0]
    named = set(re.findall(r"`(\w+)`", section))
    assert set(inspect.signature(kind).parameters) <= named


def test_migration_has_no_row_of_what_is_not_there():
    known = set()
    for peer in (MLPClassifier, MLPRegressor):
        known |= set(inspect.signature(peer).parameters)
        known |= {parameter.name for parameter in ClassDoc(peer)["Attributes"]}
        known |= set(dir(peer))
    for heading in ("Parameters", "Attributes", "Methods"):
        assert set(rows("migration.md", heading)) <= known


def test_reference_has_every_public_name():
    module, listed = None, set()
    for line in (DOCS / "api" / "index.rst").read_text(encoding="utf-8").splitlines():
        if line.startswith(".. currentmodule:: "):
            module = line.split(":: ")[1]
        if entry := re.fullmatch(r"   ~?([\w.]+)", line):
            listed.add(f"{module}.{entry[1]}")
    for name in ("liftnet", "liftnet.kernels", "liftnet.torch", "liftnet.onnx"):
        public = {f"{name}.{one}" for one in importlib.import_module(name).__all__}
        assert public - {"liftnet.__version__"} <= listed
    datasets = importlib.import_module("liftnet.datasets").__all__
    assert {f"liftnet.datasets.{one}" for one in datasets} <= listed
    for entry in listed:
        place, _, name = entry.rpartition(".")
        assert hasattr(importlib.import_module(place), name)


def test_guide_has_every_activation_and_penalty():
    text = (DOCS / "guide" / "activations.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)`", text, re.M)) == set(_core.activation_names())
    text = (DOCS / "guide" / "penalties.md").read_text(encoding="utf-8")
    source = (ROOT / "src" / "penalty" / "kind.rs").read_text(encoding="utf-8")
    names = re.findall(
        r'"(\w+)"', re.search(r"NAMES: .*?\[(\"[^]]*)\]", source, re.S)[1]
    )
    assert len(names) >= 8
    for name in names:
        assert re.search(rf"^\| .*`\"{name}(\(.*?\))?\"`", text, re.M), name


def test_gallery_has_every_notebook():
    index = (DOCS / "notebooks" / "index.md").read_text(encoding="utf-8")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f":link: {path.stem}\n" in index
        assert f"\n{path.stem}\n" in index


def test_site_builds(tmp_path, monkeypatch):
    """Without a warning: links resolve, pictures are drawn, pages are in a toctree."""
    for name in (
        "pydata_sphinx_theme",
        "myst_nb",
        "sphinx_design",
        "sphinx_copybutton",
    ):
        pytest.importorskip(name)
    # What `make docs` adds, and this leaves out: the run of the notebooks.
    monkeypatch.setenv("LIFTNET_DOCS_NOTEBOOKS", "off")
    monkeypatch.setenv("MPLBACKEND", "agg")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    built = subprocess.run(
        [*command, "-d", str(tmp_path / "doctrees"), str(DOCS), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert built.returncode == 0, built.stderr
    pages = [path.relative_to(DOCS).with_suffix(".html") for path in PAGES]
    assert all((tmp_path / "html" / page).exists() for page in pages)
    # Every picture that a page asks for is on it: inline code of several would share
    # one name.
    for page in PAGES:
        asked = re.findall(r"^\.\. plot:: *(\S*)", page.read_text("utf-8"), re.M)
        built = tmp_path / "html" / page.relative_to(DOCS).with_suffix(".html")
        shown = re.findall(r'src="[^"]*?/(\w+)\.png"', built.read_text("utf-8"))
        assert {Path(name).stem for name in asked} <= set(shown)
    assert len(list((DOCS / "figures").glob("*.py"))) >= 9
