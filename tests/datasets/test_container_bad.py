import io
import json
import os
import pickle
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import CommandError
from datasets.container import open_dataset, write_dataset


class Reference(str):
    pass


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return f"ndarray.{value}" if isinstance(value, Reference) else None


PAIR = (Reference("array_0"), Reference("array_1"))
GOOD = ({"training": PAIR}, {"a": 0, "b": 1})
LABELS = np.array([0, 1, 0], np.int32)


def dump(structure):
    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump(structure)
    return stream.getvalue()


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.fixture
def write(tmp_path):
    def write(instances=None, labels=LABELS, pkl=None, metadata=None, method=0, **members):
        if instances is None:
            instances = np.zeros((3, 4), np.uint8)
        contents = {
            "array_0": instances if isinstance(instances, bytes) else npy(instances),
            "array_1": npy(labels),
            "pkl": dump(GOOD) if pkl is None else pkl,
        }
        if metadata is not None:
            contents["metadata.json"] = json.dumps(metadata).encode()
        path = tmp_path / "bad.pkl.zip"
        with zipfile.ZipFile(path, "w", method) as file:
            for name, content in (contents | members).items():
                if content != b"":
                    file.writestr(name, content)
        return path

    return write


METADATA = {"format": 1, "layout": "flat", "scale": 255, "picture_shape": [2, 2, 1]}


def test_the_good_file_that_the_bad_ones_vary_opens(write):
    assert open_dataset(write()).layout == "flat"
    assert open_dataset(write(metadata=METADATA)).picture_shape == (2, 2, 1)


def structure(subsets=None, labels=None):
    return dump((subsets or {"training": PAIR}, labels or {"a": 0, "b": 1}))


BAD = {
    "no pickle": ({"pkl": b""}, "its member 'pkl' is missing"),
    "missing member": (
        {"pkl": structure({"training": (PAIR[0], Reference("array_9"))})},
        "its member 'array_9' is missing",
    ),
    "no pair": ({"pkl": dump([1, 2, 3])}, "is no pair of subsets and labels"),
    "no dicts": ({"pkl": dump(([], []))}, "no pair of subsets by name and labels by name"),
    "subset no pair": ({"pkl": structure({"training": 3})}, "no pair of instances and labels"),
    "subset no arrays": ({"pkl": structure({"training": (1, 2)})}, "refers to no arrays"),
    "no training": ({"pkl": structure({"testing": PAIR})}, "no training subset, only testing"),
    "label numbers": ({"pkl": structure(labels={"a": 0, "b": 2})}, "not numbered from 0"),
    "label bools": ({"pkl": structure(labels={"a": False, "b": 1})}, "not numbered from 0"),
    "same names": ({"pkl": structure(labels={"1": 0, 1: 1})}, "not numbered from 0"),
    "odd names": ({"pkl": structure(labels={1.5: 0})}, "has a float where a name should be"),
    "damaged pickle": ({"pkl": b"\x80\x02}q"}, "its pickle is damaged"),
    "huge memo": ({"pkl": b"\x80\x02}r\xff\xff\xff\x7f."}, "memo larger than itself"),
    "unequal lengths": (
        {"labels": np.zeros(2, np.int32)},
        "training subset has 3 instances but 2 labels",
    ),
    "label too large": ({"labels": np.array([0, 5, 1])}, "the label 5, but labels go from 0 to 1"),
    "label negative": ({"labels": np.array([0, -1, 1])}, "the label -1, but labels go from 0"),
    "labels float": ({"labels": np.zeros(3)}, "labels are float64 of shape .3,., not a row"),
    "labels 2-d": ({"labels": np.zeros((3, 1), int)}, "labels are int64 of shape .3, 1., not"),
    "one axis": ({"instances": np.zeros(3)}, "training instances have shape .3,., not"),
    "no features": ({"instances": np.zeros((3, 0))}, "training instances have shape .3, 0., not"),
    "no channels": ({"instances": np.zeros((3, 5, 5, 5))}, "no axis has the length 1 or 3"),
    "empty": (
        {"instances": np.zeros((0, 4)), "labels": np.zeros(0, int)},
        "its training subset is empty",
    ),
    "objects": ({"instances": np.array([[None]] * 3)}, "holds values of type object, not numbers"),
    "strings": ({"instances": np.array([["x"]] * 3)}, "holds values of type <U1, not numbers"),
    "no npy": ({"instances": b"text"}, "its member 'array_0' is no .npy array"),
    "too few values": (
        {"instances": npy(np.zeros((3, 4), np.uint8))[:-2]},
        "declares an array of shape .3, 4. and type uint8, but holds 10 bytes",
    ),
    "layout": ({"metadata": METADATA | {"layout": "nhwc"}}, "metadata says layout 'nhwc', but"),
    "no layout": ({"metadata": METADATA | {"layout": []}}, "metadata says layout"),
    "scale": ({"metadata": METADATA | {"scale": 0}}, "metadata says scale 0, which is no"),
    "huge scale": ({"metadata": METADATA | {"scale": 10**400}}, "metadata says scale 1000"),
    "picture shape": (
        {"metadata": METADATA | {"picture_shape": [3, 3, 1]}},
        "says pictures of .3, 3, 1., but an instance has shape .4,.",
    ),
    "picture shape text": ({"metadata": METADATA | {"picture_shape": "x"}}, "says pictures of x"),
    "newer": ({"metadata": METADATA | {"format": 2}}, "has format 2 and this program reads"),
    "list": ({"metadata": [1]}, "metadata.json is no object"),
    "no json": ({"metadata.json": b"{"}, "metadata.json is damaged"),
}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_told_in_one_sentence(write, case, method):
    changes, sentence = BAD[case]
    path = write(**changes, method=method)
    with pytest.raises(CommandError, match=sentence) as raised:
        open_dataset(path)
    message = str(raised.value)
    assert message.startswith(f"{path} can't be used as a dataset: ")
    assert message.endswith("or write it anew (create_datasets).")
    assert "\n" not in message


