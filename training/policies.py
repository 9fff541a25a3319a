"""How the learning rate goes on, and when it ends the training."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from common.errors import CommandError, unknown_name
from training.experiment import Experiment
from training.records import EpochRecord
from training.stopping import Stop

LOWEST_RATE = 1e-10
CHANGES_PER_EPOCH = 50
"""How often cosine changes the rate: each time momentum's buffers are rescaled, which adds 10 ms to
a step of 60 million parameters on a CPU (33 ms for the update rule alone)."""


@dataclass(frozen=True)
class Decision:
    """What follows an epoch: the same again, or the best weights at another rate, or the end."""

    rate: float
    restore_best: bool = False
    stop: Stop | None = None


class RatePolicy:
    """What all policies have in common: a rate of their own, and the warm-up.

    Training goes on at the policy's rate times the part of `warmup_epochs` that is done. So a rate
    that the policy has lowered is never exceeded, wherever a warm-up is taken up again.

    Attributes
    ----------
    state : what a snapshot keeps; its "rate" is the policy's, without the warm-up.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.state: dict[str, float] = {"rate": experiment.learning_rate}
        self._warmup = experiment.warmup_epochs

    def restore(self, state: Mapping[str, float]) -> None:
        """Takes up what a snapshot has kept, of this policy; the rate is the experiment's."""
        own = self.state.keys() - {"rate"}
        self.state |= {key: value for key, value in state.items() if key in own}

    def before_batch(self, epochs: float) -> float | None:
        """Returns the rate after so many epochs, the part of the current one included.

        None leaves the rate as it is: it changes after whole epochs only.
        """
        return self._rate_at(epochs) if epochs < math.ceil(self._warmup) else None

    def after_epoch(self, record: EpochRecord, gained: bool) -> Decision:
        """Decides after an epoch that `gained` over the best validation accuracy, or did not."""
        return self._decision(record)

    def _rate_at(self, epochs: float) -> float:
        return self.state["rate"] * (min(1.0, epochs / self._warmup) if self._warmup else 1.0)

    def _decision(self, record: EpochRecord, restore_best: bool = False) -> Decision:
        return Decision(self._rate_at(record.epoch), restore_best)

    def _a_tenth(self, record: EpochRecord, restore_best: bool = False) -> Decision:
        """Divides the rate by 10, and stops where that makes it too low to change a weight."""
        self.state["rate"] /= 10
        reason = f"a learning rate below {LOWEST_RATE:g} changes nothing"
        stop = Stop("converged", reason) if self.state["rate"] < LOWEST_RATE else None
        return Decision(self._rate_at(record.epoch), restore_best, stop)


class ConstantRate(RatePolicy):
    """Keeps the learning rate."""


class AdaptiveRate(RatePolicy):
    """The original's rule: no gain for more than `PATIENCE` epochs divides the rate by 10.

    Training then goes on from the best weights; it stops when the rate falls below `LOWEST_RATE`.
    """

    PATIENCE = 3

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(experiment)
        self.state["epochs_without_gain"] = 0

    def after_epoch(self, record: EpochRecord, gained: bool) -> Decision:
        """Counts the epochs without a gain and divides the rate when there were too many."""
        self.state["epochs_without_gain"] = 0 if gained else self.state["epochs_without_gain"] + 1
        if self.state["epochs_without_gain"] <= self.PATIENCE:
            return self._decision(record)
        self.state["epochs_without_gain"] = 0
        return self._a_tenth(record, restore_best=True)


class StepRate(RatePolicy):
    """theano_alexnet's "step": divides the rate by 10 after each epoch that `lr_steps` names."""

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(experiment)
        self._steps = _parse_steps(experiment.lr_steps)

    def after_epoch(self, record: EpochRecord, gained: bool) -> Decision:
        """Divides the rate where the epoch is one of the steps."""
        if record.epoch in self._steps:
            self.state["rate"] /= 10
        return self._decision(record)


class AutoRate(RatePolicy):
    """theano_alexnet's "auto": divides the rate by 10 when two epochs have gained too little.

    After every epoch from the sixth on, the validation error is compared with that of two epochs
    before; a gain of less than 0.01 divides the rate, also in the epoch after one that did. Unlike
    theano_alexnet, it stops when the rate falls below `LOWEST_RATE`.
    """

    FIRST_EPOCHS = 5
    LEAST_GAIN = 0.01 - 1e-9  # accuracies whose difference is 0.01 differ by a little less or more

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(experiment)
        self.state |= {"epochs_validated": 0, "last_accuracy": 0, "last_but_one_accuracy": 0}

    def after_epoch(self, record: EpochRecord, gained: bool) -> Decision:
        """Divides the rate where the validation error has gained too little over two epochs."""
        gain = record.validation_accuracy - self.state["last_but_one_accuracy"]
        self.state["last_but_one_accuracy"] = self.state["last_accuracy"]
        self.state["last_accuracy"] = record.validation_accuracy
        self.state["epochs_validated"] += 1
        if self.state["epochs_validated"] > self.FIRST_EPOCHS and gain < self.LEAST_GAIN:
            return self._a_tenth(record)
        return self._decision(record)


