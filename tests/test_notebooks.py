"""The notebooks run from top to bottom, and are committed as they come out.

To keep new outputs: `python -m tests.test_notebooks` runs all of them and writes them back.
"""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.paths import ROOT

FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGEST = 400_000  # bytes
SECONDS = 300  # for a cell, on a slow machine
ABSOLUTE = re.compile(r"(?:^|[\s\"'=(\[<>:,])((?:/[\w.+-]+){2,}|[A-Z]:\\\w+|~/\w+)")


def read(path: Path) -> nbformat.NotebookNode:
    """Return a notebook, checked against the format."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell: nbformat.NotebookNode) -> set[str]:
    """What a person sees below a cell: a stream, an error, or the types of what is shown."""
    found = set()
    for output in cell.outputs:
        found |= {*output.get("data", [output.get("name", output.output_type)])}
    return found


def texts(notebook: nbformat.NotebookNode) -> list[str]:
    """All that the outputs say, and their metadata; not the pictures."""
    found = []
    for cell in code_cells(notebook):
        for output in cell.outputs:
            data = {k: v for k, v in output.get("data", {}).items() if "image/" not in k}
            found += [output.get("text", ""), *map(str, data.values()), str(output.get("metadata"))]
    return found


def test_there_are_notebooks():
    assert [path.name[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_outputs_are_whole_small_and_of_no_machine(path):
    notebook = read(path)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    assert not any("stderr" in kinds(cell) or "error" in kinds(cell) for cell in cells)
    assert not [found[1] for text in texts(notebook) if (found := ABSOLUTE.search(text))]
    assert path.stat().st_size < LARGEST


def execute(notebook: nbformat.NotebookNode, start: Path) -> None:
    """Runs all cells in a new kernel whose current folder is `start`."""
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    place = {"metadata": {"path": str(start)}}
    NotebookClient(
        notebook, timeout=SECONDS, resources=place, record_timing=False, coalesce_streams=True
    ).execute()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "start"),
    [*zip(NOTEBOOKS, [ROOT, FOLDER, ROOT, FOLDER], strict=True)],
    ids=lambda path: path.stem,
)
def test_notebook_runs_and_shows_what_is_committed(path, start, tmp_path, monkeypatch):
    """From the project's folder and from notebooks/, writing into the temporary folder only."""
    for name in ("TMPDIR", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    before = {*ROOT.iterdir(), *FOLDER.iterdir()}
    committed, executed = read(path), read(path)
    execute(executed, start)
    assert {*ROOT.iterdir(), *FOLDER.iterdir()} == before
    for cell, fresh in zip(code_cells(committed), code_cells(executed), strict=True):
        assert kinds(cell) == kinds(fresh), f"committed with other outputs: {cell.source}"


if __name__ == "__main__":
    for file in NOTEBOOKS:
        notebook = read(file)
        execute(notebook, ROOT)
        notebook.metadata.language_info = {"name": "python"}  # not the version that ran it
        nbformat.write(notebook, file)
