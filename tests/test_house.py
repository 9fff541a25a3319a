"""The house's rules, held over the whole tree."""

import ast
from pathlib import Path

import pytest

from tests.paths import ROOT

MAY_IMPORT = {
    "common": set(),
    "lasagne": set(),
    "datasets": {"common"},
    "architectures": {"common", "datasets", "lasagne"},
    "training": {"common", "datasets", "lasagne", "architectures"},
    "results": {"common", "datasets", "lasagne", "architectures", "training"},
    "deploy": {"common"},
    "commands": {"common", "datasets", "lasagne", "architectures", "training", "results"},
}
FILES = [file for room in MAY_IMPORT for file in sorted((ROOT / room).rglob("*.py"))]


def imported(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: relative import"
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_go_one_way(room):
    for file in (ROOT / room).rglob("*.py"):
        elsewhere = (imported(file) & set(MAY_IMPORT)) - MAY_IMPORT[room] - {room}
        assert not elsewhere, f"{file.relative_to(ROOT)} imports {elsewhere}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_and_functions_fit_their_limits(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            document = ast.get_docstring(node, clean=False) or ""
            length = (node.end_lineno or 0) - node.lineno - document.count("\n")
            assert length <= 60, f"{node.name} has {length} lines"


def test_pinned_requirements_are_exact():
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text().splitlines():
            assert line.startswith("-r ") or "==" in line, line
    assert "torch==2.13.0" in (ROOT / "requirements.txt").read_text().splitlines()
