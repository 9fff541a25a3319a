"""Makes a dataset of ImageNet's pictures, or of any big folder of labelled ones.

OUT_DIR/imagenet.shards is a folder of shards (training and validation, RGB, shuffled once, with the
mean of the training pictures) that every command takes as a dataset. Beside it: labels.txt, and
train.txt and val.txt, the pictures in the order of the dataset, as Caffe reads them. What can't be
read is listed in unreadable.txt. Repeated after it was killed or stopped by Ctrl-C, the command
goes on behind the shards that were whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from common.options import to_plain

if TYPE_CHECKING:
    from datasets.imagenet.preprocess import Preprocessed

GROUP = "Datasets"
NOT_CONTENT = ("out_dir", "shard_size", "strict", "num_workers")  # no pixel depends on these


@dataclass(frozen=True)
class Options:
    """The options of preprocess_imagenet."""

    train_dir: Path
    """Folder that has one folder of training pictures for each class: ImageNet's train, unpacked,
    with WordNet ids as names, or any other."""

    val_dir: Path
    """Folder of the validation pictures: in folders of the same names, or, with a kit that says
    what they show, all side by side."""

    out_dir: Path
    """Folder that the dataset and the lists are written to."""

    devkit: Path | None = None
    """ImageNet's development kit, unpacked, of 2012 or 2014; None takes the folders' names for
    labels."""

    image_size: int = 256
    """Height and width in pixels of the stored pictures."""

    shard_size: int = 2048
    """Pictures in a shard, a file."""

    toy: bool = False
    """Takes ten batches of 256 pictures each for training and validation only, into imagenet-toy.*,
    to try everything in minutes."""

    resize_mode: Literal["stretch", "crop"] = "stretch"
    """How a picture becomes a square: stretched, as the original did, or the middle of it."""

    seed: int = 0
    """Seed of the order of the pictures."""

    strict: bool = False
    """Refuses to go on where a picture can't be read, instead of leaving it out."""

    num_workers: int | None = None
    """Processes that decode; None is one for each core. It does not change what is written."""


def run(options: Options) -> Path:
    """Writes the dataset, prints what was written and returns the path of the dataset."""
    from datasets.imagenet.choices import Choices
    from datasets.imagenet.outputs import Outputs
    from datasets.imagenet.preprocess import preprocess

    plain = to_plain(options)
    content = {name: value for name, value in plain.items() if name not in NOT_CONTENT}
    created_by = {"command": "preprocess_imagenet", "options": content}
    written_by = {"command": "preprocess_imagenet", "shard_size": options.shard_size}
    outputs = Outputs(options.out_dir, options.toy)
    if outputs.is_there(created_by, written_by, strict=options.strict):
        print(
            f"{outputs.shards} is there, written by the same command; no picture was looked at. To "
            "make it anew, remove that folder and the lists beside it."
        )
        return outputs.shards
    made = preprocess(
        options.train_dir,
        options.val_dir,
        outputs,
        Choices(
            image_size=options.image_size,
            resize_mode=options.resize_mode,
            shard_size=options.shard_size,
            toy=options.toy,
            seed=options.seed,
            strict=options.strict,
            num_workers=options.num_workers,
        ),
        devkit=options.devkit,
        created_by=created_by,
        written_by=written_by,
    )
    _print_left_out(made)
    _print_written(made, options)
    return made.path


def _print_left_out(made: Preprocessed) -> None:
    from datasets.left_out import other_lines, unusable_lines

    listing = made.listing
    for line in other_lines(listing.others, "picture in a class's folder"):
        print(line)
    if listing.num_foreign:
        print(
            "Left out, having no training pictures of their class: "
            f"{listing.num_foreign:,} validation pictures (classes: "
            f"{listing.num_foreign_classes:,})."
        )
    for line in unusable_lines(made.unreadable, "being unreadable", made.lists[-1]):
        print(line)


def _print_written(made: Preprocessed, options: Options) -> None:
    size, there = options.image_size, ""
    if made.num_found:
        there = f", {made.num_found:,} of which were there"
    counts = ", ".join(f"{count:,} {subset}" for subset, count in made.counts.items())
    print(f"{len(made.listing.label_names):,} labels, pictures of {size}x{size} pixels: {counts}.")
    print(
        f"Wrote {made.path}: {sum(made.counts.values()):,} instances in {made.num_shards:,} shards "
        f"of up to {options.shard_size:,}{there}."
    )
    for file in made.lists:
        print(f"Wrote {file}.")
