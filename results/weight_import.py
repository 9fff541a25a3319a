"""Published weights become a snapshot, and a person is told what it is good for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from common.errors import CommandError
from datasets.container import open_dataset
from datasets.dataset import Dataset
from datasets.imagenet.devkit import label_name
from training.batches import training_mean
from training.imported_weights import snapshot_of
from training.snapshots import save_snapshot
from training.weight_files import ChannelOrder, WeightFile, read_weights, unique

SUFFIX = ".safetensors"
DEFAULT_DATASET = Path("data/imagenet/imagenet.shards")
"""What a snapshot is evaluated on where no dataset was named."""


def import_weights(
    path: Path,
    snapshot: Path,
    architecture: str,
    params: str = "",
    *,
    dataset_path: Path | None = None,
    labels: Path | None = None,
    mean: Path | None = None,
    channel_order: ChannelOrder | None = None,
) -> Path:
    """Writes published weights as a snapshot and returns its path.

    Parameters
    ----------
    path : Path
        The weights, see `training.weight_files.read_weights`.
    snapshot : Path
        NAME.safetensors, that nothing has yet.
    architecture, params : str
        As in `Experiment`.
    dataset_path, labels, mean, channel_order
        As in `commands.import_weights`.

    Raises
    ------
    CommandError
        Where something can't be read or doesn't fit, or the snapshot can't be written.
    """
    _check_name(snapshot)
    weights = read_weights(path, channel_order)
    dataset = None if dataset_path is None else open_dataset(dataset_path)
    weights = replace(weights, mean=_mean(weights, mean, dataset))
    names = _labels(weights, labels, dataset)
    made = snapshot_of(weights, architecture, params, names, dataset_path or DEFAULT_DATASET)
    save_snapshot(made, snapshot)
    numbers = sum(tensor.numel() for tensor in made.group("network").values())
    print(f"Wrote {snapshot}: {architecture}, {numbers:,} values, {len(names):,} labels.")
    if names == _numbers(len(names)):
        print("Labels are numbered, as no names are given (--labels, --dataset-path).")
    print(f"To predict: predict --snapshot {snapshot} PICTURE…")
    print(f"To fine-tune: run_experiment --start-weights {snapshot} --dataset-path DATASET")
    return snapshot


def _check_name(snapshot: Path) -> None:
    if snapshot.suffix != SUFFIX:
        raise CommandError(f"{snapshot} is no name of a snapshot; give NAME{SUFFIX}.")
    if snapshot.exists():
        raise CommandError(f"{snapshot} is there already; remove it or choose another name.")


def _mean(weights: WeightFile, file: Path | None, dataset: Dataset | None) -> np.ndarray:
    """Returns what is to be subtracted from pixels, (3, 1, 1) or (3, height, width), float64."""
    if file is not None:
        return _read_mean(file)
    if weights.mean is not None:
        return weights.mean
    if dataset is None:
        raise CommandError(
            f"The weights of {weights.path} come without the mean that their network's inputs "
            "lack; give --mean NAME.npy, or --dataset-path with ImageNet as preprocess_imagenet "
            "wrote it."
        )
    return training_mean(dataset)


def _read_mean(file: Path) -> np.ndarray:
    try:
        mean = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no .npy file of numbers"
        raise CommandError(
            f"{file} can't be read as a mean ({reason}); give a file of numpy.save, NAME.npy."
        ) from error
    if isinstance(mean, np.ndarray) and mean.dtype.kind in "fiu":
        if mean.shape == (3,):
            return mean.reshape(3, 1, 1).astype(np.float64)
        if mean.ndim == 3 and len(mean) == 3:
            return mean.astype(np.float64)
        if mean.ndim == 3 and mean.shape[2] == 3:  # as a folder of shards holds it
            return mean.transpose(2, 0, 1).astype(np.float64)
    raise CommandError(
        f"{file} holds no mean, but {getattr(mean, 'dtype', 'several arrays')} of shape "
        f"{getattr(mean, 'shape', '')}; give a picture of shape (3, 256, 256), or three numbers."
    )


def _labels(weights: WeightFile, file: Path | None, dataset: Dataset | None) -> list[str]:
    if file is not None:
        return _read_labels(file)
    if dataset is not None:
        return dataset.label_names
    if weights.labels is not None:
        return weights.labels
    return _numbers(weights.num_labels)


def _numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def _read_labels(file: Path) -> list[str]:
    """Reads a name from each line, or from the columns of preprocess_imagenet's labels.txt."""
    try:
        lines = file.read_text(encoding="utf-8").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(
            f"{file} can't be read as a list of labels ({error}); give a text file with a line "
            "for each."
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise CommandError(
                f"Line {number} of {file} is empty, and every line must name a label; remove it, "
                "or name its label."
            )
    return unique([_name_in(line.split("\t")) for line in lines])


def _name_in(columns: list[str]) -> str:
    match columns:
        case [_, wordnet_id, words]:
            return label_name(wordnet_id, words)
        case [_, name]:
            return name
        case _:
            return "\t".join(columns).strip()
