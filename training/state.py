"""A training's whole state as a snapshot, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from common.options import to_plain
from datasets.origin import origin_of
from training.snapshots import Snapshot

if TYPE_CHECKING:
    from training.trainer import Trainer


def capture(trainer: Trainer) -> Snapshot:
    """Copies the state between two batches to the CPU's memory."""
    network, best = trainer.network.state_dict(), trainer.best
    optimizer = trainer.step.optimizer.state_dict()
    tensors = {f"network/{key}": value for key, value in network.items()}
    numbers: dict[str, dict[str, Any]] = {}
    for index, state in optimizer["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{name}"] = value
            else:
                numbers.setdefault(str(index), {})[name] = value
    if trainer.step.average:
        average = trainer.step.average.state_dict()
        tensors |= {f"average/{key}": value for key, value in average.items()}
    tensors = on_cpu(tensors)
    if best and not trainer.weights_are_best:
        tensors |= {f"best/{key}": value for key, value in best.weights.items()}
    for name, values in trainer.normalisation.items():
        tensors[name] = torch.from_numpy(np.ascontiguousarray(values))
    header = {
        "experiment": to_plain(trainer.experiment),
        "epoch": trainer.epoch,
        "batch": trainer.batch,
        "progress": trainer.progress.to_plain(),
        "order": trainer.order,
        "precision": trainer.compute.precision,
        "scale": trainer.preparation.scale,
        "best": best and {"epoch": best.epoch, "loss": best.loss, "accuracy": best.accuracy},
        "labels": trainer.dataset.label_names,
        "input_shape": list(trainer.preparation.input_shape),
        "origin": origin_of(trainer.dataset),
        "policy": dict(trainer.policy.state),
        "stopping": dict(trainer.stopping.state),
        "scaler": trainer.step.scaler.state_dict(),
        "optimizer": {"groups": optimizer["param_groups"], "numbers": numbers},
    }
    return Snapshot(header, tensors)


def on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies tensors to the CPU, contiguous."""
    return {
        key: torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())
        for key, tensor in tensors.items()
    }


def optimizer_state(snapshot: Snapshot) -> dict[str, Any]:
    """Returns an optimizer's state as its `load_state_dict` takes it."""
    recorded = snapshot.header["optimizer"]
    state: dict[int, dict[str, Any]] = {
        int(index): dict(values) for index, values in recorded["numbers"].items()
    }
    for name, tensor in snapshot.group("optimizer").items():
        index, _, key = name.partition("/")
        state.setdefault(int(index), {})[key] = tensor
    return {"state": state, "param_groups": recorded["groups"]}
