"""A cross-validation's folder: its options, a folder for every run, and the summary."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from common.errors import CommandError
from common.files import make_folder, write_whole
from common.options import read_recipe, to_plain
from results.locked_folder import LockedFolder
from results.run_folder import new_folder
from training.cross_validation import CrossValidation

RECIPE = "cross-validation.yaml"
FREE = {"num_parallel", "select_by_test", "mirdl_files", "device", "verbose"}
"""Options that may differ where a cross-validation goes on."""


class CrossValidationFolder(LockedFolder):
    """The folder of a cross-validation, locked until `close`.

    Parameters
    ----------
    options : CrossValidation
    known : mapping
        What the dataset's instances are known again by, as JSON holds it.

    Attributes
    ----------
    path : the folder.
    recipe : its file of all options; `experiment` those that all runs have in common.

    Raises
    ------
    CommandError
        Where it can't be written to, another process works in it, or it holds something else.
    """

    def __init__(self, options: CrossValidation, known: Mapping[str, Any]) -> None:
        path = options.resume or options.out_dir
        name = f"{Path(options.model_architecture.rpartition(':')[2]).name}-cross-validation"
        folder = new_folder(name) if path is None else make_folder(path)
        super().__init__(folder, "run_cross_validation works")
        self.recipe = self.path / RECIPE
        self.experiment = self.path / "experiment.yaml"
        self._dataset = self.path / "dataset.json"
        try:
            self._check_same(options)
            self._check_dataset(options, known)
        except BaseException:
            self.close()
            raise
        write_whole(self._dataset, json.dumps(known) + "\n")
        kept = to_plain(options) | {"out_dir": None, "resume": None}
        self._write(self.recipe, f"# Goes on: {self.command_to_go_on()}", kept)
        again = f"python manage.py run_experiment --config {shlex.quote(str(self.experiment))}"
        common = {key: kept[key] for key in to_plain(options.of_fold())} | {"test_at_end": True}
        self._write(self.experiment, f"# Repeats a fold: {again} --fold 1", common)

    def command_to_go_on(self) -> str:
        """Returns the command line that takes the cross-validation up."""
        return f"python manage.py run_cross_validation --resume {shlex.quote(str(self.path))}"

    def run(self, fold: int, number: int, tries: int) -> Path:
        """Returns the folder of a fold's try, both from 1."""
        name = f"fold-{fold:02}"
        return self.path / (name if tries == 1 else f"{name}-try-{number}")

    def _write(self, path: Path, header: str, options: dict[str, Any]) -> None:
        text = yaml.safe_dump(options, sort_keys=False, allow_unicode=True)
        write_whole(path, f"{header}\n{text}")

    def _check_dataset(self, options: CrossValidation, known: Mapping[str, Any]) -> None:
        if not self._dataset.exists():
            return
        if json.loads(self._dataset.read_text(encoding="utf-8")) != known:
            raise CommandError(
                f"{options.dataset_path} has changed since the cross-validation in {self.path} "
                "began: its folds are others now; put the dataset back as it was, or begin anew in "
                "another --out-dir."
            )

    def _check_same(self, options: CrossValidation) -> None:
        if not self.recipe.exists():
            # One that was killed while it wrote its recipe has left a part of that.
            found = sorted(entry.name for entry in self.path.iterdir())
            others = [name for name in found if not name.startswith((f"{RECIPE}.", "dataset.json"))]
            if others:
                raise CommandError(
                    f"{self.path} holds no cross-validation, but {others[0]}; choose an --out-dir "
                    "that is new or empty."
                )
            return
        before: dict[str, Any] = read_recipe(CrossValidation, self.recipe)
        now = {name: getattr(options, name) for name in before} | {"out_dir": None, "resume": None}
        other = [name for name in before if name not in FREE and before[name] != now[name]]
        if other:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in other)
            raise CommandError(
                f"{self.path} holds a cross-validation with another {names}; choose another "
                f"--out-dir, or go on with that one by {self.command_to_go_on()}."
            )


def options_to_resume(folder: Path) -> dict[str, Any]:
    """Returns the options of the cross-validation in a folder.

    Raises CommandError where it holds none.
    """
    if not (folder / RECIPE).is_file():
        raise CommandError(
            f"{folder} holds no cross-validation to go on with; give the folder that one has "
            "written, with its cross-validation.yaml."
        )
    return read_recipe(CrossValidation, folder / RECIPE) | {"resume": folder}
