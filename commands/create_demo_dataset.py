"""Writes the demonstration dataset, scikit-learn's pictures of digits.

OUT_DIR/digits.pkl.zip gets 1,797 handwritten digits, 8x8 pixels in grey, split into 80 %
training, 10 % validation and 10 % testing. Nothing is downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from common.options import to_plain

GROUP = "Datasets"


@dataclass(frozen=True)
class Options:
    """The options of create_demo_dataset."""

    out_dir: Annotated[Path, Positional, arg(metavar="OUT_DIR")]
    """Folder that digits.pkl.zip is written to."""

    seed: int = 0
    """Seed of the shuffle before the split."""


def run(options: Options) -> Path:
    """Writes the dataset and returns its path."""
    from datasets.digits import write_digits

    path = options.out_dir / "digits.pkl.zip"
    created_by = {"command": "create_demo_dataset", "options": to_plain(options)}
    write_digits(path, seed=options.seed, created_by=created_by)
    print(f"Wrote {path}: 1,797 pictures of the digits 0 to 9, 8x8 pixels, grey.")
    return path
