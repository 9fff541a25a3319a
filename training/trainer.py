"""The training loop: epochs of batches, exact validation, and the position in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.progress import progress
from datasets.dataset import Dataset
from lasagne.layers import BatchNormLayer, Layer, Network
from training.batches import Preparation
from training.chunks import ChunkStream, RawBatch
from training.clock import Clock
from training.devices import Compute
from training.distributed import ALONE, Group
from training.draws import Draws
from training.endings import Diverged, Stopped
from training.epoch_progress import EpochProgress
from training.evaluation import Evaluation, evaluate
from training.experiment import Experiment
from training.finite import first_not_finite
from training.memory import MemoryEstimate
from training.order import chunk_instances, epoch_order, fingerprint
from training.policies import RatePolicy
from training.records import EpochRecord
from training.snapshot_folder import snapshot_name
from training.snapshots import Snapshot, save_snapshot
from training.state import capture, on_cpu, optimizer_state
from training.step import Step
from training.stopping import EarlyStopping, Stop
from training.update_rule import restore_optimizer
from training.watch import DIVERGED, GO_ON, INTERRUPTED, REASONS, SAVE, Watch

CHECK_EVERY = 50  # batches between two looks at the loss, which make a GPU wait
# The options that decide which instances are in which batch.
ORDER = ["seed", "batch_size", "num_crops", "mirror_crops", "random_mirror"]
ORDER += ["shuffle", "shuffle_run"]


@dataclass(frozen=True)
class Best:
    """The best epoch so far (`EpochRecord.rank`), and its weights (on the CPU)."""

    epoch: int
    loss: float
    accuracy: float
    weights: dict[str, Tensor]


class Trainer:
    """Trains one network; `training.setup.prepare` makes it of an `Experiment`.

    Attributes
    ----------
    epoch, batch : the position: whole epochs, and batches done of the next.
    progress : what that next epoch has come to.
    estimate : of the memory that it takes.
    best : of the epochs so far, None before the first.
    weights_are_best : whether the network's weights are the best epoch's.
    begins_anew : whether an unfinished epoch of a snapshot could not be gone on with.
    stopped, reason : "finished", "converged" or "stopped early" once `epochs` has ended, and why.
    """

    def __init__(
        self,
        experiment: Experiment,
        dataset: Dataset,
        compute: Compute,
        network: Network,
        step: Step,
        make_optimizer: Callable[[float], torch.optim.Optimizer],
        policy: RatePolicy,
        preparation: Preparation,
        normalisation: Mapping[str, np.ndarray],
        group: Group = ALONE,
    ) -> None:
        self.experiment = experiment
        self.dataset = dataset
        self.compute = compute
        self.network = network
        self.preparation = preparation
        self.normalisation = normalisation
        self.group = group
        self.step = step
        self.policy = policy
        self.stopping = EarlyStopping(experiment.early_stopping)
        self.epoch = self.batch = 0
        self.progress = EpochProgress()
        self.best: Best | None = None
        self.weights_are_best = self.begins_anew = False
        self.estimate: MemoryEstimate | None = None
        self.stopped, self.reason = "finished", ""
        self._make_optimizer = make_optimizer
        self._generator = torch.Generator(compute.device)
        self._clock = Clock()
        self._last: Snapshot | None = None

    @property
    def output_layer(self) -> Layer:
        """The network's output layer."""
        assert isinstance(self.network.output_layer, Layer)
        return self.network.output_layer

    @property
    def learning_rate(self) -> float:
        """The current learning rate."""
        return float(self.step.optimizer.param_groups[0]["lr"])

    def epochs(self, watch: Watch | None = None) -> Iterator[EpochRecord]:
        """Trains epoch by epoch, yielding each one's record, until the last or a reason to stop.

        Raises
        ------
        Diverged
            Where a loss is not finite; `save_last` then has the last good state.
        Stopped
            Where the watch says so; `save` has the state between two batches.
        """
        training, validating = self._stream("training"), self._stream("validation")
        while self.epoch < self.experiment.num_epochs:
            self._train_epoch(training, watch)
            with self._averaged():
                validation = self._evaluate(validating, "validating", watch)
            if not math.isfinite(validation.loss):
                raise self._diverged("validation", f"after epoch {self.epoch + 1}")
            record = self._record(len(training), validation)
            stop = self._conclude(record)
            yield record
            if stop:
                self.stopped, self.reason = stop
                return

    def evaluate(self, subset: str) -> Evaluation:
        """Evaluates the best weights on every instance of a subset, with log probabilities."""
        trained = on_cpu(self.network.state_dict())
        try:
            if self.best:
                self.network.load_state_dict(self.best.weights)
            with nullcontext() if self.best else self._averaged():
                labels = len(self.dataset.label_names)
                return self._evaluate(self._stream(subset), f"evaluating on {subset}", None, labels)
        finally:
            self.network.load_state_dict(trained)

    def save(self, folder: Path) -> Path | None:
        """Writes a snapshot of the present state; None where no batch was trained."""
        if not self.epoch and not self.batch:
            return None
        if self._last is None or self._last.position != (self.epoch, self.batch):
            self._last = capture(self)
        return self.save_last(folder)

    def save_last(self, folder: Path) -> Path | None:
        """Writes a snapshot of the last whole epoch, or of a later snapshot; None without one."""
        if self._last is None:
            return None
        name = snapshot_name(self.experiment.snapshot_prefix, *self._last.position)
        save_snapshot(self._last, folder / name)
        return folder / name

    @property
    def is_between_batches(self) -> bool:
        """Whether the weights are those of the position where an exchange with others has failed.

        A GPU has updates under way by then, and batch normalisation its averages.
        """
        layers = self.network.modules()
        on_cpu_ = self.compute.device.type == "cpu"
        return on_cpu_ and not any(isinstance(layer, BatchNormLayer) for layer in layers)

    def settle_alone(self) -> None:
        """Counts the unfinished epoch by this process's part, as the others can't be asked."""
        self.progress.settle_alone(self.group.size)

    def restore(self, snapshot: Snapshot) -> None:
        """Takes up a snapshot's weights, update rule, rate policy, position and best epoch.

        Options that the experiment has replaced win: a rate, the rule's other numbers, the policy.
        A rule other than the snapshot's starts anew; where the order of instances or their number
        in a batch is another, an unfinished epoch does.
        """
        header, recorded = snapshot.header, snapshot.header["experiment"]
        self.network.load_state_dict(snapshot.group("network"))
        if recorded["update_func_name"] == self.experiment.update_func_name:
            state = optimizer_state(snapshot)
            restore_optimizer(self.step.optimizer, self.output_layer, state)
        if self.step.average:
            self.step.average.load_state_dict(snapshot.group("average"))
        self.policy.restore(header["policy"])
        self.stopping.state |= header["stopping"]
        if header["scaler"] and self.step.scaler.is_enabled():
            self.step.scaler.load_state_dict(header["scaler"])
        self.epoch, best = header["epoch"], header["best"]
        if best:
            self.best = Best(best["epoch"], best["loss"], best["accuracy"], snapshot.best_weights)
        self.weights_are_best = bool(best) and not snapshot.group("best")
        if header["order"] == self.order:
            self.batch = header["batch"]
            self.progress = EpochProgress(**header["progress"])
        self.begins_anew = self.batch < header["batch"]
        self._follow_policy(self.epoch + max(0, self.batch - 1) / self._num_batches)

    @property
    def order(self) -> dict[str, Any]:
        """What decides which instances are in which batch, as a snapshot keeps it."""
        chosen = {name: getattr(self.experiment, name) for name in ORDER}
        if self.experiment.shuffle_run != 1:
            chosen["chunk_size"] = self.experiment.chunk_size
        return chosen | fingerprint(self.dataset)

    @property
    def _instances_per_batch(self) -> int:
        return self.experiment.batch_size // self.preparation.training_views

    @property
    def _num_batches(self) -> int:
        return -(-len(self.dataset.subset("training")) // self._instances_per_batch)

    def _stream(self, subset: str) -> ChunkStream:
        return ChunkStream(
            self.dataset.subset(subset),
            self.experiment.chunk_size,
            self.compute.device,
            self.group.rows,
            self._clock,
        )

    def _train_epoch(self, stream: ChunkStream, watch: Watch | None) -> None:
        """Trains the rest of the epoch, from `batch` on."""
        epoch, size, num_batches = self.epoch + 1, self._instances_per_batch, self._num_batches
        draws = Draws(self.experiment.seed, epoch, num_batches, self.group.rank)
        order = self._order(len(stream), size, draws)
        self.progress.begin(self._clock, self.compute.device)
        shown = self.group.is_first
        with progress(f"epoch {epoch}", len(stream), stream.unit, shown=shown) as advance:
            advance(self.batch * size)
            for raw in stream.batches(order, size, self.batch):
                draws.seed_batch(raw.index, self._generator)
                self._follow_policy(self.epoch + self.batch / num_batches)
                inputs, labels = self._inputs(raw)
                loss = self.step(inputs, labels, raw.size)
                self.progress.add(loss)
                self.batch += 1
                self.weights_are_best = False
                if self.experiment.verbose and raw.first_of_chunk:
                    mean = loss.item() / max(1, len(labels))
                    print(f"  chunk {raw.chunk}, first batch: training loss {mean:.6f}")
                is_last = self.batch == num_batches
                if self._look(is_last, watch) == DIVERGED:
                    raise self._diverged("training", self._where(inputs, labels))
                advance(raw.size)
        self.progress.settle(self.group)

    def _order(self, count: int, size: int, draws: Draws) -> np.ndarray:
        if not self.experiment.shuffle:
            return np.arange(count)
        chunk = chunk_instances(self.experiment.chunk_size, size, count)
        return epoch_order(count, draws.order(), self.experiment.shuffle_run or 1, chunk)

    def _inputs(self, raw: RawBatch) -> tuple[Tensor, Tensor]:
        inputs = self.preparation.for_training(
            raw.instances, self._generator, raw.rows, raw.size, raw.recordings
        )
        return inputs, raw.labels.repeat_interleave(self.preparation.training_views)

    def _follow_policy(self, epochs: float) -> None:
        rate = self.policy.before_batch(epochs)
        if rate is not None:
            self._set_rate(rate)

    def _set_rate(self, rate: float) -> None:
        for group in self.step.optimizer.param_groups:
            group["lr"] = rate

    def _look(self, is_last: bool, watch: Watch | None) -> int:
        """Saves or stops where the watch of any process says so; returns what they agreed on."""
        code = watch.look() if watch else GO_ON
        on_cpu_ = self.compute.device.type == "cpu"
        if (on_cpu_ or is_last or self.batch % CHECK_EVERY == 0) and not self.progress.is_finite():
            code = DIVERGED
        code = self.group.highest(code)
        if code in (SAVE, *REASONS):
            if self.group.highest(not self._is_sound()):
                return DIVERGED
            self.progress.settle(self.group)
        if code == SAVE and watch:
            watch.save()
        if code in REASONS:
            raise Stopped(REASONS[code])
        return code

    def _is_sound(self) -> bool:
        """Whether it is worth to go on from here: no loss of the epoch and no weight is NaN."""
        weights = self.step.parameters
        return self.progress.is_finite() and all(bool(one.isfinite().all()) for one in weights)

    def _evaluate(
        self,
        stream: ChunkStream,
        description: str,
        watch: Watch | None = None,
        num_labels: int = 0,
    ) -> Evaluation:
        part = self.step.micro_batch_size
        size = part * self.group.size if part else self.experiment.batch_size

        def look() -> None:
            if self.group.highest(int(watch is not None and watch.is_interrupted())):
                raise Stopped(REASONS[INTERRUPTED])

        parts = self.preparation, self.compute, self.group
        return evaluate(self.network, stream, *parts, size, description, look, num_labels)

    def _averaged(self) -> AbstractContextManager[object]:
        """Returns the context in which the network has the weights that are validated."""
        return self.step.average.applied() if self.step.average else nullcontext()

    def _record(self, count: int, validation: Evaluation) -> EpochRecord:
        done = self.progress
        return EpochRecord(
            self.epoch + 1,
            done.loss / (count * self.preparation.training_views),
            validation.loss,
            validation.accuracy,
            self.learning_rate,
            done.seconds,
            count / done.seconds,
            done.waiting,
            done.copying,
        )

    def _conclude(self, record: EpochRecord) -> Stop | None:
        """Notes the best, lets the policies decide, captures the state; returns why to stop."""
        best = self.best
        gained = best is None or record.validation_accuracy > best.accuracy
        if best is None or record.rank > (best.accuracy, -best.loss):
            with self._averaged():
                weights = on_cpu(self.network.state_dict())
            loss, accuracy = record.validation_loss, record.validation_accuracy
            self.best = Best(record.epoch, loss, accuracy, weights)
            self.weights_are_best = not self.step.average
        decision = self.policy.after_epoch(record, gained)
        if decision.restore_best and self.best:
            self.network.load_state_dict(self.best.weights)
            self.step.optimizer = self._make_optimizer(decision.rate)
            if self.step.average:
                self.step.average.restart()
        self._set_rate(decision.rate)
        self.epoch, self.batch = record.epoch, 0
        self.progress = EpochProgress()
        early = self.stopping.after_epoch(gained)
        self._last = None  # its memory is taken for the new one
        self._last = capture(self) if self.group.is_first else None
        return decision.stop or early

    def _where(self, inputs: Tensor, labels: Tensor) -> str:
        """Names the batch, and the first layer that a process found in its part of it."""
        place, found = f"in batch {self.batch} of epoch {self.epoch + 1}", None
        part = self.step.micro_batch_size or max(1, len(labels))
        for rows in (slice(start, start + part) for start in range(0, len(labels), part)):
            with self.compute.autocast():
                found = found or first_not_finite(
                    self.network, inputs[rows], labels[rows], self.experiment.label_smoothing
                )
        found = self.group.first_text(found or "")
        return f"{place}, at first in {found}" if found else place

    @staticmethod
    def _diverged(subset: str, where: str) -> Diverged:
        return Diverged(
            f"The {subset} loss is not finite {where}: the training diverged; give a lower "
            "--learning-rate (a tenth, say) or --clip-gradient-norm, or check that the pictures "
            "are scaled."
        )
