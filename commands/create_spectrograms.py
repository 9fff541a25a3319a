"""Makes a dataset of spectrograms of your own music, a folder of recordings for each label.

The recordings (wav, flac, ogg, mp3, aiff, au), of any length, become one channel at one sample
rate, and then a spectrogram each, with the numbers of Essentia: power in mel bands, or the
magnitude of all frequencies. They may lie in deeper folders and behind symbolic links; what can't
be read, is too short or silent is listed in NAME.unreadable.txt beside NAME.pkl.zip. Repeated after
it was killed, stopped by Ctrl-C or failed, the command goes on with the spectrograms that were
finished.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from common.options import to_plain
from common.params import parse_names

if TYPE_CHECKING:
    from datasets.spectrograms import Created

GROUP = "Datasets"


@dataclass(frozen=True)
class Options:
    """The options of create_spectrograms."""

    audio_dir: Annotated[Path, Positional, arg(metavar="AUDIO_DIR")]
    """Folder that has one folder of recordings for each label."""

    out_file: Annotated[Path, Positional, arg(metavar="OUT_FILE")]
    """File NAME.pkl.zip that the dataset is written to."""

    sample_rate: int = 44100
    """Samples per second, in Hz, that the recordings are brought to."""

    frame_size: int = 2048
    """Samples of a frame."""

    hop_size: int = 1024
    """Samples from the start of a frame to the start of the next."""

    window: Literal[
        "hamming",
        "hann",
        "blackmanharris62",
        "blackmanharris70",
        "blackmanharris74",
        "blackmanharris92",
    ] = "blackmanharris62"
    """What a frame is multiplied with before its spectrum is taken."""

    transform: Literal["mel", "magnitude"] = "mel"
    """Power in mel bands, or the magnitude of all frame_size / 2 + 1 frequencies."""

    mel_bands: int = 40
    """Number of mel bands."""

    low_frequency_bound: float = 0.0
    """Where the first mel band begins, in Hz."""

    high_frequency_bound: float | None = None
    """Where the last mel band ends, in Hz; None is half the sample rate."""

    labels: str | None = None
    """Labels to take, as in Tango,Waltz; None takes all."""

    min_seconds: float | None = None
    """Seconds of the shortest recording to take; None is one frame."""

    strict: bool = False
    """Refuses to go on where a recording can't be used, instead of leaving it out."""

    num_workers: int | None = None
    """Processes; None is one for each core. It does not change what is written."""


def run(options: Options) -> Created:
    """Writes the dataset, prints what was written and returns the same."""
    from datasets.spectra import Parameters
    from datasets.spectrograms import create_spectrograms

    plain = to_plain(options)
    for name in ("out_file", "num_workers"):  # nothing in the file depends on them
        del plain[name]
    created = create_spectrograms(
        options.audio_dir,
        options.out_file,
        Parameters(
            sample_rate=options.sample_rate,
            frame_size=options.frame_size,
            hop_size=options.hop_size,
            window=options.window,
            transform=options.transform,
            mel_bands=options.mel_bands,
            low_frequency_bound=options.low_frequency_bound,
            high_frequency_bound=options.high_frequency_bound,
        ),
        labels=None if options.labels is None else parse_names(options.labels),
        min_seconds=options.min_seconds,
        strict=options.strict,
        num_workers=options.num_workers,
        created_by={"command": "create_spectrograms", "options": plain},
    )
    _print_left_out(created)
    _print_written(created, options)
    return created


def _print_left_out(created: Created) -> None:
    from datasets.left_out import other_lines, unusable_lines

    for line in other_lines(created.others, "recording in a label's folder"):
        print(line)
    for line in unusable_lines(created.unreadable, "as they can't be used", created.report):
        print(line)


def _print_written(created: Created, options: Options) -> None:
    from datasets.describe import file_size

    if created.num_empty_bands:
        print(
            f"Of the {options.mel_bands} mel bands {created.num_empty_bands} are 0, too narrow for "
            f"a frame of {options.frame_size} samples; give fewer --mel-bands or a larger "
            "--frame-size."
        )
    minutes, seconds = divmod(round(created.seconds), 60)
    print(
        f"{len(created.counts):,} labels, {sum(created.counts.values()):,} recordings of "
        f"{minutes:,} min {seconds} s together: {created.num_frames:,} frames of "
        f"{created.num_bands:,} {'bands' if options.transform == 'mel' else 'frequencies'}."
    )
    print(", ".join(f"{label} {count:,}" for label, count in created.counts.items()) + ".")
    print(f"Wrote {created.path} ({file_size(created.path.stat().st_size)}).")
