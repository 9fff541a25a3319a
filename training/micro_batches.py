"""How many inputs of a batch are computed at once."""

from __future__ import annotations

import torch

from lasagne.layers import Network
from training.distributed import ALONE, synchronise
from training.experiment import Experiment
from training.loss import instance_losses
from training.memory import is_out_of_memory
from training.step import Step
from training.unchanged import unchanged


def choose_micro_batch_size(
    experiment: Experiment, step: Step, network: Network, reserved: int
) -> int | None:
    """Returns the inputs of this process that are computed at once; None for its whole part.

    "auto" computes a batch of zeros forward and backward, whole, then halved and halved again,
    until the device's memory holds it; nothing is updated, and every process takes the smallest
    that any of them has found. Whether a single input fits shows in the training.

    Parameters
    ----------
    reserved : int
        Bytes that the training will take besides, such as the update rule's.
    """
    if experiment.micro_batch_size != "auto":
        return experiment.micro_batch_size
    whole = step.group.largest_part(experiment.batch_size // step.views) * step.views
    part = whole
    halvings = 0
    while part > 1 and not _fits(part, step, network, reserved):
        part, halvings = -(-part // 2), halvings + 1
    halvings = step.group.highest(halvings)
    for _ in range(halvings):
        whole = -(-whole // 2)
    return whole if halvings else None


def _fits(count: int, step: Step, network: Network, reserved: int) -> bool:
    compute = step.compute
    shape = [size or 1 for size in network.input_layers[0].output_shape[1:]]
    synchronise(network, ALONE)  # the others may try another number
    try:
        kept = torch.empty(reserved, dtype=torch.uint8, device=compute.device)
        inputs = torch.zeros(count, *shape, dtype=compute.dtype, device=compute.device)
        labels = torch.zeros(count, dtype=torch.int64, device=compute.device)
        with unchanged(network), compute.autocast():
            instance_losses(network(inputs), labels).sum().backward()
        del kept
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        synchronise(network, step.group)
        step.optimizer.zero_grad(set_to_none=True)
        if compute.device.type == "cuda":
            torch.cuda.empty_cache()
    return True
