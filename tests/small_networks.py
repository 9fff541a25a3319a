"""Networks that are trained within a second, on real files made by code."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datasets.create import create_datasets
from datasets.spectra import Parameters
from datasets.spectrograms import create_spectrograms
from tests.datasets.sounds import noise, write
from training.experiment import Experiment
from training.setup import prepare

SPECTRA = Parameters(sample_rate=8000, frame_size=256, hop_size=128, mel_bands=10)
SIDE = 20  # pixels


def make_pictures(folder: Path, per_label: int = 20) -> Path:
    """JPEG and PNG files of many sizes, of three labels that a network can learn in part."""
    rng = np.random.default_rng(0)
    for channel, label in enumerate(("blue", "green", "red")):
        (folder / label).mkdir(parents=True)
        for number in range(per_label):
            height, width = rng.integers(30, 150, 2)
            small = rng.integers(0, 200, (4, 5, 3), dtype=np.uint8)
            small[..., 2 - channel] += 30
            picture = Image.fromarray(small).resize((int(width), int(height)))
            picture.save(folder / label / f"{number:02}.{'png' if number % 4 else 'jpg'}")
    return folder


def make_recordings(folder: Path, per_label: int = 10, seconds: float = 1.5) -> Path:
    """Recordings of two labels, of lengths that differ, one of them higher than the other."""
    for index in range(2 * per_label):
        length = seconds * (1 + index % 5 / 10)
        write(folder / "ab"[index % 2] / f"{index:03}.wav", noise(length, seed=index + 10))
    return folder


def picture_datasets(folder: Path, **options: Any) -> Path:
    """`full.pkl.zip` and the like of `make_pictures`; returns their folder."""
    defaults = {"image_size": SIDE, "duplicate_distance": None, "num_workers": 1}
    pictures = make_pictures(folder / "pictures")
    options = defaults | options
    created_by = {"command": "create_datasets", "options": options}
    create_datasets(pictures, folder / "data", created_by=created_by, **options)
    return folder / "data"


def spectrogram_dataset(folder: Path, parameters: Parameters = SPECTRA, **options: Any) -> Path:
    """A dataset of `make_recordings`, which it makes where they are not there yet."""
    recordings = folder / "recordings"
    if not recordings.is_dir():
        make_recordings(recordings, **options)
    path = folder / "music.pkl.zip"
    create_spectrograms(recordings, path, parameters, num_workers=1)
    return path


def train(dataset: Path, folder: Path, architecture: str = "ConvNet", **options: Any) -> Path:
    """Trains a little, in float32 on the CPU; returns the snapshot."""
    defaults: dict[str, Any] = {"num_epochs": 2, "batch_size": 16, "learning_rate": 0.02}
    defaults |= {"precision": "float32", "device": "cpu"}
    if architecture == "ConvNet":
        defaults["model_params"] = "lc0_num_filters=4:lc0_stride=2:ld0_num_units=8"
    trainer = prepare(Experiment(dataset, architecture, **defaults | options))
    list(trainer.epochs())
    snapshot = trainer.save(folder)
    assert snapshot is not None
    return snapshot


PATCHES = {"patch_frames": 30, "patch_hop": 12, "folds": 5}
"""Options for `spectrogram_dataset`: 94 to 132 frames a recording."""
