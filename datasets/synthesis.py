"""Plays the dances: drums, bass and chords made by formulas, with what makes recordings differ.

Every recording draws its own instruments, key, loudness of the parts, noise and gain; its tempo
drifts, its notes come a little early or late, some are missing, and it begins anywhere in a bar.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft

from datasets.dances import LOUDNESS, PARTS, Dance

MISSING, ADDED = 0.04, 0.02  # how often a note is left out, and a rest is played
JITTER = 0.004  # seconds, the standard deviation of a note's time
DRIFT = 0.004  # the same of the tempo's change from bar to bar, relative
SILENT_PART = 0.1  # how often a part does not play at all
PROGRESSIONS = ((0, 0, 5, 7), (0, 9, 5, 7), (0, 5, 0, 7), (0, 3, 8, 7), (0, 7, 9, 5))  # semitones
LOWEST = 41.2  # Hz of the lowest bass note
Sound = Callable[[float, float], np.ndarray]  # of a pitch in Hz and a length in seconds


@dataclass(frozen=True)
class Note:
    """A note: which part plays it, when (s), how loud, its pitch (Hz) and its length (s)."""

    part: str
    time: float
    loudness: float
    pitch: float
    seconds: float


def play(
    dance: Dance, tempo: float, seconds: float, rate: int, generator: np.random.Generator
) -> np.ndarray:
    """Returns a recording of a dance.

    Parameters
    ----------
    dance
        What is played.
    tempo : float
        In beats per minute.
    seconds : float
        How long.
    rate : int
        Samples per second.
    generator
        What all that differs is drawn from.

    Returns
    -------
    np.ndarray of shape (samples,), int16
    """
    orchestra = _orchestra(rate, generator)
    gains = {part: 10 ** generator.uniform(-0.3, 0.1) for part in PARTS}
    playing = [part for part in PARTS if generator.random() >= SILENT_PART] or list(PARTS)
    total = round(seconds * rate)
    mix = np.zeros(total)
    sounds: dict[tuple[str, float, float], np.ndarray] = {}
    for note in notes(dance, tempo, seconds, generator):
        if note.part not in playing or not 0 <= (start := round(note.time * rate)) < total:
            continue
        key = note.part, note.pitch, note.seconds
        if key not in sounds:
            sounds[key] = orchestra[note.part](note.pitch, note.seconds)
        sound = sounds[key][: total - start]
        mix[start : start + len(sound)] += gains[note.part] * note.loudness * sound
    mix += _noise(total, generator) * mix.std() * 10 ** generator.uniform(-1.75, -1)
    peak = 10 ** generator.uniform(-0.5, -0.02)
    return np.round(mix * (32767 * peak / max(1e-9, np.abs(mix).max()))).astype(np.int16)


def notes(
    dance: Dance, tempo: float, seconds: float, generator: np.random.Generator
) -> Iterator[Note]:
    """Yields the notes of a dance from a moment of a bar on; the first ones may begin before 0."""
    key = LOWEST * 2 ** (generator.integers(12) / 12)
    progression = PROGRESSIONS[generator.integers(len(PROGRESSIONS))]
    bar = 60 * dance.beats / tempo
    time, speed = -bar * generator.random(), 1.0
    for roots in itertools.cycle(progression):
        if time >= seconds:
            return
        step = bar / speed / dance.steps
        root = key * 2 ** (roots / 12)
        for part, signs in dance.pattern.items():
            for index, loudness in _played(signs, part, generator):
                yield Note(
                    part,
                    time + index * step + generator.normal(0, JITTER),
                    loudness * np.exp(generator.normal(0, 0.12)),
                    _pitch(part, root, index, dance.steps),
                    round(dance.held * step * _gap(signs, index), 2),
                )
        time += step * dance.steps
        speed = speed**0.9 * (1 + generator.normal(0, DRIFT))  # it comes back to 1


def _played(signs: str, part: str, generator: np.random.Generator) -> Iterator[tuple[int, float]]:
    for index, sign in enumerate(signs):
        chance = generator.random()
        if sign != "." and chance >= MISSING:
            yield index, LOUDNESS[sign]
        elif sign == "." and chance < ADDED and part in ("mid", "high"):
            yield index, LOUDNESS["o"]


def _gap(signs: str, index: int) -> int:
    """Returns how many steps there are to the next note of the bar, or to its end."""
    following = [i for i in range(index + 1, len(signs)) if signs[i] != "."]
    return (following[0] if following else len(signs)) - index


def _pitch(part: str, root: float, index: int, steps: int) -> float:
    if part == "bass":  # root, then fifth
        return root * (1.5 if index >= steps // 2 else 1)
    return root * 4 if part == "chord" else 0.0


def _noise(count: int, generator: np.random.Generator) -> np.ndarray:
    """Returns noise between white and brown, of standard deviation 1."""
    length = scipy.fft.next_fast_len(count, real=True)
    spectrum = scipy.fft.rfft(generator.standard_normal(length))
    spectrum /= np.maximum(1, np.arange(len(spectrum))) ** generator.uniform(0, 0.8)
    noise = scipy.fft.irfft(spectrum, length)[:count]
    return noise / max(1e-9, noise.std())


def _orchestra(rate: int, generator: np.random.Generator) -> dict[str, Sound]:
    """Draws the instruments of a recording."""
    sizzle = generator.standard_normal(rate)  # a second of white noise, of which drums are made
    mids, bells = (_snare, _clap, _rim), (_cowbell, _block)
    return {
        "low": _kick(rate, generator),
        "mid": mids[generator.integers(len(mids))](rate, generator, sizzle),
        "high": _hat(rate, generator, sizzle),
        "bell": bells[generator.integers(len(bells))](rate, generator),
        "bass": _string(rate, generator, (1,), 0.5),
        "chord": _string(rate, generator, _chord(generator), 0.35),
    }


def _times(rate: int, seconds: float) -> np.ndarray:
    return np.arange(max(1, round(rate * seconds))) / rate


def _fixed(sound: np.ndarray) -> Sound:
    """Returns a drum: it has one pitch and one length, and ends without a click."""
    fade = min(len(sound), 64)
    sound[len(sound) - fade :] *= np.linspace(1, 0, fade)
    return lambda _pitch, _seconds: sound


def _kick(rate: int, generator: np.random.Generator) -> Sound:
    decay, top, bottom = generator.uniform((0.05, 120, 42), (0.12, 260, 65))
    t = _times(rate, 5 * decay)
    phase = 2 * np.pi * (bottom * t + (top - bottom) * 0.02 * (1 - np.exp(-t / 0.02)))
    return _fixed(np.sin(phase) * np.exp(-t / decay))


def _snare(rate: int, generator: np.random.Generator, sizzle: np.ndarray) -> Sound:
    decay, pitch, share = generator.uniform((0.03, 170, 0.3), (0.08, 260, 0.8))
    t = _times(rate, 5 * decay)
    tone = np.sin(2 * np.pi * pitch * t) * np.exp(-t / (0.5 * decay))
    rattle = 0.5 * np.diff(sizzle[: len(t) + 1]) * np.exp(-t / decay)
    return _fixed(share * rattle + (1 - share) * tone)


def _clap(rate: int, generator: np.random.Generator, sizzle: np.ndarray) -> Sound:
    decay, gap = generator.uniform((0.02, 0.006), (0.05, 0.012))
    t = _times(rate, 5 * decay + 3 * gap)
    hands = sum(np.where(t >= k * gap, np.exp(-(t - k * gap) / decay), 0) for k in range(3))
    return _fixed(0.15 * np.diff(sizzle[: len(t) + 1]) * np.asarray(hands))


def _rim(rate: int, generator: np.random.Generator, sizzle: np.ndarray) -> Sound:
    decay, pitch = generator.uniform((0.01, 350), (0.05, 900))  # a conga's tone, or a rim's click
    t = _times(rate, 5 * decay)
    tone = np.sin(2 * np.pi * pitch * t) + 0.4 * np.sin(2 * np.pi * 1.6 * pitch * t)
    return _fixed((0.6 * tone + 0.05 * sizzle[: len(t)]) * np.exp(-t / decay))


def _hat(rate: int, generator: np.random.Generator, sizzle: np.ndarray) -> Sound:
    decay, attack = generator.uniform((0.01, 0.0005), (0.05, 0.015))  # a hi-hat, or a shaker
    t = _times(rate, 5 * decay + attack)
    shape = np.exp(-np.maximum(0, t - attack) / decay) * np.minimum(1, t / attack)
    return _fixed(0.12 * np.diff(sizzle[: len(t) + 2], 2) * shape)


def _cowbell(rate: int, generator: np.random.Generator) -> Sound:
    decay, pitch = generator.uniform((0.05, 500), (0.15, 850))
    t = _times(rate, 5 * decay)
    tone = np.sin(2 * np.pi * pitch * t) + 0.7 * np.sin(2 * np.pi * 1.48 * pitch * t)
    return _fixed(0.3 * tone * np.exp(-t / decay))


def _block(rate: int, generator: np.random.Generator) -> Sound:
    decay, pitch = generator.uniform((0.008, 1200), (0.03, 2600))
    t = _times(rate, 5 * decay)
    return _fixed(0.5 * np.sin(2 * np.pi * pitch * t) * np.exp(-t / decay))


def _chord(generator: np.random.Generator) -> tuple[float, ...]:
    third = 2 ** (generator.integers(3, 5) / 12)
    return 1.0, float(third), 1.5


def _string(
    rate: int, generator: np.random.Generator, intervals: tuple[float, ...], gain: float
) -> Sound:
    """Returns an instrument of pitches: a piano, organ or strings, by its partials and envelope."""
    partials = np.arange(1, generator.integers(3, 11))
    falls, attack, decay = generator.uniform((0.8, 0.002, 0.15), (2, 0.04, 1.2))

    def sound(pitch: float, seconds: float) -> np.ndarray:
        release = 0.03
        t = _times(rate, seconds + 5 * release)
        tone = np.zeros(len(t))
        for interval in intervals:
            for partial in partials:
                if (frequency := pitch * interval * partial) < rate / 2:
                    tone += np.sin(2 * np.pi * frequency * t) / partial**falls
        shape = np.minimum(1, t / attack) * np.exp(-t / decay)
        shape *= np.exp(-np.maximum(0, t - seconds) / release)
        return gain / len(intervals) * tone * shape

    return sound
