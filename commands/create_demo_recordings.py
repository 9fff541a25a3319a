"""Writes recordings of eight dances made by code: music to try things on, without a download.

OUT_DIR/LABEL/LABEL-TEMPObpm-NUMBER.flac for the dances of the Ballroom dataset, ChaChaCha, Jive,
Quickstep, Rumba, Samba, Tango, VienneseWaltz and Waltz, each with its metre, pattern and tempi;
instruments, key, noise, loudness, the moment of the bar it begins at and slips of the players
differ from one recording to the next. Some dances share their tempi, so that the pattern alone
tells them apart. Repeated after it was broken off, the command makes those that are missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from common.options import to_plain

GROUP = "Datasets"


@dataclass(frozen=True)
class Options:
    """The options of create_demo_recordings."""

    out_dir: Annotated[Path, Positional, arg(metavar="OUT_DIR")]
    """Folder that the recordings are written to; new, or empty."""

    recordings_per_label: int = 20
    """Recordings of each dance."""

    tempi_per_label: int = 10
    """Tempi of each dance, evenly from its slowest to its fastest; they stand in the names."""

    seconds: float = 30.0
    """Seconds of a recording."""

    sample_rate: int = 44100
    """Samples per second, in Hz."""

    audio_format: Literal["flac", "wav"] = "flac"
    """What the files are, of 16 bits and one channel."""

    seed: int = 0
    """Seed of all that is drawn."""

    num_workers: int | None = None
    """Processes; None is one for each core. It does not change what is written."""


def run(options: Options) -> list[Path]:
    """Writes the recordings and returns their paths."""
    from datasets.demo_recordings import write_recordings
    from datasets.describe import file_size

    plain = to_plain(options)
    del plain["out_dir"]
    files = write_recordings(options.out_dir, **plain)
    size = file_size(sum(file.stat().st_size for file in files))
    print(
        f"Wrote {len(files):,} recordings of {options.seconds:g} s in {options.out_dir}, "
        f"{options.recordings_per_label} of each of 8 dances ({size})."
    )
    print(f"For their spectrograms: create_spectrograms {options.out_dir} NAME.pkl.zip.")
    return files
