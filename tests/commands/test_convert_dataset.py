"""convert_dataset as a person runs it: real processes, killed at any moment."""

import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from commands import main
from commands.convert_dataset import Options, run
from common.errors import CommandError
from datasets.container import open_dataset, write_dataset
from tests.paths import ROOT

COMMAND = [sys.executable, str(ROOT / "manage.py"), "convert_dataset"]


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_there_and_back(digits, tmp_path, capsys):
    assert run(Options(digits, tmp_path / "digits.shards", shard_size=500)) == (
        tmp_path / "digits.shards"
    )
    assert capsys.readouterr().out == (
        f"Wrote {tmp_path / 'digits.shards'}: 1,797 instances in 5 shards of up to 500.\n"
    )
    assert main(["convert_dataset", "digits.shards", "again.pkl.zip"]) == 0
    assert capsys.readouterr().out == "Wrote again.pkl.zip: 1,797 instances in one file.\n"
    assert (tmp_path / "again.pkl.zip").read_bytes() == digits.read_bytes()
    assert main(["convert_dataset", "digits.shards", "other.shards", "--shard-size", "700"]) == 0
    assert main(["convert_dataset", "other.shards", "again.pkl.zip"]) == 0
    assert (tmp_path / "again.pkl.zip").read_bytes() == digits.read_bytes()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "again.pkl.zip", "digits.shards", "other.shards"
    ]  # fmt: skip


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_a_damaged_dataset_is_not_copied(digits, tmp_path, capsys):
    assert main(["convert_dataset", str(digits), "a.shards", "--shard-size", "500"]) == 0
    assert main(["convert_dataset", "a.shards", "a.pkl.zip"]) == 0
    flip(tmp_path / "a.pkl.zip", 5000)
    for name in ("training-00001.npy", "training-00001.labels.npy", "mean.npy"):
        flip(tmp_path / "a.shards" / name, -8)
        damaged = f"its shard '{name}' has changed since it was written (its checksum differs)"
        for out in ("b.shards", "b.pkl.zip"):
            capsys.readouterr()
            assert main(["convert_dataset", "a.shards", out]) == 1
            assert capsys.readouterr().err == (
                f"manage.py: a.shards is damaged, and nothing was written: {damaged}; "
                "validate_dataset lists all that is wrong with it; copy it again from where it "
                "came from.\n"
            )
        flip(tmp_path / "a.shards" / name, -8)
    assert main(["convert_dataset", "a.pkl.zip", "b.shards"]) == 1
    assert "its member 'array_0' has changed since it was" in capsys.readouterr().err
    assert names(tmp_path) == ["a.pkl.zip", "a.shards"]
    assert main(["convert_dataset", "a.shards", "b.pkl.zip"]) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["digits.shards", "x.pkl.zip", "--shard-size", "5"], "--shard-size makes a folder of sh"),
        (["digits.shards", "digits.shards"], "is the dataset that is read; give another name"),
        (["digits.shards", "./x/../digits.shards/"], "is the dataset that is read; give another"),
        (["digits.shards", "link"], "is the dataset that is read; give another name"),
        (["digits.shards", "photos.zip"], "photos.zip ends in .zip; give NAME.pkl.zip for a file"),
        (["digits.shards", "mine.pkl.zip"], "mine.pkl.zip can't be read as a dataset, and is left"),
        (["digits.shards", "frames"], "frames holds 'frame-00001.npy', which is no part of a fol"),
        (["digits.shards", "x", "--shard-size", "0"], "--shard-size is 0; give a number of inst"),
        (["digits.shards", "there", "--shard-size", "9"], "there holds 'mine.txt', which is no"),
        (["digits.shards", "there/mine.txt"], "is a file, and shards need a folder; choose a"),
        (["digits.shards", "there/mine.txt/x"], "can't be written: Not a directory"),
        (["no.shards", "x"], "The dataset no.shards does not exist"),
        (["there", "x"], "The dataset there is a folder"),
    ],
)
def test_mistakes_are_one_sentence(digits, tmp_path, capsys, arguments, sentence):
    run(Options(digits, tmp_path / "digits.shards"))
    (tmp_path / "x").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "frames").mkdir()
    (tmp_path / "link").symlink_to("digits.shards")
    mine = ["there/mine.txt", "photos.zip", "mine.pkl.zip", "frames/frame-00001.npy"]
    for file in mine:
        (tmp_path / file).write_text("mine")
    before = names(tmp_path)
    capsys.readouterr()
    assert main(["convert_dataset", *arguments]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert names(tmp_path) == before
    assert all((tmp_path / file).read_text() == "mine" for file in mine)


@pytest.mark.parametrize("size", [[], ["--shard-size", "7.5"], ["--shard-size"]])
def test_command_lines_that_cannot_be_understood(capsys, size):
    assert main(["convert_dataset", "x.pkl.zip", *(["y"] if size else []), *size]) == 2


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A dataset of 150 shards' worth, whose conversion takes a while."""
    path = tmp_path_factory.mktemp("large") / "x.pkl.zip"
    pixels = np.random.default_rng(0).integers(0, 256, (3000, 16, 16, 3), np.uint8)
    subsets = {"training": (pixels, np.arange(3000) % 2), "testing": (pixels[:99], [0] * 99)}
    shape = (16, 16, 3)
    write_dataset(path, subsets, {"a": 0, "b": 1}, layout="nhwc", scale=255, picture_shape=shape)
    return path


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_killed_at_any_moment_and_run_again(large, tmp_path):
    command = [*COMMAND, str(large), "out", "--shard-size", "20"]
    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    seconds = time.monotonic() - start
    whole = contents(tmp_path / "out")
    generator = random.Random(0)
    killed = 0
    for number in range(9):
        if number % 3 == 0:  # from nothing; else on what the last one has left
            for entry in tmp_path.iterdir():
                for file in entry.iterdir():
                    file.unlink()
                entry.rmdir()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=tmp_path)
        time.sleep(generator.uniform(0.3, 1) * seconds)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        if (tmp_path / "out").exists():
            assert contents(tmp_path / "out") == whole
        else:
            with pytest.raises(CommandError, match="out does not exist"):
                open_dataset(tmp_path / "out")
        if number % 3 == 2:
            subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
            assert contents(tmp_path / "out") == whole
            assert [entry.name for entry in tmp_path.iterdir()] == ["out"]
    assert killed


def test_killed_on_the_way_back_to_a_file(large, tmp_path):
    run(Options(large, tmp_path / "x.shards", shard_size=20))
    command = [*COMMAND, "x.shards", "out.pkl.zip"]
    generator = random.Random(1)
    for _ in range(4):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=tmp_path)
        time.sleep(generator.uniform(0.1, 0.6))
        process.kill()
        process.wait()
        if (tmp_path / "out.pkl.zip").exists():
            assert (tmp_path / "out.pkl.zip").read_bytes() == large.read_bytes()
            (tmp_path / "out.pkl.zip").unlink()
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    assert (tmp_path / "out.pkl.zip").read_bytes() == large.read_bytes()
