"""Spectrograms against Essentia's own numbers, closed forms, SciPy and a loop over frames."""

import json

import numpy as np
import pytest
import scipy.signal
import soundfile

from common.errors import CommandError
from datasets import spectra
from datasets.spectra import (
    COSINES,
    Analysis,
    Parameters,
    cut,
    filter_bank,
    num_empty_bands,
    num_frames,
    window,
)
from tests.paths import GOLDEN

SOUND = GOLDEN / "audio" / "sound.wav"


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "audio" / "features.npz")


@pytest.fixture(scope="module")
def sound():
    return soundfile.read(SOUND, dtype="float32")[0]


def spectrogram(signal, block=10_000, **parameters):
    blocks = [signal[start : start + block] for start in range(0, len(signal), block)]
    return np.concatenate(list(Analysis(Parameters(**parameters)).spectrogram(blocks)))


def error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def log0m1v(spectrogram):
    """MIRdl's normalisation of one recording."""
    values = np.log10(10000 * spectrogram.astype(float) + 1)
    return (values - values.mean()) / values.std()


@pytest.mark.parametrize("kind", ["blackmanharris62", "hamming", "hann"])
def test_windows_are_essentias(golden, kind):
    assert error(window(kind, 2048), golden[f"window_{kind}"]) < 5e-6


@pytest.mark.parametrize("kind", COSINES)
def test_windows_are_symmetric_and_add_up_to_two(kind):
    values = window(kind, 512)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, values[::-1], atol=1e-9)
    assert np.abs(values.astype(float)).sum() == pytest.approx(2)


@pytest.mark.parametrize(("kind", "name"), [("hann", "hann"), ("blackmanharris92", None)])
def test_windows_are_scipys(kind, name):
    values = scipy.signal.windows.get_window(name or "blackmanharris", 256, fftbins=False)
    np.testing.assert_allclose(window(kind, 256), 2 * values / values.sum(), atol=1e-7)


def test_magnitudes_are_essentias(golden, sound):
    found = spectrogram(sound, transform="magnitude").T
    assert found.shape == (1025, 260) and found.dtype == np.float32
    assert error(found[:, :40], golden["stft_blackmanharris62"]) < 5e-6
    assert error(found.sum(axis=1), golden["stft_blackmanharris62_rowsum"]) < 5e-6
    assert error(found.sum(axis=0), golden["stft_blackmanharris62_colsum"]) < 5e-6


@pytest.mark.parametrize("bands", [40, 80])
def test_filters_are_essentias(golden, bands):
    found = filter_bank(Parameters(mel_bands=bands))
    expected = golden[f"filterbank_{bands}"]
    assert error(found, expected) < 1e-5
    assert np.array_equal(found > 1e-7, expected > 1e-7)


@pytest.mark.parametrize(
    ("kind", "bands"),
    [
        ("blackmanharris62", 40),
        ("blackmanharris62", 80),
        ("hamming", 40),
        ("hann", 40),
        ("hann", 80),
    ],
)
def test_mel_bands_are_essentias(golden, sound, kind, bands):
    name = f"mel_{kind}_{bands}"
    expected = golden[name].T
    found = spectrogram(sound, window=kind, mel_bands=bands)
    assert found.shape == expected.shape and found.dtype == np.float32
    assert error(found, expected) < 1e-5
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(log0m1v(found), golden[f"{name}_log0m1v"].T, atol=1e-4)


@pytest.mark.parametrize(("size", "hop"), [(2048, 1024), (1023, 500), (1000, 333), (2048, 3000)])
def test_frame_counts_are_essentias(golden, size, hop):
    name = "" if hop == 1024 else f"_{size}_{hop}"
    found = [num_frames(length, size, hop) for length in golden["frame_lengths"].tolist()]
    assert found == golden[f"frame_counts{name}"].tolist()


