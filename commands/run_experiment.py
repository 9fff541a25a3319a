"""Trains and tests a network on a dataset.

Prints the network and a line per epoch; the run's folder keeps options, metrics, results,
snapshots, the learning curve and a report. --start-from-snapshot goes on with a run and needs no
other option.
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
    """Returns the options of the snapshot that the command line, or the recipe, goes on from."""
    from training.snapshots import recorded_options

    snapshot = recipe.get("start_from_snapshot")
    for argument, following in itertools.pairwise([*arguments, ""]):
        name, equals, value = argument.partition("=")
        if name.replace("_", "-") == "--start-from-snapshot":
            given = value if equals else following
            snapshot = Path(given) if given not in ("", "None") else None
    if snapshot is None and "--test-only" in arguments:
        raise UsageError("--test-only needs weights to test; give --start-from-snapshot FILE.")
    return recorded_options(snapshot) if snapshot else {}
