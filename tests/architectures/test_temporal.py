import pytest

from architectures.registry import build
from architectures.temporal import PNET_FRAMES
from common.errors import CommandError
from lasagne.layers import count_params

BANDS, FRAMES, LABELS = 40, 250, 8


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("oNetOne", 4_188),
        ("pNetOne", 7_428),
        ("oNetTwo", 2 * 4_188 - LABELS),
        ("pNetTwo", 2 * 7_428 - LABELS),
        ("oNetpNet", 11_608),
        ("oNetTwopNetTwo", 23_208),
        ("oNetFourpNetFour", 46_408),
        ("oNetEightpNetEight", 92_808),
    ],
)
def test_parameters_are_the_papers(name, params):
    assert count_params(build(name, (1, BANDS, FRAMES), LABELS, {})) == params


def test_a_network_of_ones_own():
    params = {"num_onets": 3, "num_pnets": 0, "onet_frames": (2, 7), "onet_filters": 4}
    network = build("TemporalNet", (1, BANDS, 20), LABELS, params | {"pool_bands": 8})
    filters = 3 * 4 * (2 + 7 + 2)
    assert count_params(network) == filters + 3 * 4 * 2 * (BANDS // 8) * LABELS + LABELS


@pytest.mark.parametrize(
    ("shape", "params", "sentence"),
    [
        ((1, 40, 200), {}, f"pnet_frames is {PNET_FRAMES[-1]} frames long, and instances have 200"),
        ((1, 40, 250), {"num_onets": 0, "num_pnets": 0}, "give num_onets or num_pnets"),
        ((1, 40, 250), {"onet_frames": ()}, "onet_frames is empty"),
        ((1, 40, 250), {"onet_frames": (0,)}, "whole numbers of at least 1"),
        ((1, 40, 250), {"pnet_filters": 0}, "'pnet_filters' is 0; it accepts a whole number of at"),
        ((1, 40, 250), {"pool_bands": 0}, "'pool_bands' is 0; it accepts a whole number of at le"),
        ((1, 40, 250), {"dropout": 1.0}, "'dropout' is 1.0; it accepts a number from 0"),
        ((1, 3, 250), {}, "pool"),
        ((10_000,), {}, "--reshape-to"),
    ],
)
def test_what_does_not_fit(shape, params, sentence):
    with pytest.raises(CommandError, match=sentence):
        build("TemporalNet", shape, LABELS, params)
