import numpy as np
import pytest

from common.errors import CommandError
from datasets.describe_recordings import describe_recordings, refuse_drawings
from datasets.recordings import open_recordings
from datasets.spectra import Parameters
from datasets.spectrograms import create_spectrograms
from tests.datasets.sounds import make_folder, noise, write


@pytest.fixture
def recordings(tmp_path):
    folder = make_folder(tmp_path / "music", 4)
    write(folder / "b" / "long.flac", noise(90, channels=2))
    parameters = Parameters(sample_rate=8000, frame_size=256, hop_size=80, mel_bands=10)
    create_spectrograms(
        folder, tmp_path / "x.pkl.zip", parameters, created_by={"command": "create_spectrograms"}
    )
    return open_recordings(tmp_path / "x.pkl.zip")


def test_the_description(recordings):
    frames, lines = recordings.frames.astype(float), describe_recordings(recordings).splitlines()
    assert lines[0].startswith(f"file        {recordings.path} (")
    lengths = recordings.num_frames
    assert lines[1:4] == [
        f"recordings  5, of {lengths.min()} to {lengths.max():,} frames "
        f"({lengths.min() / 100:.1f} to {lengths.max() / 100:.1f} s)",
        f"frames      {len(frames):,} of 10 values float32, 100.00 in a second "
        "(1 min 32 s together)",
        "made with   sample_rate 8000, frame_size 256, hop_size 80, window blackmanharris62, "
        "transform mel, mel_bands 10, low_frequency_bound 0.0, high_frequency_bound 4000.0",
    ]
    assert lines[4] == (
        f"values      mean {frames.mean():.4g}, standard deviation {frames.std():.4g}, from "
        f"{frames.min():g} to {frames.max():g}"
    )
    assert lines[5:8] == [
        "made by     create_spectrograms",
        "originals   FLAC (1), WAV (4); 8000 Hz (5); channels 1 (4), 2 (1)",
        "balance     from 2 (a) to 3 (b) of a label; always answering b scores 60.0 %",
    ]
    assert [line.split() for line in lines[9:]] == [
        ["label", "recordings", "frames", "minutes"],
        ["-" * len(lines[10])],
        ["a", "2", f"{lengths[:2].sum():,}", "0.0"],
        ["b", "3", f"{lengths[2:].sum():,}", "1.5"],
        ["-" * len(lines[10])],
        ["total", "5", f"{len(frames):,}", "1.5"],
    ]


def test_there_are_no_pictures_to_draw(recordings, tmp_path):
    refuse_drawings(recordings, None)
    with pytest.raises(CommandError, match=r"sheet\.png can't be drawn: .*not pictures; leave"):
        refuse_drawings(recordings, tmp_path / "sheet.png")


def test_notes_of_another_program_are_no_obstacle(recordings):
    object.__setattr__(recordings, "created_by", {"recordings": {"formats": np.pi}})
    assert "originals   not known" in describe_recordings(recordings)
