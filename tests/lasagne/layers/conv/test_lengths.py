"""Lengths of convolutions: the two functions against each other, and examples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasagne.layers.conv import conv_input_length, conv_output_length


@pytest.mark.parametrize(
    ("arguments", "length"),
    [
        ((9, 4, 1, 0), 6),
        ((9, 4, 2, "full"), 6),
        ((9, 5, 2, "same"), 5),
        ((9, 4, 1, "same"), 9),
        ((9, 9, 3, "valid"), 1),
        ((9, 4, 1), 6),
    ],
)
def test_conv_output_length(arguments, length):
    assert conv_output_length(*arguments) == length
    assert conv_output_length(None, *arguments[1:]) is None


@pytest.mark.parametrize(
    ("arguments", "length"),
    [
        ((6, 4, 1, 0), 9),
        ((6, 4, 2, "full"), 8),
        ((5, 5, 2, "same"), 9),
        ((1, 9, 3, "valid"), 9),
        ((6, 4, 1), 9),
    ],
)
def test_conv_input_length(arguments, length):
    assert conv_input_length(*arguments) == length
    assert conv_input_length(None, *arguments[1:]) is None


@given(st.integers(1, 9), st.integers(1, 7), st.integers(1, 4), st.integers(0, 3))
def test_input_length_is_the_shortest_with_that_output(length, filter_size, stride, pad):
    shortest = conv_input_length(length, filter_size, stride, pad)
    if shortest > 0:
        for more in range(stride):
            assert conv_output_length(shortest + more, filter_size, stride, pad) == length
        assert conv_output_length(shortest + stride, filter_size, stride, pad) == length + 1


@pytest.mark.parametrize("function", [conv_output_length, conv_input_length])
def test_errors(function):
    with pytest.raises(ValueError, match="pad must be 'full', 'same', 'valid' or an integer, got"):
        function(5, 3, 1, "some")


def test_an_empty_output():
    with pytest.raises(ValueError, match="size 3 with 1 zeros .* than a filter of size 6"):
        conv_output_length(3, 6, 1, 1)
