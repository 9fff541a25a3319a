"""The rate policies against traces written out by hand from the originals' rules."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from common.errors import CommandError
from lasagne.updates import momentum, nesterov_momentum
from training.experiment import Experiment, Policy
from training.policies import POLICIES, Decision, RatePolicy, make_policy
from training.records import EpochRecord


def experiment(**options: Any) -> Experiment:
    return Experiment(Path("digits"), "SingleLayerMlp", **options)


def record(epoch: int, training_loss: float, accuracy: float) -> EpochRecord:
    numbers = dict.fromkeys((field.name for field in dataclasses.fields(EpochRecord)), 0.0)
    own = {"epoch": epoch, "training_loss": training_loss, "validation_accuracy": accuracy}
    return EpochRecord(**(numbers | own))


Row = tuple[int, float, float, float, str]
"""Epoch, training loss, validation accuracy; then the rate to go on with, and what else to do."""

ADAPTIVE: list[Row] = [
    (1, 1.0, 0.50, 0.01, ""),
    (2, 1.0, 0.49, 0.01, ""),
    (3, 1.0, 0.50, 0.01, ""),  # the same accuracy is no gain
    (4, 1.0, 0.48, 0.01, ""),
    (5, 1.0, 0.51, 0.01, ""),  # a gain after three epochs without, which are not more than three
    (6, 1.0, 0.51, 0.01, ""),
    (7, 1.0, 0.50, 0.01, ""),
    (8, 1.0, 0.49, 0.01, ""),
    (9, 1.0, 0.48, 0.001, "restore"),
    (10, 1.0, 0.52, 0.001, ""),
    (11, 1.0, 0.52, 0.001, ""),
    (12, 1.0, 0.52, 0.001, ""),
    (13, 1.0, 0.52, 0.001, ""),
    (14, 1.0, 0.52, 0.0001, "restore"),
    (15, 1.0, 0.52, 0.0001, ""),
    (16, 1.0, 0.52, 0.0001, ""),
    (17, 1.0, 0.52, 0.0001, ""),
    (18, 1.0, 0.52, 0.00001, "restore"),
]
ADAPTIVE_TO_THE_END: list[Row] = [
    (1, 1.0, 0.5, 5e-9, ""),
    (2, 1.0, 0.5, 5e-9, ""),
    (3, 1.0, 0.5, 5e-9, ""),
    (4, 1.0, 0.5, 5e-9, ""),
    (5, 1.0, 0.5, 5e-10, "restore"),
    (6, 1.0, 0.5, 5e-10, ""),
    (7, 1.0, 0.5, 5e-10, ""),
    (8, 1.0, 0.5, 5e-10, ""),
    (9, 1.0, 0.5, 5e-11, "restore, stop"),
]
STEP: list[Row] = [
    (1, 1.0, 0.5, 0.1, ""),
    (2, 1.0, 0.5, 0.01, ""),
    (3, 1.0, 0.5, 0.01, ""),
    (4, 1.0, 0.5, 0.01, ""),
    (5, 1.0, 0.5, 0.001, ""),
    (6, 1.0, 0.5, 0.001, ""),
]
AUTO: list[Row] = [  # theano_alexnet: epoch > 5 and error[-3] - error[-1] < 0.01
    (1, 1.0, 1 - 0.90, 0.01, ""),
    (2, 1.0, 1 - 0.90, 0.01, ""),
    (3, 1.0, 1 - 0.80, 0.01, ""),
    (4, 1.0, 1 - 0.80, 0.01, ""),
    (5, 1.0, 1 - 0.80, 0.01, ""),  # no gain since the third, but it is not past the fifth
    (6, 1.0, 1 - 0.70, 0.01, ""),
    (7, 1.0, 1 - 0.69, 0.01, ""),
    (8, 1.0, 1 - 0.69, 0.01, ""),  # 0.70 - 0.69 is not less than 0.01
    (9, 1.0, 1 - 0.685, 0.001, ""),  # 0.69 - 0.685
    (10, 1.0, 1 - 0.65, 0.001, ""),
    (11, 1.0, 1 - 0.65, 0.001, ""),  # 0.685 - 0.65
    (12, 1.0, 1 - 0.65, 0.0001, ""),
    (13, 1.0, 1 - 0.66, 0.00001, ""),  # once more, in the epoch after
]
AUTO_TO_THE_END: list[Row] = [
    *((epoch, 1.0, 0.5, 1e-9, "") for epoch in range(1, 6)),
    (6, 1.0, 0.5, 1e-10, ""),
    (7, 1.0, 0.5, 1e-11, "stop"),
]
MIRDL: list[Row] = [
    (1, 2.0, 0.5, 0.01, ""),
    (2, 1.0, 0.5, 0.01, ""),
    *((epoch, 1.1, 0.5, 0.01, "") for epoch in range(3, 23)),  # risen: 20, not more
    (23, 0.9, 0.5, 0.01, ""),
    *((epoch, 1.1, 0.5, 0.01, "") for epoch in range(24, 39)),  # 15, and none, and 15:
    (39, 0.9, 0.5, 0.01, ""),  # not in a row
    *((epoch, 1.1, 0.5, 0.01, "") for epoch in range(40, 55)),
    (55, 0.8, 0.5, 0.01, ""),
    *((epoch, 3.0 - epoch / 100, 0.5, 0.01, "") for epoch in range(56, 77)),  # 21, all above 0.8
    (77, 0.7, 0.5, 0.005, ""),
    *((epoch, 0.8, 0.5, 0.005, "") for epoch in range(78, 99)),
    (99, 0.6, 0.5, 0.0025, ""),
    *((epoch, 0.7, 0.5, 0.0025, "") for epoch in range(100, 140)),  # 40, not more
    (140, 0.7, 0.5, 0.0025, "stop"),
]
COSINE: list[Row] = [  # half of 1 + cos of 45, 90, 135 and 180 degrees
    (1, 1.0, 0.5, 0.08535533905932738, ""),
    (2, 1.0, 0.5, 0.05, ""),
    (3, 1.0, 0.5, 0.014644660940672627, ""),
    (4, 1.0, 0.5, 0.0, ""),
]
COSINE_AFTER_A_WARMUP: list[Row] = [
    (1, 1.0, 0.5, 0.05, ""),
    (2, 1.0, 0.5, 0.1, ""),
    (3, 1.0, 0.5, 0.08535533905932738, ""),
    (4, 1.0, 0.5, 0.05, ""),
    (5, 1.0, 0.5, 0.014644660940672627, ""),
    (6, 1.0, 0.5, 0.0, ""),
]
ADAPTIVE_IN_A_WARMUP: list[Row] = [  # 10 epochs long: a tenth, two tenths, … of the policy's rate
    (1, 1.0, 0.5, 0.01, ""),
    (2, 1.0, 0.5, 0.02, ""),
    (3, 1.0, 0.5, 0.03, ""),
    (4, 1.0, 0.5, 0.04, ""),
    (5, 1.0, 0.5, 0.005, "restore"),
    (6, 1.0, 0.6, 0.006, ""),
    (7, 1.0, 0.7, 0.007, ""),
    (8, 1.0, 0.8, 0.008, ""),
    (9, 1.0, 0.9, 0.009, ""),
    (10, 1.0, 0.91, 0.01, ""),
    (11, 1.0, 0.92, 0.01, ""),
]
WARMUP: list[Row] = [
    (1, 1.0, 0.5, 0.04, ""),
    (2, 1.0, 0.5, 0.08, ""),
    (3, 1.0, 0.5, 0.1, ""),
    (4, 1.0, 0.5, 0.1, ""),
]
TRACES = {
    "constant": ({"learning_rate": 0.1}, [(i, 1.0 * i, 0.5, 0.1, "") for i in range(1, 50)]),
    "warm-up": ({"learning_rate": 0.1, "warmup_epochs": 2.5}, WARMUP),
    "adaptive": ({"adapt_learning_rate": True}, ADAPTIVE),
    "adaptive by its name": ({"lr_policy": "adaptive"}, ADAPTIVE),
    "both names": ({"lr_policy": "adaptive", "adapt_learning_rate": True}, ADAPTIVE),
    "adaptive to the end": (
        {"lr_policy": "adaptive", "learning_rate": 5e-9},
        ADAPTIVE_TO_THE_END,
    ),
    "adaptive in a warm-up": (
        {"lr_policy": "adaptive", "learning_rate": 0.1, "warmup_epochs": 10},
        ADAPTIVE_IN_A_WARMUP,
    ),
    "step": ({"lr_policy": "step", "lr_steps": "2, 5", "learning_rate": 0.1}, STEP),
    "auto": ({"lr_policy": "auto"}, AUTO),
    "auto to the end": ({"lr_policy": "auto", "learning_rate": 1e-9}, AUTO_TO_THE_END),
    "mirdl": ({"lr_policy": "mirdl"}, MIRDL),
    "cosine": ({"lr_policy": "cosine", "learning_rate": 0.1, "num_epochs": 4}, COSINE),
    "cosine after a warm-up": (
        {"lr_policy": "cosine", "learning_rate": 0.1, "num_epochs": 6, "warmup_epochs": 2},
        COSINE_AFTER_A_WARMUP,
    ),
}


def restored(chosen: Experiment, state: dict[str, float]) -> RatePolicy:
    """As resuming does: the rate is an option that the snapshot recorded, the rest its state."""
    state = json.loads(json.dumps(state, allow_nan=False))
    policy = make_policy(dataclasses.replace(chosen, learning_rate=state["rate"]))
    policy.restore(state)
    return policy


def follow(chosen: Experiment, rows: list[Row], cut: int = 0) -> list[Decision]:
    """Returns a policy's decisions; before row `cut` its state goes through a snapshot."""
    policy, best, decisions = make_policy(chosen), -1.0, []
    for index, (epoch, loss, accuracy, *_) in enumerate(rows):
        if index == cut:
            policy = restored(chosen, policy.state)
        decisions.append(policy.after_epoch(record(epoch, loss, accuracy), accuracy > best))
        best = max(best, accuracy)
    return decisions


