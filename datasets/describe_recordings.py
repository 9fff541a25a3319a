"""What a dataset of spectrograms holds, in figures and as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import CommandError
from datasets.dataset import Subset
from datasets.describe import file_size, statistics, table
from datasets.recordings import Recordings


def refuse_drawings(recordings: Recordings, drawing: Path | None) -> None:
    """Raises CommandError where a sheet of pictures is asked for."""
    if drawing is not None:
        raise CommandError(
            f"{drawing} can't be drawn: {recordings.path} holds spectrograms of recordings, not "
            "pictures; leave the option out."
        )


def describe_recordings(recordings: Recordings) -> str:
    """Returns a description in plain lines: file, form, values, origin, and recordings by label."""
    rate, frames = recordings.frames_per_second, recordings.num_frames
    labels = np.broadcast_to(np.int32(0), len(recordings.frames))
    figures = statistics(Subset(recordings.frames, labels), "the spectrograms")
    shortest, longest = int(frames.min()), int(frames.max())
    lines = [
        f"file        {recordings.path} ({file_size(recordings.num_bytes)})",
        f"recordings  {len(recordings):,}, of {shortest:,} to {longest:,} frames "
        f"({shortest / rate:.1f} to {longest / rate:.1f} s)",
        f"frames      {len(recordings.frames):,} of {recordings.num_bands:,} values "
        f"{recordings.frames.dtype}, {rate:.2f} in a second ({_length(frames, rate)})",
        f"made with   {_in_words(recordings.parameters)}",
        f"values      mean {figures.mean:.4g}, standard deviation {figures.std:.4g}, from "
        f"{figures.min:g} to {figures.max:g}",
    ]
    if command := recordings.created_by.get("command"):
        lines.append(f"made by     {command}")
    if origin := recordings.created_by.get("recordings"):
        lines.append(f"originals   {_originals(origin)}")
    return "\n".join([*lines, f"balance     {_balance(recordings)}", "", *_table(recordings)])


def _length(frames: np.ndarray, rate: float) -> str:
    minutes, seconds = divmod(round(float(frames.sum()) / rate), 60)
    return f"{minutes:,} min {seconds} s together"


def _in_words(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parameters.items())


def _originals(origin: Mapping[str, Any]) -> str:
    """Returns what create_spectrograms has noted of the recordings."""
    try:
        formats = ", ".join(f"{name} ({n:,})" for name, n in origin["formats"].items())
        rates = ", ".join(f"{rate} Hz ({n:,})" for rate, n in origin["sample_rates"].items())
        channels = ", ".join(f"{number} ({n:,})" for number, n in origin["channels"].items())
        return f"{formats}; {rates}; channels {channels}"
    except (KeyError, TypeError, ValueError, AttributeError):  # another program's note
        return "not known"


def _balance(recordings: Recordings) -> str:
    counts = np.bincount(recordings.labels, minlength=len(recordings.label_to_index))
    names, most, least = recordings.label_names, int(counts.argmax()), int(counts.argmin())
    if counts[most] == counts[least]:
        text = f"{counts[most]:,} of each label"
    else:
        few, many = f"{counts[least]:,} ({names[least]})", f"{counts[most]:,} ({names[most]})"
        text = f"from {few} to {many} of a label"
    share = 100 * counts[most] / len(recordings)
    return f"{text}; always answering {names[most]} scores {share:.1f} %"


def _table(recordings: Recordings) -> list[str]:
    counts = np.bincount(recordings.labels, minlength=len(recordings.label_to_index))
    frames = np.bincount(
        recordings.labels, recordings.num_frames, minlength=len(recordings.label_to_index)
    )
    minutes = frames / recordings.frames_per_second / 60
    rows: list[tuple[str, ...]] = [("label", "recordings", "frames", "minutes")]
    for name, *numbers in [
        *zip(recordings.label_names, counts, frames, minutes, strict=True),
        ("total", counts.sum(), frames.sum(), minutes.sum()),
    ]:
        count, number, time = numbers
        rows.append((name, f"{count:,}", f"{int(number):,}", f"{time:,.1f}"))
    return table(rows)
