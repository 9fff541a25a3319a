import numpy as np
import pytest

from commands import main
from commands.create_spectrograms import Options, run
from common.errors import CommandError
from datasets.recordings import open_recordings
from datasets.spectra import Parameters
from tests.datasets.sounds import make_folder, write


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "music", 4)


def test_the_defaults_are_those_of_the_originals(folder, tmp_path):
    run(Options(folder, tmp_path / "x.pkl.zip"))
    recordings = open_recordings(tmp_path / "x.pkl.zip")
    assert recordings.parameters == Parameters().plain()
    assert recordings.parameters == {
        "sample_rate": 44100,
        "frame_size": 2048,
        "hop_size": 1024,
        "window": "blackmanharris62",
        "transform": "mel",
        "mel_bands": 40,
        "low_frequency_bound": 0,
        "high_frequency_bound": 22050,
    }
    options = recordings.created_by["options"]
    assert options["audio_dir"] == str(folder)
    assert "out_file" not in options and "num_workers" not in options


def test_says_what_it_wrote_and_left_out(folder, tmp_path, capsys):
    for number in range(11):
        (folder / "a" / f"x{number:02}.mp3").write_text("text")
    write(folder / "b" / "silent.wav", np.zeros(9000, np.float32))
    (folder / "notes.txt").touch()
    out = tmp_path / "x.pkl.zip"
    command = ["create_spectrograms", str(folder), str(out), "--sample-rate", "8000"]
    assert main([*command, "--frame-size", "256", "--hop-size", "80", "--mel-bands", "120"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "Left out, being no recording in a label's folder: 1.",
        "  notes.txt",
        "Left out, as they can't be used: 12.",
    ]
    assert lines[3].startswith("  'a/x00.mp3': it is no recording of a known format (")
    assert lines[13] == f"  ... all of them are listed in {tmp_path / 'x.unreadable.txt'}"
    assert lines[14].startswith("Of the 120 mel bands ")
    frames = len(open_recordings(out).frames)
    assert lines[15:17] == [
        f"2 labels, 4 recordings of 0 min 2 s together: {frames} frames of 120 bands.",
        "a 2, b 2.",
    ]
    assert lines[17].startswith(f"Wrote {out} (") and len(lines) == 18


def test_a_mistake_is_one_sentence(folder, tmp_path, capsys):
    assert main(["create_spectrograms", str(folder), str(tmp_path / "x")]) == 1
    assert capsys.readouterr().err == (
        f"manage.py: {tmp_path / 'x'} is no name for a dataset; give NAME.pkl.zip.\n"
    )
    with pytest.raises(CommandError, match="Unknown label 'c'"):
        run(Options(folder, tmp_path / "x.pkl.zip", labels="a,c"))


def test_describe_dataset_tells_what_it_is(folder, tmp_path, capsys):
    out = tmp_path / "x.pkl.zip"
    run(Options(folder, out, sample_rate=8000, transform="magnitude"))
    capsys.readouterr()
    assert main(["describe_dataset", str(out)]) == 0
    assert "transform magnitude" in capsys.readouterr().out
    sheet = str(tmp_path / "sheet.png")
    assert main(["describe_dataset", str(out), "--contact-sheet", sheet]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and f"{sheet} can't be drawn: {out} holds" in captured.err
