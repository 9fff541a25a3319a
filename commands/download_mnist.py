"""Downloads MNIST, or a dataset in its form, and writes it as DATA_DIR/NAME.pkl.zip.

60,000 pictures of 28x28 pixels, the last 10,000 of which become the validation subset, and 10,000
for testing; stored flat, 784 values each. Fashion-MNIST's labels get their names, others numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from common.options import to_plain

if TYPE_CHECKING:
    from datasets.dataset import Dataset

GROUP = "Datasets"


@dataclass(frozen=True)
class Options:
    """The options of download_mnist."""

    data_dir: Annotated[Path, Positional, arg(metavar="DATA_DIR")]
    """Folder that the dataset is written to; what is downloaded is kept there, in NAME-idx."""

    source: str | None = None
    """Folder or http address with the four IDX files, gzipped or not; None: MNIST's mirrors."""

    name: str = "mnist"
    """Name of the dataset."""

    timeout: float = 30.0
    """Seconds to wait for a server's next sign of life."""


def run(options: Options) -> Dataset:
    """Gets the files, writes the dataset and returns it."""
    from datasets.container import open_dataset
    from datasets.mnist import write_mnist

    path = write_mnist(
        options.data_dir,
        source=options.source,
        name=options.name,
        timeout=options.timeout,
        created_by={"command": "download_mnist", "options": to_plain(options)},
    )
    dataset = open_dataset(path)
    assert dataset.picture_shape is not None
    height, width, _ = dataset.picture_shape
    sizes = ", ".join(f"{len(subset):,} {name}" for name, subset in dataset.subsets.items())
    print(f"Wrote {path}: {sizes} pictures of {width}x{height} pixels, flat.")
    print(f"For a convolutional network give run_experiment --reshape-to '(1, {height}, {width})'.")
    return dataset
