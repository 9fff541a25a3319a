import os
import signal
import subprocess
import sys
import time

import pytest
import soundfile

from common.errors import CommandError
from datasets import demo_recordings
from datasets.dances import DANCES
from datasets.demo_recordings import Choices, pieces, write_recordings
from tests.paths import ROOT

SHORT = {"recordings_per_label": 2, "tempi_per_label": 2, "seconds": 1.0, "sample_rate": 8000}


def contents(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_names_say_what_is_played():
    found = pieces(Choices(recordings_per_label=3, tempi_per_label=2, audio_format="wav"))
    assert len(found) == 24
    assert [piece.file for piece in found[-3:]] == [
        "Waltz/Waltz-082bpm-000.wav",
        "Waltz/Waltz-100bpm-001.wav",
        "Waltz/Waltz-082bpm-002.wav",
    ]
    every = pieces(Choices(recordings_per_label=40, tempi_per_label=demo_recordings.MAX_TEMPI))
    few = [piece.tempo for piece in pieces(Choices(recordings_per_label=3))]
    assert few[-3:] == [82, 91, 100]  # from the slowest to the fastest, however few there are
    for label, dance in DANCES.items():
        tempi = {piece.tempo for piece in every if piece.label == label}
        assert len(tempi) == demo_recordings.MAX_TEMPI
        assert (min(tempi), max(tempi)) == dance.tempi


@pytest.mark.parametrize("audio_format", ["wav", "flac"])
def test_files_are_what_they_say(tmp_path, audio_format):
    files = write_recordings(tmp_path / "out", audio_format=audio_format, **SHORT)
    assert len(files) == len(set(files)) == 16
    for file in files:
        info = soundfile.info(file)
        assert (info.format, info.subtype) == (audio_format.upper(), "PCM_16")
        assert (info.samplerate, info.channels, info.frames) == (8000, 1, 8000)


def test_the_number_of_workers_changes_no_byte(tmp_path):
    for number in (1, 2, 3):
        write_recordings(tmp_path / f"{number}", num_workers=number, **SHORT)
    assert contents(tmp_path / "1") == contents(tmp_path / "2") == contents(tmp_path / "3")
    assert len(set(contents(tmp_path / "1").values())) == 17
    write_recordings(tmp_path / "seed", seed=1, **SHORT)
    assert set(contents(tmp_path / "seed").values()).isdisjoint(contents(tmp_path / "1").values())


def test_what_is_missing_is_made(tmp_path, capsys):
    out = tmp_path / "out"
    files = write_recordings(out, **SHORT)
    before = contents(out)
    stamps = {file: file.stat().st_mtime_ns for file in files}
    for file in files[3:7]:
        file.unlink()
    write_recordings(out, **SHORT)
    assert capsys.readouterr().err == "Going on: 12 of 16 recordings are there.\n"
    assert contents(out) == before
    assert [file for file in files if file.stat().st_mtime_ns == stamps[file]] == [
        *files[:3],
        *files[7:],
    ]


def test_killed_and_run_again(tmp_path):
    out = tmp_path / "out"
    options = ["--recordings-per-label", "3", "--seconds", "2", "--num-workers", "2"]
    command = [sys.executable, "manage.py", "create_demo_recordings", str(out), *options]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
        while len(list(out.rglob("*.flac"))) < 5:
            assert process.poll() is None
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.stderr.read()  # ends with the workers
    assert len(list(out.rglob("*.flac"))) < 24
    for folder in (out, tmp_path / "undisturbed"):
        subprocess.run([*command[:3], str(folder), *options], cwd=ROOT, check=True)
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x.txt").touch()
    with pytest.raises(CommandError, match=r"holds files that create_demo_recordings did not wr"):
        write_recordings(tmp_path / "mine", **SHORT)
    write_recordings(tmp_path / "out", **SHORT)
    before = contents(tmp_path / "out")
    with pytest.raises(CommandError, match=r"holds files of other options; give the name of a n"):
        write_recordings(tmp_path / "out", **SHORT | {"seed": 3})
    (tmp_path / "out" / demo_recordings.NOTE).write_text("{")
    with pytest.raises(CommandError, match="of other options"):
        write_recordings(tmp_path / "out", **SHORT)
    (tmp_path / "out" / demo_recordings.NOTE).unlink()
    assert set(contents(tmp_path / "out")) == set(before) - {demo_recordings.NOTE}


WRONG = [
    ({"recordings_per_label": 0}, "--recordings-per-label is 0; give 1 to 999 recordings."),
    ({"tempi_per_label": 99}, "--tempi-per-label is 99; give 1 to 19 tempi"),
    ({"seconds": 0.5}, "--seconds is 0.5; give 1 to 600 seconds."),
    ({"seconds": float("nan")}, "--seconds is nan"),
    ({"sample_rate": 1}, "--sample-rate is 1; give 8,000 to 192,000 Hz."),
    ({"audio_format": "flc"}, "Unknown audio format 'flc'. Did you mean 'flac'?"),
    ({"seed": -1}, "--seed is -1; give 0 to"),
    ({"num_workers": 0}, "--num-workers is 0"),
]


@pytest.mark.parametrize(("options", "sentence"), WRONG)
def test_wrong_options_are_named(tmp_path, options, sentence):
    with pytest.raises(CommandError) as caught:
        write_recordings(tmp_path / "out", **SHORT | options)
    assert sentence in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=r"can't be written"):
        write_recordings(tmp_path / "file" / "out", **SHORT)
