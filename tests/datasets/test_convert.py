import errno
import os
import subprocess
import sys

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import CommandError
from datasets import convert
from datasets import dataset as dataset_module
from datasets.container import open_dataset, write_dataset
from datasets.convert import write_file, write_shards
from tests.paths import GOLDEN, ROOT
from training.batches import training_mean


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_there_and_back_is_byte_for_byte_the_same(data, tmp_path_factory):
    dtype = np.dtype(data.draw(st.sampled_from(["u1", "i2", "u4", "f2", "f4", "f8", "i8"])))
    layout = data.draw(st.sampled_from(["flat", "nhwc", "nchw"]))
    sizes = st.integers(1, 4)
    shape = {
        "flat": st.tuples(st.integers(1, 9)),
        "nhwc": st.tuples(sizes, sizes, st.sampled_from([1, 3])),
        "nchw": st.tuples(st.sampled_from([1, 3]), sizes, sizes),
    }
    form = data.draw(shape[layout])
    names = data.draw(st.lists(st.text(max_size=8), min_size=1, max_size=4, unique=True))
    extra = data.draw(st.sampled_from(["validation", "../x", "", "Ünicode", "subset-0"]))
    subsets = {}
    for name in ("training", extra):
        size = data.draw(st.integers(1 if name == "training" else 0, 12))
        instances = data.draw(hnp.arrays(dtype, (size, *form)))
        labels = data.draw(hnp.arrays(np.int64, size, elements=st.integers(0, len(names) - 1)))
        subsets[name] = instances, labels
    folder = tmp_path_factory.mktemp("any")
    picture_shape = None
    if layout != "flat":
        picture_shape = form if layout == "nhwc" else (*form[1:], form[0])
    first, shards, second = folder / "x.pkl.zip", folder / "shards", folder / "y.pkl.zip"
    options = {"layout": layout, "scale": data.draw(st.sampled_from([1, 255, 2.5]))}
    write_dataset(
        first, subsets, {name: index for index, name in enumerate(names)},
        picture_shape=picture_shape, created_by={"command": "test"}, **options,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset_module, "BLOCK_BYTES", data.draw(st.sampled_from([1, 100, 2**24])))
        write_shards(open_dataset(first), shards, data.draw(st.integers(1, 13)))
        many = open_dataset(shards)
        write_file(many, second)
        one = training_mean(open_dataset(first))
        np.testing.assert_array_equal(training_mean(many), one)
    for name, (instances, labels) in subsets.items():
        assert many.subset(name).instances[:].tobytes() == instances.tobytes()
        np.testing.assert_array_equal(many.subset(name).labels, labels)
    assert second.read_bytes() == first.read_bytes()
    assert sorted(entry.name for entry in folder.iterdir()) == ["shards", "x.pkl.zip", "y.pkl.zip"]


def test_the_originals_files_become_shards(tmp_path):
    for path in sorted((GOLDEN / "dataset").glob("*.pkl.zip")):
        one = open_dataset(path)
        write_shards(one, tmp_path / path.stem, 7)
        many = open_dataset(tmp_path / path.stem)
        assert (many.layout, many.scale) == (one.layout, one.scale)
        for name, subset in one.subsets.items():
            np.testing.assert_array_equal(many.subset(name).instances, subset.instances)
            np.testing.assert_array_equal(many.subset(name).labels, subset.labels)


