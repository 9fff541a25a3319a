"""Describes a dataset: subsets, shapes, label counts, mean and range; draws samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from datasets.dataset import Dataset

GROUP = "Datasets"


@dataclass(frozen=True)
class Options:
    """The options of describe_dataset."""

    dataset_path: Annotated[Path, Positional, arg(metavar="DATASET_PATH")]
    """Dataset to describe."""

    contact_sheet: Path | None = None
    """Picture file that training samples are drawn into, a row for each label."""

    per_label: int = 10
    """Number of samples in a row of the contact sheet."""


def run(options: Options) -> Dataset:
    """Prints the description, draws the contact sheet where asked for, and returns the dataset."""
    from datasets.container import open_dataset
    from datasets.describe import describe
    from results.contact_sheet import check_suffix, write_contact_sheet

    if options.contact_sheet is not None:
        check_suffix(options.contact_sheet)
    dataset = open_dataset(options.dataset_path)
    print(describe(dataset))
    if options.contact_sheet is not None:
        write_contact_sheet(dataset, options.contact_sheet, options.per_label)
        print(f"\nWrote {options.contact_sheet}.")
    return dataset
