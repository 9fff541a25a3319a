"""Spectrograms by Essentia's definitions: frames, windows, magnitudes and mel bands of a signal.

The names and defaults are those of Essentia 2.1's FrameGenerator, Windowing, Spectrum and MelBands
(https://essentia.upf.edu/reference), and so are the numbers: its window is symmetric and divided by
half its sum, the first frame is centred on the first sample, a mel band is a weighted mean of the
spectrum's power, and its triangle's sides are straight lines over mel, not over Hz.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from common.errors import CommandError, unknown_name

Window = Literal[
    "hamming",
    "hann",
    "blackmanharris62",
    "blackmanharris70",
    "blackmanharris74",
    "blackmanharris92",
]
Transform = Literal["mel", "magnitude"]
COSINES = {  # a window is the sum of these, times cos(0), -cos(p), cos(2p), -cos(3p)
    "hamming": (0.53836, 0.46164),
    "hann": (0.5, 0.5),
    "blackmanharris62": (0.44959, 0.49364, 0.05677),
    "blackmanharris70": (0.42323, 0.49755, 0.07922),
    "blackmanharris74": (0.40217, 0.49703, 0.09892, 0.00188),
    "blackmanharris92": (0.35875, 0.48829, 0.14128, 0.01168),
}
SAMPLES_AT_ONCE = 2**17  # of frames whose spectra are in the processor's cache together
MAX_RATE = 1_000_000  # Hz
MAX_FRAME = 2**20  # samples


@dataclass(frozen=True)
class Parameters:
    """What a spectrogram depends on.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    frame_size, hop_size : int
        In samples; the frame's is even.
    window : str
        See `Window`.
    transform : 'mel' or 'magnitude'
        Power in mel bands, or the magnitude of every bin of the spectrum.
    mel_bands : int
        How many bands there are.
    low_frequency_bound, high_frequency_bound : float
        Where the first band begins and the last one ends, in Hz; by default from 0 to half the
        sample rate.
    """

    sample_rate: int = 44100
    frame_size: int = 2048
    hop_size: int = 1024
    window: Window = "blackmanharris62"
    transform: Transform = "mel"
    mel_bands: int = 40
    low_frequency_bound: float = 0.0
    high_frequency_bound: float | None = None

    @property
    def num_bins(self) -> int:
        """How many frequencies a frame's spectrum has, from 0 to half the sample rate."""
        return self.frame_size // 2 + 1

    @property
    def num_bands(self) -> int:
        """How many values a frame of the spectrogram has."""
        return self.mel_bands if self.transform == "mel" else self.num_bins

    @property
    def highest(self) -> float:
        """Where the last mel band ends, in Hz."""
        bound = self.high_frequency_bound
        return self.sample_rate / 2 if bound is None else bound

    def plain(self) -> dict[str, Any]:
        """Returns what the numbers depend on, by name, as JSON holds it; `of` reads it."""
        values = asdict(self) | {"high_frequency_bound": self.highest}
        if self.transform == "magnitude":
            for name in ("mel_bands", "low_frequency_bound", "high_frequency_bound"):
                del values[name]
        return values

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Parameters:
        """Makes them of what `plain` has returned; raises CommandError where it makes no sense."""
        try:
            parameters = cls(**plain)
            if parameters.plain() != dict(plain):
                raise TypeError("some are missing")
            parameters.check()
        except TypeError as error:
            raise CommandError(
                f"The parameters of the spectrograms are not those of this version: {error}; make "
                "the spectrograms anew with create_spectrograms."
            ) from error
        return parameters

    def check(self) -> None:
        """Raises CommandError where a parameter is wrong."""
        for name, highest, unit in (
            ("sample_rate", MAX_RATE, "Hz"),
            ("frame_size", MAX_FRAME, "samples"),
            ("hop_size", MAX_FRAME, "samples"),
        ):
            value = getattr(self, name)
            if not 1 <= value <= highest:
                raise CommandError(
                    f"--{name.replace('_', '-')} is {value}; give 1 to {highest:,} {unit}."
                )
        if self.frame_size % 2:
            raise CommandError(
                f"--frame-size is {self.frame_size}; give an even number of samples, as 2048."
            )
        if self.window not in COSINES:
            raise CommandError(unknown_name("window", self.window, COSINES))
        if self.transform not in get_args(Transform):
            raise CommandError(unknown_name("transform", self.transform, get_args(Transform)))
        if self.transform == "mel":
            self._check_bands()

    def _check_bands(self) -> None:
        if not 1 <= self.mel_bands <= self.num_bins:
            raise CommandError(
                f"--mel-bands is {self.mel_bands}; give 1 to {self.num_bins}, as many as a frame "
                f"of {self.frame_size} samples has frequencies."
            )
        low, high, most = self.low_frequency_bound, self.highest, self.sample_rate / 2
        if not 0 <= low < high <= most:
            raise CommandError(
                f"The mel bands go from --low-frequency-bound {low:g} to --high-frequency-bound "
                f"{high:g} Hz; give two rising numbers from 0 to {most:g}, half the sample rate."
            )


def window(kind: Window, size: int) -> np.ndarray:
    """Returns the window, float32 of shape (size,), whose values add up to 2 (Windowing)."""
    phase = 2 * np.pi * np.arange(size) / max(1, size - 1)
    terms = [(-1) ** k * a * np.cos(k * phase) for k, a in enumerate(COSINES[kind])]
    values = np.sum(terms, axis=0)
    return (2 * values / np.abs(values).sum()).astype(np.float32)