def brute_force(signal, size, hop):
    """A loop over frames, each a loop over samples."""
    frames = []
    for start in range(-((size + 1) // 2), len(signal), hop):
        inside = [signal[i] if 0 <= i < len(signal) else 0.0 for i in range(start, start + size)]
        frames.append(inside)
        if start + size // 2 >= len(signal):
            break
    return np.array(frames, np.float32)


@pytest.mark.parametrize("length", [1, 7, 8, 9, 63, 64, 200])
@pytest.mark.parametrize(("size", "hop"), [(8, 4), (16, 16), (7, 3), (8, 21), (2, 1), (64, 5)])
@pytest.mark.parametrize("block", [1, 5, 64, 1000])
def test_cutting_is_that_of_a_loop(length, size, hop, block):
    signal = np.random.default_rng(length).normal(size=length).astype(np.float32)
    blocks = [signal[start : start + block] for start in range(0, length, block)]
    found = np.concatenate(list(cut(blocks, size, hop)))
    assert np.array_equal(found, brute_force(signal, size, hop))
    assert len(found) == num_frames(length, size, hop)


def test_no_samples_have_no_frames():
    assert list(cut([], 8, 4)) == list(cut([np.zeros(0, np.float32)], 8, 4)) == []
    assert num_frames(0, 8, 4) == 0


@pytest.mark.parametrize("number", [1, 3 * 2048, 7 * 2048, 2**24])
def test_how_many_frames_are_computed_at_once_does_not_matter(sound, number, monkeypatch):
    expected = spectrogram(sound[:60_000])
    monkeypatch.setattr(spectra, "SAMPLES_AT_ONCE", number)
    found = spectrogram(sound[:60_000], block=777)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-12)


def test_a_sine_fills_its_bin():
    """Of amplitude 1 at a bin's frequency it has the magnitude 1, half of the window's sum of 2."""
    size, at = 512, 37
    signal = np.sin(2 * np.pi * at * np.arange(8192) / size).astype(np.float32)
    found = spectrogram(signal, frame_size=size, hop_size=256, window="hann", transform="magnitude")
    inner = found[2:-2]
    assert (inner.argmax(axis=1) == at).all()
    np.testing.assert_allclose(inner[:, at], 1, rtol=1e-4)
    np.testing.assert_allclose(inner[:, at + 1], 0.5, rtol=1e-2)  # hann's neighbours
    assert inner[:, at + 6 :].max() < 1e-3


def test_magnitudes_are_scipys():
    signal = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    values = window("hamming", 256)
    _, _, expected = scipy.signal.spectrogram(
        np.concatenate([np.zeros(128), signal]), 1.0, values.astype(float), 256, 192,
        detrend=False, scaling="spectrum", mode="magnitude",
    )  # fmt: skip
    found = spectrogram(
        signal, frame_size=256, hop_size=64, window="hamming", transform="magnitude"
    )
    np.testing.assert_allclose(
        found[: expected.shape[1]] / 2, expected.T, rtol=1e-4, atol=1e-6
    )  # SciPy divides by the window's sum


def test_mel_bands_lie_where_they_should():
    """A sine at the peak of a band's triangle is strongest there."""
    parameters = Parameters(sample_rate=16_000, frame_size=2048, mel_bands=20)
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 22) / 2595) - 1)
    for band in (3, 10, 19):
        signal = np.sin(2 * np.pi * edges[band + 1] * np.arange(16_000) / 16_000)
        found = np.concatenate(list(Analysis(parameters).spectrogram([signal.astype(np.float32)])))
        assert (found[2:-2].argmax(axis=1) == band).all()


def test_bounds_of_the_bands():
    bank = filter_bank(Parameters(low_frequency_bound=300, high_frequency_bound=3000))
    bins = np.flatnonzero(bank.any(axis=0)) * 44100 / 2048
    assert 300 <= bins.min() < 330 and 2970 < bins.max() < 3000


def test_bands_too_narrow_for_a_bin_are_counted():
    narrow = Parameters(frame_size=256, hop_size=128, mel_bands=80)
    bank = filter_bank(narrow)
    assert num_empty_bands(narrow) == (bank.sum(axis=1) == 0).sum() > 0
    assert np.isfinite(bank).all()
    assert num_empty_bands(Parameters()) == 0
    assert num_empty_bands(Parameters(transform="magnitude")) == 0


WRONG = [
    ({"sample_rate": 0}, "--sample-rate is 0; give 1 to 1,000,000 Hz."),
    ({"frame_size": 1001}, "--frame-size is 1001; give an even number of samples, as 2048."),
    ({"hop_size": -1}, "--hop-size is -1; give 1 to 1,048,576 samples."),
    ({"mel_bands": 0}, "--mel-bands is 0; give 1 to 1025"),
    ({"mel_bands": 1026}, "as many as a frame of 2048 samples has frequencies."),
    ({"window": "hanning"}, "Unknown window 'hanning'. Did you mean 'hann'?"),
    ({"transform": "cqt"}, "Unknown transform 'cqt'. Valid: magnitude, mel."),
    ({"high_frequency_bound": 30_000.0}, "from 0 to 22050, half the sample rate."),
    ({"low_frequency_bound": 9.0, "high_frequency_bound": 9.0}, "give two rising numbers"),
    ({"low_frequency_bound": float("nan")}, "give two rising numbers"),
]


@pytest.mark.parametrize(("values", "sentence"), WRONG)
def test_wrong_parameters_are_named(values, sentence):
    with pytest.raises(CommandError) as caught:
        Parameters(**values).check()
    assert sentence in str(caught.value)


def test_what_magnitudes_do_not_depend_on_is_left_out():
    assert Parameters(transform="magnitude", mel_bands=7).plain() == {
        "sample_rate": 44100,
        "frame_size": 2048,
        "hop_size": 1024,
        "window": "blackmanharris62",
        "transform": "magnitude",
    }
    assert Parameters(sample_rate=8000).plain()["high_frequency_bound"] == 4000


@pytest.mark.parametrize("transform", ["mel", "magnitude"])
def test_parameters_come_back_from_plain_data(transform):
    parameters = Parameters(sample_rate=8000, frame_size=512, transform=transform)
    again = Parameters.of(json.loads(json.dumps(parameters.plain())))
    assert again.plain() == parameters.plain()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"window": None}, "are not those of this version: some are missing"),
        ({"frame_size": "2048"}, "are not those of this version"),
        ({"colour": "blue"}, "are not those of this version: .* 'colour'"),
        ({"frame_size": 3}, "--frame-size is 3; give an even number"),
    ],
)
def test_parameters_that_make_no_sense_do_not_come_back(change, sentence):
    plain = Parameters().plain() | change
    with pytest.raises(CommandError, match=sentence):
        Parameters.of({name: value for name, value in plain.items() if value is not None})
