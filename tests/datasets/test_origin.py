"""What a dataset says of how its instances were made."""

import json

import numpy as np
import pytest
from PIL import Image

from datasets.container import open_dataset
from datasets.origin import PictureOrigin, origin_of
from tests.small_networks import SPECTRA, picture_datasets, spectrogram_dataset


def test_of_pictures_and_of_what_was_made_of_them(tmp_path):
    data = picture_datasets(tmp_path, image_size=9, resize_mode="fit")
    grey = origin_of(open_dataset(data / "full.pkl.zip"))
    assert grey == {
        "kind": "pictures",
        "layout": "flat",
        "scale": 255,
        "picture_shape": [9, 9, 1],
        "steps": [["fit", 9, 9]],
        "command": "create_datasets",
    }
    assert json.loads(json.dumps(grey)) == grey
    assert origin_of(open_dataset(data / "full.rgb.pkl.zip"))["picture_shape"] == [9, 9, 3]


def test_of_recordings(tmp_path):
    from datasets.recordings import open_recordings

    found = origin_of(open_recordings(spectrogram_dataset(tmp_path)))
    assert found == {"kind": "recordings", "parameters": SPECTRA.plain()}


def test_of_pictures_that_were_not_made_of_files(digits):
    origin = origin_of(open_dataset(digits))
    assert origin["steps"] == [["stretch", 8, 8]]
    assert (origin["scale"], origin["command"]) == (16, "create_demo_dataset")


@pytest.mark.parametrize(
    ("created_by", "steps"),
    [
        ({}, [["stretch", 5, 7]]),
        ({"command": "create_datasets", "options": {"image_size": None}}, [["stretch", 5, 7]]),
        (
            {
                "command": "resize_rgb_dataset",
                "options": {"x_size": 7, "y_size": 5},
                "from": {
                    "command": "resize_rgb_dataset",
                    "from": {
                        "command": "create_datasets",
                        "options": {"image_size": 50, "resize_mode": "crop"},
                    },
                },
            },
            [["crop", 50, 50], ["stretch", 5, 7]],
        ),
        ({"command": "resize_rgb_dataset", "from": {"command": "other"}}, [["stretch", 5, 7]]),
    ],
)
def test_steps_are_those_of_the_commands(make_dataset, created_by, steps):
    path, _ = make_dataset(created_by=created_by)
    assert origin_of(open_dataset(path))["steps"] == steps


def test_flat_values_of_nothing_known_are_features(make_dataset):
    path, _ = make_dataset(layout="flat", shape=(35,))
    assert origin_of(open_dataset(path))["kind"] == "features"


@pytest.mark.parametrize("layout", ["nhwc", "nchw", "flat"])
@pytest.mark.parametrize("channels", [1, 3])
def test_instances_are_stored_as_the_datasets(layout, channels, tmp_path):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (4, 5, 7, 3), dtype=np.uint8)
    origin = PictureOrigin((5, 7, channels), layout, 255, (("stretch", (5, 7)),))
    found = origin.instances(pictures)
    expected = pictures
    if channels == 1:
        expected = np.stack([Image.fromarray(one).convert("L") for one in pictures])[..., None]
    if layout == "nchw":
        expected = np.moveaxis(expected, 3, 1)
    if layout == "flat":
        expected = expected.reshape(4, -1)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert np.array_equal(found, expected)
    levels = PictureOrigin((5, 7, channels), layout, 16, origin.steps).instances(pictures)
    np.testing.assert_allclose(levels, expected / 255 * 16, rtol=1e-6)


def test_a_negative_has_the_bars_of_the_dataset(tmp_path):
    Image.new("L", (20, 10), 250).save(tmp_path / "x.png")
    origin = PictureOrigin((10, 10, 3), "nhwc", 255, (("fit", (10, 10)),))
    found = origin.read(tmp_path / "x.png", inverted=True)
    assert (found[:2] == 0).all()
    assert (found[4:6] == 5).all()
