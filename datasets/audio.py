"""Reads recordings block by block, as one channel at one sample rate.

libsndfile (by soundfile) decodes, libsoxr (by soxr) resamples.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path

import numpy as np
import soundfile

SUFFIXES = frozenset(  # of what libsndfile reads and people keep music in
    [
        *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
        *(".aif", ".aiff", ".aifc", ".au", ".snd"),
    ]
)
BLOCK = 2**18  # samples of all channels that are decoded, and made by resampling, at once
RATES = 1_000, 1_000_000  # Hz, the lowest and the highest that are resampled
LOUDEST = 1e9  # a sample beyond it is no sound: full scale is 1, and 32,768 where nobody scaled
SILENCE = 2**-14  # between the lowest and the highest sample: two steps of 16 bits
UNKNOWN = 2**60  # samples; a stream that was stored as it came does not say how many there are
UNKNOWN_BYTES = 2**31 - 2**16  # the same in the header of a WAV file that was written to a pipe
SLIP = 2**12  # bytes by which headers may be wrong: some programs count their own headers in
STATED = re.compile(  # libsndfile on the header of a WAV, AIFF or AU file that is shorter than that
    r"^ *(?:data|SSND|Data Size) *: (\d+) \(should be (\d+)\)", re.MULTILINE
)


class _Stream(soundfile.SoundFile):
    """A file that is read from its start to its end.

    After every read soundfile seeks to where it is; in an MP3 that loses what the decoder keeps of
    the frames before, and changes the sound.
    """

    def seekable(self) -> bool:
        """Returns that it is not."""
        return False


class AudioError(Exception):
    """Why a recording can't be used, in a few words."""


class Recording:
    """A recording as a signal of one channel, the mean of all that it has (Essentia's MonoLoader).

    Parameters
    ----------
    path : Path
        Any format that libsndfile knows.
    sample_rate : int
        In Hz; a recording of another one is resampled.

    Attributes
    ----------
    format : str
        As 'WAV', 'FLAC', 'OGG', 'MP3', 'AIFF' or 'AU'.
    channels : int
    original_rate : int
        In Hz.
    num_original : int
        Samples of a channel that were decoded so far.
    num_samples : int
        Samples that `blocks` has yielded so far.

    Raises
    ------
    AudioError
        Where it is no recording or can't be read.
    """

    def __init__(self, path: Path, sample_rate: int) -> None:
        try:
            if not path.stat().st_size:
                raise AudioError("it is empty, 0 bytes")
            with path.open("rb"):  # soundfile does not tell why it can't open a file
                pass
            with _silenced():
                self._file = _Stream(path)
        except OSError as error:
            raise AudioError(error.strerror or str(error)) from error
        except (soundfile.SoundFileError, TypeError) as error:
            raise AudioError(f"it is no recording of a known format ({_reason(error)})") from error
        self.format, self.channels = self._file.format, self._file.channels
        self.original_rate = self._file.samplerate
        self.num_original = self.num_samples = 0
        self._sample_rate = sample_rate
        more = max(self.channels, -(-sample_rate // self.original_rate))
        self._at_once = max(1, BLOCK // more)  # samples of a channel
        self._lowest, self._highest = math.inf, -math.inf

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def is_silent(self) -> bool:
        """Whether all samples so far have the same value, or nearly: the channels' mean counts."""
        return self._highest - self._lowest <= SILENCE

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields the signal, float32 of shape (n,), full scale from -1 to 1, a block at a time.

        Raises
        ------
        AudioError
            Where it is damaged or cut short, or holds what is no sound.
        """
        is_right = self.original_rate == self._sample_rate
        for block in self._mono() if is_right else self._resampled():
            self.num_samples += len(block)
            yield block

    def _mono(self) -> Iterator[np.ndarray]:
        # Of 16 bits, NumPy makes the same numbers in a fifth of the time that libsndfile takes.
        stored = "int16" if self._file.subtype == "PCM_16" else "float32"
        while len(block := self._decode(stored)):
            self.num_original += len(block)
            if stored == "int16":
                block = block * np.float32(1 / 32768)
            mono = reduce(np.add, block.T)  # a sum over the short axis would be slow
            if self.channels > 1:
                mono *= np.float32(1 / self.channels)
            low, high = float(mono.min()), float(mono.max())
            if not -LOUDEST < low <= high < LOUDEST:  # nor is NaN
                raise AudioError("it holds values that are no sound: NaN, infinite or beyond 1e+09")
            self._lowest, self._highest = min(low, self._lowest), max(high, self._highest)
            yield mono
        share = _share(self._file, self.num_original)
        if share is not None:
            raise AudioError(f"it is cut short: {100 * share:.0f} % of it is there")

    def _decode(self, stored: str) -> np.ndarray:
        try:
            with _silenced():
                return self._file.read(self._at_once, dtype=stored, always_2d=True)
        except (soundfile.SoundFileError, OSError) as error:
            at = self.num_original / self.original_rate
            raise AudioError(f"it is damaged after {at:.1f} s ({_reason(error)})") from error

    def _resampled(self) -> Iterator[np.ndarray]:
        import soxr

        if not RATES[0] <= self.original_rate <= RATES[1]:
            raise AudioError(
                f"its sample rate, {self.original_rate:,} Hz, is not from {RATES[0]:,} to "
                f"{RATES[1]:,} Hz"
            )
        stream = soxr.ResampleStream(self.original_rate, self._sample_rate, 1, dtype="float32")
        for block in self._mono():
            yield stream.resample_chunk(block)
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _share(file: soundfile.SoundFile, num_decoded: int) -> float | None:
    """Returns how much of the sound that the file's header tells of is there, if not all is."""
    if file.format == "FLAC":
        return num_decoded / file.frames if num_decoded < file.frames < UNKNOWN else None
    if found := STATED.search(file.extra_info):
        stated, there = int(found[1]), int(found[2])
        return there / stated if stated - there > SLIP and stated < UNKNOWN_BYTES else None
    return None


@contextmanager
def _silenced() -> Iterator[None]:
    """Keeps what libmpg123 says of a damaged MP3, in C, from standard error."""
    try:
        sys.stderr.flush()
        kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    except (OSError, AttributeError):  # there is no standard error
        yield
        return
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", "") or str(error)
    return " ".join(text.split()).rstrip(".").lower().removeprefix("error : ")
