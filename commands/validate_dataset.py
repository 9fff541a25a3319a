"""Reads a whole dataset and says everything that is wrong with it.

Checked are shapes, labels, checksums, values that are NaN or infinite, and pictures of one colour.
The exit status is 0 where nothing is wrong, else 1.
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
    """How many findings are printed; all of them are counted."""


def run(options: Options) -> Report:
    """Prints the findings; returns the report where there are none."""
    from common.errors import CommandError
    from datasets.validate import validate

    if options.max_shown < 1:
        raise CommandError(f"--max-shown is {options.max_shown}; give a number from 1.")
    report = validate(options.dataset_path)
    for finding in report.findings[: options.max_shown]:
        print(finding)
    left = len(report.findings) - options.max_shown
    if left > 0:
        print(f"... and {left:,} more")
    read = f"{report.instances:,} instances read"
    if report.findings:
        count = len(report.findings)
        raise CommandError(
            f"{options.dataset_path} has {count:,} {'fault' if count == 1 else 'faults'} ({read}); "
            "see the list above."
        )
    print(f"{options.dataset_path} is fine: {read}.")
    return report