@pytest.mark.parametrize("name", TRACES)
def test_it_decides_as_worked_out_by_hand(name):
    options, rows = TRACES[name]
    for decision, (epoch, _, _, rate, what) in zip(
        follow(experiment(**options), rows), rows, strict=True
    ):
        assert decision.rate == pytest.approx(rate, rel=1e-12, abs=1e-18), epoch
        done = [word for word, is_so in _flags(decision).items() if is_so]
        assert ", ".join(done) == what, epoch


def _flags(decision: Decision) -> dict[str, bool]:
    return {"restore": decision.restore_best, "stop": decision.stop is not None}


@pytest.mark.parametrize("name", TRACES)
def test_cut_anywhere_it_goes_on_exactly(name):
    options, rows = TRACES[name]
    whole = follow(experiment(**options), rows)
    for cut in range(1, len(rows)):
        assert follow(experiment(**options), rows, cut) == whole


def test_every_policy_of_the_options_is_there():
    assert set(POLICIES) == set(get_args(Policy))


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ({"learning_rate": 0.1}, {0: None, 0.5: None, 7: None}),
        (
            {"learning_rate": 0.1, "warmup_epochs": 2.5},
            {0: 0, 0.001: 0.00004, 1.25: 0.05, 2: 0.08, 2.5: 0.1, 2.9: 0.1, 3: None, 3.5: None},
        ),
        (
            {"learning_rate": 0.1, "lr_policy": "cosine", "num_epochs": 4},
            {0: 0.1, 0.5: 0.09619397662556434, 1: 0.08535533905932738, 2: 0.05, 4: 0},
        ),
        (
            {"learning_rate": 1, "lr_policy": "cosine", "num_epochs": 2, "warmup_epochs": 0.5},
            {0: 0, 0.25: 0.5, 0.5: 1, 1: 0.75, 1.5: 0.25, 2: 0, 2.5: 0},
        ),
        (
            {"learning_rate": 1, "lr_policy": "cosine", "num_epochs": 2, "warmup_epochs": 2},
            {0: 0, 1: 0.5, 1.5: 0.75, 2: 0},
        ),
        ({"lr_policy": "cosine", "num_epochs": 0}, {0: 0}),
    ],
)
def test_the_rate_within_an_epoch(options, rates):
    policy = make_policy(experiment(**options))
    for epochs, rate in rates.items():
        assert policy.before_batch(epochs) == (rate if rate is None else pytest.approx(rate))


