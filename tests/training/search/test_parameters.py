import inspect
import math

import numpy as np
import pytest
from hyperopt import hp, space_eval
from hyperopt.pyll.stochastic import sample

from common.errors import CommandError
from training.search.parameters import FUNCTIONS, Parameter, parse_space

EVERY = (
    "a__choice=rectify,elu,(3, 3),None:b__lognormal=0,1:c__loguniform=-12,-5:d__normal=0,2:"
    "e__pchoice=(0.2,valid),(0.8,same):f__qlognormal=2,1,1:g__qloguniform=0,5,1:h__qnormal=0,3,0.5:"
    "i__quniform=100,1000,50:j__randint=5:k__uniform=0.0,0.75:l__uniformint=1,8:m__randint=3,9"
)


def test_every_function_of_hyperopt_is_known():
    functions = {name for name, one in vars(hp).items() if inspect.isfunction(one)}
    assert functions == FUNCTIONS
    assert {parameter.function for parameter in parse_space(EVERY)} == FUNCTIONS


@pytest.mark.parametrize("parameter", parse_space(EVERY), ids=str)
def test_values_are_what_hyperopt_makes_of_a_draw(parameter):
    """`value` against hyperopt.space_eval on the same draws."""
    node = parameter.node()
    seen = set()
    for seed in range(200):
        drawn = sample(
            node.inputs()[0] if parameter.options else node, rng=np.random.default_rng(seed)
        )
        label = int(np.squeeze(drawn)) if parameter.options else float(drawn)
        expected = space_eval(node, {parameter.name: label})
        value = parameter.value(label)
        if parameter.options:
            assert value == expected
            seen.add(value)
        else:
            assert value == pytest.approx(expected, rel=1e-7)
            if parameter.bounds:
                low, high = parameter.bounds
                assert low * (1 - 1e-7) <= value <= high * (1 + 1e-7)
    assert seen == set(parameter.options)


def test_whole_numbers_are_integers():
    assert repr(Parameter("n", "quniform", (100, 1000, 50)).value(150.0)) == "150"
    assert repr(Parameter("n", "quniform", (0, 1, 0.1)).value(0.30000000000000004)) == "0.3"


def test_the_originals_ways_to_write_options():
    expected = (128, 256, 512)
    for text in ("128,256,512", "[128,256,512]", "([128,256,512],)"):
        assert parse_space(f"x__choice={text}")[0].options == expected
    assert parse_space("x__choice='1','a:b'")[0].options == ("1", "a:b")
    assert parse_space("x__pchoice=[(0.5,'a'),(0.5,'b')]")[0].options == ("a", "b")
    (only,) = parse_space("x__y__uniform=0,1")
    assert only.name == "x__y"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ld0_dropout=0.5", "'ld0_dropout' has no function; write name__function=arguments"),
        ("x__unifrom=0,1", "function of 'x' 'unifrom'. Did you mean 'uniform'"),
        ("x__uniform=1", "'x__uniform' takes the numbers low, high; '1' are others"),
        ("x__uniform=a,b", "takes the numbers low, high; 'a,b' are others"),
        ("x__uniform=True,2", "takes the numbers low, high"),
        ("x__uniform=1,0", "low 1, which is not below high 0"),
        ("x__uniform=0,1e999", "takes the numbers low, high; '0,inf' are others"),
        ("x__quniform=0,1", "takes the numbers low, high, q"),
        ("x__quniform=0,1,0", "steps (q) of 0; give more than 0"),
        ("x__normal=0,0", "sigma 0; give more than 0"),
        ("x__loguniform=1,1000", "takes natural logarithms"),
        ("x__randint=0", "low 0, which is not below high 0"),
        ("x__randint=2.5", "takes whole numbers"),
        ("x__choice=", "has no option"),
        ("x__pchoice=0.5,0.5", "(probability, option) pairs"),
        ("x__pchoice=(0.5,a),(0.6,b)", "add up to 1.1"),
        ("x__uniform=0,1:x__choice=1,2", "has 'x' twice"),
        ("x__uniform", "not of the form name=value"),
    ],
)
def test_mistakes_are_named(text, said):
    with pytest.raises(CommandError) as caught:
        parse_space(text)
    assert said in str(caught.value)


def test_a_range_is_told_in_its_own_units():
    (parameter,) = parse_space("rate__loguniform=-12,-5")
    assert str(parameter) == "loguniform 6.14e-06 to 0.00674"
    assert parameter.bounds == (math.exp(-12), math.exp(-5))
    assert str(parse_space("n__randint=3,9")[0]) == "randint 3 to 8"
    assert str(parse_space("n__pchoice=(0.25,a),(0.75,b)")[0]) == "one of a (0.25), b (0.75)"
    assert (
        str(parse_space("n__qnormal=1,2,0.5")[0]) == "qnormal around 1, deviation 2 in steps of 0.5"
    )
