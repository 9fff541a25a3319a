import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from common.errors import CommandError
from common.params import format_params, parse_params, split_outside


def test_values_are_python_literals_or_text():
    text = "num=3:rate=1e-3:on=True:size=(3, 5):none=None:pad=same:quoted='a:b':map={1: 2}"
    assert parse_params(text) == {
        "num": 3,
        "rate": 0.001,
        "on": True,
        "size": (3, 5),
        "none": None,
        "pad": "same",
        "quoted": "a:b",
        "map": {1: 2},
    }


def test_nothing_gives_no_parameters():
    assert parse_params("") == {}


@pytest.mark.parametrize("text", ["num_units", "=3", "a=1:b", "2a=1", "a-b=1"])
def test_a_part_that_is_no_pair_is_named(text):
    with pytest.raises(CommandError, match="not of the form name=value"):
        parse_params(text)


def test_commas_between_parameters_are_told():
    with pytest.raises(CommandError, match="parameters are divided by colons"):
        parse_params("lc0_num_filters=16,lc0_mp=True")


def test_a_name_given_twice_is_refused():
    with pytest.raises(CommandError, match="'a' is given twice"):
        parse_params("a=1:a=2")


literals = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.text(),
    st.tuples(),
)


@given(st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True), literals))
def test_what_python_writes_is_read_back(params):
    text = ":".join(f"{name}={value!r}" for name, value in params.items())
    assert parse_params(text) == params


nested = st.recursive(literals, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=5)


@given(st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True), nested))
def test_what_is_written_is_read_back(params):
    assume(not any(isinstance(value, str) and "," in value for value in params.values()))
    assert parse_params(format_params(params)) == params


def test_text_is_written_without_quotes_where_it_needs_none():
    params = {"pad": "same", "number": "3", "path": "a/b.py", "colon": "a:b", "size": (3, 5)}
    assert format_params(params) == "pad=same:number='3':path=a/b.py:colon='a:b':size=(3, 5)"


def test_splitting_outside_brackets_and_quotes():
    assert split_outside("a,(b,c),'d,e',[f,(g,h)]", ",") == ["a", "(b,c)", "'d,e'", "[f,(g,h)]"]


def test_text_is_never_executed():
    assert parse_params("a=__import__('os').getcwd()") == {"a": "__import__('os').getcwd()"}
