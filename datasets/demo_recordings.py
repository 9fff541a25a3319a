"""Writes recordings of eight dances made by code, so that there is music without a download."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import soundfile

from common.errors import CommandError, unknown_name
from common.files import cannot_write, make_folder, whole_file, write_whole
from common.progress import progress
from datasets.dances import DANCES
from datasets.synthesis import play
from datasets.workers import in_order, num_cores

AudioFormat = Literal["flac", "wav"]
NOTE = ".create_demo_recordings.json"  # in the folder: what its recordings are made by
MAX_TEMPI = min(high - low for low, high in (dance.tempi for dance in DANCES.values())) + 1
MAX_SECONDS = 600.0
RATES = 8_000, 192_000  # Hz, the lowest and the highest


@dataclass(frozen=True)
class Choices:
    """What is written.

    Parameters
    ----------
    recordings_per_label, tempi_per_label : int
        How many recordings each dance has, and how many tempi they are played at, in turn.
    seconds : float
        How long a recording is.
    sample_rate : int
        In Hz.
    audio_format : 'flac' or 'wav'
        Both with 16 bits, one channel.
    seed : int
        Of all that is drawn.
    """

    recordings_per_label: int = 20
    tempi_per_label: int = 10
    seconds: float = 30.0
    sample_rate: int = 44100
    audio_format: AudioFormat = "flac"
    seed: int = 0

    def check(self) -> None:
        """Raises CommandError where a choice is wrong."""
        for name, lowest, highest, what in (
            ("recordings_per_label", 1, 999, "recordings"),
            ("tempi_per_label", 1, MAX_TEMPI, "tempi, as many as every dance has"),
            ("seconds", 1, MAX_SECONDS, "seconds"),
            ("sample_rate", *RATES, "Hz"),
            ("seed", 0, 2**32 - 1, "as a seed"),
        ):
            value = getattr(self, name)
            if not lowest <= value <= highest:
                option = f"--{name.replace('_', '-')}"
                raise CommandError(
                    f"{option} is {value}; give {lowest:,} to {highest:,.0f} {what}."
                )
        if self.audio_format not in get_args(AudioFormat):
            raise CommandError(
                unknown_name("audio format", self.audio_format, get_args(AudioFormat))
            )


@dataclass(frozen=True)
class Piece:
    """A recording to be made: its file below the folder, its dance, tempo and number."""

    file: str
    label: str
    tempo: int
    number: int


def pieces(choices: Choices) -> list[Piece]:
    """Returns the recordings, `<label>/<label>-<tempo>bpm-<number>.<format>`.

    Tempi are whole beats per minute, at equal steps from a dance's slowest to its fastest; there
    are no more of them than recordings.
    """
    made = []
    num_tempi = min(choices.tempi_per_label, choices.recordings_per_label)
    for label, dance in DANCES.items():
        tempi = np.linspace(*dance.tempi, num_tempi).round().astype(int).tolist()
        for number in range(choices.recordings_per_label):
            tempo = tempi[number % len(tempi)]
            file = f"{label}/{label}-{tempo:03}bpm-{number:03}.{choices.audio_format}"
            made.append(Piece(file, label, tempo, number))
    return made


def write_recordings(
    out_dir: Path, *, num_workers: int | None = None, **choices: object
) -> list[Path]:
    """Writes the recordings; those that are there of a run that was broken off are kept.

    Parameters
    ----------
    out_dir : Path
        A folder of its own: a new one, an empty one, or one that was written by the same choices.
    num_workers : int, optional
        Processes, by default as many as there are cores; they do not change what is written.
    **choices
        The fields of `Choices`.

    Returns
    -------
    list of Path
        All files.

    Raises
    ------
    CommandError
        Where a choice is wrong, the folder holds something else, or can't be written.
    """
    chosen = Choices(**choices)  # type: ignore[arg-type]
    chosen.check()
    if num_workers is not None and num_workers < 1:
        raise CommandError(f"--num-workers is {num_workers}; give a number of processes from 1.")
    _claim(out_dir, chosen)
    every = pieces(chosen)
    todo = [piece for piece in every if not (out_dir / piece.file).exists()]
    if found := len(every) - len(todo):
        print(f"Going on: {found:,} of {len(every):,} recordings are there.", file=sys.stderr)
    work = partial(_write, out_dir=out_dir, choices=chosen)
    number = num_workers or num_cores()
    with (
        progress("Making recordings", len(todo), "recordings") as advance,
        closing(in_order(work, todo, number, large=True)) as written,
    ):
        for _ in written:
            advance(1)
    return [out_dir / piece.file for piece in every]


def _claim(out_dir: Path, choices: Choices) -> None:
    """Writes the folder's note, or checks that the one that is there is of the same choices."""
    note = out_dir / NOTE
    plain = asdict(choices)
    if _note_of(note) == plain:
        return
    entries = out_dir.iterdir() if out_dir.is_dir() else ()
    if any(not entry.name.startswith(f"{NOTE}.") for entry in entries):  # nor was the note finished
        what = "of other options" if note.exists() else "that create_demo_recordings did not write"
        raise CommandError(
            f"The folder {out_dir} holds files {what}; give the name of a new folder, or remove it."
        )
    make_folder(out_dir)
    write_whole(note, json.dumps(plain, indent=1) + "\n")


def _note_of(note: Path) -> Mapping[str, object] | Sequence[object] | None:
    try:
        return json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write(piece: Piece, *, out_dir: Path, choices: Choices) -> None:
    """Plays and writes one recording, whole or not at all."""
    dances = sorted(DANCES)
    generator = np.random.default_rng([choices.seed, dances.index(piece.label), piece.number])
    samples = play(
        DANCES[piece.label], piece.tempo, choices.seconds, choices.sample_rate, generator
    )
    path = out_dir / piece.file
    with whole_file(path) as unfinished:
        try:
            soundfile.write(
                unfinished,
                samples,
                choices.sample_rate,
                subtype="PCM_16",
                format=choices.audio_format.upper(),
            )
        except soundfile.SoundFileError as error:  # it does not tell what the system said
            raise cannot_write(path, OSError(0, str(error))) from error
