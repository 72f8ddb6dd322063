import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from rs_monitor.pipeline.demo import run_demo

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LOOK = FOLDER / "01_look_at_a_run.ipynb"
SIZE = {"size_px": 160, "events_per_kind": 2, "lookalikes_per_kind": 1}
MACHINE_PATH = re.compile(r"""["'(=\s](/(?:home|root|tmp|work|Users|mnt|data)/|[A-Za-z]:\\)""")


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    run_demo(7, folder, **SIZE)
    return folder


def execute(path: Path, **variables: str) -> nbformat.NotebookNode:
    """Run a notebook in a kernel of its own, where a reader would start it."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    )
    return client.execute(env=os.environ | variables)


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [entry for cell in notebook.cells for entry in cell.get("outputs", ())]


def said(notebook: nbformat.NotebookNode) -> str:
    found = outputs(notebook)
    tables = [entry.data.get("text/html", "") for entry in found if "data" in entry]
    return "\n".join([*(entry.get("text", "") for entry in found), *tables])


def test_there_are_notebooks():
    assert LOOK in NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebooks_hold_no_results(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert [cell.execution_count for cell in code] == [None] * len(code)
    assert not outputs(notebook)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_name_no_place_on_a_machine(path):
    assert not MACHINE_PATH.search(path.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_look_at_a_run_shows_everything(demo_folder):
    notebook = execute(
        LOOK,
        RS_MONITOR_RUN=str(demo_folder / "run"),
        RS_MONITOR_JOB=str(demo_folder / "township" / "demo.toml"),
    )
    assert not [entry for entry in outputs(notebook) if entry.output_type == "error"]
    assert not [entry for entry in outputs(notebook) if entry.get("name") == "stderr"]
    pictures = [entry for entry in outputs(notebook) if "image/png" in entry.get("data", {})]
    # a map of every zone, before and after, the curve
    assert len(pictures) >= 3
    assert all(len(entry.data["image/png"]) > 10_000 for entry in pictures)
    text = said(notebook)
    assert "SYNTHETIC" in text
    assert "of them saw the patch" in text
    assert "SUPPORTED" in text
    assert "CONTRADICTED" in text
    assert "not seen" in text
    assert "sound: every file is as the run left it" in text
    assert "other scenes than the run has read" not in text


@pytest.mark.slow
def test_without_a_run_the_reader_is_told_how_to_make_one(tmp_path):
    with pytest.raises(CellExecutionError, match="Make one with `make demo`"):
        execute(LOOK, RS_MONITOR_RUN=str(tmp_path / "nowhere"))
