"""create_datasets is broken off in every way, and the next run goes on from what is whole."""

import fcntl
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import CommandError
from datasets import decoding, outputs, scratch
from datasets.create import create_datasets
from tests.paths import ROOT

SCRIPT = """
import os, signal, sys, time
from commands import main
from datasets import scratch
{}
sys.exit(main(sys.argv[1:]))
"""
WAITS = """
put, calls = scratch.Scratch.put, []
def put_or_wait(*arguments):
    if len(calls) == {}:
        time.sleep(60)
    calls.append(put(*arguments))
scratch.Scratch.put = put_or_wait
"""
KILLED_IN_WRITING = """
punch, calls = scratch._punch_hole, []
def punch_or_die(*arguments):
    calls.append(punch(*arguments))
    if len(calls) == 50:
        os.kill(os.getpid(), signal.SIGKILL)
    return calls[-1]
scratch._punch_hole = punch_or_die
"""
NUM_SMALL = 24


def make_pictures(folder, count):
    """Smooth pictures in colour, each unlike the others."""
    generator = np.random.default_rng(0)
    for index in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (5, 7, 3), dtype=np.uint8))
        path = folder / "ab"[index % 2] / f"{index:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse.resize((56, 40), Image.Resampling.BICUBIC).save(path)
    return folder


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return make_pictures(tmp_path_factory.mktemp("many"), 300)


@pytest.fixture
def few(tmp_path):
    return make_pictures(tmp_path / "few", NUM_SMALL)


