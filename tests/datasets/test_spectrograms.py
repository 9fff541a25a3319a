"""create_spectrograms on real files: what it stores, leaves out and refuses."""

import os
import shutil

import numpy as np
import pytest
import soundfile

from common.errors import CommandError
from datasets import spectrograms
from datasets.recordings import open_recordings
from datasets.spectra import Analysis, Parameters
from datasets.spectrograms import create_spectrograms
from datasets.validate import validate
from tests.datasets.sounds import make_folder, noise, write
from tests.paths import GOLDEN

SMALL = Parameters(sample_rate=8000, frame_size=256, hop_size=128, mel_bands=10)


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "music", 6)


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_every_recording_is_stored_as_it_is(folder, tmp_path):
    out = tmp_path / "out" / "x.pkl.zip"
    created = create_spectrograms(folder, out, SMALL, created_by={"command": "test"})
    recordings = open_recordings(out)
    assert recordings.names == [f"{'ab'[n % 2]}/{n:03}.wav" for n in (0, 2, 4, 1, 3, 5)]
    assert recordings.labels.tolist() == [0, 0, 0, 1, 1, 1]
    for index, name in enumerate(recordings.names):
        signal = soundfile.read(folder / name, dtype="float32")[0]
        expected = np.concatenate(list(Analysis(SMALL).spectrogram([signal])))
        np.testing.assert_allclose(recordings[index], expected, rtol=1e-5)
    assert recordings.parameters == SMALL.plain()
    lengths = [0.5 * (1 + n % 5 / 10) for n in range(6)]
    assert recordings.created_by == {
        "command": "test",
        "recordings": {
            "formats": {"WAV": 6},
            "sample_rates": {"8000": 6},
            "channels": {"1": 6},
            "seconds": pytest.approx(sum(lengths)),
            "shortest": 0.5,
            "longest": 0.7,
        },
    }
    assert created.counts == {"a": 3, "b": 3}
    assert created.num_frames == len(recordings.frames) and created.num_bands == 10
    assert created.seconds == pytest.approx(sum(lengths))
    assert validate(out).findings == [] and names_in(out.parent) == ["x.pkl.zip"]


def test_the_golden_recording_through_the_whole_command(tmp_path):
    for label in "ab":
        (tmp_path / "music" / label).mkdir(parents=True)
        shutil.copy(GOLDEN / "audio" / "sound.wav", tmp_path / "music" / label)
    golden = np.load(GOLDEN / "audio" / "features.npz")
    create_spectrograms(tmp_path / "music", tmp_path / "x.pkl.zip")
    recordings = open_recordings(tmp_path / "x.pkl.zip")
    for index in range(2):
        expected = golden["mel_blackmanharris62_40"].T
        np.testing.assert_allclose(recordings[index], expected, rtol=1e-4, atol=1e-12)
    create_spectrograms(
        tmp_path / "music", tmp_path / "y.pkl.zip", Parameters(transform="magnitude")
    )
    found = open_recordings(tmp_path / "y.pkl.zip")[1]
    assert found.shape == (260, 1025)
    expected = golden["stft_blackmanharris62"].T
    np.testing.assert_allclose(found[:40], expected, atol=5e-6 * expected.max())


def test_the_number_of_workers_changes_no_byte(tmp_path):
    folder = make_folder(tmp_path / "music", 40)
    (folder / "a" / "bad.wav").write_text("text")
    write(folder / "b" / "fast.flac", noise(1, rate=44_100, channels=2), 44_100)
    found = []
    for number in (1, 2, 5):
        out = tmp_path / f"{number}" / "x.pkl.zip"
        create_spectrograms(folder, out, SMALL, num_workers=number)
        found.append([(name, (out.parent / name).read_bytes()) for name in names_in(out.parent)])
    assert [name for name, _ in found[0]] == ["x.pkl.zip", "x.unreadable.txt"]
    assert found[0] == found[1] == found[2]


def test_every_format(tmp_path):
    values = noise(1, rate=16_000, channels=2)
    for suffix in ("wav", "flac", "ogg", "mp3", "aiff", "au", "WAV"):
        write(tmp_path / "music" / suffix.lower() / f"x.{suffix}", values, 16_000)
    created = create_spectrograms(tmp_path / "music", tmp_path / "x.pkl.zip", SMALL)
    assert created.counts == {"aiff": 1, "au": 1, "flac": 1, "mp3": 1, "ogg": 1, "wav": 2}
    recordings = open_recordings(tmp_path / "x.pkl.zip")
    assert recordings.created_by["recordings"]["sample_rates"] == {"16000": 7}
    means = np.array([np.log10(recordings[index][5:-5]).mean() for index in range(7)])
    np.testing.assert_allclose(means, means[0], atol=0.2)  # decades; MP3 cuts what is high


