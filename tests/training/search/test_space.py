import math
from pathlib import Path

import pytest

from common.errors import CommandError
from training.experiment import Experiment
from training.search.options import Search, check_numbers
from training.search.space import Space

CROPS = {"crop_shape": (24, 24), "num_crops": 1}


def space(experiment=None, **options) -> Space:
    experiment = Experiment(Path("d"), "ConvNet", **(experiment or {}))
    return Space(Search("run_experiment", Path("log"), **options), experiment)


def test_the_originals_space():
    own = space(CROPS)
    described = {name: str(parameter) for name, parameter in own.parameters.items()}
    assert described == {
        "update_func": "one of adam, nesterov_momentum",
        "beta1": "uniform 0 to 0.9",
        "beta2": "uniform 0.99 to 1",
        "momentum": "uniform 0.5 to 1",
        "learning_rate": "loguniform 6.14e-06 to 0.00674",
        "mirror_crops": "one of False, True",
        "num_crops": "one of 1, 5",
    }
    assert own.left_out == ""


def test_a_point_on_the_command_line():
    own = space(
        CROPS | {"model_params": "num_conv_layers=2:lc0_nonlinearity=elu"},
        base_model_params="ld0_dropout=0.5:lc0_filter_size=(3,5)",
        model_params_space="ld0_dropout__uniform=0.0,0.75:lc0_num_filters__quniform=8,64,8",
    )
    drawn = {
        "update_func": [0], "beta1": [0.123456789], "beta2": [0.995], "momentum": [],
        "learning_rate": [0.001], "mirror_crops": [0], "num_crops": [1],
        "ld0_dropout": [0.25], "lc0_num_filters": [24.0],
    }  # fmt: skip
    point = own.point(drawn)
    assert "momentum" not in point
    assert own.options(point) == {
        "--update-func-name": "adam",
        "--update-func-kwargs": "beta1=0.12345679:beta2=0.995",
        "--learning-rate": "0.001",
        "--num-crops": "5",
        "--mirror-crops": False,
        "--model-params": "num_conv_layers=2:lc0_nonlinearity=elu:ld0_dropout=0.25:"
        "lc0_filter_size=(3, 5):lc0_num_filters=24",
    }
    other = own.point(drawn | {"update_func": [1], "beta1": [], "beta2": [], "momentum": [0.5]})
    assert own.options(other)["--update-func-kwargs"] == "momentum=0.5"


def test_what_is_disabled_is_base_cmds():
    own = space(
        CROPS, disabled_hyperparams="update_func, num_crops", model_params_space="n__randint=5"
    )
    assert set(own.parameters) == {"learning_rate", "mirror_crops", "n"}
    options = own.options(own.point({"learning_rate": [0.1], "mirror_crops": [1], "n": [3]}))
    assert options == {"--learning-rate": "0.1", "--mirror-crops": True, "--model-params": "n=3"}


def test_crops_are_searched_where_there_are_crops():
    assert space().left_out == (
        "mirror_crops and num_crops not searched: BASE_CMD has no --crop-shape"
    )
    assert not {"mirror_crops", "num_crops"} & set(space().parameters)
    own = space(CROPS | {"random_mirror": True})
    assert "mirror_crops" not in own.parameters
    assert "num_crops" in own.parameters


@pytest.mark.parametrize(
    ("experiment", "options", "said"),
    [
        ({}, {"disabled_hyperparams": "learning_rat"}, "Did you mean 'learning_rate'?"),
        ({}, {"disabled_hyperparams": "learning_rate,update_func"}, "nothing to search"),
        ({}, {"learning_rate_range": "-5,-12"}, "--learning-rate-range is '-5,-12'"),
        ({}, {"learning_rate_range": "-5"}, "takes the numbers low, high"),
        ({}, {"model_params_space": "momentum__uniform=0,1"}, "name of one of the search's own"),
        ({}, {"base_model_params": "num_units"}, "not of the form name=value"),
    ],
)
def test_mistakes_are_named(experiment, options, said):
    with pytest.raises(CommandError) as caught:
        space(experiment, **options)
    assert said in str(caught.value)


def test_samples_have_every_option_and_the_lower_ends():
    own = space(
        CROPS, model_params_space="a__choice=x,y,z:b__quniform=6,64,8:c__pchoice=(0.5,2),(0.5,3)"
    )
    first, second, third = own.samples()
    assert [one["a"] for one in (first, second, third)] == ["x", "y", "z"]
    assert [one["num_crops"] for one in (first, second, third)] == [1, 5, 1]
    assert (first["update_func"], second["update_func"]) == ("adam", "nesterov_momentum")
    assert 0 < first["beta1"] < 0.001
    assert 0.5 < second["momentum"] < 0.501
    assert "momentum" not in first
    assert "beta1" not in second
    assert (first["b"], first["c"]) == (8, 2)
    assert math.exp(-12) < first["learning_rate"] < math.exp(-11.99)
    (only,) = space(
        disabled_hyperparams="update_func,learning_rate", model_params_space="momentum__normal=2,1"
    ).samples()
    assert only == {"momentum": 2}


def test_a_sample_of_a_range_is_no_whole_number():
    (only,) = space(
        disabled_hyperparams="update_func,learning_rate",
        model_params_space="num_units__uniform=10,100",
    ).samples()
    assert 10 < only["num_units"] < 11


def test_rates_in_place_of_their_logarithms():
    with pytest.raises(CommandError, match="rates from 1 up; give the natural logarithms"):
        space(learning_rate_range="0.001,0.1")


def test_the_learning_rates_range_in_brackets():
    assert space(learning_rate_range="(-3, -1)").parameters["learning_rate"].arguments == (-3, -1)


@pytest.mark.parametrize("name", ["max_evals", "num_parallel", "grace_epochs"])
def test_numbers_out_of_range(name):
    with pytest.raises(CommandError, match=f"--{name.replace('_', '-')} is 0; give at least 1"):
        check_numbers(Search("run_experiment", Path("log"), **{name: 0}), 10)


def test_an_early_stop_that_stops_nothing():
    with pytest.raises(CommandError, match="--grace-epochs is 3, and BASE_CMD has --num-epochs 3"):
        check_numbers(Search("run_experiment", Path("log"), early_stop=True, grace_epochs=3), 3)
