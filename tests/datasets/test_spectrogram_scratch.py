"""create_spectrograms is broken off in every way, and the next run goes on from what is whole."""

import fcntl
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from common.errors import CommandError
from datasets import spectrogram_scratch, spectrograms
from datasets.recordings import open_recordings
from datasets.spectra import Parameters
from datasets.spectrogram_scratch import folder_of
from datasets.spectrograms import create_spectrograms
from tests.datasets.sounds import make_folder, noise, write
from tests.paths import ROOT

SMALL = Parameters(sample_rate=8000, frame_size=256, hop_size=128, mel_bands=10)
OPTIONS = [
    *("--sample-rate", "8000", "--frame-size", "256", "--hop-size", "128", "--mel-bands", "10"),
    *("--num-workers", "2"),
]
SCRIPT = """
import sys, time
from commands import main
from datasets import spectrogram_scratch, spectrograms
spectrogram_scratch.WORTH_KEEPING = {}
given = spectrograms.in_order
def slowly(*arguments, **options):
    for number, result in enumerate(given(*arguments, **options)):
        if number == {}:
            time.sleep(60)
        yield result
spectrograms.in_order = slowly
sys.exit(main(sys.argv[1:]))
"""
COUNT = 60


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("many") / "music", COUNT)


@pytest.fixture(scope="module")
def whole(many, tmp_path_factory):
    """What the command writes undisturbed."""
    out = tmp_path_factory.mktemp("whole") / "x.pkl.zip"
    assert finish(many, out) == 0
    return out.read_bytes()


