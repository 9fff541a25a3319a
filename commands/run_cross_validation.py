"""Trains and tests a network on every fold of a dataset.

Each fold is tested on once, the next one is validated on, and the others are trained on; each run
is a run_experiment in a process and a folder of its own. At the end: the accuracies with their mean
and standard deviation, and the confusion matrix over all folds. --resume FOLDER goes on where it
stopped, however it did, and needs no other option.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from commands.run_experiment import given
from training.cross_validation import CrossValidation
from training.snapshots import options_to_start_with

GROUP = "Experiments"

Options = CrossValidation


def run(options: CrossValidation) -> dict[str, Any]:
    """Runs the cross-validation; returns what results.json holds, and its folder as `run`."""
    from results.cross_validation.run import run_cross_validation

    return run_cross_validation(options)


def defaults(arguments: list[str], recipe: dict[str, Any]) -> dict[str, Any]:
    """Returns the options of the cross-validation that is gone on with, or begun with weights."""
    folder: Path | None = given(arguments, "--resume", recipe.get("resume"))
    if folder is None:
        weights = given(arguments, "--start-weights", recipe.get("start_weights"))
        return options_to_start_with(weights) if weights else {}
    from results.cross_validation.folder import options_to_resume

    return options_to_resume(folder)
