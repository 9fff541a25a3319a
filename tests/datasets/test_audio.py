"""Real files of every format, read as one channel at one rate."""

import os
import struct
from contextlib import suppress

import numpy as np
import pytest
import scipy.signal
import soundfile

from datasets import audio
from datasets.audio import AudioError, Recording
from tests.datasets.sounds import noise, write
from tests.paths import GOLDEN


def read(path, rate=8000):
    with Recording(path, rate) as recording:
        values = np.concatenate([*recording.blocks(), np.zeros(0, np.float32)])
        assert recording.num_samples == len(values)
    assert values.dtype == np.float32
    return values


def reason(path, rate=8000):
    with pytest.raises(AudioError) as caught:
        read(path, rate)
    return str(caught.value)


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [("wav", "WAV"), ("flac", "FLAC"), ("aiff", "AIFF"), ("aif", "AIFF"), ("au", "AU")],
)
def test_lossless_formats_come_to_the_last_bit(tmp_path, suffix, kind):
    values = noise(3)
    path = tmp_path / f"x.{suffix}"
    soundfile.write(path, values, 8000, format=kind, subtype="PCM_16")
    steps = np.round(values[:, 0] * 32768)
    found = read(path) * 32768
    assert np.array_equal(found, np.round(found))
    assert np.abs(found - steps).max() <= 1
    with Recording(path, 8000) as recording:
        assert (recording.format, recording.channels, recording.original_rate) == (kind, 1, 8000)


