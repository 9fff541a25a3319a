"""The evaluations of a search as a table: for a person, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.columns import aligned
from common.files import write_whole
from results.search.outcome import Result

SHOWN = 20
"""Evaluations in the printed table; evaluations.csv has all."""


@dataclass(frozen=True)
class Row:
    """An evaluation that has ended: its number from 1, its hyperparameters, its result."""

    number: int
    point: dict[str, Any]
    result: Result

    @property
    def failed(self) -> bool:
        """Whether it counts as the worst."""
        return bool(self.result["status"] != "ok")

    @property
    def error(self) -> float:
        """Its validation error, a part of 1."""
        return float(self.result["loss"])

    @property
    def outcome(self) -> str:
        """How it ended, in a word or two; nothing for what is whole."""
        stopped = str(self.result["stopped"])
        return "" if stopped in ("finished", "converged") else stopped


def by_rank(rows: Iterable[Row]) -> list[Row]:
    """Returns the rows, the best first, those that failed last."""
    return sorted(rows, key=lambda row: (row.failed, row.error, row.number))


def best_of(rows: Iterable[Row]) -> Row | None:
    """Returns the best row, None where all have failed."""
    ranked = by_rank(rows)
    return ranked[0] if ranked and not ranked[0].failed else None


def evaluations_table(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Returns the best evaluations as aligned lines of text, a column for each hyperparameter.

    The command lines of those that failed are worth a look into their logs, which are named below.
    """
    heads = ("rank", "evaluation", "error", "epochs", "seconds", *names, "")
    cells: list[Sequence[str]] = [heads]
    ranked = by_rank(rows)
    for rank, row in enumerate(ranked[:SHOWN], 1):
        values = [short(row.point[name]) if name in row.point else "" for name in names]
        result = row.result
        error, place = ("", "") if row.failed else (f"{row.error:.2%}", str(rank))
        figures = (str(result["epochs"]), f"{result['seconds']:.1f}")
        cells.append((place, str(row.number), error, *figures, *values, row.outcome))
    lines = aligned(cells, left=range(5, len(heads)))
    lines.insert(1, "-" * max(map(len, lines)))
    if len(ranked) > SHOWN:
        lines.append(f"and {len(ranked) - SHOWN} more")
    return "\n".join(lines)


def write_csv(rows: Sequence[Row], names: Sequence[str], path: Path) -> None:
    """Writes all evaluations in their order, with all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    own = ("evaluation", "error", "stopped", "epochs", "seconds", "folder")
    writer.writerow([*own, *names, "reason"])
    for row in rows:
        result = row.result
        own_values = [row.number, row.error, *(result[name] for name in own[2:])]
        values = [row.point.get(name, "") for name in names]
        writer.writerow([*own_values, *values, result.get("reason", "")])
    write_whole(path, text.getvalue())


def point_text(point: dict[str, Any]) -> str:
    """Writes hyperparameters for a person, as in "learning_rate 0.00123, update_func adam"."""
    return ", ".join(f"{name} {short(value)}" for name, value in point.items())


def short(value: Any) -> str:
    """Writes a value with at most 4 digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
