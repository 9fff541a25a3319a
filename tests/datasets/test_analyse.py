"""One recording's spectrogram, as create_spectrograms stores it."""

import numpy as np
import pytest

from datasets.analyse import spectrogram
from datasets.audio import AudioError
from datasets.recordings import open_recordings
from datasets.spectra import Parameters
from datasets.spectrograms import create_spectrograms
from tests.datasets.sounds import make_folder, noise, write

SMALL = Parameters(sample_rate=8000, frame_size=256, hop_size=128, mel_bands=10)


@pytest.mark.parametrize("parameters", [SMALL, Parameters(transform="magnitude", window="hann")])
def test_it_is_that_of_the_dataset(tmp_path, parameters):
    folder = make_folder(tmp_path / "music", 4)
    write(folder / "b" / "fast.ogg", noise(2, rate=44_100, channels=2), 44_100)
    create_spectrograms(folder, tmp_path / "x.pkl.zip", parameters)
    recordings = open_recordings(tmp_path / "x.pkl.zip")
    parameters = Parameters.of(recordings.parameters)
    for index, name in enumerate(recordings.names):
        found = spectrogram(folder / name, parameters)
        assert found.dtype == np.float32 and np.array_equal(found, recordings[index])


def test_what_has_none(tmp_path):
    (tmp_path / "text.wav").write_text("text")
    write(tmp_path / "header.wav", np.zeros((0, 1), np.float32))
    write(tmp_path / "silent.wav", np.zeros(8000, np.float32))
    for name, reason in (
        ("text.wav", "it is no recording of a known format"),
        ("nothing.wav", "No such file or directory"),
        ("header.wav", "it is empty, without a sample"),
        ("silent.wav", "it is silent"),
    ):
        with pytest.raises(AudioError, match=f"^{reason}"):
            spectrogram(tmp_path / name, SMALL)


def test_a_short_one_has_some_frames(tmp_path):
    assert spectrogram(write(tmp_path / "x.wav", noise(0.01)), SMALL).shape == (2, 10)
