import json
import zipfile

import numpy as np
import pytest

from common.errors import CommandError
from datasets import dataset as dataset_module
from datasets.container import open_dataset, write_dataset
from datasets.convert import write_shards
from datasets.shards import INDEX
from datasets.validate import validate


def texts(path):
    return [str(finding) for finding in validate(path).findings]


@pytest.fixture(params=["file", "folder"])
def write(request, tmp_path):
    """Writes subsets as a file or as a folder of shards of 4."""

    def write(subsets, labels=("a", "b"), layout="nhwc"):
        path = tmp_path / "x.pkl.zip"
        indices = {name: index for index, name in enumerate(labels)}
        write_dataset(path, subsets, indices, layout=layout, scale=255, picture_shape=None)
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
            "training, training-00002.npy: all values are equal in 1 instance (11)",
            "testing, testing-00000.npy: all values are equal in 4 instances (0, 1, 2, 3)",
            "testing, testing-00001.npy: all values are equal in 4 instances (4, 5, 6, 7)",
            "testing, testing-00002.npy: all values are equal in 1 instance (8)",
            "testing: no instance of 1 of the labels ('b')",
        ]
    else:
        assert found == [
            f"{where[0]}: values that are NaN or infinite in 3 instances (2, 6, 7)",
            f"{where[0]}: all values are equal in 1 instance (11)",
            f"{where[1]}: all values are equal in 9 instances (0, 1, 2, 3, 4, ...)",
            "testing: no instance of 1 of the labels ('b')",
        ]


def test_labels_that_no_instance_has_and_empty_subsets(write):
    subsets = {
        "training": (pictures(5), np.array([1, 1, 3, 3, 1])),
        "testing": (pictures(0), np.zeros(0, int)),
    }
    assert texts(write(subsets, "abcd")) == [
        "training: no instance of 2 of the labels ('a', 'c')",
        "testing: the subset is empty",
    ]


def test_instances_of_one_value_are_not_constant_pictures(write):
    assert texts(write({"training": (np.ones((4, 1)), np.arange(4) % 2)}, layout="flat")) == []


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
            "testing: the subset is empty",
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
    import zlib

    index = json.loads((tmp_path / "x" / INDEX).read_text())
    index["mean"]["crc32"] = f"{zlib.crc32((tmp_path / 'x' / 'mean.npy').read_bytes()):08x}"
    (tmp_path / "x" / INDEX).write_text(json.dumps(index))
    assert texts(tmp_path / "x") == ["mean.npy: it is not the mean of the training instances"]


def test_a_tampered_index_is_a_finding(make_dataset, tmp_path):
    write_shards(open_dataset(make_dataset()[0]), tmp_path / "x", 10)
    index = json.loads((tmp_path / "x" / INDEX).read_text())
    (tmp_path / "x" / INDEX).write_text(json.dumps(index | {"layout": "flat"}))
    assert texts(tmp_path / "x") == [
        "its metadata says layout 'flat', but an instance has shape (5, 7, 3)"
    ]
    index["subsets"]["training"][0]["instances"] = "../x.npy"
    (tmp_path / "x" / INDEX).write_text(json.dumps(index))
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
        "training: the label 9, or another that is not 0 to 1, for 2 instances (2, 4)"
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
    from tests.paths import GOLDEN

    for golden in sorted((GOLDEN / "dataset").glob("*.pkl.zip")):
        for finding in texts(golden):
            assert "no instance of" in finding or "all values are equal" in finding


def test_what_is_no_dataset(tmp_path):
    with pytest.raises(CommandError, match="does not exist; create_datasets"):
        validate(tmp_path / "x")
    with pytest.raises(CommandError, match="is a folder; create_datasets"):
        validate(tmp_path)
    (tmp_path / "text").write_text("text")
    (finding,) = texts(tmp_path / "text")
    assert finding.startswith("it is truncated or no .pkl.zip file (")