def to_mel(frequencies: np.ndarray | float) -> np.ndarray:
    """Converts Hz to mel by the formula of HTK, 2595 log10(1 + f/700)."""
    return 2595 * np.log10(1 + np.asarray(frequencies, np.float64) / 700)


def from_mel(mels: np.ndarray) -> np.ndarray:
    """Converts mel to Hz."""
    return 700 * (10 ** (np.asarray(mels, np.float64) / 2595) - 1)


def filter_bank(parameters: Parameters) -> np.ndarray:
    """Returns the weights of the mel bands, float32 of shape (bands, bins) (MelBands).

    A band's weights add up to 1, or are all 0 where no bin lies in it. Edges and mels are those of
    Essentia, in float32, the edges made by adding the step again and again: exact ones would change
    what a bin close to an edge weighs.
    """
    bounds = to_mel(np.array([parameters.low_frequency_bound, parameters.highest]))
    low, high = bounds.astype(np.float32)
    step = (high - low) / np.float32(parameters.mel_bands + 1)
    steps = np.full(parameters.mel_bands + 2, step, np.float32)
    steps[0] = low
    edges = from_mel(np.add.accumulate(steps, dtype=np.float32)).astype(np.float32)
    last = np.float32(parameters.sample_rate / 2)
    bins = np.arange(parameters.num_bins, dtype=np.float32) * (last / (parameters.num_bins - 1))
    left, middle, right = (edges[i : len(edges) - 2 + i, np.newaxis] for i in range(3))
    at, start, top, end = (to_mel(f).astype(np.float32) for f in (bins, left, middle, right))
    weights = np.zeros((parameters.mel_bands, parameters.num_bins))
    np.copyto(weights, (at - start) / (top - start), where=(bins >= left) & (bins < middle))
    np.copyto(weights, (end - at) / (end - top), where=(bins >= middle) & (bins < right))
    sums = weights.sum(axis=1, keepdims=True)
    return (weights / np.where(sums > 0, sums, 1)).astype(np.float32)


def num_empty_bands(parameters: Parameters) -> int:
    """Returns how many mel bands are so narrow that no bin of the spectrum lies in them."""
    if parameters.transform == "magnitude":
        return 0
    return int((~filter_bank(parameters).any(axis=1)).sum())


def num_frames(num_samples: int, frame_size: int, hop_size: int) -> int:
    """Returns how many frames a signal has (FrameGenerator).

    The first one is centred on the first sample; the last one is the first whose centre lies at the
    signal's end or beyond, unless not even its first sample lies before it.
    """
    if not num_samples:
        return 0
    ahead = (frame_size + 1) // 2
    centred = math.ceil((num_samples - frame_size // 2 + ahead) / hop_size) + 1
    begun = math.ceil((num_samples + ahead) / hop_size)
    return min(centred, begun)


def cut(blocks: Iterable[np.ndarray], frame_size: int, hop_size: int) -> Iterator[np.ndarray]:
    """Cuts a signal that comes in blocks into frames, with zeros before and after it.

    Yields
    ------
    np.ndarray of shape (n, frame_size), float32
        Frames that follow one another, as views that overlap.
    """
    kept = np.zeros((frame_size + 1) // 2, np.float32)
    num_samples = made = ahead = 0  # ahead: samples that no frame needs, as they hop over them
    for block in blocks:
        num_samples += len(block)
        kept = np.concatenate([kept, block[ahead:]])
        ahead = max(0, ahead - len(block))
        count = max(0, (len(kept) - frame_size) // hop_size + 1)
        if count:
            yield sliding_window_view(kept, frame_size)[::hop_size][:count]
            made += count
            ahead = max(0, count * hop_size - len(kept))
            kept = kept[count * hop_size :]
    count = num_frames(num_samples, frame_size, hop_size) - made
    if count > 0:
        padded = np.zeros((count - 1) * hop_size + frame_size, np.float32)
        padded[: len(kept)] = kept[: len(padded)]
        yield sliding_window_view(padded, frame_size)[::hop_size]


class Analysis:
    """Makes spectrograms by one set of parameters."""

    def __init__(self, parameters: Parameters) -> None:
        import scipy.fft  # a fifth of a second, which only who computes has to wait
        import scipy.sparse

        self._rfft = scipy.fft.rfft
        self._parameters = parameters
        self._at_once = max(1, SAMPLES_AT_ONCE // parameters.frame_size)
        self._window = window(parameters.window, parameters.frame_size)
        self._filters = None
        if parameters.transform == "mel":
            self._filters = scipy.sparse.csr_array(filter_bank(parameters))

    def spectrogram(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the spectrogram of a signal that comes in blocks, some frames at a time.

        Parameters
        ----------
        blocks : iterable of np.ndarray of shape (n,), float32
            Parts of the signal, of any length, one after another.

        Yields
        ------
        np.ndarray of shape (frames, bands), float32
        """
        for frames in cut(blocks, self._parameters.frame_size, self._parameters.hop_size):
            for start in range(0, len(frames), self._at_once):
                yield self._bands(frames[start : start + self._at_once])

    def _bands(self, frames: np.ndarray) -> np.ndarray:
        bins = self._rfft(frames * self._window, axis=1, overwrite_x=True)
        parts = bins.view(np.float32)
        np.square(parts, out=parts)
        real, imaginary = parts[:, 0::2], parts[:, 1::2]
        if self._filters is None:
            return np.sqrt(real + imaginary)
        power = np.empty(bins.shape[::-1], np.float32)
        np.add(real.T, imaginary.T, out=power)
        return np.ascontiguousarray((self._filters @ power).T)
