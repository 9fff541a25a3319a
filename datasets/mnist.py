"""MNIST, and what is published in its files' form (Fashion-MNIST, KMNIST), as a dataset."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import CommandError
from datasets.container import write_dataset
from datasets.download import DownloadError, download, is_address
from datasets.idx import read_idx

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
FASHION_MD5 = (  # of Fashion-MNIST's labels for training and for testing, without the files' heads
    "3236f6424fc25388b2834cb19942cf7e",
    "8dea97a4e78c1bd1b5a6e8efbb870b6e",
)
FASHION_NAMES = (  # https://github.com/zalandoresearch/fashion-mnist#labels
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
VALIDATION_PART = 6  # the last sixth of the training file, 10,000 of MNIST's 60,000


def write_mnist(
    data_dir: Path,
    *,
    source: str | None = None,
    name: str = "mnist",
    timeout: float = 30.0,
    created_by: Mapping[str, Any] | None = None,
) -> Path:
    """Writes `data_dir/<name>.pkl.zip` of MNIST's four IDX files, flat, uint8 with scale 255.

    The labels are called by their numbers; those of Fashion-MNIST, which are known by their MD5
    sums, by their names, in the order of the numbers.

    Parameters
    ----------
    data_dir : Path
        Where the dataset goes, and below it, in `<name>-idx/`, what is downloaded; a file that is
        there and whole is not downloaded again.
    source : str, optional
        A folder or an http address with the four files, gzipped or not; by default MNIST's mirrors,
        whose files' MD5 sums are known and checked.
    name : str
        The dataset's name.
    timeout : float
        Seconds to wait for a server's next sign of life.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    CommandError
        Where a file can't be got, read or written.
    """
    if not name or Path(name).name != name:
        raise CommandError(f"--name is '{name}'; give a file name without folders, such as mnist.")
    if not timeout > 0:
        raise CommandError(f"--timeout is {timeout}; give a number of seconds above 0.")
    folder = data_dir / f"{name}-idx"
    if source is None:
        arrays = [_read(_from_mirrors(file, folder, timeout)) for file in MD5]
    elif is_address(source):
        arrays = [_read(_from_address(source, file, folder, timeout)) for file in MD5]
    else:
        arrays = [_read(_from_folder(Path(source), file)) for file in MD5]
    _check(source or MIRRORS[0], arrays)
    path = data_dir / f"{name}.pkl.zip"
    _write(path, arrays, created_by)
    return path


def _read(path: Path) -> np.ndarray:
    return read_idx(path, ndim=3 if "images" in path.name else 1)


def _from_mirrors(file: str, folder: Path, timeout: float) -> Path:
    path = folder / file
    if path.exists() and _md5(path) == MD5[file]:
        return path
    failures = []
    for mirror in MIRRORS:
        try:
            download(mirror + file, path, timeout)
        except DownloadError as error:
            failures.append(str(error))
            continue
        if _md5(path) == MD5[file]:
            return path
        path.unlink()
        failures.append(f"{mirror}{file} has another checksum than MNIST's")
    raise CommandError(
        f"{file} can't be downloaded: {'; '.join(failures)}. Try again later, or give --source "
        "with a folder or an address that has it."
    )


def _from_address(source: str, file: str, folder: Path, timeout: float) -> Path:
    failures = []
    for remote in (file, file.removesuffix(".gz")):
        # The prefix keeps files of different sources apart.
        path = folder / f"{zlib.crc32(source.encode()):08x}-{remote}"
        if path.exists() and _is_whole(path):
            return path
        try:
            download(f"{source.rstrip('/')}/{remote}", path, timeout)
        except DownloadError as error:
            failures.append(str(error))
            continue
        return path
    raise CommandError(
        f"{file} can't be downloaded: {'; '.join(failures)}. Check the address given as --source."
    )


def _from_folder(source: Path, file: str) -> Path:
    for name in (file, file.removesuffix(".gz")):
        if (source / name).is_file():
            return source / name
    raise CommandError(
        f"--source {source} has no file {file}, nor one without .gz; give a folder or an http "
        f"address that holds {', '.join(MD5)}."
    )


def _is_whole(path: Path) -> bool:
    try:
        _read(path)
    except CommandError:
        return False
    return True


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _check(source: str, arrays: list[np.ndarray]) -> None:
    images, labels, test_images, test_labels = arrays
    if (len(images), len(test_images)) != (len(labels), len(test_labels)):
        raise CommandError(
            f"The files of {source} don't belong together: {len(images):,} and "
            f"{len(test_images):,} pictures, but {len(labels):,} and {len(test_labels):,} labels."
        )
    if images.shape[1:] != test_images.shape[1:] or 0 in images.shape:
        raise CommandError(
            f"The files of {source} don't belong together: training pictures of shape "
            f"{images.shape}, testing pictures of shape {test_images.shape}."
        )


def _write(path: Path, arrays: list[np.ndarray], created_by: Mapping[str, Any] | None) -> None:
    images, labels, test_images, test_labels = arrays
    border = len(images) - len(images) // VALIDATION_PART
    height, width = images.shape[1:]
    images, test_images = (a.reshape(len(a), height * width) for a in (images, test_images))
    names = _label_names(labels, test_labels)
    write_dataset(
        path,
        {
            "training": (images[:border], labels[:border]),
            "validation": (images[border:], labels[border:]),
            "testing": (test_images, test_labels),
        },
        {name: index for index, name in enumerate(names)},
        layout="flat",
        scale=255,
        picture_shape=(height, width, 1),
        created_by=created_by,
    )


def _label_names(labels: np.ndarray, test_labels: np.ndarray) -> Sequence[str]:
    found = tuple(hashlib.md5(array.tobytes()).hexdigest() for array in (labels, test_labels))
    if found == FASHION_MD5:
        return FASHION_NAMES
    count = max(10, int(max(labels.max(initial=0), test_labels.max(initial=0))) + 1)
    return [str(index) for index in range(count)]
