import json
import os
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from common.errors import CommandError
from datasets import dataset as dataset_module
from datasets.container import open_dataset, write_dataset
from datasets.convert import write_shards
from datasets.create import create_datasets
from datasets.shards import INDEX
from datasets.validate import validate
from tests.datasets.indexes import write_index
from tests.paths import GOLDEN


def texts(path):
    return [str(finding) for finding in validate(path).findings]


@pytest.fixture(params=["file", "folder"])
def write(request, tmp_path):
    """Writes subsets as a file or as a folder of shards of 4."""

    def write(subsets, labels=("a", "b"), layout="nhwc", picture_shape=None):
        path = tmp_path / "x.pkl.zip"
        indices = {name: index for index, name in enumerate(labels)}
        form = {"layout": layout, "scale": 255, "picture_shape": picture_shape}
        write_dataset(path, subsets, indices, **form)
        if request.param == "file":
            return path
        write_shards(open_dataset(path), tmp_path / "shards", 4)
        return tmp_path / "shards"

    return write


def pictures(count, dtype=np.uint8, shape=(3, 4, 1)):
    return np.random.default_rng(0).integers(0, 255, (count, *shape)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int16])
@pytest.mark.parametrize("block", [1, 2**24])
def test_nothing_is_wrong_with_what_we_write(write, dtype, block, monkeypatch):
    monkeypatch.setattr(dataset_module, "BLOCK_BYTES", block)
    subsets = {
        "training": (pictures(10, dtype), np.arange(10) % 2),
        "testing": (pictures(3, dtype), np.arange(3) % 2),
    }
    report = validate(write(subsets))
    assert report.findings == []
    assert report.instances == 13


@pytest.mark.parametrize("block", [1, 30, 2**24])
def test_values_are_named_where_they_are(write, block, monkeypatch):
    monkeypatch.setattr(dataset_module, "BLOCK_BYTES", block)
    training, testing = pictures(12, np.float32), pictures(9, np.float32)
    training[2, 1, 1] = np.nan
    training[6, 0, 0] = np.inf
    training[7, 0, 0] = -np.inf
    training[11] = 0.5
    testing[:] = 7
    path = write({"training": (training, np.arange(12) % 2), "testing": (testing, [0] * 9)})
    where = "training, member array_0", "testing, member array_2"
    found = texts(path)
    if path.is_dir():
        assert found == [
            "training, training-00000.npy: values that are NaN or infinite in 1 instance (2)",
            "training, training-00001.npy: values that are NaN or infinite in 2 instances (6, 7)",
            "note: training, training-00002.npy: one colour all over in 1 instance (11)",
            "note: testing, testing-00000.npy: one colour all over in 4 instances (0, 1, 2, 3)",
            "note: testing, testing-00001.npy: one colour all over in 4 instances (4, 5, 6, 7)",
            "note: testing, testing-00002.npy: one colour all over in 1 instance (8)",
            "note: testing: no instance of 1 of the labels ('b')",
        ]
    else:
        assert found == [
            f"{where[0]}: values that are NaN or infinite in 3 instances (2, 6, 7)",
            f"note: {where[0]}: one colour all over in 1 instance (11)",
            f"note: {where[1]}: one colour all over in 9 instances (0, 1, 2, 3, 4, ...)",
            "note: testing: no instance of 1 of the labels ('b')",
        ]


def test_labels_that_no_instance_has_and_empty_subsets(write):
    subsets = {
        "training": (pictures(5), np.array([1, 1, 3, 3, 1])),
        "testing": (pictures(0), np.zeros(0, int)),
    }
    assert texts(write(subsets, "abcd")) == [
        "note: training: no instance of 2 of the labels ('a', 'c')",
        "note: testing: it has no instances",
    ]


def test_a_single_value_or_pixel_is_no_picture_of_one_colour(write):
    assert texts(write({"training": (np.ones((4, 1)), np.arange(4) % 2)}, layout="flat")) == []
    pixels = np.ones((4, 1, 1, 3))
    assert texts(write({"training": (pixels, np.arange(4) % 2)})) == []


