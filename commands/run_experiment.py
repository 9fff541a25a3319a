"""Trains and tests a network on a dataset.

Prints the network and a line per epoch; the run's folder keeps options, metrics, results,
snapshots, the learning curve and a report. --resume FOLDER goes on with a run, and
--start-from-snapshot FILE from a snapshot; neither needs another option.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from common.errors import UsageError
from training.experiment import Experiment

GROUP = "Experiments"

Options = Experiment


def run(options: Experiment) -> dict[str, Any]:
    """Runs the experiment; returns what results.json holds, and its folder as `run`."""
    from results.experiment_run import run_experiment

    return run_experiment(options)


def defaults(arguments: list[str], recipe: dict[str, Any]) -> dict[str, Any]:
    """Returns the options of the snapshot, or of the run, that is gone on from or begun with.

    A recipe may name both: that of a process that `results.launch` starts does, for a run's newest.
    """
    from training.snapshot_folder import options_to_resume
    from training.snapshots import options_to_start_with, recorded_options

    recorded = recipe.get("start_from_snapshot"), recipe.get("resume")
    snapshot = given(arguments, "--start-from-snapshot", recorded[0])
    folder = given(arguments, "--resume", recorded[1])
    if snapshot and folder and (snapshot, folder) != recorded:
        raise UsageError("--resume and --start-from-snapshot exclude each other; give one of them.")
    weights = given(arguments, "--start-weights", recipe.get("start_weights"))
    if (snapshot or folder) and weights != recipe.get("start_weights"):
        raise UsageError(
            "--start-weights begins a training, and --resume and --start-from-snapshot go on with "
            "one; give one of them."
        )
    if folder and not snapshot:
        return options_to_resume(folder)
    if snapshot is None and "--test-only" in arguments:
        raise UsageError("--test-only needs weights to test; give --start-from-snapshot FILE.")
    if snapshot:
        return recorded_options(snapshot)
    return options_to_start_with(weights) if weights else {}


def given(arguments: list[str], option: str, value: Path | None) -> Path | None:
    """Returns the path that the command line gives for an option, or else `value`."""
    for argument, following in itertools.pairwise([*arguments, ""]):
        name, equals, text = argument.partition("=")
        if name.replace("_", "-") == option:
            given = text if equals else following
            value = Path(given) if given not in ("", "None") else None
    return value
