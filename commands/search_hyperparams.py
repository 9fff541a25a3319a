"""Searches for the hyperparameters with the best validation accuracy.

Every evaluation is a run_experiment in a process and a folder of its own, LOG_DIR/eval-<number>-…;
one that fails, diverges or runs out of memory counts as the worst. Repeat the command to go on
where a search stopped, however it did. At the end: the best command line, a table, a picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from training.search.options import Search

if TYPE_CHECKING:
    from training.experiment import Experiment

GROUP = "Experiments"

Options = Search


def run(options: Search) -> dict[str, Any]:
    """Runs the search; returns what its results.json holds."""
    from results.search.run import run_search

    return run_search(options, _experiment)


def _experiment(arguments: list[str]) -> Experiment:
    from commands import load, parse

    options = [argument for argument in arguments if argument != "--traceback"]
    experiment: Experiment = parse(load("run_experiment"), "run_experiment", options)
    return experiment