@pytest.mark.parametrize("layout", ["nhwc", "nchw", "flat", "unknown"])
@pytest.mark.parametrize("block", [1, 2**24])
def test_pictures_of_one_colour_are_noted_in_every_layout(write, layout, block, monkeypatch):
    monkeypatch.setattr(dataset_module, "BLOCK_BYTES", block)
    training = pictures(6, shape=(3, 4, 3))
    training[1] = 200, 10, 10  # red
    training[2] = 0  # a black cover
    training[3, ..., 0] = 7  # only in one channel
    training[4] = np.arange(4)[:, None]  # every row is the same
    if layout == "nchw":
        training = training.transpose(0, 3, 1, 2)
    if layout in ("flat", "unknown"):
        training = training.reshape(6, -1)
    labels, kind = np.arange(6) % 2, "flat" if layout == "unknown" else layout
    options = {"picture_shape": (3, 4, 3)} if layout == "flat" else {}
    path = write({"training": (training, labels)}, layout=kind, **options)
    report = validate(path)
    assert report.faults == []
    found = "".join(map(str, report.findings))
    if layout == "unknown":
        assert "all values are equal in 1 instance (2)" in found
    else:
        assert "one colour all over in 2 instances (1, 2)" in found


def test_a_dataset_as_create_datasets_makes_it_has_no_faults(tmp_path):
    for label in ("jazz", "metal"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for number, pixels in enumerate(pictures(20, shape=(8, 8, 3))):
            cover = np.zeros((8, 8, 3), np.uint8) if number == 5 and label == "metal" else pixels
            Image.fromarray(cover).save(tmp_path / "pictures" / label / f"{number}.png")
    create_datasets(tmp_path / "pictures", tmp_path / "out", duplicate_distance=None)
    report = validate(tmp_path / "out" / "full.rgb.pkl.zip")
    assert report.faults == []
    assert [finding.what[:30] for finding in report.findings] == ["one colour all over in 1 insta"]


def flip(path, position, bit=1):
    content = bytearray(path.read_bytes())
    content[position] ^= bit
    path.write_bytes(content)


def test_every_shard_that_is_wrong_is_named_at_once(make_dataset, tmp_path):
    write_shards(open_dataset(make_dataset()[0]), tmp_path / "x", 10)
    folder = tmp_path / "x"
    (folder / "training-00000.npy").unlink()
    flip(folder / "training-00002.npy", -5)
    labels = np.load(folder / "training-00001.labels.npy")
    labels[[1, 3]] = 7, -2
    np.save(folder / "training-00001.labels.npy", labels)
    (folder / "validation-00000.npy").write_bytes(b"text")
    (folder / "testing-00000.labels.npy").write_bytes(b"")
    mean = np.load(folder / "mean.npy")
    np.save(folder / "mean.npy", mean + 1)
    found = texts(folder)
    for finding, expected in zip(
        found,
        [
            "training, training-00000.npy: its shard 'training-00000.npy' is missing",
            "training, training-00001.labels.npy: its bytes have changed since it was written",
            "training, training-00001.labels.npy: the label 7, or another that is not 0 to 2, for "
            "2 instances (11, 13)",
            "training, training-00002.npy: its bytes have changed since it was written (checksum ",
            "validation, validation-00000.npy: its shard 'validation-00000.npy' is no .npy array",
            "testing, testing-00000.labels.npy: its shard 'testing-00000.labels.npy' is empty",
            "mean.npy: its bytes have changed since it was written (checksum ",
        ],
        strict=True,
    ):
        assert finding.startswith(expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_mean_of_other_instances(tmp_path, make_dataset, dtype):
    subsets = {"training": (pictures(10, dtype), np.arange(10) % 2)}
    path = tmp_path / "x.pkl.zip"
    write_dataset(path, subsets, {"a": 0, "b": 1}, layout="nhwc", scale=1, picture_shape=None)
    write_shards(open_dataset(path), tmp_path / "x", 4)
    mean = np.load(tmp_path / "x" / "mean.npy")
    mean[0, 0] *= 1.001
    np.save(tmp_path / "x" / "mean.npy", mean)
    index = json.loads((tmp_path / "x" / INDEX).read_text())
    index["mean"]["crc32"] = f"{zlib.crc32((tmp_path / 'x' / 'mean.npy').read_bytes()):08x}"
    write_index(tmp_path / "x", index)
    assert texts(tmp_path / "x") == ["mean.npy: it is not the mean of the training instances"]


def test_shards_without_an_index(make_dataset, tmp_path):
    write_shards(open_dataset(make_dataset()[0]), tmp_path / "x", 10)
    (tmp_path / "x" / INDEX).unlink()
    with pytest.raises(
        CommandError, match="as a dataset: its index.json is missing; copy it again"
    ):
        validate(tmp_path / "x")


def test_a_tampered_index_is_a_finding(make_dataset, tmp_path):
    write_shards(open_dataset(make_dataset()[0]), tmp_path / "x", 10)
    index = json.loads((tmp_path / "x" / INDEX).read_text())
    write_index(tmp_path / "x", index | {"layout": "flat"})
    assert texts(tmp_path / "x") == [
        "its metadata says layout 'flat', but an instance has shape (5, 7, 3)"
    ]
    index["subsets"]["training"][0]["instances"] = "../x.npy"
    write_index(tmp_path / "x", index)
    assert texts(tmp_path / "x") == [
        "its index.json names the shard '../x.npy', which is no .npy file of the folder"
    ]


def test_every_flipped_byte_of_a_files_members_is_found(make_dataset):
    """What lies between the members, and which no one reads, is not looked at."""
    path, _ = make_dataset(sizes=(6, 3, 3))
    content = path.read_bytes()
    inside = []
    with zipfile.ZipFile(path) as file:
        for info in file.infolist():
            name, extra = len(info.filename), content[info.header_offset + 28]
            start = info.header_offset + 30 + name + extra
            inside += range(start, start + info.file_size)
    for position in inside[::41]:
        flip(path, position)
        assert texts(path), position
        path.write_bytes(content)
    assert texts(path) == []


def test_labels_out_of_range_in_a_file_are_located(tmp_path):
    path = tmp_path / "x.pkl.zip"
    labels = np.array([0, 1, 9, 0, -1])
    write_dataset(
        path, {"training": (pictures(5), labels)}, {"a": 0, "b": 1},
        layout="nhwc", scale=1, picture_shape=None,
    )  # fmt: skip
    assert texts(path) == [
        "training, member array_1: the label 9, or another that is not 0 to 1, for "
        "2 instances (2, 4)"
    ]


def test_compressed_files_and_columns_first(tmp_path, make_dataset):
    path, _ = make_dataset()
    packed = tmp_path / "packed.pkl.zip"
    with zipfile.ZipFile(path) as file, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        for name in file.namelist():
            out.writestr(name, file.read(name))
    report = validate(packed)
    assert (report.findings, report.instances) == ([], 56)
    with zipfile.ZipFile(packed) as file:
        start = file.getinfo("array_0").header_offset + 30 + len("array_0")
    flip(packed, start + 2000)
    (finding,) = texts(packed)
    assert finding.startswith("training: its member 'array_0' is damaged (")
    for golden in sorted((GOLDEN / "dataset").glob("*.pkl.zip")):
        for finding in texts(golden):
            assert finding.startswith("note: ")


def test_what_is_no_dataset(tmp_path):
    with pytest.raises(CommandError, match="does not exist; create_datasets"):
        validate(tmp_path / "x")
    with pytest.raises(CommandError, match="is a folder; create_datasets"):
        validate(tmp_path)
    (tmp_path / "x.partial").mkdir()
    with pytest.raises(CommandError, match=r"but .*x\.partial does: a conversion to it was broken"):
        validate(tmp_path / "x")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CommandError, match="is a pipe or a device; give a file, or a folder"):
        validate(tmp_path / "pipe")
    (tmp_path / "text").write_text("text")
    (finding,) = texts(tmp_path / "text")
    assert finding.startswith("it is truncated or no .pkl.zip file (")
