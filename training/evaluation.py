"""Evaluation of a network on every instance of a subset, exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from common.progress import progress
from training.batches import Preparation
from training.chunks import ChunkStream
from training.devices import Compute
from training.distributed import Group


@dataclass(frozen=True)
class Evaluation:
    """The mean loss and the accuracy over every instance of a subset, and each one's prediction."""

    loss: float
    accuracy: float
    predictions: np.ndarray  # (instances,) int64
    log_probabilities: np.ndarray | None = None  # (instances, labels) float32, where asked for


@torch.inference_mode()
def evaluate(
    network: Callable[..., Tensor],
    stream: ChunkStream,
    preparation: Preparation,
    compute: Compute,
    group: Group,
    batch_size: int,
    description: str,
    after_batch: Callable[[], object] = lambda: None,
    num_labels: int = 0,
) -> Evaluation:
    """Evaluates a network on all instances of a stream, the processes of a group each on a part.

    Parameters
    ----------
    network : callable
        Maps prepared inputs to probabilities; called with `deterministic=True`.
    batch_size : int
        Inputs computed at once, over all processes.
    description : str
        Shown while it lasts.
    after_batch : callable
        May end it by an exception.
    num_labels : int
        How many labels there are, to keep the log probabilities of each.
    """
    views = preparation.evaluation_views
    count, device = len(stream), compute.device
    loss = torch.zeros((), dtype=torch.float64, device=device)
    predictions = torch.zeros(count, dtype=torch.int64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    kept = torch.zeros(count, num_labels, dtype=torch.float32, device=device)
    start = 0
    with progress(description, count, stream.unit, shown=group.is_first) as advance:
        for raw in stream.batches(np.arange(count), max(1, batch_size // views)):
            if len(raw.labels):
                inputs = preparation.for_evaluation(raw.instances, raw.recordings)
                with compute.autocast():
                    outputs = network(inputs, deterministic=True)
                scores = log_probabilities(outputs, views)
                loss -= scores.gather(1, raw.labels[:, None]).sum(dtype=torch.float64)
                predicted = scores.argmax(1)
                correct += (predicted == raw.labels).sum()
                part = slice(start + raw.rows.start, start + raw.rows.stop)
                predictions[part] = predicted
                if num_labels:
                    kept[part] = scores.float()
            start += raw.size
            advance(raw.size)
            after_batch()
    loss, correct = group.sum(loss), group.sum(correct)
    predictions = group.sum(predictions)
    return Evaluation(
        loss.item() / count,
        correct.item() / count,
        predictions.cpu().numpy(),
        group.sum(kept).cpu().numpy() if num_labels else None,
    )


def log_probabilities(outputs: Tensor, per_instance: int) -> Tensor:
    """Returns each instance's log probabilities (n, labels), those of its views averaged."""
    logits = getattr(outputs, "logits", None)
    values = outputs if logits is None else logits
    if values.itemsize < 4:  # half precision would make ties of close scores
        values = values.float()
    scores = values.log() if logits is None else torch.log_softmax(values, dim=1)
    if per_instance == 1:
        return scores
    grouped = scores.view(-1, per_instance, scores.shape[1])
    return torch.logsumexp(grouped, dim=1) - math.log(per_instance)
