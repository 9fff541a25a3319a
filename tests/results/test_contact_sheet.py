import numpy as np
import pytest
from PIL import Image

from common.errors import CommandError
from datasets.container import open_dataset, write_dataset
from results.contact_sheet import contact_sheet, write_contact_sheet


@pytest.fixture
def make(tmp_path):
    def make(instances, labels=("red", "green"), layout="nhwc", scale=255, shape=None):
        path = tmp_path / "x.pkl.zip"
        indices = {label: index for index, label in enumerate(labels)}
        rows = np.arange(len(instances)) % len(labels)
        subsets = {"training": (instances, rows)}
        write_dataset(path, subsets, indices, layout=layout, scale=scale, picture_shape=shape)
        return open_dataset(path)

    return make


COLOURS = np.array([[255, 0, 0], [0, 128, 0]], np.uint8)


@pytest.mark.parametrize("side", [8, 28, 84, 300])
@pytest.mark.parametrize("layout", ["nhwc", "nchw", "flat"])
def test_pictures_stand_in_rows_by_label(make, layout, side):
    pictures = np.empty((12, side, side, 3), np.uint8)
    pictures[:] = COLOURS[np.arange(12) % 2][:, None, None]
    if layout == "nchw":
        pictures = pictures.transpose(0, 3, 1, 2)
    if layout == "flat":
        pictures = pictures.reshape(12, -1)
    sheet = np.asarray(contact_sheet(make(pictures, layout=layout, shape=(side, side, 3)), 4))
    shown = {8: 80, 28: 84, 84: 84, 300: 84}[side]
    red, green = ((sheet == colour).all(axis=2) for colour in COLOURS)
    for mask in (red, green):
        assert mask.sum() == 5 * shown**2  # the mean and four samples
    assert np.flatnonzero(red.any(axis=1)).max() < np.flatnonzero(green.any(axis=1)).min()


def test_small_pictures_are_enlarged_without_blur_and_by_their_scale(make):
    picture = np.array([[0, 16], [8, 0]], np.uint8).reshape(1, 2, 2, 1)
    dataset = make(picture, labels=("only",), scale=16, shape=(2, 2, 1))
    sheet = np.asarray(contact_sheet(dataset))
    block = np.array([[0, 255], [128, 0]]).repeat(42, axis=0).repeat(42, axis=1)
    found = np.lib.stride_tricks.sliding_window_view(sheet[..., 0], (84, 84))[:, :, ::41, ::41]
    assert (found == block[::41, ::41]).all(axis=(2, 3)).sum() == 2  # also as the mean


def test_long_names_and_few_pictures_fit(make):
    pictures = np.zeros((3, 4, 4, 1), np.uint8)
    dataset = make(pictures, labels=("Ж" * 200, "a", "b"), shape=(4, 4, 1))
    sheet = contact_sheet(dataset, per_label=50)
    assert sheet.width < 600


def test_written_in_the_format_of_the_suffix(make, tmp_path):
    dataset = make(np.zeros((2, 4, 4, 3), np.uint8))
    for name, kind in (("x.png", "PNG"), ("x.JPG", "JPEG"), ("x.webp", "WEBP")):
        write_contact_sheet(dataset, tmp_path / name)
        with Image.open(tmp_path / name) as image:
            assert image.format == kind


def test_what_cannot_be_drawn(make, tmp_path):
    dataset = make(np.zeros((2, 4, 4, 3), np.uint8))
    with pytest.raises(
        CommandError, match=r"--contact-sheet .*x\.pdf: give a name that ends in .png"
    ):
        write_contact_sheet(dataset, tmp_path / "x.pdf")
    with pytest.raises(CommandError, match="--per-label is 0; give a number from 1"):
        contact_sheet(dataset, 0)
    flat = make(np.zeros((2, 4), np.float32), layout="flat")
    with pytest.raises(CommandError, match="holds flat instances and does not say what pictures"):
        contact_sheet(flat)
