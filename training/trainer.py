"""The training loop: steps, epochs, exact evaluation, and the state that a snapshot keeps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.errors import CommandError
from common.options import to_plain
from common.progress import progress
from datasets.dataset import Dataset
from lasagne.layers import Layer, Network
from lasagne.objectives import categorical_crossentropy
from training.batches import Preparation
from training.chunks import ChunkStream
from training.devices import Compute
from training.experiment import Experiment
from training.policies import RatePolicy
from training.records import EpochRecord
from training.snapshots import Snapshot, save_snapshot

CHECK_EVERY = 50  # batches between two looks at the loss, which make a GPU wait


class Diverged(CommandError):
    """The training loss is no longer a finite number."""

    status = 3


@dataclass(frozen=True)
class Evaluation:
    """The mean loss and the accuracy over every instance of a subset, and each one's prediction."""

    loss: float
    accuracy: float
    predictions: np.ndarray  # (instances,) int64


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
    best : of the epochs so far, None before the first.
    stopped : "finished" or "converged" once `epochs` has ended.
    """

    def __init__(
        self,
        experiment: Experiment,
        dataset: Dataset,
        compute: Compute,
        output_layer: Layer,
        make_optimizer: Callable[[float], torch.optim.Optimizer],
        policy: RatePolicy,
        preparation: Preparation,
        mean: np.ndarray | None,
    ) -> None:
        self.experiment = experiment
        self.dataset = dataset
        self.compute = compute
        self.output_layer = output_layer
        self.network = Network(output_layer).to(compute.device, compute.dtype)
        self.preparation = preparation
        self.optimizer = make_optimizer(experiment.learning_rate)
        self.policy = policy
        self.best: Best | None = None
        self.stopped = "finished"
        self._make_optimizer = make_optimizer
        self._mean = mean
        self._start_epoch = 0
        self._generator = torch.Generator(compute.device)
        self._scaler = torch.amp.GradScaler(
            compute.device.type, enabled=compute.precision == "float16"
        )
        self._last: Snapshot | None = None

    @property
    def epoch(self) -> int:
        """The last whole epoch, 0 before the first."""
        return int(self._last.header["epoch"]) if self._last else self._start_epoch

    @property
    def learning_rate(self) -> float:
        """The current learning rate."""
        return float(self.optimizer.param_groups[0]["lr"])

    def epochs(self) -> Iterator[EpochRecord]:
        """Trains epoch by epoch, yielding each one's record, until the last or until converged.

        Raises Diverged where a loss is not finite. After any end `save` has the last whole epoch.
        """
        training, validating = self._stream("training"), self._stream("validation")
        while self.epoch < self.experiment.num_epochs:
            start = time.monotonic()
            training_loss = self._train_epoch(training, self.epoch + 1)
            seconds = time.monotonic() - start
            validation = self._evaluate(validating, "validating")
            self._check_finite(validation.loss, self.epoch + 1, "validation")
            record = EpochRecord(
                self.epoch + 1,
                training_loss,
                validation.loss,
                validation.accuracy,
                self.learning_rate,
                seconds,
                len(training) / seconds,
            )
            stop = self._conclude(record)
            yield record
            if stop:
                self.stopped = "converged"
                return

    def evaluate(self, subset: str) -> Evaluation:
        """Evaluates the best weights on every instance of a subset."""
        trained = _copy(self.network.state_dict())
        try:
            if self.best:
                self.network.load_state_dict(self.best.weights)
            return self._evaluate(self._stream(subset), f"evaluating on {subset}")
        finally:
            self.network.load_state_dict(trained)

    def save(self, folder: Path) -> Path | None:
        """Writes the snapshot of the last whole epoch; None where no epoch was trained."""
        if self._last is None:
            return None
        name = f"{self.experiment.snapshot_prefix}.snapshot-{self.epoch}.safetensors"
        save_snapshot(self._last, folder / name)
        return folder / name

    def restore(self, snapshot: Snapshot) -> None:
        """Takes up a snapshot's weights, update rule, rate policy and best epoch.

        Options that the experiment has replaced win: a rate, the rule's other numbers, the policy.
        A rule other than the snapshot's starts anew.
        """
        header = snapshot.header
        self.network.load_state_dict(snapshot.group("network"))
        if header["experiment"]["update_func_name"] == self.experiment.update_func_name:
            chosen = [dict(group) for group in self.optimizer.param_groups]
            self.optimizer.load_state_dict(_optimizer_state(snapshot))
            for group, numbers in zip(self.optimizer.param_groups, chosen, strict=True):
                group.update({key: value for key, value in numbers.items() if key != "params"})
        self.policy.state |= {
            key: value for key, value in header["policy"].items() if key in self.policy.state
        }
        if header["scaler"] and self._scaler.is_enabled():
            self._scaler.load_state_dict(header["scaler"])
        self._start_epoch = header["epoch"]
        best = header["best"]
        self.best = Best(best["epoch"], best["loss"], best["accuracy"], snapshot.best_weights)

    def _stream(self, subset: str) -> ChunkStream:
        instances = self.dataset.subset(subset)
        return ChunkStream(instances, self.experiment.chunk_size, self.compute.device)

    def _train_epoch(self, stream: ChunkStream, epoch: int) -> float:
        draws = np.random.SeedSequence([self.experiment.seed, epoch])
        order_seed, dropout_seed, crop_seed = (int(seed) for seed in draws.generate_state(3))
        torch.manual_seed(dropout_seed)
        self._generator.manual_seed(crop_seed)
        order = np.arange(len(stream))
        if self.experiment.shuffle:
            np.random.default_rng(order_seed).shuffle(order)
        per_instance = self.preparation.crops_per_instance
        total = torch.zeros((), dtype=torch.float64, device=self.compute.device)
        with progress(f"epoch {epoch}", len(order), "images") as advance:
            batches = stream.batches(order, self.experiment.batch_size // per_instance)
            for index, raw in enumerate(batches):
                inputs = self.preparation.for_training(raw.instances, self._generator)
                labels = raw.labels.repeat_interleave(per_instance)
                loss = self._step(inputs, labels)
                total += loss * len(raw.labels)
                if self.experiment.verbose and raw.first_of_chunk:
                    print(f"  chunk {raw.chunk}, first batch: training loss {loss.item():.6f}")
                if index % CHECK_EVERY == 0:
                    self._check_finite(total.item(), epoch, "training")
                advance(len(raw.labels))
        self._check_finite(total.item(), epoch, "training")
        return total.item() / len(order)

    def _step(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """One update on a batch; returns its mean loss from before the update."""
        self.optimizer.zero_grad(set_to_none=True)
        with self.compute.autocast():
            loss = categorical_crossentropy(self.network(inputs), labels).mean()
        self._scaler.scale(loss).backward()
        self._scaler.step(self.optimizer)
        self._scaler.update()
        return loss.detach()

    @torch.inference_mode()
    def _evaluate(self, stream: ChunkStream, description: str) -> Evaluation:
        per_instance = self.preparation.crops_per_instance
        total = torch.zeros((), dtype=torch.float64, device=self.compute.device)
        predictions, labels = [], []
        order = np.arange(len(stream))
        with progress(description, len(order), "images") as advance:
            for raw in stream.batches(order, self.experiment.batch_size // per_instance):
                inputs = self.preparation.for_evaluation(raw.instances)
                with self.compute.autocast():
                    outputs = self.network(inputs, deterministic=True)
                scores = _log_probabilities(outputs, per_instance)
                total -= scores.gather(1, raw.labels[:, None]).sum(dtype=torch.float64)
                predictions.append(scores.argmax(1))
                labels.append(raw.labels)
                advance(len(raw.labels))
        predicted = torch.cat(predictions)
        accuracy = (predicted == torch.cat(labels)).sum().item() / len(order)
        return Evaluation(total.item() / len(order), accuracy, predicted.cpu().numpy())

    def _conclude(self, record: EpochRecord) -> bool:
        """Notes the best, lets the policy decide, captures the state; returns whether to stop."""
        accuracy, best = record.validation_accuracy, self.best
        gained = best is None or accuracy > best.accuracy
        if best is None or record.rank > (best.accuracy, -best.loss):
            weights = _copy(self.network.state_dict())
            self.best = Best(record.epoch, record.validation_loss, accuracy, weights)
        decision = self.policy.after_epoch(record, gained)
        if decision.restore_best and self.best:
            self.network.load_state_dict(self.best.weights)
            self.optimizer = self._make_optimizer(decision.rate)
        for group in self.optimizer.param_groups:
            group["lr"] = decision.rate
        self._last = self._capture(record.epoch)
        return decision.stop

    def _capture(self, epoch: int) -> Snapshot:
        assert self.best is not None
        optimizer = self.optimizer.state_dict()
        tensors = {f"network/{key}": value for key, value in self.network.state_dict().items()}
        numbers: dict[str, dict[str, Any]] = {}
        for index, state in optimizer["state"].items():
            for name, value in state.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer/{index}/{name}"] = value
                else:
                    numbers.setdefault(str(index), {})[name] = value
        tensors = _copy(tensors)
        if self.best.epoch != epoch:
            tensors |= {f"best/{key}": value for key, value in self.best.weights.items()}
        if self._mean is not None:
            tensors["mean"] = torch.from_numpy(np.ascontiguousarray(self._mean))
        best = self.best
        header = {
            "experiment": to_plain(self.experiment),
            "epoch": epoch,
            "precision": self.compute.precision,
            "scale": self.preparation.scale,
            "best": {"epoch": best.epoch, "loss": best.loss, "accuracy": best.accuracy},
            "labels": self.dataset.label_names,
            "input_shape": list(self.preparation.input_shape),
            "policy": dict(self.policy.state),
            "scaler": self._scaler.state_dict(),
            "optimizer": {"groups": optimizer["param_groups"], "numbers": numbers},
        }
        return Snapshot(header, tensors)

    @staticmethod
    def _check_finite(loss: float, epoch: int, subset: str) -> None:
        if not math.isfinite(loss):
            raise Diverged(
                f"The {subset} loss became {loss} in epoch {epoch}: the training diverged; give a "
                "lower --learning-rate (a tenth, say), or check that the pictures are scaled."
            )


def _copy(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        key: tensor.detach().to("cpu", copy=True).contiguous() for key, tensor in tensors.items()
    }


def _log_probabilities(outputs: Tensor, per_instance: int) -> Tensor:
    """Returns each instance's log probabilities (n, labels), the crops' probabilities averaged."""
    logits = getattr(outputs, "logits", None)
    values = outputs if logits is None else logits
    if values.itemsize < 4:  # half precision would make ties of close scores
        values = values.float()
    scores = values.log() if logits is None else torch.log_softmax(values, dim=1)
    if per_instance == 1:
        return scores
    grouped = scores.view(-1, per_instance, scores.shape[1])
    return torch.logsumexp(grouped, dim=1) - math.log(per_instance)


def _optimizer_state(snapshot: Snapshot) -> dict[str, Any]:
    recorded = snapshot.header["optimizer"]
    state: dict[int, dict[str, Any]] = {
        int(index): dict(values) for index, values in recorded["numbers"].items()
    }
    for name, tensor in snapshot.group("optimizer").items():
        index, _, key = name.partition("/")
        state.setdefault(int(index), {})[key] = tensor
    return {"state": state, "param_groups": recorded["groups"]}