def test_what_cannot_be_used_is_listed_with_the_reason(folder, tmp_path):
    bad = folder / "a"
    (bad / "empty.wav").touch()
    (bad / "text.mp3").write_text("text")
    (bad / "link.flac").symlink_to("nowhere")
    write(bad / "header.wav", np.zeros((0, 1), np.float32))
    write(bad / "short.wav", noise(0.02))
    write(bad / "silent.wav", np.zeros(8000, np.float32))
    write(bad / "two\nlines.wav", noise(1))
    (folder / "notes.txt").touch()
    (bad / "cover.jpg").touch()
    out = tmp_path / "x.pkl.zip"
    created = create_spectrograms(folder, out, SMALL)
    assert created.others == ["a/cover.jpg", "notes.txt"]
    reasons = dict(created.unreadable)
    assert reasons.pop("a/text.mp3").startswith("it is no recording of a known format (")
    assert reasons == {
        "a/empty.wav": "it is empty, 0 bytes",
        "a/header.wav": "it is empty, without a sample",
        "a/link.flac": "No such file or directory",
        "a/short.wav": "it is too short, 0.020 s, and 0.032 s are needed",
        "a/silent.wav": "it is silent",
        "a/two\nlines.wav": "its name has a line break",
    }
    assert created.report == tmp_path / "x.unreadable.txt"
    lines = created.report.read_text().splitlines()
    assert len(lines) == 7 and lines[0] == "'a/empty.wav': it is empty, 0 bytes"
    assert len(open_recordings(out)) == 6
    create_spectrograms(folder, out, SMALL, labels=["a", "b"], min_seconds=0.01)
    assert "a/short.wav" in open_recordings(out).names
    for path in bad.iterdir():
        if path.name.partition(".")[0] in {"empty", "text", "link", "header", "silent"}:
            path.unlink()
    (bad / "two\nlines.wav").unlink()
    assert create_spectrograms(folder, out, SMALL, min_seconds=0).report is None
    assert not (tmp_path / "x.unreadable.txt").exists()


def test_min_seconds(folder, tmp_path):
    created = create_spectrograms(folder, tmp_path / "x.pkl.zip", SMALL, min_seconds=0.6)
    assert list(created.unreadable) == ["a/000.wav", "b/001.wav", "b/005.wav"]


def test_strict_leaves_nothing(folder, tmp_path):
    (folder / "b" / "text.wav").write_text("text")
    out = tmp_path / "out" / "x.pkl.zip"
    with pytest.raises(CommandError, match=r"text\.wav' can't be used: it is no .*--strict"):
        create_spectrograms(folder, out, SMALL, strict=True)
    assert not out.parent.exists()


def test_a_label_without_any_recording_is_an_error(folder, tmp_path):
    write(folder / "c" / "silent.wav", np.zeros(8000, np.float32))
    out = tmp_path / "out" / "x.pkl.zip"
    with pytest.raises(CommandError, match=r"label 'c' .* 'c/silent.wav': it is silent; add"):
        create_spectrograms(folder, out, SMALL)
    assert not out.parent.exists()
    assert create_spectrograms(folder, out, SMALL, labels=["a", "b"]).counts == {"a": 3, "b": 3}


WRONG = [
    ({"labels": ["a", "d"]}, "Unknown label 'd'"),
    ({"labels": ["a"]}, "has a single label's folder, 'a'"),
    ({"min_seconds": -1.0}, "--min-seconds is -1; give a number of seconds from 0."),
    ({"min_seconds": float("nan")}, "--min-seconds is nan"),
    ({"num_workers": 0}, "--num-workers is 0; give a number of processes from 1."),
    ({"parameters": Parameters(hop_size=0)}, "--hop-size is 0"),
]


@pytest.mark.parametrize(("options", "sentence"), WRONG)
def test_wrong_options_are_named(folder, tmp_path, options, sentence):
    with pytest.raises(CommandError) as caught:
        create_spectrograms(folder, tmp_path / "out" / "x.pkl.zip", **options)
    assert sentence in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_recordings(tmp_path):
    with pytest.raises(CommandError, match=r"does not exist; put every label's recordings"):
        create_spectrograms(tmp_path / "nothing", tmp_path / "x.pkl.zip")
    (tmp_path / "music" / "a").mkdir(parents=True)
    with pytest.raises(CommandError, match=r"has no labels' folders; put every label's recordi"):
        create_spectrograms(tmp_path / "music", tmp_path / "x.pkl.zip")


@pytest.mark.parametrize("name", ["x.zip", "x", ".pkl.zip", "x.pkl"])
def test_names_that_are_no_datasets(folder, tmp_path, name):
    with pytest.raises(CommandError, match=r"is no name for a dataset; give NAME\.pkl\.zip\."):
        create_spectrograms(folder, tmp_path / name, SMALL)


def test_only_a_dataset_is_replaced(folder, tmp_path):
    out = tmp_path / "x.pkl.zip"
    out.write_text("mine")
    with pytest.raises(CommandError, match=r"x\.pkl\.zip can't be read as a dataset, and is left"):
        create_spectrograms(folder, out, SMALL)
    assert out.read_text() == "mine"
    out.unlink()
    (tmp_path / "x.unreadable.txt").write_text("my own list")
    with pytest.raises(CommandError, match=r"x\.unreadable\.txt is not of create_spectrograms"):
        create_spectrograms(folder, out, SMALL)
    (tmp_path / "x.unreadable.txt").unlink()
    create_spectrograms(folder, out, SMALL)
    first = out.read_bytes()
    create_spectrograms(folder, out, Parameters(sample_rate=8000, mel_bands=4))
    assert out.read_bytes() != first and open_recordings(out).num_bands == 4


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_may_not_be_written(folder, tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(CommandError, match=r"x\.pkl\.zip can't be written: Permission denied"):
        create_spectrograms(folder, tmp_path / "out" / "x.pkl.zip", SMALL)


def test_a_full_disk_leaves_nothing(folder, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    out = tmp_path / "out" / "x.pkl.zip"
    for name in ("analyse", "write_recordings"):
        with monkeypatch.context() as patch, pytest.raises(CommandError, match=r"free some space"):
            patch.setattr(spectrograms, name, full)
            create_spectrograms(folder, out, SMALL)
        assert not out.parent.exists()


def test_not_enough_memory(folder, tmp_path, monkeypatch):
    def scarce(*_, **__):
        raise MemoryError

    monkeypatch.setattr(spectrograms, "analyse", scarce)
    with pytest.raises(CommandError, match=r"^--frame-size 256 needs more memory than there is"):
        create_spectrograms(folder, tmp_path / "x.pkl.zip", SMALL)
