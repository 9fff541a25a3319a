import io
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets import archive
from datasets.container import Blocks, open_dataset, write_dataset

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "dataset"
ARRAYS = {
    "grey_flat": ("grey_flat", "flat", 1.0),
    "rgb": ("rgb", "nchw", 255.0),
    "py2_rgb": ("rgb", "nchw", 255.0),
    "py2_mnist_like": ("py2_mnist_like", "flat", 1.0),
    "py2_handmade_shortbinstring": ("py2_handmade", "nchw", 255.0),
    "py2_handmade_binstring": ("py2_handmade", "nchw", 255.0),
}


def plain_read(path):
    """Reads the originals' format with nothing of ours."""
    with zipfile.ZipFile(path) as file:

        class Unpickler(pickle.Unpickler):
            def persistent_load(self, persistent_id):
                kind, name = persistent_id.split(".")
                assert kind == "ndarray"
                return np.load(io.BytesIO(file.read(name)), allow_pickle=False)

        return Unpickler(io.BytesIO(file.read("pkl"))).load()


def test_every_golden_file_has_a_case():
    assert {file.name for file in GOLDEN.glob("*.pkl.zip")} == {
        f"{name}.pkl.zip" for name in ARRAYS
    }


@pytest.mark.parametrize("name", ARRAYS)
def test_golden_files_load_bit_for_bit(name):
    arrays_name, layout, scale = ARRAYS[name]
    dataset = open_dataset(GOLDEN / f"{name}.pkl.zip")
    with np.load(GOLDEN / f"{arrays_name}.arrays.npz") as arrays:
        for subset_name in ("training", "validation", "testing"):
            subset = dataset.subset(subset_name)
            expected = arrays[f"{subset_name}_instances"]
            assert subset.instances.dtype == expected.dtype
            np.testing.assert_array_equal(subset.instances, expected)
            np.testing.assert_array_equal(subset.labels, arrays[f"{subset_name}_labels"])
            assert subset.labels.dtype == np.int32
        indices = dict(
            zip(arrays["label_names"].tolist(), arrays["label_indices"].tolist(), strict=True)
        )
    assert dataset.label_to_index == indices
    assert (dataset.layout, dataset.scale) == (layout, scale)


def test_round_trip(make_dataset):
    path, subsets = make_dataset(created_by={"command": "test"})
    dataset = open_dataset(path)
    assert dataset.path == path
    assert dataset.label_to_index == {"ape": 0, "bee": 1, "cat": 2}
    assert dataset.label_names == ["ape", "bee", "cat"]
    assert (dataset.layout, dataset.scale, dataset.picture_shape) == ("nhwc", 255.0, (5, 7, 3))
    assert dataset.created_by == {"command": "test"}
    for name, (instances, labels) in subsets.items():
        np.testing.assert_array_equal(dataset.subset(name).instances, instances)
        np.testing.assert_array_equal(dataset.subset(name).labels, labels)
        assert not dataset.subset(name).instances.flags.writeable


def test_a_plain_reader_of_the_original_format_finds_everything(make_dataset):
    path, subsets = make_dataset()
    plain_subsets, label_to_index = plain_read(path)
    assert label_to_index == {"ape": 0, "bee": 1, "cat": 2}
    assert list(plain_subsets) == ["training", "validation", "testing"]
    for name, (instances, labels) in subsets.items():
        np.testing.assert_array_equal(plain_subsets[name][0], instances)
        np.testing.assert_array_equal(plain_subsets[name][1], labels)
        assert plain_subsets[name][1].dtype == np.int32


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_round_trip_of_any_arrays(data, tmp_path_factory):
    dtype = data.draw(st.sampled_from([np.uint8, np.float32, np.int16, np.float64]))
    features = data.draw(st.integers(1, 9))
    names = data.draw(st.lists(st.text(max_size=8), min_size=1, max_size=5, unique=True))
    subsets = {}
    for name in ("training", "testing"):
        size = data.draw(st.integers(1 if name == "training" else 0, 6))
        instances = data.draw(hnp.arrays(dtype, (size, features)))
        labels = data.draw(hnp.arrays(np.int64, size, elements=st.integers(0, len(names) - 1)))
        subsets[name] = instances, labels
    label_to_index = {name: index for index, name in enumerate(names)}
    path = tmp_path_factory.mktemp("any") / "x.pkl.zip"
    write_dataset(path, subsets, label_to_index, layout="flat", scale=2.5, picture_shape=None)
    dataset = open_dataset(path)
    plain_subsets, plain_labels = plain_read(path)
    assert dataset.label_to_index == plain_labels == label_to_index
    assert dataset.scale == 2.5
    for name, (instances, labels) in subsets.items():
        np.testing.assert_array_equal(dataset.subset(name).read(slice(None)), instances)
        np.testing.assert_array_equal(dataset.subset(name).labels, labels)
        np.testing.assert_array_equal(plain_subsets[name][0], instances)


