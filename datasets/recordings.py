"""Spectrograms of recordings in the container of the picture datasets, mapped from the file.

Recordings differ in length, so one array holds the frames of all of them, one recording after
another, and a second one where each begins: a patch of some frames of a recording is a slice of the
mapping, and nothing is ever copied to cut it. The zip's members:

- `array_0`: float32, (frames, bands), in the order of the recordings;
- `array_1`: int32, (recordings,): the labels' indices;
- `array_2`: int64, (recordings + 1,): recording i has the frames from offset i up to offset i + 1;
- `pkl`: `({'recordings': (array_0, array_1)}, label_to_index)`, as every dataset has one;
- `metadata.json`: the kind, 'recordings'; their names; the spectrograms' parameters; what wrote it.

They are one subset: which recordings train and which test is for cross-validation to say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import CommandError
from datasets.archive import Archive, ArchiveWriter, Blocks
from datasets.checks import FORMAT
from datasets.container import (
    RECORDINGS,
    holds_recordings,
    open_dataset,
    pickled,
    read_metadata,
    read_structure,
    sentences,
)
from datasets.dataset import Dataset
from datasets.sharded import open_regular
from datasets.unpickle import ArrayReference, FormatError

FRAMES, LABELS, OFFSETS = (ArrayReference(f"array_{n}") for n in range(3))


@dataclass(frozen=True, eq=False)
class Recordings:
    """Spectrograms of recordings and their labels.

    Parameters
    ----------
    path : Path
        The file that they are mapped from.
    frames : np.ndarray of shape (frames, bands), float32
        Of all recordings, one after another; read-only.
    offsets : np.ndarray of shape (n + 1,), int64
        The first frame of every recording, and after them the number of all frames.
    labels : np.ndarray of shape (n,), int32
        The label's index of every recording.
    names : list of str
        `<label>/<path below the label's folder>` of every recording.
    label_to_index : dict of str to int
        The index, from 0, of every label's name.
    parameters : mapping
        What the spectrograms were made by, see `datasets.spectra.Parameters.plain`.
    created_by : mapping
        The command that wrote the file, its options, and what the recordings were.
    """

    path: Path
    frames: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    names: list[str]
    label_to_index: dict[str, int]
    parameters: Mapping[str, Any]
    created_by: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> np.ndarray:
        """Returns the spectrogram of recording `index`, (frames, bands), a view of the mapping."""
        index = range(len(self))[index]
        return self.frames[self.offsets[index] : self.offsets[index + 1]]

    @property
    def num_frames(self) -> np.ndarray:
        """How many frames every recording has."""
        return np.diff(self.offsets)

    @property
    def num_bands(self) -> int:
        """How many values a frame has."""
        return self.frames.shape[1]

    @property
    def frames_per_second(self) -> float:
        """How many frames begin in a second."""
        return self.parameters["sample_rate"] / self.parameters["hop_size"]

    @property
    def label_names(self) -> list[str]:
        """The names of the labels, by index."""
        return sorted(self.label_to_index, key=self.label_to_index.__getitem__)

    @property
    def num_bytes(self) -> int:
        """The size of the file."""
        return self.path.stat().st_size


def write_recordings(
    path: Path,
    frames: Blocks,
    offsets: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    label_to_index: Mapping[str, int],
    *,
    parameters: Mapping[str, Any],
    created_by: Mapping[str, Any],
) -> None:
    """Writes the file `path`, a few megabytes at a time; equal arguments give equal bytes.

    The arguments are the attributes of `Recordings`, the frames in blocks. `path` is written in
    place: give the name that `whole_file` yields.

    Raises
    ------
    OSError
        Where the file can't be written.
    """
    metadata = {
        "format": FORMAT,
        "kind": RECORDINGS,
        "parameters": dict(parameters),
        "created_by": dict(created_by),
        "names": list(names),
    }
    with path.open("wb") as file, ArchiveWriter(file) as zip_:
        zip_.write_array(FRAMES, frames)
        zip_.write_array(LABELS, np.asarray(labels, np.int32))
        zip_.write_array(OFFSETS, np.asarray(offsets, np.int64))
        zip_.write("pkl", pickled({RECORDINGS: (FRAMES, LABELS)}, label_to_index))
        zip_.write("metadata.json", json.dumps(metadata, indent=1).encode())


def open_any(path: Path) -> Dataset | Recordings:
    """Opens a dataset of either kind, see `open_dataset` and `open_recordings`."""
    path = Path(path)
    with sentences(path):
        if path.is_file():
            with open_regular(path) as file:
                archive = Archive(file)
                if holds_recordings(archive):
                    return read_recordings(path, archive)
    return open_dataset(path)


def open_recordings(path: Path) -> Recordings:
    """Opens a file of spectrograms; their frames are mapped, nothing in the file is executed.

    Raises
    ------
    CommandError
        Where the file is missing, damaged, or holds something else; says what is wrong.
    """
    opened = open_any(path)
    if isinstance(opened, Recordings):
        return opened
    raise CommandError(
        f"{path} holds instances of one shape, such as pictures, and this command takes "
        "spectrograms of recordings; create_spectrograms makes them."
    )


def read_recordings(path: Path, archive: Archive) -> Recordings:
    """Returns what a file of spectrograms holds.

    Raises
    ------
    FormatError
        Where its parts make no sense or don't fit one another.
    """
    structure, label_to_index = read_structure(archive)
    if set(structure) != {RECORDINGS}:
        raise FormatError(f"its subsets are {', '.join(structure)}, not recordings alone")
    frames, labels = (archive.array(member) for member in structure[RECORDINGS])
    offsets = archive.array(OFFSETS)
    metadata = read_metadata(archive) or {}
    names, parameters = metadata.get("names"), metadata.get("parameters")
    _check_arrays(frames, labels, offsets, len(label_to_index))
    if not isinstance(names, list) or len(names) != len(labels):
        raise FormatError(f"its metadata does not name its {len(labels):,} recordings")
    if not isinstance(parameters, dict) or not all(
        isinstance(parameters.get(key), int) and parameters[key] > 0
        for key in ("sample_rate", "hop_size")
    ):
        raise FormatError("its metadata lacks the spectrograms' parameters")
    return Recordings(
        path=path,
        frames=frames,
        offsets=np.array(offsets, np.int64),
        labels=np.array(labels, np.int32),
        names=[str(name) for name in names],
        label_to_index=label_to_index,
        parameters=parameters,
        created_by=metadata.get("created_by") or {},
    )


def _check_arrays(
    frames: np.ndarray, labels: np.ndarray, offsets: np.ndarray, num_labels: int
) -> None:
    if frames.ndim != 2 or frames.dtype != np.float32 or not frames.size:
        raise FormatError(
            f"its frames are {frames.dtype} of shape {frames.shape}, not float32, (frames, bands)"
        )
    for what, array in (("labels", labels), ("offsets", offsets)):
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise FormatError(
                f"its {what} are {array.dtype} of shape {array.shape}, not a row of integers"
            )
    if len(offsets) != len(labels) + 1:
        raise FormatError(f"it has {len(labels):,} labels but {len(offsets):,} offsets")
    rising = (np.diff(offsets.astype(np.int64)) > 0).all()
    if offsets[0] or offsets[-1] != len(frames) or not rising:
        raise FormatError(f"its offsets do not rise from 0 to its {len(frames):,} frames")
    if labels.min() < 0 or labels.max() >= num_labels:
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise FormatError(f"it has the label {wrong}, but labels go from 0 to {num_labels - 1}")
