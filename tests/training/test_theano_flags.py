import warnings

import pytest

from common.errors import CommandError
from training.devices import choose_compute
from training.theano_flags import read_theano_flags


@pytest.mark.parametrize(
    ("flags", "chosen"),
    [
        ("", {}),
        ("device=cpu", {"device": "cpu"}),
        ("device=gpu", {"device": "cuda"}),
        ("device=gpu0", {"device": "cuda:0"}),
        ("device=cuda", {"device": "cuda"}),
        ("device=cuda1,floatX=float32", {"device": "cuda:1", "precision": "float32"}),
        (" floatX = float64 ,", {"precision": "float64"}),
        ("floatX=float16", {"precision": "float16"}),
    ],
)
def test_flags_of_the_originals_command_lines(flags, chosen):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_theano_flags(flags) == chosen


def test_an_unknown_flag_is_named_in_a_warning():
    with pytest.warns(UserWarning, match="'mode=FAST_RUN', which means nothing here"):
        assert read_theano_flags("mode=FAST_RUN,floatX=float32") == {"precision": "float32"}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("device=tpu", "device=tpu; it accepts cpu, gpu"),
        ("floatX=int8", "floatX=int8; it accepts float16, float32, float64"),
    ],
)
def test_a_wrong_value_is_named(flags, sentence):
    with pytest.raises(CommandError, match=sentence):
        read_theano_flags(flags)


def test_options_win_over_flags():
    assert choose_compute("cpu", "float32", "device=gpu9,floatX=float64").precision == "float32"
    assert choose_compute("cpu", "auto", "floatX=float64").precision == "float64"


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "tpu", "", "meta"])
def test_a_device_that_is_not_there_gives_a_sentence(device):
    with pytest.raises(CommandError, match="There is no device|is not there"):
        choose_compute(device, "auto")