@pytest.mark.parametrize("zip64_from", [2**30, 100])
def test_arrays_are_aligned_in_the_file_and_mapped(make_dataset, monkeypatch, zip64_from):
    monkeypatch.setattr(archive, "ZIP64_FROM", zip64_from)
    path, subsets = make_dataset()
    content = path.read_bytes()
    for instances, _ in subsets.values():
        assert content.find(instances.tobytes()) % 64 == 0
    with zipfile.ZipFile(path) as file:
        assert {info.compress_type for info in file.infolist()} == {zipfile.ZIP_STORED}
        assert file.testzip() is None
    for name, (instances, _) in subsets.items():
        mapped = open_dataset(path).subset(name).instances
        assert not mapped.flags.owndata
        assert mapped.flags.aligned
        np.testing.assert_array_equal(mapped, instances)


def test_equal_datasets_are_equal_files(make_dataset):
    first, _ = make_dataset("first.pkl.zip")
    second, _ = make_dataset("second.pkl.zip")
    assert first.read_bytes() == second.read_bytes()


def test_blocks_must_add_up_and_leave_nothing_behind(tmp_path):
    blocks = Blocks((3, 2), np.dtype(np.uint8), [np.zeros((2, 2), np.uint8)])
    for wrong in (blocks, Blocks((3, 2), np.dtype(np.uint8), [np.zeros((3, 2), np.int16)])):
        with pytest.raises(ValueError, match="for"):
            write_dataset(
                tmp_path / "x.pkl.zip",
                {"training": (wrong, np.zeros(3))},
                {"a": 0},
                layout="flat",
                scale=1,
                picture_shape=None,
            )
    assert list(tmp_path.iterdir()) == []


def test_fortran_order_big_endian_and_integer_names_of_old_files(tmp_path):
    instances = np.asfortranarray(np.arange(12, dtype=">f4").reshape(4, 3))
    path = tmp_path / "old.pkl.zip"
    members = {"array_0": instances, "array_1": np.array([0, 1, 0, 1], ">i8")}

    class Reference(str):
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return f"ndarray.{value}" if isinstance(value, Reference) else None

    stream = io.BytesIO()
    subsets = {"training": (Reference("array_0"), Reference("array_1"))}
    Pickler(stream, protocol=2).dump((subsets, {7: 0, 8: 1}))
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(path, "w", method) as file:
            for name, array in members.items():
                buffer = io.BytesIO()
                np.save(buffer, array)
                file.writestr(name, buffer.getvalue())
            file.writestr("pkl", stream.getvalue())
        dataset = open_dataset(path)
        assert dataset.label_names == ["7", "8"]
        read = dataset.subset("training").read(np.array([2, 0]))
        np.testing.assert_array_equal(read, [[6, 7, 8], [0, 1, 2]])
        assert read.dtype == np.dtype("=f4")
        assert read.dtype.isnative


MEMORY_SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np
from datasets.container import Blocks, open_dataset, write_dataset
path = Path(sys.argv[1])
block = np.arange(2**20, dtype=np.uint8).reshape(4, -1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
blocks = Blocks((1024, block.shape[1]), block.dtype, (block for _ in range(256)))
write_dataset(path, {"training": (blocks, np.zeros(1024))}, {"a": 0}, layout="flat", scale=255,
              picture_shape=None)
written = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
training = open_dataset(path).subset("training")
total = sum(int(block[:, 0].sum()) for block in training.blocks())
for start in range(0, 1024, 64):
    training.read(np.random.default_rng(0).permutation(1024)[start : start + 64])
read = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(before, written, read)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux only")
def test_writing_and_reading_take_constant_memory(tmp_path):
    path = tmp_path / "large.pkl.zip"
    command = [sys.executable, "-c", MEMORY_SCRIPT, str(path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    before, written, read = (int(kilobytes) for kilobytes in result.stdout.split())
    assert path.stat().st_size > 256 * 2**20
    assert written - before < 32 * 1024
    assert read - written < 100 * 1024
