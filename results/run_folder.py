"""A run's folder: its options, a line of metrics per epoch, and its results."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from common.errors import CommandError
from common.files import cannot_write, make_folder, write_whole
from common.options import to_plain
from training.experiment import Experiment
from training.records import EpochRecord
from training.snapshot_folder import holds_snapshot
from training.snapshots import resume

RUNS = Path("runs")
DEEPEST_PREFIX = 3  # folders that a --snapshot-prefix may go down and still be found
WHOLE = ("finished", "converged", "stopped early", "out of time")
"""How a run may have ended by itself, as results.json says."""
COLUMNS = [field.name for field in dataclasses.fields(EpochRecord)]


class RunFolder:
    """Writes and reads the files of one run.

    Attributes
    ----------
    path : the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = make_folder(path)
        self._metrics = path / "metrics.csv"

    def begin(self, experiment: Experiment, last_epoch: int) -> None:
        """Writes the options; keeps the metrics up to `last_epoch`, where a resumed run goes on.

        What a process that was killed has left half-written goes.
        """
        for folder in {self.path, (self.path / experiment.snapshot_prefix).parent}:
            for partial in folder.glob("*.partial"):
                partial.unlink(missing_ok=True)
        records = self.records()
        (self.path / "results.json").unlink(missing_ok=True)  # of a leg before
        self._write_options(experiment, last_epoch)
        lines = [",".join(COLUMNS)]
        lines += [_line(record) for record in records if record.epoch <= last_epoch]
        write_whole(self._metrics, "\n".join(lines) + "\n")

    def append(self, record: EpochRecord) -> None:
        """Adds an epoch to metrics.csv."""
        try:
            with self._metrics.open("a", encoding="utf-8") as file:
                file.write(_line(record) + "\n")
        except OSError as error:
            raise cannot_write(self._metrics, error) from error

    def records(self) -> list[EpochRecord]:
        """Reads metrics.csv; a last line that was cut off by a crash is left out.

        Raises CommandError where another line is no record.
        """
        if not self._metrics.is_file():
            return []
        text = self._metrics.read_text(encoding="utf-8")
        rows = csv.reader(text[: text.rfind("\n") + 1].splitlines()[1:])
        try:
            return [EpochRecord(int(row[0]), *map(float, row[1:])) for row in rows]
        except (ValueError, IndexError, TypeError) as error:
            raise CommandError(
                f"{self._metrics} has a line that is no record of an epoch ({error}); repair or "
                "remove the file."
            ) from error

    def write_results(self, results: dict[str, Any]) -> None:
        """Writes results.json."""
        write_whole(self.path / "results.json", json.dumps(results, indent=2) + "\n")

    def read_results(self) -> dict[str, Any]:
        """Reads results.json, empty where the run has not ended."""
        file = self.path / "results.json"
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}

    def _write_options(self, experiment: Experiment, last_epoch: int) -> None:
        """Writes experiment.yaml; a leg with other options gets a recipe of its own beside it."""
        file, header = self.path / "experiment.yaml", "# Repeats this run:"
        options = to_plain(experiment) | {"out_dir": None, "resume": None}
        if experiment.start_from_snapshot and file.is_file():
            before_it = resume(experiment.start_from_snapshot)
            if _without_length(experiment) == _without_length(before_it):
                before = yaml.safe_load(file.read_text(encoding="utf-8"))
                options = (before or options) | {"num_epochs": experiment.num_epochs}
            else:
                file = self.path / f"experiment-from-epoch-{last_epoch}.yaml"
                header = "# Repeats the run from this epoch on; give another --out-dir:"
        text = yaml.safe_dump(options, sort_keys=False, allow_unicode=True)
        command = f" python manage.py run_experiment --config {file}\n"
        write_whole(file, header + command + text)


def refuse_results(folder: Path) -> None:
    """Raises CommandError where a folder holds the results of a run, which would be overwritten."""
    if any((folder / name).exists() for name in ("metrics.csv", "results.json")):
        if holds_snapshot(folder):
            advice = f"or go on with it by run_experiment --resume {folder}"
        else:
            advice = "or remove the folder, as there is no snapshot to go on from"
        raise CommandError(f"{folder} holds a run already; choose another --out-dir, {advice}.")


def _without_length(experiment: Experiment) -> Experiment:
    """Returns the options that decide what an epoch does."""
    return dataclasses.replace(
        experiment,
        num_epochs=0,
        num_devices=1,
        out_dir=None,
        resume=None,
        start_from_snapshot=None,
        verbose=False,
    )


def folder_of(experiment: Experiment) -> Path:
    """Returns where a run belongs: `out_dir`, its snapshot's run, or a new folder in runs/."""
    if experiment.resume is not None:
        return experiment.resume
    if experiment.out_dir is not None:
        return experiment.out_dir
    if experiment.start_from_snapshot is not None:
        for folder in experiment.start_from_snapshot.absolute().parents[:DEEPEST_PREFIX]:
            if (folder / "experiment.yaml").is_file():
                return folder
    return new_folder(Path(experiment.model_architecture.rpartition(":")[2]).name)


def new_folder(name: str) -> Path:
    """Makes a folder in runs/ that did not exist before: <time>-<name>."""
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"
    make_folder(RUNS)
    for suffix in itertools.chain([""], (f"-{count}" for count in itertools.count(2))):
        folder = RUNS / f"{stem}{suffix}"
        with suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError


def _line(record: EpochRecord) -> str:
    values: Sequence[float] = dataclasses.astuple(record)
    return ",".join(str(value) for value in values)
