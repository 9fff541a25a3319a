"""Makes datasets of your own pictures, a folder of them for each label.

Writes `full` (80 % training, 10 % validation, 10 % testing of every label) and `local`, a tenth of
it for a quick try, taken from full's training subset. Each comes as NAME.pkl.zip (grey, flat),
NAME.rgb.pkl.zip (colour), NAME-dataset-filenames.json and, for Caffe, NAME.SUBSET.txt. Pictures may
lie in deeper folders and behind symbolic links; what is there more than once, exactly or nearly,
stays in one subset and is listed in duplicates.tsv. Repeated after it was killed or stopped by
Ctrl-C, the command goes on with the pictures that it had decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from common.options import to_plain
from common.params import parse_names

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
    """Height and width in pixels of the pictures; None where all have one size and keep it."""

    resize_mode: Literal["stretch", "crop", "fit"] = "stretch"
    """How a picture becomes a square: stretched as the originals did, the middle of it, or all of
    it with black bars."""

    labels: str | None = None
    """Labels to take, as in jazz,metal; None takes all."""

    max_per_label: int | None = None
    """Most pictures of a label to take, drawn by the seed before any is read: unreadable ones and
    dropped duplicates among them are not replaced. None takes all."""

    split: str = "0.8,0.1,0.1"
    """Shares of training, validation and testing; they add up to 1, and the last two may be 0."""

    group_by: str | None = None
    """Regular expression searched for in the paths below the labels' folders: pictures in which it
    finds the same stay in one subset, as those of an artist with '([^/]+?)(?= - )'. Where it has
    groups in brackets, these count; a picture in which it finds nothing is in no group."""

    duplicate_distance: int | None = 4
    """Bits, of 64, in which the hashes of near duplicates may differ, 0 to 10; None looks for equal
    files only."""

    drop_duplicates: bool = False
    """Takes only the first of the same or nearly the same pictures, by label and name."""

    skip_full_pickle: bool = False
    """Leaves out full.pkl.zip and full.rgb.pkl.zip."""

    strict: bool = False
    """Refuses to go on where a picture can't be read, instead of leaving it out."""

    layout: Literal["nhwc", "nchw"] = "nhwc"
    """Axes of the pictures in colour: nhwc trains fastest, nchw is the original system's order."""

    seed: int = 0
    """Seed of the split."""

    num_workers: int | None = None
    """Processes that decode; None is one for each core. It does not change what is written."""


def run(options: Options) -> Created:
    """Writes the datasets, prints what was written and returns the same."""
    from datasets.create import create_datasets
    from datasets.split import parse_shares

    plain = to_plain(options)
    for name in ("out_dir", "num_workers"):  # nothing in the files depends on them
        del plain[name]
    created = create_datasets(
        options.image_dir,
        options.out_dir,
        image_size=options.image_size,
        resize_mode=options.resize_mode,
        labels=None if options.labels is None else parse_names(options.labels),
        max_per_label=options.max_per_label,
        shares=parse_shares(options.split),
        group_by=options.group_by,
        duplicate_distance=options.duplicate_distance,
        drop_duplicates=options.drop_duplicates,
        skip_full_pickle=options.skip_full_pickle,
        strict=options.strict,
        layout=options.layout,
        seed=options.seed,
        num_workers=options.num_workers,
        created_by={"command": "create_datasets", "options": plain},
    )
    _print_left_out(created, options.out_dir)
    _print_duplicates(created, options)
    _print_written(created)
    return created


def _print_left_out(created: Created, out_dir: Path) -> None:
    from datasets.left_out import other_lines, unusable_lines

    for line in other_lines(created.others, "picture in a label's folder"):
        print(line)
    for line in unusable_lines(created.unreadable, "being unreadable", out_dir / "unreadable.txt"):
        print(line)


def _print_duplicates(created: Created, options: Options) -> None:
    found = created.duplicates
    if found.num_groups:
        across = f", {found.num_across_labels:,} of them under more than one label"
        print(
            f"Duplicates, the same or nearly: {found.num_pictures:,} pictures in "
            f"{found.num_groups:,} group{'s' * (found.num_groups > 1)}"
            f"{across if found.num_across_labels else ''}; "
            + (
                f"{found.num_dropped:,} were left out"
                if options.drop_duplicates
                else "each group stays in one subset"
            )
            + f" (listed in {options.out_dir / 'duplicates.tsv'})."
        )
    by_pattern = created.grouped
    if by_pattern.num_groups:
        print(f"--group-by: {by_pattern.num_groups:,} groups, each in one subset.")
    if by_pattern.num_alone:
        print(
            f"--group-by: {by_pattern.num_alone:,} of {by_pattern.num_pictures:,} pictures are in "
            f"no group, such as {by_pattern.example!r}."
        )
    for subset, label in created.missing[:NUM_SHOWN]:
        print(
            f"The {subset} subset has no '{label}': the groups of its pictures that must stay "
            "together are too few or too large."
        )


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