def test_subsets_of_different_shapes(write):
    subsets = {"training": PAIR, "testing": (Reference("array_2"), PAIR[1])}
    path = write(pkl=structure(subsets), array_2=npy(np.zeros((3, 5), np.uint8)))
    with pytest.raises(CommandError, match=r"its testing instances are uint8 of shape .5,., but"):
        open_dataset(path)


class Command:
    def __init__(self, function, argument):
        self.call = function, (argument,)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_calls_a_function_is_refused_by_name_and_runs_nothing(
    write, tmp_path, protocol
):
    victim = tmp_path / "victim"
    stream = io.BytesIO()
    Pickler(stream, protocol).dump((Command(os.system, f"touch {victim}"), {}))
    with pytest.raises(CommandError, match=r"asks for '(posix|nt|os)\.system', which a dataset"):
        open_dataset(write(pkl=stream.getvalue()))
    assert not victim.exists()


@pytest.mark.parametrize("value", [set(), 1j, np.float64(1), np.zeros(2), range(3), slice(1)])
def test_globals_of_any_kind_are_refused(write, value):
    with pytest.raises(CommandError, match=r"its pickle asks for '[\w.]+\.\w+'"):
        open_dataset(write(pkl=pickle.dumps(({"training": value}, {"a": 0}), protocol=2)))


@pytest.mark.parametrize("state", [b"}X\x01\x00\x00\x00aK\x01s", b"N}X\x01\x00\x00\x00aK\x01s\x86"])
def test_a_stream_cannot_change_an_array_reference(write, state):
    reference = b"X\x0f\x00\x00\x00ndarray.array_0Q"
    with pytest.raises(CommandError, match="its pickle is damaged"):
        open_dataset(write(pkl=b"\x80\x02" + reference + state + b"b."))


def test_persistent_ids_that_are_no_arrays_are_refused(write):
    with pytest.raises(CommandError, match=r"refers to 'file\.x', which is no array"):
        open_dataset(write(pkl=b"\x80\x02X\x06\x00\x00\x00file.xQ."))