@pytest.mark.parametrize("suffix", ["ogg", "mp3"])
def test_lossy_formats_come_nearly_whole(tmp_path, suffix):
    times = np.arange(80_000) / 16_000
    tone = (0.5 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
    write(tmp_path / f"x.{suffix}", tone, 16_000)
    found = read(tmp_path / f"x.{suffix}", 16_000)
    assert abs(len(found) - len(tone)) <= 2400
    inside = found[4000:76_000]
    assert inside.std() == pytest.approx(tone.std(), rel=0.02)
    spectrum = np.abs(np.fft.rfft(inside * np.hanning(len(inside))))
    assert spectrum.argmax() * 16_000 / len(inside) == pytest.approx(440, abs=1)


def test_the_golden_sound_is_read_as_essentia_reads_it():
    golden = np.load(GOLDEN / "audio" / "features.npz")
    found = read(GOLDEN / "audio" / "sound.wav", 44100)
    assert len(found) == golden["audio_length"]
    assert np.array_equal(found[:4096], golden["audio_head"])
    assert np.abs(found.astype(float)).sum() == pytest.approx(float(golden["audio_sum_abs"]))


@pytest.mark.parametrize("channels", [2, 3, 6])
def test_channels_become_their_mean(tmp_path, channels):
    write(tmp_path / "x.wav", noise(1, channels=channels))
    stored = soundfile.read(tmp_path / "x.wav", dtype="float32")[0]
    np.testing.assert_allclose(read(tmp_path / "x.wav"), stored.mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_blocks_are_parts_of_the_whole(tmp_path, suffix, monkeypatch):
    path = write(tmp_path / f"x.{suffix}", noise(4, rate=16_000), 16_000)
    whole = soundfile.read(path, dtype="float32")[0]
    found = []
    for size in (1000, 7919, 10**6):
        monkeypatch.setattr(audio, "BLOCK", size)
        found.append(read(path, 16_000))
    assert np.array_equal(found[0], found[2]) and np.array_equal(found[1], found[2])
    np.testing.assert_allclose(found[2], whole, atol=1e-7)


@pytest.mark.parametrize(("before", "after"), [(48_000, 44_100), (8000, 44_100), (44_100, 16_000)])
def test_a_resampled_tone_is_that_tone(tmp_path, before, after, monkeypatch):
    monkeypatch.setattr(audio, "BLOCK", 5000)
    frequency = 1234.5
    tone = 0.5 * np.sin(2 * np.pi * frequency * np.arange(2 * before) / before)
    soundfile.write(tmp_path / "x.wav", tone, before, subtype="FLOAT")
    found = read(tmp_path / "x.wav", after)
    assert abs(len(found) - 2 * after) <= 1
    expected = 0.5 * np.sin(2 * np.pi * frequency * np.arange(len(found)) / after)
    inner = slice(after // 20, -after // 20)
    np.testing.assert_allclose(found[inner], expected[inner], atol=2e-5)


def test_resampling_is_near_scipys(tmp_path):
    """For what lies well below both rates' limits."""
    slow = scipy.signal.resample_poly(noise(2, rate=4000)[:, 0], 12, 1)  # up to 2 kHz, at 48 kHz
    soundfile.write(tmp_path / "x.wav", slow, 48_000, subtype="FLOAT")
    stored = soundfile.read(tmp_path / "x.wav")[0]
    expected = scipy.signal.resample_poly(stored, 147, 160, window=("kaiser", 12.0))
    found = read(tmp_path / "x.wav", 44_100)
    assert abs(len(found) - len(expected)) <= 1
    np.testing.assert_allclose(found[2000:80_000], expected[2000:80_000], atol=2e-3)


def test_what_lies_beyond_half_the_rate_is_gone(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 15_000 * np.arange(96_000) / 48_000)
    soundfile.write(tmp_path / "x.wav", tone, 48_000)
    assert np.abs(read(tmp_path / "x.wav", 16_000)[500:-500]).max() < 1e-4


def test_how_resampling_is_cut_does_not_matter(tmp_path, monkeypatch):
    path = write(tmp_path / "x.wav", noise(3, rate=48_000), 48_000)
    whole = read(path, 44_100)
    monkeypatch.setattr(audio, "BLOCK", 4099)
    np.testing.assert_allclose(read(path, 44_100), whole, atol=1e-6)


@pytest.mark.parametrize("rate", [1, 999, 1_000_001])
def test_rates_that_are_no_sounds(tmp_path, rate):
    path = write(tmp_path / "x.wav", noise(1), rate)
    assert reason(path) == f"its sample rate, {rate:,} Hz, is not from 1,000 to 1,000,000 Hz"
    assert len(read(path, rate)) == 8000  # as they are


@pytest.mark.parametrize(("channels", "rate"), [(64, 8000), (1, 1000)])
def test_blocks_are_small(tmp_path, channels, rate, monkeypatch):
    """However many channels there are, and however many samples resampling makes of one."""
    monkeypatch.setattr(audio, "BLOCK", 4096)
    path = write(tmp_path / "x.wav", noise(1, channels=channels), rate)
    with Recording(path, 8000) as recording:
        lengths = [len(block) for block in recording.blocks()]
    assert sum(lengths) == 8000 * 8000 // rate
    assert max(lengths) <= (4096 // 64 if channels == 64 else 2 * 4096)


def test_what_is_no_recording(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("no sound " * 1000)
    (tmp_path / "text.mp3").write_text("no sound " * 1000)
    (tmp_path / "text.raw").write_text("no sound " * 1000)
    (tmp_path / "link.wav").symlink_to("nowhere")
    assert reason(tmp_path / "empty.wav") == "it is empty, 0 bytes"
    for name in ("text.wav", "text.mp3", "text.raw"):
        assert reason(tmp_path / name).startswith("it is no recording of a known format (")
    assert reason(tmp_path / "link.wav") == "No such file or directory"
    assert reason(tmp_path) == "Is a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(tmp_path):
    write(tmp_path / "x.wav", noise(1)).chmod(0)
    assert reason(tmp_path / "x.wav") == "Permission denied"


def test_the_decoders_own_messages_are_not_seen(tmp_path, capfd):
    (tmp_path / "text.mp3").write_text("no sound " * 1000)
    reason(tmp_path / "text.mp3")
    path = write(tmp_path / "x.mp3", noise(5, rate=16_000), 16_000)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :][:2000] = bytes(2000)
    content[len(content) // 3] ^= 255
    path.write_bytes(content)
    with suppress(AudioError):
        read(path, 16_000)
    assert capfd.readouterr() == ("", "")


def test_what_is_cut_short(tmp_path):
    for suffix in ("wav", "aiff", "au", "flac", "ogg", "mp3"):
        path = write(tmp_path / f"x.{suffix}", noise(20, rate=16_000), 16_000)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    for suffix in ("wav", "aiff", "au"):
        found = reason(tmp_path / f"x.{suffix}", 16_000)
        assert found == "it is cut short: 50 % of it is there"
    assert reason(tmp_path / "x.flac", 16_000).startswith(("it is cut short", "it is damaged"))
    for suffix in ("ogg", "mp3"):  # these don't say how long they are
        assert 100_000 < len(read(tmp_path / f"x.{suffix}", 16_000)) < 220_000


@pytest.mark.parametrize("stated", [2 * 8000 + 44, 2**32 - 1, 2**31 - 1 - 36, 2**31 - 2**12])
def test_headers_that_do_not_know_the_length(tmp_path, stated):
    """Some programs count the header in; to a pipe sox and ffmpeg write what no file has."""
    path = write(tmp_path / "x.wav", noise(1))
    content = bytearray(path.read_bytes())
    content[40:44] = struct.pack("<I", stated)
    path.write_bytes(content)
    assert len(read(path)) == 8000


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("at", [0, 9999])
def test_what_is_no_sound(tmp_path, value, at, monkeypatch):
    monkeypatch.setattr(audio, "BLOCK", 1000)
    values = noise(2)
    values[at] = value
    soundfile.write(tmp_path / "x.wav", values, 8000, subtype="FLOAT")
    assert reason(tmp_path / "x.wav").startswith("it holds values that are no sound")


@pytest.mark.parametrize(
    ("value", "silent"), [(0.0, True), (0.25, True), (1e-5, True), (1e-3, False)]
)
def test_silence(tmp_path, value, silent):
    signs = np.where(np.arange(8000) % 2, value, 0 if value > 0.1 else -value)
    values = np.full(8000, value) if value > 0.1 else signs  # a constant is silent as well
    soundfile.write(tmp_path / "x.wav", values, 8000, subtype="FLOAT")
    with Recording(tmp_path / "x.wav", 8000) as recording:
        list(recording.blocks())
        assert recording.is_silent == silent
