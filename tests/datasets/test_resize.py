import numpy as np
import pytest
from PIL import Image

from common.errors import CommandError
from datasets import dataset as dataset_module
from datasets.container import open_dataset, write_dataset
from datasets.resize import resize_dataset


@pytest.mark.parametrize("block_bytes", [200, 2**24])
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_pictures_are_those_of_pillow(make_dataset, tmp_path, layout, block_bytes, monkeypatch):
    monkeypatch.setattr(dataset_module, "BLOCK_BYTES", block_bytes)
    path, subsets = make_dataset(layout=layout, shape=(5, 7, 3) if layout == "nhwc" else (3, 5, 7))
    out = tmp_path / "resized.pkl.zip"
    resize_dataset(open_dataset(path), out, (4, 9), {"command": "test"})
    resized = open_dataset(out)
    assert (resized.layout, resized.scale, resized.picture_shape) == (layout, 255, (4, 9, 3))
    assert resized.label_to_index == {"ape": 0, "bee": 1, "cat": 2}
    for name, (instances, labels) in subsets.items():
        np.testing.assert_array_equal(resized.subset(name).labels, labels)
        if layout == "nchw":
            instances = instances.transpose(0, 2, 3, 1)
        expected = np.stack(
            [
                np.asarray(Image.fromarray(i).resize((9, 4), Image.Resampling.BICUBIC))
                for i in np.ascontiguousarray(instances)
            ]
        )
        stored = resized.subset(name).instances
        stored = stored if layout == "nhwc" else stored.transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(stored, expected)


def test_in_place_and_in_grey_within_the_scale(tmp_path):
    path = tmp_path / "x.pkl.zip"
    pictures = np.zeros((3, 8, 8, 1), np.uint8)
    pictures[:, 2:6, 2:6] = 16
    write_dataset(
        path,
        {"training": (pictures, np.zeros(3))},
        {"a": 0},
        layout="nhwc",
        scale=16,
        picture_shape=(8, 8, 1),
    )
    resize_dataset(open_dataset(path), path, (20, 20))
    resized = open_dataset(path).subset("training").instances
    assert resized.shape == (3, 20, 20, 1)
    assert resized.max() == 16


def test_floating_point_pictures(make_dataset, tmp_path):
    path = tmp_path / "float.pkl.zip"
    pictures = np.full((3, 1, 8, 8), 0.25)
    write_dataset(
        path,
        {"training": (pictures, np.zeros(3))},
        {"a": 0},
        layout="nchw",
        scale=1,
        picture_shape=None,
    )
    resize_dataset(open_dataset(path), path, (3, 4))
    resized = open_dataset(path).subset("training").instances
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, np.full((3, 1, 3, 4), 0.25), rtol=1e-6)


def test_what_cannot_be_resized(make_dataset, tmp_path):
    out = tmp_path / "out.pkl.zip"
    flat = open_dataset(make_dataset(layout="flat", shape=(35,), picture_shape=(5, 7, 1))[0])
    with pytest.raises(CommandError, match="holds flat instances of 35 features, whose rows"):
        resize_dataset(flat, out, (4, 4))
    pictures = open_dataset(make_dataset()[0])
    with pytest.raises(CommandError, match="--x-size 0 and --y-size 4: give numbers of pixels"):
        resize_dataset(pictures, out, (4, 0))
    write_dataset(
        tmp_path / "int.pkl.zip",
        {"training": (np.zeros((2, 4, 4, 1), np.int16), np.zeros(2))},
        {"a": 0},
        layout="nhwc",
        scale=1,
        picture_shape=None,
    )
    with pytest.raises(CommandError, match="holds values of type int16; only uint8 and floating"):
        resize_dataset(open_dataset(tmp_path / "int.pkl.zip"), out, (4, 4))
    assert not out.exists()
