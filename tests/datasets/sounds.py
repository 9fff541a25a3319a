"""Recordings for tests: real files, each unlike the others."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 8000  # Hz


def noise(seconds: float, seed: int = 0, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """Noise with a tone, float32 of shape (samples, channels)."""
    generator = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate))[:, np.newaxis] / rate
    tone = np.sin(2 * np.pi * (200 + 40 * seed % 2000) * times)
    values = 0.3 * tone + 0.1 * generator.standard_normal((len(times), channels))
    return np.clip(values, -1, 1).astype(np.float32)


def write(path: Path, values: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, values, rate)
    return path


def make_folder(folder: Path, count: int, seconds: float = 0.5) -> Path:
    """`count` recordings, of lengths that differ, of the labels a and b."""
    for index in range(count):
        values = noise(seconds * (1 + index % 5 / 10), seed=index)
        write(folder / "ab"[index % 2] / f"{index:03}.wav", values)
    return folder
