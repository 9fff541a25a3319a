"""A folder of shards as it is opened: whole, damaged and made up."""

import json
import os
import zlib

import numpy as np
import pytest

from common.errors import CommandError
from datasets.container import open_dataset
from datasets.convert import write_shards
from datasets.shards import INDEX, signed
from tests.datasets.indexes import write_index


@pytest.fixture
def folder(make_dataset, tmp_path):
    path, _ = make_dataset()
    write_shards(open_dataset(path), tmp_path / "shards", 15)
    return tmp_path / "shards"


def test_opens_as_the_file_does(make_dataset, tmp_path):
    path, subsets = make_dataset(created_by={"command": "test"})
    one = open_dataset(path)
    write_shards(one, tmp_path / "shards", 15, {"command": "convert_dataset"})
    many = open_dataset(tmp_path / "shards")
    for name in ("label_to_index", "label_names", "layout", "scale", "picture_shape", "created_by"):
        assert getattr(many, name) == getattr(one, name)
    assert many.instance_shape == one.instance_shape
    assert many.path == tmp_path / "shards"
    for name, (instances, labels) in subsets.items():
        np.testing.assert_array_equal(many.subset(name).instances, instances)
        np.testing.assert_array_equal(many.subset(name).labels, labels)
        assert many.subset(name).labels.dtype == np.int32
    np.testing.assert_allclose(many.mean, subsets["training"][0].mean(axis=0))
    kept = many.keep_labels(["ape", "cat"])
    assert kept.mean is None
    chosen = np.isin(subsets["training"][1], [0, 2])
    np.testing.assert_array_equal(
        kept.subset("training").read(slice(None)), subsets["training"][0][chosen]
    )
    index = json.loads((tmp_path / "shards" / INDEX).read_text())
    assert index["written_by"] == {"command": "convert_dataset"}
    assert [shard["count"] for shard in index["subsets"]["training"]] == [15, 15, 10]


def npy(path, array):
    with path.open("wb") as file:
        np.save(file, array)


DAMAGES = {
    "missing": (lambda file: file.unlink(), "is missing"),
    "truncated": (lambda file: file.write_bytes(file.read_bytes()[:-7]), "has [0-9,]+ bytes inst"),
    "longer": (lambda file: file.write_bytes(file.read_bytes() + b"x"), "has [0-9,]+ bytes inst"),
    "header": (lambda file: file.write_bytes(file.read_bytes()[:60]), "is no .npy array"),
    "empty": (lambda file: file.write_bytes(b""), "is empty"),
    "text": (lambda file: file.write_text("text"), "is no .npy array"),
    "other type": (lambda file: npy(file, np.zeros((15, 5, 7, 3), "f4")), "holds float32 of shape"),
    "other shape": (lambda file: npy(file, np.zeros((9, 2), "u1")), r"holds uint8 of shape .9, 2."),
    "objects": (lambda file: npy(file, np.array([None] * 15)), "holds values of type object"),
    "pipe": (lambda file: (file.unlink(), os.mkfifo(file)), "is no file"),
    "folder": (lambda file: (file.unlink(), file.mkdir()), "is no file"),
    "loop": (lambda file: (file.unlink(), file.symlink_to(file)), "can't be read"),
}


