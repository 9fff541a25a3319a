"""What a search came to: printed, and written into its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.files import write_whole
from results.child_run import LOG
from results.search.folder import SearchFolder
from results.search.outcome import Result
from results.search.table import Row, best_of, evaluations_table
from training.search.base_command import BaseCommand
from training.search.options import Search
from training.search.space import Space


def summarise(
    rows: Sequence[Row], search: Search, base: BaseCommand, space: Space, folder: SearchFolder
) -> dict[str, Any]:
    """Prints the evaluations, draws them, and names the best command line.

    Returns
    -------
    dict
        What results.json holds: numbers of `evaluations` and of those that `failed`, and the
        `best`, None where there is none: its `evaluation`, `error`, `folder`, `hyperparameters` and
        `command`.
    """
    best = best_of(rows)
    results: dict[str, Any] = {
        "evaluations": len(rows),
        "failed": sum(row.failed for row in rows),
        "best": _described(best, base, space, folder) if best else None,
    }
    write_whole(folder.results, json.dumps(results, indent=2) + "\n")
    if rows:
        print(f"\n{evaluations_table(rows, list(space.parameters))}\n")
    for row in rows:
        if row.failed:
            print(f"evaluation {row.number} {how_it_failed(row.result, folder.path)}")
    if best is None:
        return results
    from results.search.picture import search_picture

    experiment = base.experiment
    what = f"{experiment.model_architecture} on {experiment.dataset_path.name}"
    title = f"{what}: {len(rows)} evaluations, {search.algorithm}"
    search_picture(rows, space.parameters, title, folder.picture)
    print(f"table       {folder.table}\npicture     {folder.picture}\ntrials      {folder.trials}")
    print(f"\nbest: evaluation {best.number}, validation error {best.error:.2%}; its command line:")
    print(results["best"]["command"])
    return results


def how_it_failed(result: Result, folder: Path) -> str:
    """Returns the reason and the log's name."""
    return f"{result['stopped']}: {result['reason']} (log: {folder / result['folder'] / LOG})"


def _described(best: Row, base: BaseCommand, space: Space, folder: SearchFolder) -> dict[str, Any]:
    arguments = base.with_options(space.options(best.point))
    return {
        "evaluation": best.number,
        "error": best.error,
        "folder": str(folder.path / best.result["folder"]),
        "hyperparameters": best.point,
        "command": base.line(arguments),
    }
