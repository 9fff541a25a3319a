import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from commands import main
from datasets.container import open_dataset
from datasets.imagenet import preprocess
from tests.datasets.imagenet.tree import SORTED, contents, make_tree


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    tree = make_tree(tmp_path_factory.mktemp("imagenet") / "tree", 20, 12)
    assert main(command(tree)) == 0
    return tree


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree")


def command(tree, *options):
    places = {"train-dir": "train", "val-dir": "val", "devkit": "kit", "out-dir": "out"}
    given = [text for name, place in places.items() for text in (f"--{name}", str(tree / place))]
    return ["preprocess_imagenet", *given, "--image-size", "16", "--num-workers", "1", *options]


def test_says_what_it_wrote_and_left_out(tree, capsys):
    for number in range(11):
        (tree / "train" / SORTED[0] / f"x{number:02}.JPEG").write_text("text")
    (tree / "train" / "notes.txt").touch()
    shutil.rmtree(tree / "train" / SORTED[3])
    assert main(command(tree, "--shard-size", "8")) == 0
    output = capsys.readouterr()
    assert output.err == ""
    lines = output.out.splitlines()
    assert lines[:2] == [
        "Left out, being no picture in a class's folder: 1.",
        f"  {tree / 'train' / 'notes.txt'}",
    ]
    assert lines[2].startswith("Left out, having no training pictures of their class: ")
    assert lines[2].endswith(" validation pictures (classes: 1).")
    assert lines[3] == "Left out, being unreadable: 11."
    assert lines[4].endswith("': it is no picture of a known format")
    assert lines[14] == f"  ... all of them are listed in {tree / 'out' / 'unreadable.txt'}"
    assert lines[15].startswith("3 labels, pictures of 16x16 pixels: 15 training, ")
    assert lines[16].startswith(f"Wrote {tree / 'out' / 'imagenet.shards'}: ")
    assert lines[16].endswith(" of up to 8.")
    names = ["labels", "train", "val", "unreadable"]
    assert lines[17:] == [f"Wrote {tree / 'out' / f'{name}.txt'}." for name in names]


def test_done_work_is_not_done_again(made, capsys):
    before = contents(made / "out")
    times = {file: file.stat().st_mtime_ns for file in (made / "out").rglob("*")}
    capsys.readouterr()
    assert main(command(made, "--strict", "--num-workers", "3")) == 0
    assert capsys.readouterr().out == (
        f"{made / 'out' / 'imagenet.shards'} is there, written by the same command; no picture was "
        "looked at. To make it anew, remove that folder and the lists beside it.\n"
    )
    for options, said in (
        (["--image-size", "8"], "image_size 16 instead of 8"),
        (["--seed", "3", "--shard-size", "5"], "seed 0 instead of 3, shard_size 2048 instead of 5"),
    ):
        assert main(command(made, *options)) == 1
        assert f"imagenet.shards was made with {said}; remove that" in capsys.readouterr().err
    assert contents(made / "out") == before
    assert {file: file.stat().st_mtime_ns for file in (made / "out").rglob("*")} == times


def test_lists_of_ones_own_are_left_alone(tree, capsys):
    (tree / "out").mkdir()
    (tree / "out" / "train.txt").write_text("cats/1.jpg 0\n")
    assert main(command(tree)) == 1
    assert "train.txt is there, but" in capsys.readouterr().err
    assert contents(tree / "out") == {"train.txt": b"cats/1.jpg 0\n"}
    assert main(command(tree, "--toy")) == 0


def test_a_dataset_that_is_damaged(tree, capsys):
    (tree / "out" / "imagenet.shards").mkdir(parents=True)
    (tree / "out" / "imagenet.shards" / "index.json").write_text("{")
    assert main(command(tree)) == 1
    assert (
        "imagenet.shards is no dataset that can be used: its index.json" in capsys.readouterr().err
    )


def test_other_commands_take_the_dataset(made, tmp_path, capsys):
    shards = str(made / "out" / "imagenet.shards")
    assert main(["validate_dataset", shards]) == 0
    assert main(["describe_dataset", shards]) == 0
    assert "made by    preprocess_imagenet" in capsys.readouterr().out
    assert main(["convert_dataset", shards, str(tmp_path / "one.pkl.zip")]) == 0
    one, many = open_dataset(tmp_path / "one.pkl.zip"), open_dataset(made / "out/imagenet.shards")
    assert one.created_by == many.created_by
    for name in ("training", "validation"):
        assert np.array_equal(
            one.subset(name).read(slice(None)), many.subset(name).read(slice(None))
        )


def test_a_network_learns_from_it_and_is_evaluated(made, tmp_path, capsys):
    shards = str(made / "out" / "imagenet.shards")
    train = ["run_experiment", "--dataset-path", shards, "--model-architecture", "SingleLayerMlp"]
    train += ["--num-epochs", "1", "--batch-size", "20", "--out-dir", str(tmp_path / "run")]
    assert main(train) == 0
    (snapshot,) = (tmp_path / "run").glob("*.safetensors")
    capsys.readouterr()
    evaluate = ["evaluate", "--snapshot", str(snapshot), "--dataset-path", shards]
    assert main(evaluate) == 1
    advice = "imagenet.shards has no testing subset; give --test-subset training or validation."
    assert advice in capsys.readouterr().err
    options = ["--test-subset", "validation", "--out-dir", str(tmp_path / "validation")]
    assert main([*evaluate, *options]) == 0
    assert main([*train, "--test-at-end", "--out-dir", str(tmp_path / "tested")]) == 1
    assert "has no testing subset, only training, validation" in capsys.readouterr().err


def test_an_out_dir_among_the_pictures_is_refused(tree, capsys):
    for place in ("train", "train/out", "val/deeper/out"):
        assert main(command(tree, "--out-dir", str(tree / place))) == 1
        assert "the folder of the pictures; choose one outside of it" in capsys.readouterr().err
        assert not (tree / place / "labels.txt").exists()


def test_too_little_room_is_told_before_anything_is_decoded(tree, capsys, monkeypatch):
    monkeypatch.setattr(
        preprocess.shutil, "disk_usage", lambda _: SimpleNamespace(total=9, used=9, free=0)
    )
    assert main(command(tree)) == 1
    assert "where 0.0 kB are free; choose another --out-dir" in capsys.readouterr().err
    assert not (tree / "out").exists()


@pytest.mark.parametrize("val_dir", ["train", "link", ".", "train/inside"])
def test_pictures_to_train_on_are_not_validated_on(tree, capsys, val_dir):
    (tree / "link").symlink_to(tree / "train")
    assert main(command(tree, "--val-dir", str(tree / val_dir))) == 1
    assert "must not be validated on; give two folders apart" in capsys.readouterr().err
    assert not (tree / "out").exists()
