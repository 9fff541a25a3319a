"""The dataset against a loop over the pictures, one after another, with Pillow alone."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from common.errors import CommandError
from datasets.container import open_dataset
from datasets.imagenet import preprocess as module
from datasets.imagenet.choices import Choices
from datasets.imagenet.outputs import Outputs
from datasets.imagenet.preprocess import preprocess
from datasets.origin import PictureOrigin, origin_of
from datasets.validate import validate
from tests.datasets.imagenet.tree import SORTED, contents, make_tree, picture, truth_of

SIZE = 12


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree")


def run(tree, name="out", *, kit="kit", toy=False, **options):
    options = {"image_size": SIZE, "shard_size": 6, "num_workers": 1} | options
    devkit = None if kit is None else tree / kit
    outputs = Outputs(tree / name, toy)
    created_by = {
        "command": "preprocess_imagenet",
        "options": {key: options.get(key, "stretch") for key in ("image_size", "resize_mode")},
    }
    return preprocess(
        tree / "train",
        tree / "val",
        outputs,
        Choices(toy=toy, **options),
        devkit=devkit,
        created_by=created_by,
    )


def by_hand(path, mode="stretch"):
    with Image.open(path) as image:
        image = image.convert("RGB")
        if mode == "crop":
            side = min(image.size)
            left, top = (image.width - side) / 2, (image.height - side) / 2
            box = (left, top, image.width - left, image.height - top)
            return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=box))
        return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def lines(file):
    return [line.rsplit(" ", 1) for line in file.read_text().splitlines()]


@pytest.mark.parametrize(("mode", "year"), [("stretch", 2012), ("crop", 2014)])
def test_every_picture_with_its_label(tmp_path, mode, year):
    tree = make_tree(tmp_path / "tree", year=year)
    made = run(tree, resize_mode=mode)
    assert made.path == tree / "out" / "imagenet.shards"
    dataset = open_dataset(made.path)
    assert list(dataset.subsets) == ["training", "validation"]
    truth = truth_of(tree)
    for subset, name in (("training", "train"), ("validation", "val")):
        listed = lines(tree / "out" / f"{name}.txt")
        assert sorted(path for path, _ in listed) == sorted(
            str(file.relative_to(tree / name)) for file in (tree / name).rglob("*.JPEG")
        )
        pictures = dataset.subset(subset)
        assert pictures.labels.tolist() == [int(label) for _, label in listed]
        for row, (path, label) in enumerate(listed):
            expected = by_hand(tree / name / path, mode)
            assert np.array_equal(pictures.read(np.array([row]))[0], expected)
            number = int(path[-13:-5]) if name == "val" else 0
            wordnet_id = truth[number - 1] if number else path.partition("/")[0]
            assert SORTED[int(label)] == wordnet_id
        assert [path for path, _ in listed] != sorted(path for path, _ in listed)
    everything = [by_hand(tree / "train" / path, mode) for path, _ in lines(made.lists[1])]
    assert np.array_equal(dataset.mean, np.mean(everything, axis=0, dtype=np.float64))
    assert (made.counts, made.num_shards) == ({"training": 20, "validation": 10}, 6)
    assert [len(dataset.label_to_index), dataset.layout, dataset.scale] == [4, "nhwc", 255]
    assert next(iter(dataset.label_to_index)) == "n01440764 tench"
    labels = (tree / "out" / "labels.txt").read_text().splitlines()
    assert labels[0] == "0\tn01440764\ttench, Tinca tinca" and len(labels) == 4
    assert not validate(made.path).faults
    assert origin_of(dataset)["steps"] == [[mode, SIZE, SIZE]]
    path = tree / "val" / lines(made.lists[2])[3][0]
    again = PictureOrigin.of(origin_of(dataset)).read(path)
    assert np.array_equal(again, dataset.subset("validation").read(np.array([3]))[0])


def test_without_a_kit(tree):
    files = sorted((tree / "val").iterdir())
    for number, file in enumerate(files):
        (tree / "val" / SORTED[number % 4]).mkdir(exist_ok=True)
        file.rename(tree / "val" / SORTED[number % 4] / file.name)
    made = run(tree, kit=None)
    dataset = open_dataset(made.path)
    assert dataset.label_names == SORTED
    for path, label in lines(made.lists[2]):
        assert path.startswith(SORTED[int(label)])


def cmyk(generator):
    stream = io.BytesIO()
    picture(generator).convert("CMYK").save(stream, "JPEG")
    return stream.getvalue()


def png(generator):
    stream = io.BytesIO()
    picture(generator).save(stream, "PNG")
    return stream.getvalue()


def spoil(tree):
    """Makes six pictures odd; returns the paths of those four that no program can read."""
    generator = np.random.default_rng(5)
    files = sorted((tree / "train").rglob("*.JPEG"))
    files[0].write_bytes(cmyk(generator))
    files[3].write_bytes(png(generator))
    files[7].write_bytes(files[7].read_bytes()[:-200])
    files[8].write_bytes(b"")
    files[12].write_text("<html>404</html>")
    last = sorted((tree / "val").iterdir())[4]
    last.write_bytes(b"\xff\xd8\xff")
    return [str(file) for file in (files[7], files[8], files[12], last)]


@pytest.mark.parametrize("shard_size", [3, 20])
def test_broken_pictures_are_left_out_and_listed(tree, shard_size):
    broken = spoil(tree)
    made = run(tree, shard_size=shard_size)
    assert sorted(made.unreadable) == sorted(broken)
    assert made.counts == {"training": 17, "validation": 9}
    dataset = open_dataset(made.path)
    for subset, name, file in (("training", "train", 1), ("validation", "val", 2)):
        listed = lines(made.lists[file])
        expected = [by_hand(tree / name / path) for path, _ in listed]
        assert np.array_equal(dataset.subset(subset).read(slice(None)), expected)
        assert dataset.subset(subset).labels.tolist() == [int(label) for _, label in listed]
        if subset == "training":
            assert np.array_equal(dataset.mean, np.mean(expected, axis=0, dtype=np.float64))
    report = (tree / "out" / "unreadable.txt").read_text().splitlines()
    assert len(report) == 4 and f"{broken[2]!r}: it is no picture of a known format" in report
    assert not validate(made.path).faults


def test_broken_pictures_are_an_error_if_strict(tree):
    spoil(tree)
    with pytest.raises(CommandError, match=r"JPEG' can't be used: .*; repair or remove it, or lea"):
        run(tree, strict=True, shard_size=20)
    assert not (tree / "out").exists()


def test_a_shard_without_a_readable_picture_is_left_out(tree):
    run(tree, shard_size=5)
    shards = [path for path, _ in lines(tree / "out" / "train.txt")]
    for path in shards[5:10]:
        (tree / "train" / path).write_bytes(b"")
    made = run(tree, "other", shard_size=5)
    names = sorted(entry.name for entry in made.path.glob("training-*[0-9].npy"))
    assert names == [f"training-0000{number}.npy" for number in (0, 2, 3)]
    assert [path for path, _ in lines(made.lists[1])] == shards[:5] + shards[10:]
    assert not validate(made.path).faults


def test_nothing_that_can_be_read(tree):
    for file in (tree / "val").iterdir():
        file.write_bytes(b"")
    with pytest.raises(CommandError, match="None of the validation pictures can be read; look at"):
        run(tree)
    assert [entry.name for entry in (tree / "out").iterdir()] == ["imagenet.shards.partial"]


def test_a_toy_beside_the_whole(tree, monkeypatch):
    monkeypatch.setattr(module, "TOY", 8)
    run(tree)
    before = contents(tree / "out")
    made = run(tree, toy=True)
    assert made.counts == {"training": 8, "validation": 8}
    after = contents(tree / "out")
    assert before.items() < after.items()
    assert {name.partition("/")[0] for name in after.keys() - before.keys()} == {
        "imagenet-toy.shards",
        "labels-toy.txt",
        "train-toy.txt",
        "val-toy.txt",
    }
    whole, toy = lines(tree / "out" / "train.txt"), lines(tree / "out" / "train-toy.txt")
    assert toy == whole[:8]
    assert after["labels-toy.txt"] == after["labels.txt"]


def test_the_number_of_processes_changes_nothing(tmp_path):
    tree = make_tree(tmp_path / "tree", 12, 10)
    spoil(tree)
    expected = contents(run(tree, num_workers=1, shard_size=3).path.parent)
    assert contents(run(tree, "many", num_workers=3, shard_size=3).path.parent) == expected
    assert contents(run(tree, "seed", seed=1, shard_size=3).path.parent) != expected


def test_blocks_are_smaller_than_shards(tree, monkeypatch):
    """As usual, but for these small datasets."""
    from datasets.imagenet import shard

    broken = spoil(tree)
    expected = contents(run(tree, shard_size=20).path)
    monkeypatch.setattr(shard, "PICTURES", 3)
    made = run(tree, "blocks", shard_size=20)
    assert sorted(made.unreadable) == sorted(broken)
    assert contents(made.path) == expected


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"image_size": 0}, "--image-size is 0; give a number of pixels from 1"),
        ({"image_size": 20_000}, "--image-size is 20000; give 16,384 pixels at most"),
        ({"shard_size": 0}, "--shard-size is 0; give a number of pictures from 1"),
        ({"num_workers": 0}, "--num-workers is 0; give a number of processes from 1"),
        ({"seed": -1}, "--seed is -1; give a number from 0"),
    ],
)
def test_wrong_choices(tree, options, sentence):
    with pytest.raises(CommandError, match=sentence):
        run(tree, **options)
    assert not (tree / "out").exists()


def test_too_many_shards(tree, monkeypatch):
    monkeypatch.setattr(module, "MAX_SHARDS", 9)
    with pytest.raises(
        CommandError, match="--shard-size 1 makes more than 9 shards of the trainin"
    ):
        run(tree, shard_size=1)
    assert not (tree / "out").exists()


def test_the_index_says_how_it_was_made(tree):
    index = json.loads((run(tree).path / "index.json").read_bytes())
    assert index["created_by"]["options"] == {"image_size": SIZE, "resize_mode": "stretch"}
    assert [shard["count"] for shard in index["subsets"]["training"]] == [6, 6, 6, 2]
