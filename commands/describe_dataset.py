"""Describes a dataset: subsets, values, labels, looks, duplicates; draws samples and means.

What it prints: shapes, value range, the sizes the pictures had before create_datasets resized them,
the share of grey ones, pictures that are in it more than once and whether they leak from one subset
into another, how balanced the labels are, and the instances of each label. Of spectrograms: how
they were made, what of, how long the recordings are, and those of each label.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from datasets.dataset import Dataset
    from datasets.recordings import Recordings

GROUP = "Datasets"


@dataclass(frozen=True)
class Options:
    """The options of describe_dataset."""

    dataset_path: Annotated[Path, Positional, arg(metavar="DATASET_PATH")]
    """Dataset to describe."""

    contact_sheet: Path | None = None
    """Picture file that training samples are drawn into, a row for each label, its mean first."""

    per_label: int = 10
    """Number of samples in a row of the contact sheet."""

    mean_pictures: Path | None = None
    """Picture file that every label's mean is drawn into, and how it differs from that of all."""


def run(options: Options) -> Dataset | Recordings:
    """Prints the description, draws what is asked for, and returns the dataset."""
    from datasets.describe import describe
    from datasets.describe_recordings import describe_recordings, refuse_drawings
    from datasets.recordings import Recordings, open_any
    from results.contact_sheet import write_contact_sheet
    from results.drawing import check_pictures, check_suffix, sheet_means
    from results.mean_pictures import write_mean_pictures

    sheet, pairs = options.contact_sheet, options.mean_pictures
    if sheet is not None:
        check_suffix(sheet, "--contact-sheet")
    if pairs is not None:
        check_suffix(pairs, "--mean-pictures")
    dataset = open_any(options.dataset_path)
    if isinstance(dataset, Recordings):
        refuse_drawings(dataset, sheet or pairs)
        print(describe_recordings(dataset))
        return dataset
    if sheet is not None or pairs is not None:
        check_pictures(dataset, "contact sheet" if sheet is not None else "mean picture")
    print(describe(dataset))
    if sheet is None and pairs is None:
        return dataset
    means = sheet_means(dataset)
    print()
    if sheet is not None:
        write_contact_sheet(dataset, sheet, options.per_label, means)
        print(f"Wrote {sheet}.")
    if pairs is not None:
        write_mean_pictures(dataset, pairs, means)
        print(f"Wrote {pairs}.")
    return dataset
