"""One run of a cross-validation, a try of a fold, and what it came to."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.child_run import ChildRun
from results.run_folder import WHOLE, RunFolder
from results.testing import PREDICTIONS
from training.experiment import Experiment
from training.snapshot_folder import newest_snapshot


@dataclass(frozen=True)
class Prediction:
    """A line of predictions.csv; `vote` is empty of what has no patches."""

    name: str
    label: str
    prediction: str
    probability: str
    label_probability: str
    vote: str = ""
    patches: str = ""


class FoldRun(ChildRun):
    """A try of a fold, trained and tested in a process of its own.

    Attributes
    ----------
    fold, number : which fold and which try it is, from 1.
    """

    def __init__(self, fold: int, number: int, folder: Path) -> None:
        super().__init__(folder)
        self.fold = fold
        self.number = number

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.run.path.name

    @property
    def has_diverged(self) -> bool:
        """Whether its training came to an end without a result."""
        return self.run.read_results().get("stopped") == "diverged"

    @property
    def results(self) -> dict[str, Any] | None:
        """What its results.json holds; None where no epoch was whole, or it is not tested."""
        results = self.run.read_results()
        wanted = {"validation_accuracy", "testing_accuracy"}
        return results if wanted <= results.keys() else None

    def go_on(
        self, recipe: Path, seed: int, experiment: Experiment, environment: dict[str, str]
    ) -> None:
        """Starts its process, from where one before it was cut off, if on another device."""
        reached = self.run.read_results()
        is_trained = reached.get("stopped") in WHOLE and "validation_accuracy" in reached
        if is_trained and self.can_go_on:
            snapshot = str(newest_snapshot(self.run.path))
            device = ["--device", experiment.device]
            self.start(["--test-only", "--start-from-snapshot", snapshot, *device], environment)
            return
        options = ["--config", str(recipe), "--fold", str(self.fold), "--seed", str(seed)]
        self.go_on_or_begin(options, experiment, environment)


def predictions_of(run: RunFolder) -> list[Prediction]:
    """Returns what a run has written of every instance, or every recording, that it tested."""
    with (run.path / PREDICTIONS).open(encoding="utf-8", newline="") as file:
        return [Prediction(**row) for row in csv.DictReader(file)]
