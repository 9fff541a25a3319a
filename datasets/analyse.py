"""The spectrogram of one recording; written, it is the work of one process of several."""

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


def analyse(task: Task, *, folder: Path, parameters: Parameters, min_samples: int) -> str:
    """Writes the spectrogram of a recording to its name in the folder.

    Parameters
    ----------
    task
        The recording, and the name.
    folder, parameters
        Of `Scratch`.
    min_samples : int
        What a recording must have once it is resampled.

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
            if fault := _fault(recording, min_samples, parameters.sample_rate):
                return fault
        partial.replace(folder / name)
    except AudioError as error:
        return str(error)
    finally:
        partial.unlink(missing_ok=True)
    return ""


def spectrogram_of(path: Path, parameters: Parameters) -> np.ndarray:
    """Returns the spectrogram of a recording of at least one frame, float32 (frames, bands).

    Raises
    ------
    AudioError
        Where it can't be read, is too short or silent.
    """
    with Recording(path, parameters.sample_rate) as recording:
        blocks = list(_analysis(parameters).spectrogram(recording.blocks()))
        if fault := _fault(recording, parameters.frame_size, parameters.sample_rate):
            raise AudioError(fault)
    return np.concatenate(blocks)


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


def _fault(recording: Recording, min_samples: int, sample_rate: int) -> str:
    seconds, found = min_samples / sample_rate, recording.num_samples / sample_rate
    if not recording.num_samples:
        return "it is empty, without a sample"
    if recording.num_samples < min_samples:
        return f"it is too short, {found:.3f} s, and {seconds:.3f} s are needed"
    if recording.is_silent:
        return "it is silent"
    return ""