def test_a_size_that_is_not_given_makes_shards_of_so_many_bytes(make_dataset, tmp_path):
    dataset = open_dataset(make_dataset()[0])
    written = write_shards(dataset, tmp_path / "x")
    assert (written.shards, written.shard_size) == (3, convert.SHARD_BYTES // 105)


def break_off_after(monkeypatch, number, error):
    """Makes the writing of the file after the first `number` ones fail."""
    real, made = convert.whole_file, []

    def failing(path):
        if len(made) == number:
            raise error
        made.append(path)
        return real(path)

    monkeypatch.setattr(convert, "whole_file", failing)


@pytest.mark.parametrize("number", [0, 1, 2, 5, 8])
def test_what_was_broken_off_goes_on_and_ends_the_same(make_dataset, tmp_path, number):
    path, _ = make_dataset()
    write_shards(open_dataset(path), tmp_path / "whole", 15)
    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        break_off_after(patch, number, KeyboardInterrupt())
        write_shards(open_dataset(path), out, 15)
    assert not out.exists()
    with pytest.raises(CommandError, match=r"index\.json is missing|is a folder"):
        open_dataset(tmp_path / "out.partial")
    (tmp_path / "out.partial" / "training-00000.npy.123.partial").write_bytes(b"half")
    written = write_shards(open_dataset(path), out, 15)
    assert (written.shards, written.found) == (5, number // 2)
    assert contents(out) == contents(tmp_path / "whole")
    assert not (tmp_path / "out.partial").exists()


def test_shards_of_another_dataset_or_size_are_not_kept(make_dataset, tmp_path):
    path, _ = make_dataset()
    write_shards(open_dataset(path), tmp_path / "whole", 15)
    other, _ = make_dataset("other.pkl.zip", layout="nchw", shape=(3, 5, 7))
    for source, size in ((other, 15), (path, 4), (path, 15)):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            break_off_after(patch, 7, KeyboardInterrupt())
            write_shards(open_dataset(source), tmp_path / "out", size)
    content = bytearray((tmp_path / "out.partial" / "training-00001.npy").read_bytes())
    content[-1] ^= 1
    (tmp_path / "out.partial" / "training-00001.npy").write_bytes(content)
    written = write_shards(open_dataset(path), tmp_path / "out", 15)
    assert written.found == 2
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_folder_of_shards_is_replaced_only_by_a_whole_one(make_dataset, tmp_path):
    path, _ = make_dataset()
    out = tmp_path / "out"
    write_shards(open_dataset(path), out, 15)
    before = contents(out)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.MonkeyPatch.context() as patch:
        break_off_after(patch, 4, full)
        with pytest.raises(CommandError, match="out can't be written: No space left .* free some"):
            write_shards(open_dataset(path), out, 4)
    assert contents(out) == before
    write_shards(open_dataset(path), out, 4)
    assert len(contents(out)) == 2 * (10 + 2 + 2) + 2
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "small.pkl.zip"]


def test_sizes_that_make_no_sense(make_dataset, tmp_path, monkeypatch):
    dataset = open_dataset(make_dataset()[0])
    for size in (0, -3):
        with pytest.raises(CommandError, match=f"--shard-size is {size}; give a number of inst"):
            write_shards(dataset, tmp_path / "out", size)
    monkeypatch.setattr(convert, "MAX_SHARDS", 8)
    with pytest.raises(CommandError, match="makes more than 8 shards of a subset; give at least 5"):
        write_shards(dataset, tmp_path / "out", 4)
    assert not (tmp_path / "out").exists()


MEMORY_SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np
from datasets.container import Blocks, open_dataset, write_dataset
from datasets.convert import write_file, write_shards
from datasets.validate import validate
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
folder = Path(sys.argv[1])
block = np.arange(2**20, dtype=np.uint8).reshape(4, -1)
blocks = Blocks((1024, block.shape[1]), block.dtype, (block for _ in range(256)))
write_dataset(folder / "x.pkl.zip", {"training": (blocks, np.zeros(1024))}, {"a": 0},
              layout="flat", scale=255, picture_shape=None)
peaks = [peak()]
write_shards(open_dataset(folder / "x.pkl.zip"), folder / "x", 400)
peaks.append(peak())
many = open_dataset(folder / "x").subset("training")
order = np.random.default_rng(0).permutation(1024)
for start in range(0, 1024, 64):
    many.read(order[start : start + 64])
    many.read(np.sort(order[start : start + 64]))
write_file(open_dataset(folder / "x"), folder / "y.pkl.zip")
peaks.append(peak())
assert validate(folder / "x").findings == validate(folder / "y.pkl.zip").findings == []
print(*peaks, peak())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux only")
def test_conversions_and_reading_take_constant_memory(tmp_path):
    command = [sys.executable, "-c", MEMORY_SCRIPT, str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    start, *peaks = (int(kilobytes) for kilobytes in result.stdout.split())
    assert (tmp_path / "x.pkl.zip").read_bytes() == (tmp_path / "y.pkl.zip").read_bytes()
    for peak in peaks:
        assert peak - start < 130 * 1024, peaks


def test_the_size_of_either_kind(make_dataset, tmp_path):
    path, _ = make_dataset()
    write_shards(open_dataset(path), tmp_path / "out", 15)
    assert open_dataset(path).num_bytes == path.stat().st_size
    assert open_dataset(tmp_path / "out").num_bytes == sum(
        map(len, contents(tmp_path / "out").values())
    )