def test_cosine_changes_the_rate_fifty_times_an_epoch_and_follows_the_curve():
    policy = make_policy(experiment(learning_rate=1, lr_policy="cosine", num_epochs=3))
    batches = [batch / 1000 for batch in range(3000)]
    rates = [policy.before_batch(epochs) for epochs in batches]
    assert len(set(rates)) == 150
    assert rates == sorted(rates, reverse=True)
    curve = [(1 + math.cos(math.pi * epochs / 3)) / 2 for epochs in batches]
    assert rates == pytest.approx(curve, abs=math.pi / 2 / 150)


OUTCOMES = st.lists(
    st.tuples(st.floats(0.1, 3), st.floats(0, 1, width=16)), min_size=2, max_size=60
)


@pytest.mark.parametrize("name", POLICIES)
@given(OUTCOMES, st.floats(0, 60), st.floats(0, 60), st.data())
def test_a_resumed_warmup_never_raises_what_was_lowered(name, outcomes, first, then, data):
    """Whatever happens, and whatever warm-up is asked for when it is taken up again."""
    cut = data.draw(st.integers(1, len(outcomes) - 1))
    steps = {"lr_steps": "3,7,20"} if name == "step" else {}
    chosen = experiment(lr_policy=name, num_epochs=60, warmup_epochs=first, **steps)
    policy, best, highest = make_policy(chosen), -1.0, chosen.learning_rate
    for epoch, (loss, accuracy) in enumerate(outcomes, start=1):
        if epoch == cut:
            chosen = dataclasses.replace(chosen, warmup_epochs=then)
            policy = restored(chosen, policy.state)
        during = [policy.before_batch(epoch - 1 + part / 7) for part in range(7)]
        decision = policy.after_epoch(record(epoch, loss, accuracy), accuracy > best)
        assert all(0 <= rate <= highest for rate in during if rate is not None)
        assert policy.state["rate"] <= highest
        highest, best = policy.state["rate"], max(best, accuracy)
        assert 0 <= decision.rate <= highest