def contents(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def fresh(image_dir, **options):
    """What an undisturbed run writes."""
    out = image_dir.parent / "undisturbed"
    create_datasets(image_dir, out, **options)
    result = contents(out)
    shutil.rmtree(out)
    return result


def num_recorded(out):
    """How many rows have a record."""
    try:
        journal = (out / scratch.LASTING / "journal").read_bytes()[scratch.KEY_BYTES :]
    except FileNotFoundError:
        return 0
    whole = len(journal) // scratch.RECORD.itemsize * scratch.RECORD.itemsize
    return int(np.count_nonzero(np.frombuffer(journal[:whole], scratch.RECORD)["check"]))


def num_found(errors):
    """How many pictures the run says were decoded already."""
    found = re.search(
        r"^Going on: ([\d,]+) of [\d,]+ pictures are decoded already\.$", errors, re.M
    )
    return int(found[1].replace(",", "")) if found else 0


def start(image_dir, out, image_size, changes=""):
    command = [sys.executable, "-c", SCRIPT.format(changes), "create_datasets"]
    options = [str(image_dir), str(out), "--image-size", str(image_size), "--num-workers", "2"]
    return subprocess.Popen(
        [*command, *options],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_records(process, out, number):
    while num_recorded(out) < number and process.poll() is None:
        time.sleep(0.002)


def finish(image_dir, out, image_size):
    """Runs the command to its end; returns how many pictures it says were decoded already."""
    with start(image_dir, out, image_size) as process:
        errors = process.stderr.read()
    assert process.returncode == 0, errors
    return num_found(errors)


@pytest.fixture(scope="module")
def whole(many, tmp_path_factory):
    """What the command writes undisturbed, by image size."""
    results = {}

    def get(image_size):
        if image_size not in results:
            out = tmp_path_factory.mktemp("whole") / "out"
            assert finish(many, out, image_size) == 0
            results[image_size] = contents(out)
        return results[image_size]

    return get


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_again_and_again(many, whole, tmp_path, seed):
    out, generator, kept = tmp_path / "out", random.Random(seed), 0
    for _ in range(4):
        number = generator.randint(1, 60)
        with start(many, out, 200, WAITS.format(number)) as process:
            wait_for_records(process, out, kept + number)
            time.sleep(generator.uniform(0, 0.1))  # the workers go on for a while
            process.send_signal(signal.SIGKILL)
            errors = process.stderr.read()
        assert num_found(errors) == kept
        kept += number
        assert num_recorded(out) == kept
        assert [file.name[:17] for file in out.iterdir()] == [".create_datasets-"] * 2
    assert finish(many, out, 200) == kept
    assert contents(out) == whole(200)


def test_killed_while_the_decoded_pictures_are_given_back(many, whole, tmp_path):
    out = tmp_path / "out"
    with start(many, out, 80, KILLED_IN_WRITING) as process:
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert finish(many, out, 80) == 250
    assert contents(out) == whole(80)


def test_ctrl_c_soon_leaves_nothing(many, tmp_path):
    out = tmp_path / "out"
    with start(many, out, 200, WAITS.format(40)) as process:
        wait_for_records(process, out, 40)  # these are of both workers
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
        errors = process.stderr.read()
    assert process.returncode == 130 and errors.split("\n") == [
        "",
        "Nothing is kept, as less than 5 seconds were decoded.",
        "",
        "manage.py: interrupted",
        "",
    ]
    assert not out.exists()


def test_ctrl_c_late_keeps_what_is_decoded(many, whole, tmp_path):
    out = tmp_path / "out"
    with start(many, out, 200, f"scratch.WORTH_KEEPING = 1e-3\n{WAITS.format(100)}") as process:
        wait_for_records(process, out, 100)
        os.killpg(process.pid, signal.SIGINT)
        errors = process.stderr.read()
    sentence = (
        f"100 decoded pictures are kept in {out / scratch.LASTING}: the same command goes on "
        "with them, and removing that folder frees the room."
    )
    assert errors.split("\n") == ["", sentence, "", "manage.py: interrupted", ""]
    assert process.returncode == 130
    assert [file.name for file in out.iterdir()] == [scratch.LASTING]
    assert finish(many, out, 200) == 100
    assert contents(out) == whole(200)


class Calls:
    """Counts the pictures that are read, and presses Ctrl-C after some."""

    def __init__(self, monkeypatch):
        self.number, self.last = 0, None
        self._read = decoding.read_picture
        monkeypatch.setattr(decoding, "read_picture", self)
        monkeypatch.setattr(scratch, "WORTH_KEEPING", 0.0)

    def __call__(self, path, size, **options):
        if self.number == self.last:
            raise KeyboardInterrupt
        self.number += 1
        return self._read(path, size, **options)

    def interrupt(self, image_dir, out, after, **options):
        self.number, self.last = 0, after
        with pytest.raises(KeyboardInterrupt):
            create_datasets(image_dir, out, **options)
        self.number, self.last = 0, None


@pytest.fixture
def calls(monkeypatch):
    return Calls(monkeypatch)


def test_nothing_whole_is_decoded_twice(few, tmp_path, calls, capsys):
    (few / "a" / "text.png").write_text("text")  # is tried again: 14 of these 15 are whole
    expected, out = fresh(few), tmp_path / "out"
    for after, found in ((5, 0), (1, 5), (0, 6), (9, 6)):
        capsys.readouterr()
        calls.interrupt(few, out, after)
        assert num_found(capsys.readouterr().err) == found
    create_datasets(few, out, seed=7, layout="nchw", num_workers=1)  # of the same rows
    assert calls.number == NUM_SMALL + 1 - 14
    assert contents(out) != expected and not (out / scratch.LASTING).exists()
    calls.interrupt(few, out, 15)
    create_datasets(few, out)
    assert contents(out) == expected


def test_ctrl_c_after_the_decoding(few, tmp_path, calls, monkeypatch):
    expected, out = fresh(few, image_size=8), tmp_path / "out"
    calls.number = 0
    for _ in range(2):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as error:
            patch.setattr(outputs, "write_dataset", lambda *_, **__: [][signal.raise_signal(2)])
            create_datasets(few, out, image_size=8)
        assert num_recorded(out) == calls.number == NUM_SMALL
    create_datasets(few, out, image_size=8)
    assert calls.number == NUM_SMALL and contents(out) == expected
    assert error.traceback  # it holds the arrays, as a notebook does, until here


def test_ctrl_c_in_a_notebook_leaves_no_worker(many, whole, tmp_path, monkeypatch):
    out, put = tmp_path / "out", scratch.Scratch.put

    def put_some(self, row, record):
        if row % 100 == 50:
            raise KeyboardInterrupt
        put(self, row, record)

    monkeypatch.setattr(scratch, "WORTH_KEEPING", 0.0)
    monkeypatch.setattr(scratch.Scratch, "put", put_some)
    children = Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children")
    before = children.read_text()  # of other tests
    with pytest.raises(KeyboardInterrupt) as error:
        create_datasets(many, out, image_size=80, num_workers=2)
    assert children.read_text() == before
    monkeypatch.undo()
    create_datasets(many, out, image_size=80, num_workers=2)
    assert list(contents(out)) == list(whole(80))
    assert error.traceback  # as above


def test_a_picture_that_has_changed_is_decoded_anew(few, tmp_path, calls):
    out = tmp_path / "out"
    calls.interrupt(few, out, 20, image_size=8)
    stamps = {path: path.stat() for path in few.rglob("*.png")}
    content = Image.new("RGB", (56, 40), "red")
    content.save(few / "a" / "0002.png")  # other size, even at the same time
    stamp = stamps[few / "a" / "0002.png"].st_mtime_ns
    os.utime(few / "a" / "0002.png", ns=(stamp, stamp))
    (few / "a" / "0004.png").write_bytes((few / "b" / "0005.png").read_bytes())
    os.utime(few / "a" / "0006.png", ns=(0, 0))  # older
    (few / "b" / "0003.png").write_text("text")
    (few / "b" / "0005.png").unlink()
    (few / "b" / "0005.png").symlink_to("nowhere")
    expected = fresh(few, image_size=8)
    calls.number = 0
    created = create_datasets(few, out, image_size=8)
    assert calls.number == NUM_SMALL - 20 + 4  # the fifth isn't there to be read
    assert list(created.unreadable) == ["b/0003.png", "b/0005.png"]
    assert contents(out) == expected


OTHERS = [{"image_size": 9}, {"image_size": 8, "resize_mode": "fit"}, {"max_per_label": 11}]


@pytest.mark.parametrize("options", OTHERS)
def test_what_belongs_to_another_command_is_removed(few, tmp_path, calls, capsys, options):
    expected, out = fresh(few, **options), tmp_path / "out"
    calls.interrupt(few, out, 20, image_size=8)
    calls.interrupt(few, out, 5, **options)
    assert num_recorded(out) == 5
    calls.interrupt(few, out, 20, image_size=8)
    create_datasets(few, out, **options)
    assert contents(out) == expected
    assert num_found(capsys.readouterr().err) == 0


def test_another_list_of_pictures_starts_afresh(few, tmp_path, calls, monkeypatch):
    out = tmp_path / "out"
    calls.interrupt(few, out, 20)
    (few / "a" / "0000.png").rename(few / "a" / "first.png")
    create_datasets(few, out)
    assert calls.number == NUM_SMALL
    calls.interrupt(few, out, 20)
    shutil.copytree(few, tmp_path / "elsewhere" / "few")
    monkeypatch.chdir(tmp_path / "elsewhere")
    create_datasets(Path("few"), out)
    assert calls.number == NUM_SMALL
    calls.interrupt(Path("few"), out, 20)
    create_datasets(tmp_path / "elsewhere" / "few", out)  # the same by another name
    assert calls.number == NUM_SMALL - 20


def test_a_computer_that_went_down_may_have_lost_what_was_written(
    few, tmp_path, calls, monkeypatch
):
    out, boot = tmp_path / "out", tmp_path / "boot_id"
    monkeypatch.setattr(scratch, "BOOT_ID", boot)
    for before, after in (("one", "two"), (None, None), ("one", None), (None, "two")):
        for content in (before, after):
            boot.unlink(missing_ok=True)
            if content is not None:
                boot.write_text(content)
            calls.interrupt(few, out, 20)
            assert num_recorded(out) == 20
        shutil.rmtree(out)
    boot.write_text("one")
    calls.interrupt(few, out, 20)
    create_datasets(few, out)
    assert calls.number == NUM_SMALL - 20


def mutate(folder, generator):
    journal = bytearray((folder / "journal").read_bytes())
    for _ in range(generator.choice([1, 1, 5, 1000])):
        journal[generator.randrange(len(journal))] ^= generator.randint(1, 255)
    (folder / "journal").write_bytes(journal)


def cut(folder, generator):
    file = folder / generator.choice(["journal", "pixels", "thumbnails"])
    os.truncate(file, generator.choice([0, 1, generator.randrange(file.stat().st_size)]))


def swap(folder, generator):
    """Records of other rows."""
    journal = (folder / "journal").read_bytes()
    head, rows = journal[: scratch.KEY_BYTES], journal[scratch.KEY_BYTES :]
    rows = [rows[i : i + scratch.RECORD.itemsize] for i in range(0, len(rows), len(rows) // 24)]
    generator.shuffle(rows)
    (folder / "journal").write_bytes(head + b"".join(rows))


def lose(folder, generator):
    (folder / generator.choice(["journal", "pixels", "thumbnails"])).unlink()


def lengthen(folder, generator):
    with (folder / generator.choice(["journal", "pixels"])).open("ab") as file:
        file.write(b"\0" * scratch.RECORD.itemsize)


def replace(folder, generator):
    (folder / "journal").unlink()
    (folder / "journal").mkdir()


@pytest.mark.parametrize("damage", [mutate, cut, swap, lose, lengthen, replace])
def test_damage_does_no_harm(few, tmp_path, calls, damage):
    expected, kept = fresh(few, image_size=8), tmp_path / "kept"
    calls.interrupt(few, tmp_path / "out", 20, image_size=8)
    (tmp_path / "out").rename(kept)
    for seed in range(12):
        shutil.copytree(kept, tmp_path / "out")
        damage(tmp_path / "out" / scratch.LASTING, random.Random(seed))
        create_datasets(few, tmp_path / "out", image_size=8)
        assert contents(tmp_path / "out") == expected
        shutil.rmtree(tmp_path / "out")


def test_an_error_leaves_nothing(few, tmp_path, calls):
    (few / "b" / "text.png").write_text("text")
    out = tmp_path / "out"
    calls.interrupt(few, out, 20, image_size=8)
    with pytest.raises(CommandError, match=r"text\.png' can't be used"):
        create_datasets(few, out, image_size=8, strict=True)
    assert not list(out.iterdir())


def test_a_file_system_without_locks(few, tmp_path, calls, monkeypatch):
    def no_locks(*_):
        raise OSError(37, "No locks available")

    expected, out = fresh(few), tmp_path / "out"
    calls.interrupt(few, out, 20)
    kept = contents(out / scratch.LASTING)
    monkeypatch.setattr(fcntl, "flock", no_locks)
    calls.interrupt(few, out, 20)
    assert contents(out / scratch.LASTING) == kept  # whose it is can't be known
    create_datasets(few, out)
    assert calls.number == NUM_SMALL and contents(out / scratch.LASTING) == kept
    shutil.rmtree(out / scratch.LASTING)
    assert contents(out) == expected


def test_workers_of_a_killed_process_are_waited_for(few, tmp_path, calls):
    out = tmp_path / "out"
    calls.interrupt(few, out, 20, image_size=8)
    with (out / scratch.LASTING / "pixels").open("rb") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        with start(few, out, 8) as process:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1.5)
            assert num_recorded(out) == 20
            fcntl.flock(theirs, fcntl.LOCK_UN)
            assert num_found(process.stderr.read()) == 20
    assert process.returncode == 0
