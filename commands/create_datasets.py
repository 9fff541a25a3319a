"""Makes datasets of your own pictures, a folder of them for each label.

Writes `full` (80 % training, 10 % validation, 10 % testing of every label) and `local`, a tenth of
it for a quick try, taken from full's training subset. Each comes as NAME.pkl.zip (grey, flat),
NAME.rgb.pkl.zip (colour), NAME-dataset-filenames.json and, for Caffe, NAME.SUBSET.txt.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from common.options import to_plain

if TYPE_CHECKING:
    from datasets.create import Created

GROUP = "Datasets"
NUM_SHOWN = 10


@dataclass(frozen=True)
class Options:
    """The options of create_datasets."""

    image_dir: Annotated[Path, Positional, arg(metavar="IMAGE_DIR")]
    """Folder that has one folder of pictures for each label."""

    out_dir: Annotated[Path, Positional, arg(metavar="OUT_DIR")]
    """Folder that the datasets are written to."""

    image_size: int | None = None
    """Height and width in pixels to stretch every picture to; None where all have one size."""

    skip_full_pickle: bool = False
    """Leaves out full.pkl.zip and full.rgb.pkl.zip."""

    strict: bool = False
    """Refuses to go on where a picture can't be read, instead of leaving it out."""

    layout: Literal["nhwc", "nchw"] = "nhwc"
    """Axes of the pictures in colour: nhwc trains fastest, nchw is the original system's order."""

    seed: int = 0
    """Seed of the shuffle before the split."""


def run(options: Options) -> Created:
    """Writes the datasets, prints what was written and returns the same."""
    from datasets.create import create_datasets

    created = create_datasets(
        options.image_dir,
        options.out_dir,
        image_size=options.image_size,
        skip_full_pickle=options.skip_full_pickle,
        strict=options.strict,
        layout=options.layout,
        seed=options.seed,
        created_by={"command": "create_datasets", "options": to_plain(options)},
    )
    _print_left_out(created, options.out_dir)
    _print_written(created)
    return created


def _print_left_out(created: Created, out_dir: Path) -> None:
    if created.others:
        print(f"Left out, being no picture in a label's folder: {len(created.others):,}.")
        shown = created.others[:NUM_SHOWN]
        print(f"  {', '.join(shown)}{', ...' if len(created.others) > NUM_SHOWN else ''}")
    if not created.unreadable:
        return
    print(f"Left out, being unreadable: {len(created.unreadable):,}.")
    for path, reason in list(created.unreadable.items())[:NUM_SHOWN]:
        print(f"  {path!a}: {reason}")
    if len(created.unreadable) > NUM_SHOWN:
        print(f"  ... all of them are listed in {out_dir / 'unreadable.txt'}")


def _print_written(created: Created) -> None:
    from datasets.describe import file_size

    height, width, _ = created.picture_shape
    print(f"{len(created.labels):,} labels, pictures of {width}x{height} pixels.")
    for part, counts in created.counts.items():
        print(f"{part}: {', '.join(f'{count:,} {subset}' for subset, count in counts.items())}")
    if "local" not in created.counts:
        print("local: not written, as a label has too few pictures for it; 100 are always enough.")
    for file in created.files:
        print(f"Wrote {file} ({file_size(file.stat().st_size)}).")
    if created.older:
        names = ", ".join(file.name for file in created.older)
        print(f"From an earlier run, perhaps of another split, are still there: {names}.")
