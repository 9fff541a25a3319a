"""A run's folder: its options, a line of metrics per epoch, and its results."""

from __future__ import annotations

import csv
import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.errors import CommandError
from common.files import cannot_write, make_folder, write_whole
from training.experiment import Experiment
from training.trainer import EpochRecord

RUNS = Path("runs")
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

        Raises CommandError where the folder holds another run already.
        """
        records = self.records()
        if records and experiment.start_from_snapshot is None:
            raise CommandError(
                f"{self.path} holds a run already; choose another --out-dir, or go on with it by "
                "--start-from-snapshot."
            )
        self._write_options(experiment)
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
        """Reads metrics.csv; a line that was cut off by a crash is left out."""
        if not self._metrics.is_file():
            return []
        with self._metrics.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS)]
        return [EpochRecord(int(row[0]), *map(float, row[1:])) for row in rows[1:]]

    def write_results(self, results: dict[str, Any]) -> None:
        """Writes results.json."""
        write_whole(self.path / "results.json", json.dumps(results, indent=2) + "\n")

    def read_results(self) -> dict[str, Any]:
        """Reads results.json, empty where the run has not ended."""
        file = self.path / "results.json"
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}

    def _write_options(self, experiment: Experiment) -> None:
        import yaml

        from common.options import to_plain

        file = self.path / "experiment.yaml"
        options = to_plain(experiment) | {"out_dir": None}
        if experiment.start_from_snapshot and file.is_file():
            before = yaml.safe_load(file.read_text(encoding="utf-8"))
            if before == options | {"start_from_snapshot": before["start_from_snapshot"]}:
                return  # the same run goes on
        text = yaml.safe_dump(options, sort_keys=False, allow_unicode=True)
        header = "# Repeat this run: python manage.py run_experiment --config experiment.yaml\n"
        write_whole(file, header + text)


def folder_of(experiment: Experiment) -> Path:
    """Returns where a run belongs: `out_dir`, its snapshot's run, or a new folder in runs/."""
    if experiment.out_dir is not None:
        return experiment.out_dir
    if experiment.start_from_snapshot is not None:
        for folder in experiment.start_from_snapshot.absolute().parents:
            if (folder / "experiment.yaml").is_file():
                return folder
    return new_folder(Path(experiment.model_architecture.rpartition(":")[2]).name)


def new_folder(name: str) -> Path:
    """Returns the name of a folder in runs/ that does not exist yet: <time>-<name>."""
    first = RUNS / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"
    folder, count = first, 1
    while folder.exists():
        count += 1
        folder = first.with_name(f"{first.name}-{count}")
    return folder


def _line(record: EpochRecord) -> str:
    values: Sequence[float] = dataclasses.astuple(record)
    return ",".join(str(value) for value in values)