def test_a_member_that_declares_more_than_it_holds(write):
    path = write(instances=np.zeros((3, 4), np.uint8), method=zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    central = content.find(b"PK\x01\x02")
    struct.pack_into("<I", content, central + 24, 2**31)
    path.write_bytes(content)
    with pytest.raises(CommandError, match="declares 2,147,483,648 bytes, more than its"):
        open_dataset(path)


def test_a_member_that_inflates_to_more_than_it_states(write):
    zeros = npy(np.zeros((300, 400), np.uint8))
    path = write(instances=zeros, method=zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.find(b"PK\x01\x02") + 24, 140)
    path.write_bytes(content)
    with pytest.raises(CommandError, match="its member 'array_0' is damaged"):
        open_dataset(path)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [(1, "is encrypted or compressed in an unknown way"), (1 << 5, "patched"), (1 << 6, "encrypt")],
)
def test_members_in_ways_that_are_not_read(write, flags, sentence):
    path = write(method=zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, content.find(b"PK\x01\x02") + 8, flags)
    path.write_bytes(content)
    with pytest.raises(CommandError, match=f"its member 'array_0' .*{sentence}"):
        open_dataset(path)


def test_missing_folder_and_unreadable_files(tmp_path):
    with pytest.raises(CommandError, match=r"no\.pkl\.zip does not exist; create_datasets"):
        open_dataset(tmp_path / "no.pkl.zip")
    with pytest.raises(CommandError, match="is a folder; create_datasets makes"):
        open_dataset(tmp_path)
    for content in (b"", b"text"):
        (tmp_path / "text").write_bytes(content)
        with pytest.raises(CommandError, match=r"it is truncated or no \.pkl\.zip file"):
            open_dataset(tmp_path / "text")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(CommandError, match="is a pipe or a device; give a file, or a folder"):
            open_dataset(path)


@pytest.mark.parametrize("name", ["array_0", "ärray"])
def test_a_member_lies_where_its_name_is(tmp_path, name):
    """A name that has changed in the directory alone would make it another member."""
    path = tmp_path / "x.pkl.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(name, npy(np.zeros((3, 4), np.uint8)))
        file.writestr("array_1", npy(LABELS))
        file.writestr("pkl", structure({"training": (Reference(name), PAIR[1])}))
    assert open_dataset(path).layout == "flat"
    content = path.read_bytes().replace(name.encode(), name.encode()[:-1] + b"X", 1)
    path.write_bytes(content)
    with pytest.raises(CommandError, match=f"its member '{name}' has another name where it lies"):
        open_dataset(path)


def test_a_member_that_is_lost_from_the_directory_is_missed(write):
    """Without its metadata a file would be taken for one of the originals'."""
    path = write(metadata=METADATA)
    content = bytearray(path.read_bytes())
    *_, pkl, last = (found.start() for found in re.finditer(b"PK\x01\x02", content))
    struct.pack_into("<H", content, pkl + 32, len(content) - 22 - last)  # its comment's length
    path.write_bytes(content)
    with pytest.raises(CommandError, match="is truncated: 3 of 4 members are listed"):
        open_dataset(path)


def test_every_truncation_is_refused(make_dataset):
    path, _ = make_dataset()
    content = path.read_bytes()
    for size in range(0, len(content), 997):
        path.write_bytes(content[:size])
        with pytest.raises(CommandError, match="it is truncated"):
            open_dataset(path)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_bytes_end_in_a_sentence_or_a_dataset(data, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    path = folder / "fuzzed.pkl.zip"
    method = data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("array_0", npy(np.zeros((3, 4), np.uint8)))
        file.writestr("array_1", npy(LABELS))
        file.writestr("pkl", dump(GOOD))
        file.writestr("metadata.json", json.dumps(METADATA))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        dataset = open_dataset(path)
    except CommandError:
        return
    dataset.subset("training").read(slice(None))


def test_a_name_that_cannot_be_written(tmp_path):
    (tmp_path / "x.pkl.zip").mkdir()
    with pytest.raises(CommandError, match=r"x\.pkl\.zip can't be written: "):
        write_dataset(
            tmp_path / "x.pkl.zip",
            {"training": (np.zeros((1, 2)), np.zeros(1))},
            {"a": 0},
            layout="flat",
            scale=1,
            picture_shape=None,
        )
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.pkl.zip"]
