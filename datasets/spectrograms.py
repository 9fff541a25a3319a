"""Makes a dataset of spectrograms of a folder of recordings: one folder for each label."""

from __future__ import annotations

import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import CommandError
from common.files import whole_file, write_whole
from common.progress import progress
from datasets.analyse import HEADER, analyse
from datasets.archive import Blocks
from datasets.audio import SUFFIXES
from datasets.container import is_dataset_file
from datasets.left_out import REASON, begins_with, text_of
from datasets.recordings import write_recordings
from datasets.scan import Kind, find_files, name_fault
from datasets.spectra import Parameters, num_empty_bands
from datasets.spectrogram_scratch import Scratch
from datasets.workers import in_order, num_cores

SUFFIX = ".pkl.zip"
REPORT = ".unreadable.txt"  # in the suffix's place, the recordings that were left out
KIND = Kind(
    SUFFIXES,
    "put every label's recordings (wav, flac, ogg, mp3, aiff, au) in a folder of the label's name, "
    "AUDIO_DIR/<label>/",
)


@dataclass(frozen=True)
class Created:
    """What `create_spectrograms` has made.

    Parameters
    ----------
    path : Path
        The file written.
    counts : dict of str to int
        How many recordings every label has.
    num_frames, num_bands : int
        Of all recordings together, and of a frame.
    seconds : float
        How long the recordings are together.
    num_empty_bands : int
        Mel bands that hold nothing, see `datasets.spectra.num_empty_bands`.
    unreadable : dict of str to str
        The reason, by path below the folder, of every recording that was left out.
    report : Path, optional
        The file that lists them, if there are any.
    others : list of str
        What else lies in the folder, see `datasets.scan.Listing`.
    """

    path: Path
    counts: dict[str, int]
    num_frames: int
    num_bands: int
    seconds: float
    num_empty_bands: int
    unreadable: dict[str, str]
    report: Path | None
    others: list[str]


@dataclass(frozen=True)
class Choices:
    """How recordings are taken.

    Parameters
    ----------
    labels : sequence of str, optional
        The labels to take; by default all.
    min_seconds : float, optional
        The shortest recording to take; by default one frame.
    strict : bool
        Whether a recording that can't be used is an error.
    num_workers : int, optional
        Processes; by default as many as there are cores.
    """

    labels: Sequence[str] | None = None
    min_seconds: float | None = None
    strict: bool = False
    num_workers: int | None = None

    def check(self) -> None:
        """Raises CommandError where a choice is wrong."""
        if self.min_seconds is not None and not 0 <= self.min_seconds < math.inf:
            raise CommandError(
                f"--min-seconds is {self.min_seconds:g}; give a number of seconds from 0."
            )
        if self.num_workers is not None and self.num_workers < 1:
            raise CommandError(
                f"--num-workers is {self.num_workers}; give a number of processes from 1."
            )

    def length_fault(self, header: np.void, parameters: Parameters) -> str:
        """Returns why a recording is too short; an empty text where it is not."""
        found = float(_seconds(header))
        needed = self.min_seconds
        if needed is None:
            needed = parameters.frame_size / parameters.sample_rate
        if found >= needed:
            return ""
        return f"it is too short, {found:.3f} s, and {needed:.3f} s are needed"


