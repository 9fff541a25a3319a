import numpy as np
import pytest

from datasets.dances import DANCES, LOUDNESS
from datasets.synthesis import notes, play

RATE = 22_050


def make(name, tempo, seconds, seed=0, rate=RATE):
    return play(DANCES[name], tempo, seconds, rate, np.random.default_rng(seed))


@pytest.mark.parametrize("name", DANCES)
def test_recordings_are_sound(name):
    samples = make(name, sum(DANCES[name].tempi) / 2, 5)
    assert samples.dtype == np.int16 and samples.shape == (5 * RATE,)
    peak = np.abs(samples.astype(int)).max()
    assert 0.3 * 32768 < peak < 32768
    seconds = samples.reshape(5, RATE).astype(float)
    assert (seconds.std(axis=1) > 0.01 * peak).all()  # music all the way


def test_a_seed_is_a_recording():
    first = make("Samba", 100, 3)
    assert np.array_equal(first, make("Samba", 100, 3))
    assert not np.array_equal(first, make("Samba", 100, 3, seed=1))


@pytest.mark.parametrize("name", ["Waltz", "Tango", "Jive"])
@pytest.mark.parametrize("seed", range(3))
def test_bars_come_in_the_tempo(name, seed):
    """The notes of the first step of a bar are a bar apart."""
    dance, tempo = DANCES[name], 120
    generator = np.random.default_rng(seed)
    times = [n.time for n in notes(dance, tempo, 60, generator) if n.part == "low" and n.pitch == 0]
    bar = 60 * dance.beats / tempo
    assert -bar < times[0] < bar
    steps = np.diff(times)
    shortest = min(np.diff([i for i, sign in enumerate(dance.pattern["low"] * 2) if sign != "."]))
    assert np.median(steps) == pytest.approx(shortest * bar / dance.steps, rel=0.03)


def test_a_part_plays_its_pattern():
    dance = DANCES["ChaChaCha"]
    found = {}
    for seed in range(20):
        generator = np.random.default_rng(seed)
        played = list(notes(dance, 120, 30, generator))
        bars = 30 / (60 * dance.beats / 120)
        for part, signs in dance.pattern.items():
            loud = sum(LOUDNESS[sign] for sign in signs if sign != ".")
            share = sum(note.loudness for note in played if note.part == part) / (bars * loud)
            found.setdefault(part, []).append(share)
    for part, shares in found.items():
        added = 1.1 if part in ("mid", "high") else 1.0
        assert 0.85 < np.mean(shares) < 1.1 * added, part


def onsets(samples, hop):
    """How much louder the sound gets, from one `hop` of samples to the next."""
    energy = np.log10(np.square(samples[: len(samples) // hop * hop].reshape(-1, hop)).mean(1) + 1)
    rising = np.maximum(0, np.diff(energy))
    return rising - rising.mean()


@pytest.mark.parametrize(("name", "tempo"), [("Quickstep", 200), ("VienneseWaltz", 176)])
def test_the_pulse_can_be_heard(name, tempo):
    """What is played repeats bar by bar: the envelope's autocorrelation has a peak there."""
    dance, hop = DANCES[name], 220
    strengths = []
    for seed in range(6):
        envelope = onsets(make(name, tempo, 20, seed).astype(float), hop)
        bar = 60 * dance.beats / tempo * RATE / hop
        lags = np.arange(round(0.6 * bar), round(1.4 * bar))
        products = np.array([np.mean(envelope[lag:] * envelope[:-lag]) for lag in lags])
        near = np.abs(lags - bar) < 0.04 * bar
        strengths.append(products[near].max() / products.std())
    assert np.mean(strengths) > 2


def test_short_and_slow_ones_can_be_played():
    assert make("Waltz", 82, 0.1, rate=8000).shape == (800,)
