"""Trains and tests a network on a dataset.

Prints the network and a line per epoch; the run's folder keeps options, metrics, results,
snapshots, the learning curve and a report. --start-from-snapshot goes on with a run and needs no
other option.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.experiment import Experiment

GROUP = "Experiments"

Options = Experiment


def run(options: Experiment) -> dict[str, Any]:
    """Runs the experiment; returns what results.json holds, and its folder as `run`."""
    from results.experiment_run import run_experiment

    return run_experiment(options)


def defaults(arguments: list[str]) -> dict[str, Any]:
    """Returns the options of the snapshot that the command line goes on from."""
    from common.options import from_plain
    from training.snapshots import read_header

    for option, value in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, attached = option.partition("=")
        if name.replace("_", "-") == "--start-from-snapshot" and (attached or value):
            snapshot = Path(attached if equals else value)
            recorded = from_plain(Experiment, read_header(snapshot)["experiment"], snapshot)
            transient = {"test_only": False, "out_dir": None}
            return recorded | transient | {"start_from_snapshot": snapshot}
    return {}
