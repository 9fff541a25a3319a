"""The picture of a recording: where things stand in it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.recordings import Recordings
from results.plots import shorten
from results.prediction import drawing
from results.prediction.drawing import prediction_picture
from results.prediction.outcome import GivenFile, Predicted


def recording_of(frames: np.ndarray, transform: str = "mel") -> Recordings:
    return Recordings(
        path=Path("x.wav"),
        frames=frames.astype(np.float32),
        offsets=np.array([0, len(frames)]),
        labels=np.zeros(1, np.int32),
        names=["x.wav"],
        label_to_index={"a": 0},
        parameters={"sample_rate": 8000, "hop_size": 80, "transform": transform},
    )


def draw(path: Path, frames: np.ndarray, num_labels: int = 3, points: int = 50, **options):
    recording = recording_of(frames, **options)
    probabilities = np.full((points, num_labels), 0.0)
    probabilities[:, -1] = 1
    predicted = Predicted(GivenFile(Path("x.wav"), "x.wav"), probabilities[0], num_labels - 1, 4)
    seconds = np.linspace(0, len(frames) / recording.frames_per_second, points)
    names = [f"label {number}" for number in range(num_labels)]
    prediction_picture(recording, predicted, (seconds, probabilities), names, path)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.fixture
def figures(monkeypatch):
    """What is drawn, before it is written."""
    drawn = []
    monkeypatch.setattr(drawing, "write_figure", lambda figure, path: drawn.append(figure))
    return drawn


@pytest.mark.parametrize("length", [90, 1000, 9001])
def test_time_goes_right_and_bands_go_up(figures, length):
    """A tone that is in the highest band, and only in the second half."""
    frames = np.full((length, 8), 1e-3)
    frames[length // 2 :, 7] = 1
    recording = recording_of(frames)
    predicted = Predicted(GivenFile(Path("x.wav"), "x.wav"), np.array([1.0]), 0, 4)
    curve = np.array([0.0, 1.0]), np.ones((2, 1))
    prediction_picture(recording, predicted, curve, ["a"], Path("x.png"))
    (above, *_) = figures[0].axes
    (image,) = above.images
    left, right, bottom, top = image.get_extent()
    assert (bottom, top, image.origin) == (0, 8, "lower")
    assert (left, right) == pytest.approx((-0.005, length / 100 - 0.005))
    levels = np.asarray(image.get_array())
    half = levels.shape[1] // 2
    assert levels.shape[0] == 8
    assert levels.shape[1] <= 2000
    assert levels[7, half + 1 :] == pytest.approx(0, abs=1e-5)
    assert levels[:7] == pytest.approx(-30, abs=1e-3)
    assert levels[7, : half - 1] == pytest.approx(-30, abs=1e-3)
    assert above.get_xlim() == (0, length / 100)


def test_the_strongest_labels_have_a_colour_and_their_share(figures):
    rng = np.random.default_rng(0)
    values = rng.dirichlet(np.arange(1, 9), 30)
    predicted = Predicted(GivenFile(Path("x.wav"), "x.wav"), values.mean(axis=0), 7, 4)
    seconds, names = np.linspace(0, 9, 30), [f"label {number}" for number in range(8)]
    recording = recording_of(np.ones((900, 8)))
    prediction_picture(recording, predicted, (seconds, values), names, Path("x.png"))
    below = figures[0].axes[1]
    ranked = np.argsort(-values.mean(axis=0))
    legend = below.get_legend()
    shares = [f"{values[:, label].mean():.1%} label {label}" for label in ranked[:5]]
    assert [text.get_text() for text in legend.get_texts()] == [*shares, "others"]
    curves = {line.get_color(): line for line in below.lines}
    for label, colour in zip(ranked[:5], drawing.COLOURS, strict=True):
        assert np.array_equal(curves[colour].get_ydata(), values[:, label])
        assert np.array_equal(curves[colour].get_xdata(), seconds)
    assert len(below.lines) == 8


@pytest.mark.parametrize(("labels", "points"), [(1, 1), (2, 3), (9, 60), (300, 60)])
@pytest.mark.parametrize("transform", ["mel", "magnitude"])
def test_any_number_of_labels_and_points(tmp_path, labels, points, transform):
    rng = np.random.default_rng(0)
    picture = draw(tmp_path / "x.png", rng.random((200, 8)), labels, points, transform=transform)
    assert (picture[[0, 1, -2, -1]] == 255).all()
    assert (picture[:, [0, -1]] == 255).all()
    blue = np.array([0x44, 0x77, 0xAA])  # the strongest, a line at 100%
    assert (np.abs(picture - blue).max(axis=2) < 3).sum() > (500 if points > 1 else 5)


def test_silence_is_drawn(tmp_path):
    assert draw(tmp_path / "x.png", np.zeros((100, 8))).min() == 0


def test_long_names_lose_their_middle():
    assert shorten("short", 10) == "short"
    assert shorten("0123456789ab", 10) == "0123…789ab"