def create_spectrograms(
    audio_dir: Path,
    out_file: Path,
    parameters: Parameters | None = None,
    *,
    created_by: Mapping[str, Any] | None = None,
    **choices: Any,
) -> Created:
    """Writes the spectrograms of the recordings below `audio_dir/<label>/` to `out_file`.

    The file holds all recordings as one subset, see `datasets.recordings`. Beside it,
    `<name>.unreadable.txt` lists what was left out, with the reason. Memory use does not depend on
    how long a recording is, and on their number by some hundred bytes each; the number of workers
    does not change a byte. Where a run was killed, or after some seconds stopped by Ctrl-C or an
    error, the same one goes on with the spectrograms that were finished.

    Parameters
    ----------
    audio_dir, out_file : Path
        What is read, and where to; a dataset that is there is replaced when the new one is whole.
    parameters : Parameters, optional
        Of the spectrograms.
    created_by : mapping, optional
        What the file says it was made by.
    **choices
        The fields of `Choices`.

    Raises
    ------
    CommandError
        Where a parameter or choice is wrong, a label has no recording that can be used, or the file
        can't be written.
    """
    parameters, chosen = parameters or Parameters(), Choices(**choices)
    parameters.check()
    chosen.check()
    report = _report_of(out_file)
    listing = find_files(audio_dir, KIND, chosen.labels)
    names = [f"{label}/{name}" for label, files in listing.pictures.items() for name in files]
    with whole_file(out_file) as unfinished:
        try:
            with Scratch(out_file, parameters) as scratch:
                work = _Work(audio_dir, names, scratch, parameters, chosen)
                stored, unreadable = work.analyse()
                _check_labels(listing.pictures, stored, unreadable)
                headers = _write(unfinished, scratch, stored, parameters, created_by or {})
        except MemoryError as error:
            raise CommandError(
                f"--frame-size {parameters.frame_size} needs more memory than there is; give a "
                "smaller one, or --num-workers 1."
            ) from error
        reasons = {name: unreadable[name] for name in sorted(unreadable)}
        _write_report(report, reasons)
    return Created(
        path=out_file,
        counts=dict(sorted(Counter(name.partition("/")[0] for name in stored).items())),
        num_frames=int(headers["num_frames"].sum()),
        num_bands=parameters.num_bands,
        seconds=float(_seconds(headers).sum()),
        num_empty_bands=num_empty_bands(parameters),
        unreadable=reasons,
        report=report if reasons else None,
        others=listing.others,
    )


def _report_of(out_file: Path) -> Path:
    """Returns the name of the report; raises CommandError where something else has it or OUT."""
    name = out_file.name.removesuffix(SUFFIX)
    if name in ("", out_file.name):
        raise CommandError(f"{out_file} is no name for a dataset; give NAME{SUFFIX}.")
    if os.path.lexists(out_file) and not is_dataset_file(out_file):
        raise CommandError(
            f"{out_file} can't be read as a dataset, and is left alone; choose a name that nothing "
            "has."
        )
    report = out_file.with_name(name + REPORT)
    if os.path.lexists(report) and not begins_with(report, REASON):
        raise CommandError(
            f"{report} is not of create_spectrograms, which writes a report of that name; move it "
            "away or choose another name."
        )
    return report


def _write_report(report: Path, reasons: Mapping[str, str]) -> None:
    if reasons:
        write_whole(report, text_of(reasons))
    elif begins_with(report, REASON):  # of an earlier run
        with suppress(OSError):
            report.unlink()


class _Tasks(Sequence[tuple[str, str]]):
    """Recordings with the names of their spectrograms, made as they are asked for."""

    def __init__(self, folder: Path, keys: Mapping[str, str], names: Sequence[str]) -> None:
        self._folder, self._keys, self._names = str(folder), keys, names

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> tuple[str, str]:  # type: ignore[override]
        name = self._names[index]
        return f"{self._folder}/{name}", self._keys[name]


