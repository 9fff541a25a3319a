import pytest

from datasets.dances import DANCES, LOUDNESS, PARTS


@pytest.mark.parametrize("name", DANCES)
def test_a_dance_is_a_whole_bar_of_every_part(name):
    dance = DANCES[name]
    assert set(dance.pattern) == set(PARTS)
    for signs in dance.pattern.values():
        assert len(signs) == dance.steps and set(signs) <= {".", *LOUDNESS}
    assert dance.steps % dance.beats == 0
    assert dance.tempi[0] < dance.tempi[1]


def test_the_dances_are_those_of_ballroom():
    assert list(DANCES) == [
        *("ChaChaCha", "Jive", "Quickstep", "Rumba", "Samba", "Tango", "VienneseWaltz", "Waltz"),
    ]
    assert [name for name, dance in DANCES.items() if dance.beats == 3] == [
        "VienneseWaltz",
        "Waltz",
    ]


@pytest.mark.parametrize(
    ("one", "other"), [("Rumba", "Samba"), ("ChaChaCha", "Tango"), ("Jive", "VienneseWaltz")]
)
def test_some_differ_in_pattern_only(one, other):
    (low, high), (other_low, other_high) = DANCES[one].tempi, DANCES[other].tempi
    shared = min(high, other_high) - max(low, other_low)
    assert shared >= 0.7 * min(high - low, other_high - other_low)
