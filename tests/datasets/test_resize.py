import numpy as np
import pytest
from PIL import Image

from common.errors import CommandError
from datasets import dataset as dataset_module
from datasets.container import open_dataset, write_dataset
from datasets.dataset import Subset
from datasets.mean import subset_mean
from datasets.resize import resize_dataset
from datasets.validate import validate


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


@pytest.mark.parametrize("size", [(4, 9), (50, 40)])
def test_a_folder_of_shards_has_the_same_pictures(make_dataset, tmp_path, size, monkeypatch):
    monkeypatch.setattr(dataset_module, "BLOCK_BYTES", 1000)
    dataset = open_dataset(make_dataset()[0])
    file, folder = tmp_path / "one.pkl.zip", tmp_path / "many"
    resize_dataset(dataset, file, size)
    written = resize_dataset(dataset, folder, size, shard_size=15)
    assert (written.shards, written.shard_size) == (5, 15)
    one, many = open_dataset(file), open_dataset(folder)
    assert many.picture_shape == (*size, 3)
    for name, subset in one.subsets.items():
        np.testing.assert_array_equal(many.subset(name).instances, subset.instances)
        np.testing.assert_array_equal(many.subset(name).labels, subset.labels)
    np.testing.assert_array_equal(many.mean, subset_mean(one.subset("training")))
    assert validate(folder).findings == []
    resize_dataset(many, folder, (5, 7), shard_size=20)  # in place
    assert open_dataset(folder).picture_shape == (5, 7, 3)
    with pytest.raises(CommandError, match=r"ends in \.zip; give NAME\.pkl\.zip for a file"):
        resize_dataset(dataset, tmp_path / "small.zip", size)


@pytest.mark.parametrize(("size", "rows"), [((1, 1), 9), ((50, 70), 1)])
def test_few_are_in_memory_at_a_time(make_dataset, tmp_path, size, rows, monkeypatch):
    monkeypatch.setattr(dataset_module, "BLOCK_BYTES", 1000)  # 9 pictures of 5x7
    read, counts = Subset.read, []

    def counting(subset, positions):
        found = read(subset, positions)
        counts.append(len(found))
        return found

    monkeypatch.setattr(Subset, "read", counting)
    resize_dataset(open_dataset(make_dataset()[0]), tmp_path / "out.pkl.zip", size)
    assert max(counts) == rows and sum(counts) == 56


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