class MirdlRate(RatePolicy):
    """MIRdl's rule: halves the rate when the training loss falls again after a long rise.

    An epoch is a rise where its training loss is above that of the last epoch that was none, so
    above the lowest so far. After more than 20 rises in a row the next epoch that is none halves
    the rate; more than 40 end the training.
    """

    LONG, TOO_LONG = 20, 40

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(experiment)
        self.state |= {"rises": 0, "lowest_training_loss": sys.float_info.max}

    def after_epoch(self, record: EpochRecord, gained: bool) -> Decision:
        """Counts the epochs whose training loss rose, and acts where there were many."""
        if record.training_loss > self.state["lowest_training_loss"]:
            self.state["rises"] += 1
            rises = self.state["rises"]
            reason = f"{rises} epochs in a row of a training loss above its lowest"
            stop = Stop("stopped early", reason) if rises > self.TOO_LONG else None
            return Decision(self._rate_at(record.epoch), stop=stop)
        if self.state["rises"] > self.LONG:
            self.state["rate"] /= 2
        self.state |= {"rises": 0, "lowest_training_loss": record.training_loss}
        return self._decision(record)


class CosineRate(RatePolicy):
    """Lowers the rate along half a cosine, from the end of the warm-up to 0 after the last epoch.

    It changes `CHANGES_PER_EPOCH` times an epoch. Source: Loshchilov and Hutter (2017), SGDR:
    Stochastic gradient descent with warm restarts, https://arxiv.org/abs/1608.03983, without its
    restarts.
    """

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(experiment)
        self._num_epochs = experiment.num_epochs

    def before_batch(self, epochs: float) -> float:
        """Returns the rate after so many epochs, the part of the current one included."""
        return self._rate_at(epochs)

    def _rate_at(self, epochs: float) -> float:
        changes = math.floor(epochs * CHANGES_PER_EPOCH + 1e-6)  # 2.3 * 50 is a little below 115
        position = changes / CHANGES_PER_EPOCH
        if position >= self._num_epochs:
            return 0.0
        done = max(0.0, position - self._warmup) / max(self._num_epochs - self._warmup, 1e-9)
        return super()._rate_at(epochs) * (1 + math.cos(math.pi * done)) / 2


POLICIES: dict[str, type[RatePolicy]] = {
    "constant": ConstantRate,
    "adaptive": AdaptiveRate,
    "step": StepRate,
    "auto": AutoRate,
    "mirdl": MirdlRate,
    "cosine": CosineRate,
}


def make_policy(experiment: Experiment) -> RatePolicy:
    """Makes the policy that the options choose, with the warm-up.

    Raises CommandError where they are none, or contradict one another.
    """
    name = experiment.lr_policy
    if experiment.adapt_learning_rate:
        if name not in ("constant", "adaptive"):
            raise CommandError(
                f"--adapt-learning-rate is --lr-policy adaptive, but --lr-policy is {name}; "
                "leave one of them out, or give --no-adapt-learning-rate."
            )
        name = "adaptive"
    if name not in POLICIES:
        raise CommandError(unknown_name("learning rate policy", name, POLICIES))
    if experiment.lr_steps and name != "step":
        raise CommandError(
            f"--lr-steps {experiment.lr_steps} is for --lr-policy step, but the policy is {name}; "
            "leave it out, or give --lr-policy step."
        )
    _check_warmup(experiment.warmup_epochs, experiment.num_epochs)
    return POLICIES[name](experiment)


def _check_warmup(warmup: float, num_epochs: int) -> None:
    if not (math.isfinite(warmup) and warmup >= 0):
        raise CommandError(f"--warmup-epochs is {warmup}; give at least 0.")
    if warmup > num_epochs > 0:
        raise CommandError(
            f"--warmup-epochs {warmup:g} is longer than the training, --num-epochs {num_epochs}; "
            "give a shorter one."
        )


def _parse_steps(text: str) -> list[int]:
    if not text.strip():
        raise CommandError(
            "--lr-policy step needs the epochs after which the rate is divided by 10; "
            "give --lr-steps, as in 20,40."
        )
    parts = [part.strip() for part in text.split(",")]
    steps = [int(part) for part in parts if part.isascii() and part.isdecimal()]
    is_ascending = all(first < second for first, second in zip([0, *steps], steps, strict=False))
    if len(steps) < len(parts) or not is_ascending:
        raise CommandError(
            f"--lr-steps is '{text}'; give whole numbers of epochs from 1 on, each higher than the "
            "one before and divided by commas, as in 20,40."
        )
    return steps
