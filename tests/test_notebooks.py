"""Every notebook runs from top to bottom and draws its pictures."""

import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("torch")
pytest.importorskip("matplotlib")
pytest.importorskip("pandas")

NOTEBOOKS = sorted(Path(__file__).parents[1].joinpath("notebooks").glob("*.ipynb"))
PICTURES = {
    "01_quickstart": 4,
    "02_inside_a_sweep": 6,
    "03_beyond_backprop": 13,
    "04_from_scikit_learn_to_pytorch": 4,
    "05_a_real_table": 7,
}


def test_all_are_known():
    assert {path.stem for path in NOTEBOOKS} == set(PICTURES)


# Jupyter's own packages warn about one another; what the notebook prints is checked.
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path, monkeypatch):
    # A backend set for scripts would keep pictures out of the notebook.
    monkeypatch.delenv("MPLBACKEND", raising=False)
    if "PYTEST_XDIST_WORKER" in os.environ:  # each has a processor of its own
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "clear the outputs"
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": path.parent}}
    ).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    pictures = [out for out in outputs if "image/png" in out.get("data", {})]
    assert len(pictures) == PICTURES[path.stem]
    complaints = [out.text for out in outputs if out.get("name") == "stderr"]
    assert complaints == []
