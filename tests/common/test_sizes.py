import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.sizes import UNITS, size_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0.0 kB"),
        (448, "0.4 kB"),
        (12_345, "12 kB"),
        (999_499, "999 kB"),
        (999_600, "1.0 MB"),
        (1_234_567, "1.2 MB"),
        (9_949_999, "9.9 MB"),
        (9_951_000, "10 MB"),
        (2_040_000_000, "2.0 GB"),
        (150e9, "150 GB"),
        (3.6e12, "3.6 TB"),
        (1.5e16, "15,000 TB"),
    ],
)
def test_sizes_in_the_unit_that_suits_them(size, text):
    assert size_text(size) == text


@given(st.integers(10**3, 10**15))
def test_a_text_says_its_number_within_one_part_in_twenty(size):
    number, unit = size_text(size).replace(",", "").split()
    assert float(number) * 1000 ** (UNITS.index(unit) + 1) == pytest.approx(size, rel=0.051)
