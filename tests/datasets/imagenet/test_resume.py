"""preprocess_imagenet is broken off in every way, and the next run goes on behind whole shards."""

import errno
import fcntl
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from commands import main
from datasets.imagenet import blocks, shard, work
from tests.datasets.imagenet.tree import contents, make_tree, picture
from tests.paths import ROOT

NUM_SHARDS = 14  # 12 of training, 2 of validation
SCRIPT = """
import os, signal, sys, time
from commands import main
from datasets import shard_folder
from datasets.imagenet import preprocess, shard, work
calls = []
def at_call(number, act, does):
    def acting(*arguments, **options):
        calls.append(0)
        if len(calls) == number:
            act()
        return does(*arguments, **options)
    return acting
def die():
    os.kill(os.getpid(), signal.SIGKILL)
{}
sys.exit(main(sys.argv[1:]))
"""


def command(tree, *options):
    places = {"train-dir": "train", "val-dir": "val", "devkit": "kit", "out-dir": "out"}
    given = [text for name, place in places.items() for text in (f"--{name}", str(tree / place))]
    sizes = ["--image-size", "9", "--shard-size", "8", "--num-workers", "1"]
    return ["preprocess_imagenet", *given, *sizes, *options]


def start(tree, changes=""):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(changes), *command(tree, "--num-workers", "2")],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A tree, and what is written where nothing disturbs."""
    tree = make_tree(tmp_path_factory.mktemp("undisturbed") / "tree", 24, 10)
    for number in (5, 40):
        sorted((tree / "train").rglob("*.JPEG"))[number].write_bytes(b"broken")
    assert main(command(tree)) == 0
    return tree, contents(tree / "out")


@pytest.fixture
def whole(undisturbed, tmp_path, capsys):
    """A folder of its own for the output; returns the tree and what is to be written."""
    tree, expected = undisturbed
    shutil.rmtree(tree / "out", ignore_errors=True)
    capsys.readouterr()
    yield tree, expected
    shutil.rmtree(tree / "out", ignore_errors=True)


def num_found(errors):
    found = re.search(
        rf"^Going on: (\d+) of {NUM_SHARDS} shards are there already\.$", errors, re.M
    )
    return int(found[1]) if found else 0


def finish(tree, capsys):
    """Runs the same command to its end; returns how many shards were there."""
    capsys.readouterr()
    assert main(command(tree)) == 0
    return num_found(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ("work.close = at_call(5, die, work.close)", 4),
        ("shard._write_labels = at_call(5, die, shard._write_labels)", 4),
        ("preprocess.write_array = at_call(1, die, preprocess.write_array)", NUM_SHARDS),
        ("preprocess.write_index = at_call(1, die, preprocess.write_index)", NUM_SHARDS),
    ],
)
def test_killed(whole, capsys, change, kept):
    tree, expected = whole
    with start(tree, change) as process:
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not (tree / "out" / "imagenet.shards").exists()
    assert finish(tree, capsys) == kept
    assert contents(tree / "out") == expected


END = [
    "preprocess.remove_others = at_call(2, {}, preprocess.remove_others)",
    "shard_folder._remove = at_call(1, {}, shard_folder._remove)",
]
"""Before and after all but the dataset is removed, when the folder lacks nothing but its name."""


@pytest.mark.parametrize("change", END)
@pytest.mark.parametrize("stop", ["die", "lambda: signal.raise_signal(signal.SIGINT)"])
def test_stopped_at_the_very_end(whole, capsys, change, stop):
    tree, expected = whole
    with start(tree, change.format(stop)) as process:
        process.wait()
    assert process.returncode in (-signal.SIGKILL, 130)
    assert not (tree / "out" / "imagenet.shards").exists()
    assert finish(tree, capsys) == 0
    assert contents(tree / "out") == expected


def test_killed_at_any_time(whole, capsys):
    tree, expected = whole
    generator = random.Random(0)
    folder = tree / "out" / "imagenet.shards.partial"
    for count in (1, 3, 6):
        with start(tree) as process:
            while len(list(folder.glob("*.json"))) < count and process.poll() is None:
                time.sleep(0.005)
            time.sleep(generator.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
    if not (tree / "out" / "imagenet.shards").exists():
        finish(tree, capsys)
    assert contents(tree / "out") == expected


def test_ctrl_c_keeps_whole_shards(whole, capsys):
    tree, expected = whole
    waits = "work.close = at_call(4, lambda: time.sleep(60), work.close)"
    folder = tree / "out" / "imagenet.shards.partial"
    with start(tree, waits) as process:
        while len(list(folder.glob("*.json"))) < 3 and process.poll() is None:
            time.sleep(0.01)
        time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
        errors = process.stderr.read()
    assert process.returncode == 130
    assert errors == (
        f"\nmanage.py: interrupted; 3 whole shards are kept in {folder}: the same command goes on "
        "with them, and removing that folder frees the room\n"
    )
    assert len(list(folder.iterdir())) == 9
    assert finish(tree, capsys) == 3
    assert contents(tree / "out") == expected


def test_ctrl_c_soon_leaves_nothing(whole, monkeypatch, capsys):
    tree, _ = whole
    monkeypatch.setattr(work, "close", lambda *_: signal.raise_signal(signal.SIGINT))
    assert main(command(tree)) == 130
    assert "interrupted; nothing is kept, as no shard was whole" in capsys.readouterr().err
    assert not (tree / "out").exists()


class Broken(Exception):
    pass


def break_off(tree, monkeypatch, after):
    """Makes some shards."""
    real, calls = work.close, []

    def closing(*arguments):
        if len(calls) == after:
            raise Broken
        calls.append(real(*arguments))
        return calls[-1]

    with monkeypatch.context() as patch, pytest.raises(Broken):
        patch.setattr(work, "close", closing)
        main(command(tree))


def test_changed_pictures_are_noticed(whole, tmp_path, monkeypatch, capsys):
    tree = shutil.copytree(whole[0], tmp_path / "tree")
    break_off(tree, monkeypatch, 6)
    order = [line.rpartition(" ")[0] for line in whole[1]["train.txt"].decode().splitlines()]
    first, second = (tree / "train" / order[index] for index in (0, 12))  # of two shards
    picture(np.random.default_rng(9)).save(first, "JPEG")
    os.utime(second, ns=(0, second.stat().st_mtime_ns + 1))
    assert finish(tree, capsys) == 4
    resumed = contents(tree / "out")
    assert resumed["train.txt"] == whole[1]["train.txt"]
    assert resumed["imagenet.shards/mean.npy"] != whole[1]["imagenet.shards/mean.npy"]
    shutil.rmtree(tree / "out")
    assert finish(tree, capsys) == 0
    assert contents(tree / "out") == resumed


@pytest.mark.parametrize(
    "options", [["--image-size", "8"], ["--resize-mode", "crop"], ["--seed", "1"]]
)
def test_shards_of_other_options_are_made_anew(whole, monkeypatch, capsys, options):
    tree, _ = whole
    assert main(command(tree, *options)) == 0
    expected = contents(tree / "out")
    shutil.rmtree(tree / "out")
    break_off(tree, monkeypatch, 3)
    assert main(command(tree, *options)) == 0
    assert num_found(capsys.readouterr().err) == 0
    assert contents(tree / "out") == expected


def test_damaged_shards_are_made_anew(whole, monkeypatch, capsys):
    """As after a power cut."""
    tree, expected = whole
    break_off(tree, monkeypatch, 9)
    folder = tree / "out" / "imagenet.shards.partial"

    def damage(name, content=None):
        file = folder / f"training-0000{name}"
        whole = bytearray(file.read_bytes())
        whole[len(whole) // 2] ^= 1
        file.write_bytes(whole if content is None else content)

    damage("0.npy")
    damage("1.npy", b"")
    damage("2.json", b"{")
    damage("3.json", b"[]")
    damage("4.json", b'{"made_of": 3, "count": "x"}')
    (folder / "training-00005.npy").unlink()
    damage("6.labels.npy")  # which are written again in any case
    assert finish(tree, capsys) == 3
    assert contents(tree / "out") == expected


def test_two_at_once(whole, capsys):
    tree, _ = whole
    folder = tree / "out" / "imagenet.shards.partial"
    folder.mkdir(parents=True)
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert main(command(tree)) == 1
    assert "is being written by another" in capsys.readouterr().err
    os.close(handle)


def test_a_full_disk(whole, monkeypatch, capsys):
    tree, expected = whole

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(blocks, "write_at", full)
        assert main(command(tree)) == 1
    sentence = "imagenet.shards can't be written: No space left on device; free some space"
    assert sentence in capsys.readouterr().err
    assert not (tree / "out").exists()
    with monkeypatch.context() as patch:
        patch.setattr(shard, "write_at", full)
        assert main(command(tree)) == 1
    assert sentence in capsys.readouterr().err
    finish(tree, capsys)
    assert contents(tree / "out") == expected


def test_a_place_that_is_none(whole, capsys):
    tree, _ = whole
    (tree / "out").write_text("a file")
    assert main(command(tree)) == 1
    assert "can't be written: " in capsys.readouterr().err
    (tree / "out").unlink()


def test_strict_holds_for_what_an_earlier_run_has_left_out(whole, capsys):
    tree, _ = whole
    with start(tree, "preprocess.write_array = at_call(1, die, preprocess.write_array)") as process:
        process.wait()
    assert main([*command(tree), "--strict"]) == 1
    assert "can't be used: it is no picture" in capsys.readouterr().err
    assert main(command(tree)) == 0
    assert main([*command(tree), "--strict"]) == 1
    assert "is there, without the pictures in" in capsys.readouterr().err


def test_other_shards_take_no_room_beside_the_new_ones(whole, monkeypatch, capsys):
    tree, _ = whole
    with start(tree, "preprocess.write_array = at_call(1, die, preprocess.write_array)") as process:
        process.wait()
    folder = tree / "out" / "imagenet.shards.partial"
    assert len(list(folder.iterdir())) == 3 * NUM_SHARDS
    seen = []
    decode = work.Work.decode
    monkeypatch.setattr(
        work.Work, "decode", lambda self: (seen.extend(folder.iterdir()), decode(self))
    )
    capsys.readouterr()
    assert main([*command(tree), "--shard-size", "11"]) == 0
    assert seen == []
    assert "shards of an earlier run, whose pictures or options were" in capsys.readouterr().err
