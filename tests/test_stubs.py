"""The stubs of the core say what it is."""

import ast
import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import liftnet
from liftnet import _core

STUBS = Path(liftnet.__file__).with_name("_core.pyi")


def test_stubs_agree_with_the_core(tmp_path):
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("needs mypy")
    run = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "liftnet._core"],
        cwd=tmp_path,  # where mypy puts its cache
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_stubs_document_every_function():
    tree = ast.parse(STUBS.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    defined = {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    public = {name for name in vars(_core) if not name.startswith("_")}
    dicts = {"Effort", "Moments", "Options", "State", "Terms"}  # at run time
    assert public == defined.keys() - dicts
    assert all(ast.get_docstring(node) for node in defined.values())


def test_options_of_the_stubs_are_those_of_the_estimators():
    tree = ast.parse(STUBS.read_text(encoding="utf-8"))
    (options,) = (node for node in tree.body if getattr(node, "name", "") == "Options")
    names = {node.target.id for node in options.body if isinstance(node, ast.AnnAssign)}
    assert names == liftnet.LiftedMLPClassifier()._options("softmax", None).keys()


def test_the_package_is_typed():
    assert STUBS.with_name("py.typed").is_file()


def test_the_package_exports_what_it_says():
    assert set(liftnet.__all__) <= vars(liftnet).keys()
    assert liftnet.__version__
    assert inspect.isclass(liftnet.LiftedMLPClassifier)
