"""Damaged datasets of either kind end in a sentence or a dataset: none crashes, hangs or runs."""

import io
import json
import random
import shutil
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from common.errors import CommandError
from datasets.container import open_dataset, write_dataset
from datasets.convert import write_shards
from datasets.dataset import Dataset
from datasets.shards import INDEX
from datasets.validate import validate
from tests.datasets.indexes import write_index

ROUNDS = 400
RUNS_CODE = {"exec", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen"}
WORDS = [b"../", b"0", b"-1", b"99999999999999999999", b"null", b"[]", b"{}", b'"', b"\0", b"1e999"]


@pytest.fixture
def small(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (5, 3, 2, 1), np.uint8)
    subsets = {"training": (pixels[:3], np.array([0, 1, 1])), "testing": (pixels[3:], [0, 1])}
    path = tmp_path / "x.pkl.zip"
    write_dataset(path, subsets, {"a": 0, "b": 1}, layout="nhwc", scale=1, picture_shape=None)
    return path


def mutated(content: bytes, generator: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(generator.choice((1, 1, 2, 4, 16))):
        at = generator.randrange(len(changed) + 1)
        match generator.randrange(5):
            case 0 if at < len(changed):
                changed[at] = generator.randrange(256)
            case 1 if at < len(changed):
                changed[at] ^= 1 << generator.randrange(8)
            case 2:
                del changed[at : at + generator.choice((1, 3, 30))]
            case 3:
                changed[at:at] = generator.choice(WORDS)
            case 4:
                end = at + generator.choice((1, 4, 8))
                changed[at:end] = generator.choice((b"\xff", b"\0", b"\x7f")) * (end - at)
    return bytes(changed)


def use(path: Path) -> dict | None:
    """Opens and reads all of a dataset; returns it in plain values, or None where it has faults.

    What can't be opened has a fault.
    """
    start = time.monotonic()
    has_faults = bool(validate(path).faults)
    assert time.monotonic() - start < 5
    try:
        dataset = open_dataset(path)
        for subset in dataset.subsets.values():
            subset.read(slice(None))
            subset.read(np.arange(len(subset))[::-1])
    except CommandError as error:
        assert "\n" not in str(error)
        assert has_faults
        return None
    return None if has_faults else plain(dataset)


def plain(dataset: Dataset) -> dict:
    subsets = {
        name: (subset.instances[:].tolist(), subset.labels.tolist())
        for name, subset in dataset.subsets.items()
    }
    form = dataset.layout, dataset.scale, dataset.picture_shape, dict(dataset.created_by)
    return {"subsets": subsets, "labels": dataset.label_to_index, "form": form}


@pytest.fixture
def no_code():
    """Fails the test where anything is executed; an audit hook can't be taken out again."""
    called, active = [], [True]

    def hook(event, arguments):
        imports = event == "exec" and not arguments[0].co_filename.startswith("<str")
        if active and event in RUNS_CODE and not imports:
            called.append((event, arguments))

    sys.addaudithook(hook)
    yield
    active.clear()
    assert not called


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_that_have_changed_on_the_way(small, tmp_path, method, no_code):
    """A file without faults has the values that were written."""
    generator = random.Random(method)
    path, good = tmp_path / "y.pkl.zip", plain(open_dataset(small))
    with zipfile.ZipFile(small) as file, zipfile.ZipFile(path, "w", method) as packed:
        for name in file.namelist():
            packed.writestr(name, file.read(name))
    content = path.read_bytes()
    for number in range(ROUNDS):
        path.write_bytes(mutated(content, generator))
        assert use(path) in (None, good), number


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_whose_members_were_written_so(small, tmp_path, method, no_code):
    """Their checksums are right; arrays of other values in the same form are another dataset."""
    generator = random.Random(2 + method)
    with zipfile.ZipFile(small) as file:
        members = {name: file.read(name) for name in file.namelist()}
    path = tmp_path / "y.pkl.zip"
    for number in range(ROUNDS):
        victim = generator.choice([*members, *["pkl", "metadata.json"] * 2])
        changed = members | {victim: mutated(members[victim], generator)}
        with zipfile.ZipFile(path, "w", method) as file:
            for name, content in changed.items():
                file.writestr(name, content)
        found = use(path)
        if found is not None and victim.startswith("array"):
            arrays = [np.load(io.BytesIO(changed[f"array_{n}"])).tolist() for n in range(4)]
            pairs = {"training": tuple(arrays[:2]), "testing": tuple(arrays[2:])}
            assert found["subsets"] == pairs, number


def test_folders(small, tmp_path, no_code):
    """Every byte of a folder is under a checksum: what has changed has a fault."""
    generator = random.Random(1)
    write_shards(open_dataset(small), tmp_path / "good", 2)
    names = sorted(file.name for file in (tmp_path / "good").iterdir())
    folder = tmp_path / "bad"
    shutil.copytree(tmp_path / "good", folder)
    for number in range(ROUNDS):
        victim = generator.choice([*names, *[INDEX] * len(names)])
        content = (tmp_path / "good" / victim).read_bytes()
        changed = mutated(content, generator)
        (folder / victim).write_bytes(changed)
        assert (use(folder) is None) == (changed != content), (number, victim)
        (folder / victim).write_bytes(content)


FREE = {"scale", "picture_shape", "created_by", "written_by"}  # may have other values


def test_indexes_with_other_values(small, tmp_path, no_code):
    """Every value of the index is replaced by every other kind, with the right checksum."""
    folder = tmp_path / "x"
    write_shards(open_dataset(small), folder, 2)
    good = json.loads((folder / INDEX).read_text())
    del good["crc32"]

    def places(value, way=()):
        yield way
        if isinstance(value, dict | list):
            for key in value if isinstance(value, dict) else range(len(value)):
                yield from places(value[key], (*way, key))

    others = [None, True, -1, 0, 2**70, 1.5, float("nan"), "", "..", "x.npy", [], {}, [[]], {"": 0}]
    for way in places(good):
        for other in others:
            index = json.loads(json.dumps(good))
            holder = index
            for key in way[:-1]:
                holder = holder[key]
            if way:
                holder[way[-1]] = other
                write_index(folder, index)
            else:
                (folder / INDEX).write_text(json.dumps(other))
            is_free = bool(way) and way[0] in FREE
            is_less = way == ("subsets", "testing") and other == []
            assert use(folder) is None or is_free or is_less or index == good, (way, other)
