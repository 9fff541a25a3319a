import numpy as np
import pytest
from PIL import Image

from common.errors import CommandError
from datasets.container import open_dataset, write_dataset
from results import mean_pictures as module
from results.mean_pictures import MIDDLE, SPAN, mean_pictures, write_mean_pictures


@pytest.fixture
def make(tmp_path):
    def make(pictures, labels, names=("red", "green"), **options):
        path = tmp_path / "x.pkl.zip"
        options = {"layout": "nhwc", "scale": 255, "picture_shape": None} | options
        write_dataset(
            path,
            {"training": (pictures, np.array(labels))},
            {name: index for index, name in enumerate(names)},
            **options,
        )
        return open_dataset(path)

    return make


@pytest.mark.parametrize("side", [5, 28, 140, 300])
def test_means_and_differences(make, side):
    pictures = np.zeros((4, side, side, 3), np.uint8)
    pictures[:2, ..., 0] = np.array([200, 100])[:, None, None]
    pictures[2:, ..., 1] = 150
    sheet = np.asarray(mean_pictures(make(pictures, [0, 0, 1, 1])))
    shown = {5: 140, 28: 140, 140: 140, 300: 140}[side]
    high, low = MIDDLE + SPAN, MIDDLE - SPAN
    for colour in ([150, 0, 0], [0, 150, 0], [high, low, MIDDLE], [low, high, MIDDLE]):
        assert (sheet == colour).all(axis=2).sum() == shown**2


def test_equal_labels_and_one_without_pictures(make, tmp_path):
    pictures = np.full((4, 8, 8, 1), 7, np.uint8)
    dataset = make(pictures, [0, 1, 0, 1], names=["a", "b" * 300, "none"])
    sheet = np.asarray(mean_pictures(dataset))
    assert (sheet == MIDDLE).all(axis=2).sum() >= 2 * 136**2
    write_mean_pictures(dataset, tmp_path / "x.webp")
    with Image.open(tmp_path / "x.webp") as image:
        assert image.format == "WEBP"


def test_the_sheet_says_what_its_shades_mean(make, monkeypatch):
    said = []
    monkeypatch.setattr(module, "_draw", lambda title, notes, *_: said.extend([title, *notes]))
    pictures = np.zeros((2, 8, 8, 1), np.uint8)
    pictures[0, :, :4] = 55
    mean_pictures(make(pictures, [0, 1]))
    assert said[0] == "x"
    assert said[1].endswith("its difference from the mean of all labels, times 4.0:")
    assert said[2] == (
        "grey where there is none, lighter than grey where the label is brighter, darker where it "
        "is darker"
    )


def test_names_stand_on_one_line(make, monkeypatch):
    pictures = np.zeros((3, 8, 8, 1), np.uint8)
    dataset = make(pictures, [0, 1, 2], names=["ace", "Élan", "jpg"])
    drawn = []
    draw = module.ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        module.ImageDraw.ImageDraw,
        "text",
        lambda self, xy, text, *rest, anchor: (
            drawn.append((text, xy[1], anchor)) or draw(self, xy, text, *rest, anchor=anchor)
        ),
    )
    mean_pictures(dataset)
    assert [text for text, *_ in drawn[-3:]] == ["ace", "Élan", "jpg"]
    assert {(height, anchor[1]) for _, height, anchor in drawn[-3:]} == {(drawn[-1][1], "s")}


def test_what_cannot_be_drawn(make, tmp_path):
    flat = make(np.zeros((2, 4), np.float32), [0, 1], layout="flat", scale=1)
    with pytest.raises(CommandError, match="so no mean picture can be drawn"):
        mean_pictures(flat)
    with pytest.raises(CommandError, match=r"--mean-pictures .*x\.pdf: give a name that ends in"):
        write_mean_pictures(flat, tmp_path / "x.pdf")