def start(audio_dir, out, stop=-1, worth_keeping=5.0):
    script = SCRIPT.format(worth_keeping, stop)
    command = [sys.executable, "-c", script, "create_spectrograms", str(audio_dir), str(out)]
    return subprocess.Popen(
        [*command, *OPTIONS],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def num_found(errors):
    found = re.search(r"^Going on: (\d+) of \d+ spectrograms are there already\.$", errors, re.M)
    return int(found[1]) if found else 0


def finish(audio_dir, out):
    with start(audio_dir, out) as process:
        errors = process.stderr.read()
    assert process.returncode == 0, errors
    return num_found(errors)


def num_whole(out):
    folder = folder_of(out)
    names = os.listdir(folder) if folder.exists() else []
    return sum("." not in name for name in names)


def wait_for(process, out, number):
    while num_whole(out) < number and process.poll() is None:
        time.sleep(0.002)


def test_killed_again_and_again(many, whole, tmp_path):
    out, generator, before = tmp_path / "out" / "x.pkl.zip", random.Random(0), 0
    for _ in range(3):
        with start(many, out, stop=generator.randint(1, 9)) as process:
            wait_for(process, out, before + 1)
            time.sleep(generator.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
            errors = process.stderr.read()  # ends when the workers have ended as well
        assert process.returncode == -signal.SIGKILL and num_found(errors) == before
        assert num_whole(out) > before and not out.exists()
        before = num_whole(out)
    assert finish(many, out) == before
    assert out.read_bytes() == whole
    assert os.listdir(out.parent) == ["x.pkl.zip"]


def test_killed_while_the_dataset_is_written(many, whole, tmp_path):
    out = tmp_path / "x.pkl.zip"
    script = f"""
import os, sys
from commands import main
from datasets import recordings
from datasets.archive import ArchiveWriter
write = ArchiveWriter.write_array
def write_and_die(self, name, array):
    write(self, name, array)
    if name == "array_1":
        os.kill(os.getpid(), {int(signal.SIGKILL)})
ArchiveWriter.write_array = write_and_die
main(sys.argv[1:])
"""
    command = [sys.executable, "-c", script, "create_spectrograms", str(many), str(out), *OPTIONS]
    assert subprocess.run(command, cwd=ROOT).returncode == -signal.SIGKILL
    assert finish(many, out) == COUNT
    assert out.read_bytes() == whole and os.listdir(tmp_path) == ["x.pkl.zip"]


def test_ctrl_c_soon_leaves_nothing(many, tmp_path):
    out = tmp_path / "out" / "x.pkl.zip"
    with start(many, out, stop=5, worth_keeping=60) as process:
        wait_for(process, out, 5)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
        errors = process.stderr.read()
    assert process.returncode == 130
    assert errors.split("\n") == [
        "", "Nothing is kept, as it took less than 60 seconds.", "", "manage.py: interrupted", "",
    ]  # fmt: skip
    assert not out.parent.exists()


def test_ctrl_c_late_keeps_what_is_finished(many, whole, tmp_path):
    out = tmp_path / "out" / "x.pkl.zip"
    with start(many, out, stop=5, worth_keeping=0) as process:
        wait_for(process, out, 5)
        os.killpg(process.pid, signal.SIGINT)
        errors = process.stderr.read()
    sentence = (
        f"What is finished is kept in {folder_of(out)}: the same command goes on with it, and "
        "removing that folder frees the room."
    )
    assert process.returncode == 130
    assert errors.split("\n") == ["", sentence, "", "manage.py: interrupted", ""]
    assert os.listdir(out.parent) == [folder_of(out).name]
    assert finish(many, out) >= 5
    assert out.read_bytes() == whole


class Calls:
    """Counts the recordings that are analysed, and presses Ctrl-C after some."""

    def __init__(self, monkeypatch):
        self.number, self.last = 0, None
        self._analyse = spectrograms.analyse
        monkeypatch.setattr(spectrograms, "analyse", self)
        monkeypatch.setattr(spectrogram_scratch, "WORTH_KEEPING", 0.0)

    def __call__(self, task, **options):
        if self.number == self.last:
            raise KeyboardInterrupt
        self.number += 1
        return self._analyse(task, **options)

    def interrupt(self, folder, out, after, parameters=SMALL, **choices):
        self.number, self.last = 0, after
        with pytest.raises(KeyboardInterrupt):
            create_spectrograms(folder, out, parameters, num_workers=1, **choices)
        self.number, self.last = 0, None


@pytest.fixture
def calls(monkeypatch):
    return Calls(monkeypatch)


@pytest.fixture
def few(tmp_path):
    return make_folder(tmp_path / "few", 12)


def test_nothing_whole_is_analysed_twice(few, tmp_path, calls):
    (few / "a" / "text.wav").write_text("text")  # is tried again
    expected, out = tmp_path / "expected.pkl.zip", tmp_path / "out" / "x.pkl.zip"
    create_spectrograms(few, expected, SMALL)
    for after in (5, 1, 0, 3):
        calls.interrupt(few, out, after)
    create_spectrograms(few, out, SMALL, num_workers=1)
    assert calls.number == 13 - 5 - 1 - 2  # the third of the last ones was no recording
    assert out.read_bytes() == expected.read_bytes()


def test_other_recordings_and_parameters_take_only_what_is_theirs(few, tmp_path, calls):
    out = tmp_path / "x.pkl.zip"
    calls.interrupt(few, out, 10)
    stamp = (few / "a" / "000.wav").stat()
    write(few / "a" / "000.wav", noise(0.9))  # of another size, though of the same time
    os.utime(few / "a" / "000.wav", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    os.utime(few / "a" / "002.wav", ns=(0, 0))
    write(few / "a" / "new.wav", noise(1))
    (few / "b" / "001.wav").unlink()
    calls.interrupt(few, out, 3)  # the two that have changed, and the new one
    calls.interrupt(few, out, 4, Parameters(sample_rate=8000, frame_size=256))
    create_spectrograms(few, out, SMALL, num_workers=1)
    assert calls.number == 2  # of twelve all but these were there
    found = out.read_bytes()
    create_spectrograms(few, out, SMALL, num_workers=1)
    assert out.read_bytes() == found


def test_what_was_kept_of_other_choices_is_chosen_anew(few, tmp_path, calls):
    (few / "a" / "text.wav").write_text("text")
    out = tmp_path / "x.pkl.zip"
    calls.interrupt(few, out, 9, min_seconds=0.1)
    with pytest.raises(CommandError, match=r"a/000\.wav' can't be used: it is too short, 0\.500 s"):
        create_spectrograms(few, out, SMALL, num_workers=1, min_seconds=0.6, strict=True)
    created = create_spectrograms(few, out, SMALL, num_workers=1, min_seconds=0.6)
    assert calls.number == 13 - 9 + 1  # text.wav is tried again
    short = {name for name, fault in created.unreadable.items() if "is too short" in fault}
    assert short == {f"{'ab'[n % 2]}/{n:03}.wav" for n in range(12) if n % 5 < 2}
    assert len(open_recordings(out)) == 12 - len(short)


@pytest.mark.parametrize("broken", ["by an error", "at once"])
def test_what_took_long_outlives(few, tmp_path, calls, capsys, monkeypatch, broken):
    """A mistake that shows late, or Ctrl-C as soon as the next run has begun."""
    out = tmp_path / "x.pkl.zip"
    if broken == "at once":
        calls.interrupt(few, out, 9)
        monkeypatch.setattr(spectrogram_scratch, "WORTH_KEEPING", 60.0)
        calls.interrupt(few, out, 0)
    else:
        bad = write(few / "b" / "999.wav", noise(0.01))
        with pytest.raises(CommandError, match=r"b/999\.wav' can't be used: it is too short"):
            create_spectrograms(few, out, SMALL, num_workers=1, strict=True)
        bad.unlink()
        calls.number = 9
    assert f"kept in {folder_of(out)}: the same command goes on" in capsys.readouterr().err
    create_spectrograms(few, out, SMALL, num_workers=1)
    assert calls.number == (3 if broken == "at once" else 9)


def test_a_computer_that_went_down_may_have_lost_what_was_written(
    few, tmp_path, calls, monkeypatch
):
    out, boot = tmp_path / "x.pkl.zip", tmp_path / "boot_id"
    monkeypatch.setattr(spectrogram_scratch, "BOOT_ID", boot)

    def begin(content):
        boot.unlink(missing_ok=True)
        if content is not None:
            boot.write_text(content)

    for before, after, number in (("1", "2", 12), (None, None, 12), ("1", "1", 6)):
        begin(before)
        calls.interrupt(few, out, 6)
        begin(after)
        create_spectrograms(few, out, SMALL, num_workers=1)
        assert calls.number == number


def test_what_is_not_whole_is_not_taken(few, tmp_path, calls):
    expected, out = tmp_path / "expected.pkl.zip", tmp_path / "out" / "x.pkl.zip"
    create_spectrograms(few, expected, SMALL)
    calls.interrupt(few, out, 12 - 1)
    for number, name in enumerate(sorted(os.listdir(folder_of(out)))):
        file = folder_of(out) / name
        if number == 0:
            os.truncate(file, 10)
        elif number == 1:
            os.truncate(file, file.stat().st_size - 1)
        elif number == 2:
            file.rename(file.with_name(f"{name}.123.partial"))
        elif number == 3:
            file.write_bytes(file.read_bytes() + b"more")
    create_spectrograms(few, out, SMALL, num_workers=1)
    assert calls.number == 5
    assert out.read_bytes() == expected.read_bytes()
    assert os.listdir(out.parent) == ["x.pkl.zip"]


def test_two_at_once_are_told_apart(few, tmp_path):
    out = tmp_path / "x.pkl.zip"
    folder_of(out).mkdir()
    handle = os.open(folder_of(out), os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(CommandError, match=r"^Another create_spectrograms is writing .*x\.pkl"):
        create_spectrograms(few, out, SMALL)
    create_spectrograms(few, tmp_path / "y.pkl.zip", SMALL)  # another file, beside it
    os.close(handle)
    create_spectrograms(few, out, SMALL)
    assert (tmp_path / "y.pkl.zip").read_bytes() == out.read_bytes()


def test_a_file_system_without_locks(few, tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    create_spectrograms(few, tmp_path / "x.pkl.zip", SMALL)
    assert not folder_of(tmp_path / "x.pkl.zip").exists()


def test_a_file_in_the_folders_place(few, tmp_path):
    out = tmp_path / "x.pkl.zip"
    folder_of(out).write_text("mine")
    with pytest.raises(CommandError, match=r"x\.pkl\.zip can't be written"):
        create_spectrograms(few, out, SMALL)
    assert folder_of(out).read_text() == "mine"


def test_the_same_folder_by_another_name(few, tmp_path, calls, monkeypatch):
    out = tmp_path / "x.pkl.zip"
    calls.interrupt(few, out, 6)
    monkeypatch.chdir(tmp_path)
    create_spectrograms((tmp_path / "few").relative_to(tmp_path), out, SMALL, num_workers=1)
    assert calls.number == 6
    shutil.copytree(few, tmp_path / "copy")
    calls.interrupt(few, out, 6)
    create_spectrograms(tmp_path / "copy", out, SMALL, num_workers=1)
    assert calls.number == 12
