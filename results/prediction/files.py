"""The files that a person has given, folders among them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from common.errors import CommandError
from datasets.scan import files_below
from results.prediction.outcome import GivenFile


def given_files(paths: Sequence[Path], suffixes: frozenset[str], kind: str) -> list[GivenFile]:
    """Returns files as they are given, and in place of a folder those below it; each once.

    A file's name is its path below the deepest folder that all of those lie in that are there.

    Parameters
    ----------
    paths : sequence of Path
        Files, whatever they are, and folders.
    suffixes : frozenset of str
        Of the files that are taken from folders, in lower case.
    kind : str
        What these are, for the sentence: 'pictures' or 'recordings'.

    Raises
    ------
    CommandError
        Where there is none.
    """
    files: dict[str, Path] = {}
    for path in paths:
        found = files_below(path, suffixes) if path.is_dir() else [path]
        if not found:
            raise CommandError(
                f"There are no {kind} in the folder {path}; give another one, or the names of "
                f"files. Known by their names: {', '.join(sorted(suffixes))}."
            )
        for file in found:
            files.setdefault(os.path.abspath(file), file)  # noqa: PTH100, which would follow links
    if not files:
        raise CommandError(f"There is nothing to predict; give {kind}, or folders of them.")
    there = [file for file, path in files.items() if path.exists()]
    top = os.path.commonpath([os.path.dirname(file) for file in there or files])  # noqa: PTH120
    return [GivenFile(path, os.path.relpath(file, top)) for file, path in files.items()]
