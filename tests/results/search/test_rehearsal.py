"""What is found before the first evaluation, with the dataset and the networks themselves."""

import pytest

from common.errors import CommandError
from results.search.rehearsal import problems_of, rehearse
from training.experiment import Experiment


@pytest.fixture
def experiment(digits):
    def make(**options) -> Experiment:
        defaults = {"model_architecture": "ConvNet", "reshape_to": (1, 8, 8), "device": "cpu"}
        return Experiment(digits, **(defaults | options))

    return make


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, ""),
        ({"model_params": "ld0_dropuot=0.5"}, "Did you mean 'dropout'"),
        ({"model_params": "lc0_nonlinearity=rectfy"}, "Did you mean 'rectify'"),
        ({"model_params": "lc0_filter_size=11:lc0_pad=valid"}, "lc0"),
        ({"model_architecture": "ConvNt"}, "Did you mean 'ConvNet'"),
        ({"update_func_kwargs": "momentun=0.5"}, "has no parameter 'momentun'. It has: momentum"),
        ({"lr_policy": "step"}, "--lr-steps"),
        ({"crop_shape": (6, 6)}, "--num-crops and --crop-shape go together"),
        ({"crop_shape": (6, 6), "num_crops": 5, "batch_size": 64}, "multiple of the 10 crops"),
        ({"crop_shape": (6, 6), "num_crops": 1, "batch_size": 64}, ""),
        ({"reshape_to": (1, 9, 9)}, "does not hold the instances' 64 values"),
        ({"device": "cuda:99"}, "The device 'cuda:99' is not there"),
        ({"model_params": "ld0_num_units=100000000000"}, ""),  # out of memory
    ],
)
def test_what_is_wrong(experiment, options, said):
    (problem,) = problems_of([experiment(**options)])
    assert said in problem
    assert bool(problem) == bool(said)


def test_the_point_that_would_fail_is_named(experiment, tmp_path):
    """Real processes; the network is a person's own, and prints."""
    (tmp_path / "net.py").write_text(
        "from lasagne.layers import DenseLayer\n"
        "print('imported')\n"
        "def net(incoming, num_classes, units=3):\n"
        "    assert units != 2, 'not two'\n"
        "    return DenseLayer(incoming, num_classes)\n"
    )
    good, bad = (
        experiment(model_architecture="net.py:net", model_params=f"units={units}")
        for units in (1, 2)
    )
    with pytest.raises(CommandError, match="An evaluation with units 2 would fail: .* not two"):
        rehearse({"units 1": good, "units 2": bad}, {})
    with pytest.raises(CommandError, match="Every evaluation would fail: THEANO_FLAGS has device"):
        rehearse({"units 1": experiment(device="auto")}, {"THEANO_FLAGS": "device=tpu"})