@pytest.mark.parametrize("name", ["training-00001.npy", "testing-00000.labels.npy", "mean.npy"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_shard_is_named_in_one_sentence(folder, name, damage):
    change, sentence = DAMAGES[damage]
    change(folder / name)
    with pytest.raises(CommandError, match=f"its shard '{name}' {sentence}") as raised:
        open_dataset(folder)
    message = str(raised.value)
    assert message.startswith(f"{folder} can't be used as a dataset: ")
    assert message.endswith("; copy it again from where it came from, or convert it anew (convert_"
                            "dataset).")  # fmt: skip
    assert "\n" not in message


def test_columns_first_are_refused(folder):
    file = folder / "training-00001.npy"
    npy(file, np.asfortranarray(np.load(file)))
    with pytest.raises(CommandError, match=r"its shard 'training-00001\.npy' holds uint8 of"):
        open_dataset(folder)


def test_a_shard_that_would_run_code_is_refused_and_does_not(folder, tmp_path):
    victim = tmp_path / "victim"

    class Command:
        def __reduce__(self):
            return os.system, (f"touch {victim}",)

    for name in ("training-00000.npy", "training-00000.labels.npy", "mean.npy"):
        content = (folder / name).read_bytes()
        with (folder / name).open("wb") as file:
            np.save(file, np.array([Command()] * 15, object), allow_pickle=True)
        with pytest.raises(CommandError, match="holds values of type object, not numbers"):
            open_dataset(folder)
        (folder / name).write_bytes(content)
    assert not victim.exists()


def first(index):
    return index["subsets"]["training"][0]


TAMPERED = {
    "parent": (lambda i: first(i).update(instances="../secret.npy"), "names the shard '../secret"),
    "absolute": (lambda i: first(i).update(instances="/etc/passwd.npy"), "which is no .npy file"),
    "below": (lambda i: first(i).update(labels="sub/x.npy"), "which is no .npy file of the fo"),
    "backslash": (lambda i: first(i).update(labels="..\\x.npy"), "which is no .npy file of the"),
    "dots": (lambda i: first(i).update(labels="..npy"), "which is no .npy file of the folder"),
    "zero byte": (lambda i: first(i).update(labels="a\0.npy"), "which is no .npy file of the"),
    "line end": (lambda i: first(i).update(labels="a.npy\n"), "which is no .npy file of the"),
    "number": (lambda i: first(i).update(labels=3), "names the shard '3', which is no .npy"),
    "mean": (lambda i: i["mean"].update(file="../mean.npy"), "names the shard '../mean.npy'"),
    "twice": (lambda i: i["subsets"]["training"].append(first(i)), "00000.npy' twice"),
    "absurd": (lambda i: first(i).update(count=10**15), "says that a shard of 'training' has 1000"),
    "large": (lambda i: first(i).update(count=10**12), "but index.json says uint8 of shape .10000"),
    "none": (lambda i: first(i).update(count=0), "a shard of 'training' has 0 instances"),
    "negative": (lambda i: first(i).update(count=-5), "a shard of 'training' has -5 instances"),
    "half": (lambda i: first(i).update(count=1.5), "a shard of 'training' has 1.5 instances"),
    "true": (lambda i: first(i).update(count=True), "a shard of 'training' has True instances"),
    "fewer": (lambda i: first(i).update(count=14), r"holds uint8 of shape .15, 5, 7, 3., but"),
    "no checksum": (lambda i: first(i).update(labels_crc32=""), "has no checksum for 'training-0"),
    "checksum": (lambda i: first(i).update(labels_crc32="zz"), "has no checksum for 'training-0"),
    "no list": (lambda i: i["subsets"].update(training={}), "has no list of shards for the subset"),
    "no objects": (lambda i: i["subsets"].update(training=[3]), "has no list of shards for the"),
    "no subsets": (lambda i: i.pop("subsets"), "has no subsets by name and labels by name"),
    "no training": (lambda i: i["subsets"].pop("training"), "has no training subset, only valid"),
    "empty": (lambda i: i["subsets"].update(training=[]), "its training subset is empty"),
    "no labels": (lambda i: i.pop("label_to_index"), "has no subsets by name and labels by name"),
    "few labels": (lambda i: i["label_to_index"].pop("cat"), "has the label 2, but labels go from"),
    "label gap": (lambda i: i["label_to_index"].update(cat=7), "labels are not numbered from 0"),
    "no mean": (lambda i: i.pop("mean"), "names no mean"),
    "newer": (lambda i: i.update(format=2), "has format 2 and this program reads format 1"),
    "shape": (lambda i: i.update(shape=[5, 0, 3]), "says instances of shape .5, 0, 3., which is"),
    "axes": (lambda i: i.update(shape=[1] * 70), "says instances of shape .1, 1"),
    "text shape": (lambda i: i.update(shape="5"), "says instances of shape '5'"),
    "type": (lambda i: i.update(dtype="O"), "says values of type 'O', which are no numbers"),
    "odd type": (lambda i: i.update(dtype="<f1"), "says values of type '<f1'"),
    "other type": (lambda i: i.update(dtype="<i2"), "holds uint8 of shape"),
    "layout": (lambda i: i.update(layout="flat"), "says layout 'flat', but an instance has shape"),
    "scale": (lambda i: i.update(scale=-1), "says scale -1, which is no positive number"),
    "unknown": (lambda i: i.update(lables=3), "has the unknown field 'lables'"),
    "made by": (lambda i: i.update(created_by=3), "is no object with the metadata of a dataset"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_a_tampered_index_is_refused_in_one_sentence(folder, case):
    change, sentence = TAMPERED[case]
    (folder.parent / "secret.npy").write_bytes((folder / "training-00000.npy").read_bytes())
    index = json.loads((folder / INDEX).read_text())
    change(index)
    write_index(folder, index)
    with pytest.raises(CommandError, match=sentence) as raised:
        open_dataset(folder)
    assert str(raised.value).startswith(f"{folder} can't be used as a dataset: ")
    assert len(str(raised.value)) < 600
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "its index.json is damaged"),
        (b"{", "its index.json is damaged"),
        (b"[" * 100_000, "its index.json is damaged"),
        (b"\xff\xfe\x00", "its index.json is damaged"),
        (b"[]", "its index.json is no object"),
        (b'{"format": 1}', "does not end in a checksum of its own"),
        (signed(b'{"format": 1'), "says instances of shape None"),
        (b'{"format": ' + b"9" * 5000 + b"}", "its index.json is damaged"),
    ],
)
def test_an_index_that_is_none(folder, content, sentence):
    (folder / INDEX).write_bytes(content)
    with pytest.raises(CommandError, match=sentence):
        open_dataset(folder)


def test_every_flipped_bit_of_the_index_is_noticed(folder):
    content = (folder / INDEX).read_bytes()
    assert b'"ape"' in content and content.endswith(b'"\n}\n')
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        (folder / INDEX).write_bytes(changed)
        with pytest.raises(CommandError, match="can't be used as a dataset: it"):
            open_dataset(folder)
    (folder / INDEX).write_bytes(content)
    open_dataset(folder)


def test_the_checksum_is_that_of_all_before_its_comma(folder):
    content = (folder / INDEX).read_bytes()
    rest, crc = content.split(b',\n "crc32": ')
    assert json.loads(crc.removesuffix(b"\n}\n")) == f"{zlib.crc32(rest):08x}"


def test_a_folder_without_its_index_is_no_dataset(folder):
    (folder / INDEX).unlink()
    with pytest.raises(CommandError, match=r"its index\.json is missing; copy it again from w"):
        open_dataset(folder)
