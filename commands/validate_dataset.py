"""Reads a whole dataset and says everything that is wrong with it.

Faults damage a dataset: shapes and labels that make no sense, bytes that have changed since they
were written, values that are NaN or infinite; the exit status is 1. Notes are odd but may be meant:
pictures of one colour, labels that a subset has none of; the exit status is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from datasets.validate import Report

GROUP = "Datasets"


@dataclass(frozen=True)
class Options:
    """The options of validate_dataset."""

    dataset_path: Annotated[Path, Positional, arg(metavar="DATASET_PATH")]
    """Dataset to read, a file or a folder of shards."""

    max_shown: int = 50
    """How many findings are printed, faults first; all of them are counted."""


def run(options: Options) -> Report:
    """Prints the findings; returns the report where there are no faults."""
    from common.errors import CommandError
    from datasets.validate import validate

    if options.max_shown < 1:
        raise CommandError(f"--max-shown is {options.max_shown}; give a number from 1.")
    report = validate(options.dataset_path)
    findings = sorted(report.findings, key=lambda finding: not finding.is_fault)
    for finding in findings[: options.max_shown]:
        print(finding)
    if (left := len(findings) - options.max_shown) > 0:
        print(f"... and {left:,} more")
    faults, read = len(report.faults), f"{report.instances:,} instances read"
    if faults:
        raise CommandError(
            f"{options.dataset_path} has {_counted(faults, 'fault')} ({read}); see the list above."
        )
    notes = f"; {_counted(len(findings), 'note')}, see above" if findings else ""
    print(f"{options.dataset_path} is fine: {read}{notes}.")
    return report


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number > 1)}"
