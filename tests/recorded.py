"""Spectrograms in a file, as create_spectrograms writes it, of arrays that a test has made."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets.archive import Blocks
from datasets.recordings import Recordings, open_recordings, write_recordings


def spectra(lengths: Sequence[int], bands: int = 5, seed: int = 0) -> list[np.ndarray]:
    """Powers of recordings of so many frames each, (frames, bands), from 0 to some hundreds."""
    generator = np.random.default_rng(seed)
    return [(generator.random((length, bands)) ** 6 * 300).astype("f4") for length in lengths]


def write(
    path: Path,
    arrays: Sequence[np.ndarray],
    labels: Sequence[int] | np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> Recordings:
    """Writes spectrograms whose labels, jazz, metal and so on, come in turn unless given."""
    labels = np.arange(len(arrays)) % 2 if labels is None else np.asarray(labels)
    known = ["jazz", "metal", "polka", "tango"][: max(2, labels.max() + 1)]
    if names is None:
        names = [f"{known[label]}/{number}.wav" for number, label in enumerate(labels)]
    ends = np.cumsum([len(array) for array in arrays])
    write_recordings(
        path,
        Blocks((int(ends[-1]), arrays[0].shape[1]), np.dtype(np.float32), arrays),
        np.concatenate([[0], ends]),
        labels,
        names,
        {name: index for index, name in enumerate(known)},
        parameters={"sample_rate": 44100, "frame_size": 2048, "hop_size": 1024},
        created_by={"command": "test"},
    )
    return open_recordings(path)