@pytest.mark.parametrize(("rule", "nesterov"), [(momentum, False), (nesterov_momentum, True)])
def test_momentum_stays_finite_and_right_from_a_rate_of_0_to_0(rule, nesterov):
    """Against Lasagne's rule in NumPy, whose velocity holds the rate."""
    num_batches, rng = 10, np.random.default_rng(0)
    options = {"lr_policy": "cosine", "learning_rate": 0.1, "num_epochs": 4, "warmup_epochs": 1.5}
    policy = make_policy(experiment(**options))
    param = nn.Parameter(torch.tensor(rng.normal(size=5)))
    optimizer = rule(None, [param], policy.state["rate"], 0.9)
    expected, velocity = param.detach().numpy().copy(), np.zeros(5)
    for batch in range(4 * num_batches + 3):
        epochs = batch / num_batches
        optimizer.param_groups[0]["lr"] = policy.before_batch(epochs)
        gradient = rng.normal(size=5)
        param.grad = torch.tensor(gradient)
        optimizer.step()
        angle = math.pi * min(1, max(0, epochs - 1.5) / 2.5)
        rate = 0.1 * min(1, epochs / 1.5) * (1 + math.cos(angle)) / 2
        velocity = 0.9 * velocity - rate * gradient
        expected += 0.9 * velocity - rate * gradient if nesterov else velocity
        np.testing.assert_allclose(param.detach().numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"lr_policy": "step"},
            "--lr-policy step needs the epochs after which the rate is divided by 10; give "
            "--lr-steps, as in 20,40.",
        ),
        (
            {"lr_steps": "20,40"},
            "--lr-steps 20,40 is for --lr-policy step, but the policy is constant; leave it out, "
            "or give --lr-policy step.",
        ),
        *(
            (
                {"lr_policy": "step", "lr_steps": steps},
                f"--lr-steps is '{steps}'; give whole numbers of epochs from 1 on, each higher "
                "than the one before and divided by commas, as in 20,40.",
            )
            for steps in ("40,20", "20,20", "0,20", "20,", "1.5", "-1", "2 3", "²", "x")
        ),
        (
            {"lr_policy": "step", "lr_steps": "3", "adapt_learning_rate": True},
            "--adapt-learning-rate is --lr-policy adaptive, but --lr-policy is step; leave one of "
            "them out, or give --no-adapt-learning-rate.",
        ),
        ({"warmup_epochs": -1}, "--warmup-epochs is -1; give at least 0."),
        ({"warmup_epochs": math.nan}, "--warmup-epochs is nan; give at least 0."),
        (
            {"warmup_epochs": 5.5, "num_epochs": 5},
            "--warmup-epochs 5.5 is longer than the training, --num-epochs 5; give a shorter one.",
        ),
        (
            {"lr_policy": "cosin"},
            "Unknown learning rate policy 'cosin'. Did you mean 'cosine'? "
            "Valid: adaptive, auto, constant, cosine, mirdl, step.",
        ),
    ],
)
def test_options_that_contradict_one_another_are_told(options, sentence):
    with pytest.raises(CommandError) as error:
        make_policy(experiment(**options))
    assert str(error.value) == sentence


def test_a_replaced_rate_wins_over_the_recorded_one():
    policy = make_policy(experiment(lr_policy="adaptive", learning_rate=0.5))
    policy.restore({"rate": 0.001, "epochs_without_gain": 3, "of another policy": 1})
    assert policy.state == {"rate": 0.5, "epochs_without_gain": 3}
    assert policy.after_epoch(record(9, 1.0, 0.5), gained=False).rate == 0.05


def test_without_epochs_a_recorded_warmup_is_no_mistake():
    make_policy(experiment(num_epochs=0, warmup_epochs=5))


def test_from_the_default_rate_the_adaptive_one_stops_after_nine_cuts():
    policy, epoch, stopped = make_policy(experiment(adapt_learning_rate=True)), 0, False
    while not stopped:
        epoch += 1
        stopped = policy.after_epoch(record(epoch, 1.0, 0.5), gained=False).stop
    assert stopped == ("converged", "a learning rate below 1e-10 changes nothing")
    assert epoch == 4 * 9
    assert policy.state["rate"] == pytest.approx(1e-11)
