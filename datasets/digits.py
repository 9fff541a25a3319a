"""The demonstration dataset: scikit-learn's handwritten digits.

1,797 pictures of 8x8 pixels with 17 levels of grey, from E. Alpaydin and C. Kaynak, Optical
Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from datasets.container import write_dataset
from datasets.split import split

SCALE = 16  # the darkest of the levels


def write_digits(path: Path, *, seed: int = 0, created_by: Mapping[str, Any] | None = None) -> None:
    """Writes the digits, split 80/10/10 within every digit, as (n, 8, 8, 1) uint8 in 0 to 16.

    Raises
    ------
    CommandError
        Where the file can't be written.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    pictures = digits.images.astype(np.uint8)[..., np.newaxis]
    labels = digits.target.astype(np.int32)
    by_label = {str(digit): np.flatnonzero(labels == digit).tolist() for digit in range(10)}
    subsets = {}
    for name, members in split(by_label, seed=seed).items():
        rows = np.array([row for _, row in members])
        subsets[name] = (pictures[rows], labels[rows])
    write_dataset(
        path,
        subsets,
        {str(digit): digit for digit in range(10)},
        layout="nhwc",
        scale=SCALE,
        picture_shape=(8, 8, 1),
        created_by=created_by,
    )
