"""The tutorial runs, every assertion in it holds, and it prints what it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient", reason="there is no nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel", reason="there is no kernel for notebooks")
TUTORIAL = Path(__file__).resolve().parent.parent / "docs" / "tutorial.ipynb"


def shown(notebook):
    """The text that each cell printed or ended in, but for those that measure."""
    cells = [
        cell for cell in notebook.cells if cell.cell_type == "code" and "times" not in cell.metadata.get("tags", ())
    ]
    # what a cell prints comes in one piece or in several, as the kernel happens to send it
    return ["".join(each.get("text") or each["data"]["text/plain"] for each in cell.outputs) for cell in cells]


@pytest.mark.filterwarnings("ignore")  # its libraries' own
def test_the_tutorial_runs_and_shows_what_it_prints(tmp_path, monkeypatch):
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    stored = nbformat.read(TUTORIAL, 4)
    before = shown(stored)
    assert sum(map(bool, before)) > 8
    resources = {"metadata": {"path": str(TUTORIAL.parent)}}
    nbclient.NotebookClient(stored, timeout=120, kernel_name="python3", resources=resources).execute()
    assert shown(stored) == before
