"""One update of a network: forward and backward, whole or in parts, and the update rule."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.averages import WeightAverage
from training.devices import Compute
from training.distributed import Group
from training.loss import instance_losses


@dataclass
class Step:
    """Updates a network by the mean loss over a batch.

    Parameters
    ----------
    network : nn.Module
        What is called: the network, or what makes it one of several (`Group.wrap`).
    parameters : list of nn.Parameter
        All that is trained.
    optimizer : torch.optim.Optimizer
        The update rule.
    compute, group
        Where and with whom it is computed.
    views : int
        Inputs per instance.
    micro_batch_size : int, optional
        Inputs of this process that are computed at once, at most; their gradients are added up. All
        processes compute as many parts.
    label_smoothing, clip_gradient_norm : float
        See `Experiment`.
    average : WeightAverage, optional
        What follows the weights.
    """

    network: nn.Module
    parameters: list[nn.Parameter]
    optimizer: torch.optim.Optimizer
    compute: Compute
    group: Group
    views: int = 1
    micro_batch_size: int | None = None
    label_smoothing: float = 0.0
    clip_gradient_norm: float = 0.0
    average: WeightAverage | None = None

    def __post_init__(self) -> None:
        device = self.compute.device.type
        self.scaler = torch.amp.GradScaler(device, enabled=self.compute.precision == "float16")

    def __call__(self, inputs: Tensor, labels: Tensor, size: int) -> Tensor:
        """Makes one update.

        Parameters
        ----------
        inputs, labels : Tensor
            This process's part of the batch; it may be empty.
        size : int
            Instances of the whole batch, over all processes.

        Returns
        -------
        Tensor
            The sum of the losses of this process's part, from before the update.
        """
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.gradients(inputs, labels, size)
        if loss.device.type == "cpu" and self.group.highest(int(not torch.isfinite(loss))):
            return loss  # all weights stay as they were, so that the layer can be found
        if self.clip_gradient_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.parameters, self.clip_gradient_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            self.average.update()
        return loss

    def gradients(self, inputs: Tensor, labels: Tensor, size: int) -> Tensor:
        """Adds the batch's gradient to the parameters'; returns the sum of this part's losses."""
        largest = self.group.largest_part(size) * self.views
        count = -(-largest // self.micro_batch_size) if self.micro_batch_size else 1
        *others, last = zip(inputs.tensor_split(count), labels.tensor_split(count), strict=True)
        total = torch.zeros((), device=inputs.device)
        for part in others:
            with self.group.unsynchronised(self.network):
                total = total + self._backward(*part, size)
        return total + self._backward(*last, size)

    def _backward(self, inputs: Tensor, labels: Tensor, size: int) -> Tensor:
        # What is compiled can't have a backward pass of no inputs.
        eager = nullcontext() if len(inputs) else torch.compiler.set_stance("force_eager")
        with eager:
            with self.compute.autocast():
                losses = instance_losses(self.network(inputs), labels, self.label_smoothing)
            loss = losses.sum()
            # DistributedDataParallel takes the mean over processes; the loss is the batch's mean.
            self.scaler.scale(loss * (self.group.size / (size * self.views))).backward()
        return loss.detach()