@dataclass(frozen=True)
class _Work:
    """What there is to analyse, by names below the folder."""

    audio_dir: Path
    names: Sequence[str]
    scratch: Scratch
    parameters: Parameters
    chosen: Choices

    def analyse(self) -> tuple[dict[str, str], dict[str, str]]:
        """Makes the spectrograms that are not there yet.

        Returns
        -------
        stored : dict of str to str
            The key of every recording's spectrogram in the scratch folder, in the names' order.
        unreadable : dict of str to str
            Why the others can't be used.
        """
        keys: dict[str, str] = {}
        unreadable: dict[str, str] = {}
        for name in self.names:
            try:
                fault = name_fault(name)
                if fault is None:
                    path = f"{self.audio_dir}/{name}"
                    keys[name] = self.scratch.name_of(path, Path(path).stat())
            except OSError as error:
                fault = error.strerror or str(error)
            if fault is not None:
                self._leave_out(name, fault, unreadable)
        faults = {name: self._length_fault(key) for name, key in keys.items()}
        for name, fault in faults.items():
            if fault:
                self._leave_out(name, fault, unreadable)
        self._make({n: key for n, key in keys.items() if faults[n] is None}, unreadable)
        return {name: key for name, key in keys.items() if name not in unreadable}, unreadable

    def _length_fault(self, key: str) -> str | None:
        """Returns why a recording is too short, if it is; None where there is no spectrogram."""
        header = self.scratch.header(key)
        return None if header is None else self.chosen.length_fault(header, self.parameters)

    def _make(self, missing: Mapping[str, str], unreadable: dict[str, str]) -> None:
        if found := len(self.names) - len(missing) - len(unreadable):
            print(
                f"Going on: {found:,} of {len(self.names):,} spectrograms are there already.",
                file=sys.stderr,
            )
        todo = list(missing)
        work = partial(analyse, folder=self.scratch.folder, parameters=self.parameters)
        tasks = _Tasks(self.audio_dir, missing, todo)
        number = self.chosen.num_workers or num_cores()
        with (
            progress("Making spectrograms", len(todo), "recordings") as advance,
            closing(in_order(work, tasks, number, large=True)) as faults,
        ):
            for name, fault in zip(todo, faults, strict=True):
                advance(1)
                if reason := fault or self._length_fault(missing[name]):
                    self._leave_out(name, reason, unreadable)

    def _leave_out(self, name: str, fault: str, unreadable: dict[str, str]) -> None:
        if self.chosen.strict:
            raise CommandError(
                f"The recording {f'{self.audio_dir}/{name}'!a} can't be used: {fault}; repair or "
                "remove it, or leave out --strict to go on without such recordings."
            )
        unreadable[name] = fault


def _check_labels(
    found: Mapping[str, Sequence[str]], stored: Mapping[str, str], unreadable: Mapping[str, str]
) -> None:
    """Checks that every label has a recording."""
    counts = Counter(name.partition("/")[0] for name in stored)
    for label in found:
        if not counts[label]:
            name, reason = next(one for one in unreadable.items() if one[0].startswith(f"{label}/"))
            raise CommandError(
                f"No recording of the label '{label}' can be used, such as {name!a}: {reason}; add "
                "recordings or remove the label's folder."
            )


def _write(
    path: Path,
    scratch: Scratch,
    stored: Mapping[str, str],
    parameters: Parameters,
    created_by: Mapping[str, Any],
) -> np.ndarray:
    """Writes the dataset; returns the recordings' headers."""
    headers = np.array([scratch.header(key) for key in stored.values()], HEADER)
    offsets = np.concatenate([[0], np.cumsum(headers["num_frames"])])
    labels = [name.partition("/")[0] for name in stored]
    indices = {label: index for index, label in enumerate(sorted(set(labels)))}
    bands = parameters.num_bands
    with progress("Writing", int(offsets[-1]), "frames") as advance:
        blocks = _blocks(scratch, stored.values(), bands, advance)
        write_recordings(
            path,
            Blocks((int(offsets[-1]), bands), np.dtype(np.float32), blocks),
            offsets,
            np.array([indices[label] for label in labels]),
            list(stored),
            indices,
            parameters=parameters.plain(),
            created_by={**created_by, "recordings": _origin(headers)},
        )
    return headers


def _blocks(
    scratch: Scratch, keys: Iterable[str], num_bands: int, advance: Callable[[int], None]
) -> Iterator[np.ndarray]:
    for key in keys:
        for block in scratch.blocks(key, num_bands):
            yield block
            advance(len(block))


def _seconds(headers: np.ndarray | np.void) -> np.ndarray:
    """Returns how long recordings are, or one is."""
    return headers["num_samples"] / headers["sample_rate"]


def _origin(headers: np.ndarray) -> dict[str, Any]:
    """Returns what the recordings were."""
    seconds = _seconds(headers)
    counts = {}
    for name, of in (("formats", "format"), ("sample_rates", "sample_rate"), ("channels",) * 2):
        values, numbers = np.unique(headers[of], return_counts=True)
        texts = [value.decode() if of == "format" else str(value) for value in values.tolist()]
        counts[name] = dict(zip(texts, numbers.tolist(), strict=True))
    return {
        **counts,
        "seconds": round(float(seconds.sum()), 3),
        "shortest": round(float(seconds.min()), 3),
        "longest": round(float(seconds.max()), 3),
    }
