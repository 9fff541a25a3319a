"""Makes the spectrogram of one recording; create_spectrograms does it in several processes."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from datasets.audio import AudioError, Recording
from datasets.spectra import Analysis, Parameters

Task = tuple[str, str]  # a recording, and the name of its spectrogram
HEADER = np.dtype(  # of a spectrogram's file; its values follow, frame by frame
    [
        ("num_frames", "<i8"),
        ("num_samples", "<i8"),  # of a channel of the recording, as it is stored
        ("sample_rate", "<i8"),
        ("channels", "<i8"),
        ("format", "S16"),
        ("padding", "S16"),
    ]
)


@lru_cache(maxsize=1)
def _analysis(parameters: Parameters) -> Analysis:
    return Analysis(parameters)


def spectrogram(path: Path, parameters: Parameters) -> np.ndarray:
    """Returns the spectrogram of a recording, as create_spectrograms stores it.

    Parameters
    ----------
    path : Path
        The recording, see `Recording`.
    parameters
        Of the spectrogram; `Parameters.of` makes them of a dataset's.

    Returns
    -------
    np.ndarray of shape (frames, bands), float32
        Of the whole recording, however short it is.

    Raises
    ------
    AudioError
        Where it can't be read, is damaged, cut short, empty or silent: the reason, in a few words.
    """
    with Recording(path, parameters.sample_rate) as recording:
        blocks = list(_analysis(parameters).spectrogram(recording.blocks()))
        _check_sound(recording)
    return np.concatenate(blocks)


def analyse(task: Task, *, folder: Path, parameters: Parameters) -> str:
    """Writes the spectrogram of a recording to its name in the folder.

    Parameters
    ----------
    task
        The recording, and the name.
    folder, parameters
        Of `Scratch`.

    Returns
    -------
    str
        Why the recording can't be used; empty where it is written.

    Raises
    ------
    OSError
        Where the spectrogram can't be written.
    """
    path, name = task
    partial = folder / f"{name}.{os.getpid()}.partial"
    try:
        with Recording(Path(path), parameters.sample_rate) as recording:
            _write(partial, recording, _analysis(parameters))
            _check_sound(recording)
        partial.replace(folder / name)
    except AudioError as error:
        return str(error)
    finally:
        partial.unlink(missing_ok=True)
    return ""


def _write(partial: Path, recording: Recording, analysis: Analysis) -> None:
    with partial.open("wb", buffering=2**18) as file:
        file.write(bytes(HEADER.itemsize))
        num_frames = 0
        for block in analysis.spectrogram(recording.blocks()):
            file.write(block.data)
            num_frames += len(block)
        kind = recording.format.encode()
        form = recording.num_original, recording.original_rate, recording.channels, kind, b""
        file.seek(0)
        file.write(np.array((num_frames, *form), HEADER).tobytes())


def _check_sound(recording: Recording) -> None:
    """Raises AudioError where a recording that was read holds nothing."""
    if not recording.num_samples:
        raise AudioError("it is empty, without a sample")
    if recording.is_silent:
        raise AudioError("it is silent")
