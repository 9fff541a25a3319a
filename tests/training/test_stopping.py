"""Early stopping against sequences written out by hand."""

import json
from pathlib import Path

import pytest

from common.errors import CommandError
from tests.training.test_policies import record
from training.experiment import Experiment
from training.policies import POLICIES, make_policy
from training.stopping import EarlyStopping

GAINS = [True, False, False, True, False, False, False, False, True, False]
"""A gain in the first, fourth and ninth epoch: 2, then 4, then 1 without one."""


def follow(stopping: EarlyStopping, gains: list[bool]) -> list[bool]:
    return [bool(stopping.after_epoch(gained)) for gained in gains]


@pytest.mark.parametrize(
    ("patience", "expected"),
    [
        (0, "----------"),
        (1, "-xx-xxxx-x"),
        (2, "--x--xxx--"),
        (3, "------xx--"),
        (4, "-------x--"),
        (5, "----------"),
    ],
)
def test_it_stops_after_so_many_epochs_in_a_row_without_a_gain(patience, expected):
    assert follow(EarlyStopping(patience), GAINS) == [letter == "x" for letter in expected]


@pytest.mark.parametrize("cut", range(1, len(GAINS)))
def test_cut_anywhere_it_goes_on_exactly(cut):
    first, second = EarlyStopping(3), EarlyStopping(3)
    before = follow(first, GAINS[:cut])
    second.state |= json.loads(json.dumps(first.state))
    assert before + follow(second, GAINS[cut:]) == follow(EarlyStopping(3), GAINS)


@pytest.mark.parametrize("name", POLICIES)
def test_it_counts_on_whatever_the_policy_does(name):
    """In one dict of both states too: their keys differ."""
    options = {"lr_policy": name, "lr_steps": "3" if name == "step" else ""}
    policy = make_policy(Experiment(Path("digits"), "SingleLayerMlp", **options))
    stopping = EarlyStopping(9)
    assert not policy.state.keys() & stopping.state.keys()
    stops = []
    for epoch in range(1, 12):
        policy.after_epoch(record(epoch, 1.0, 0.5), gained=epoch == 1)
        stops.append(bool(stopping.after_epoch(epoch == 1)))
    assert stops.index(True) == 9  # the tenth epoch: nine since the first


def test_a_negative_patience_is_refused():
    with pytest.raises(CommandError, match=r"^--early-stopping is -1; give at least 0\.$"):
        EarlyStopping(-1)
