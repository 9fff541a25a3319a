"""Batch normalisation over the batches of several processes, as if they were one."""

from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd.function import once_differentiable

__all__ = ["shared_batch_norm"]


@torch._disable_dynamo  # torch.compiler.disable, but without importing the compiler here
def shared_batch_norm(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor | None,
    epsilon: float,
    process_group: distributed.ProcessGroup,
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise by the statistics of the batches of all processes of a group.

    All of them must call it alike, and go back through it alike. Their batches may differ in size,
    and some may be empty. As with :class:`torch.nn.SyncBatchNorm`, the gradients of `gamma` and
    `beta` are of a process's own batch, to be reduced like those of all other parameters.

    Parameters
    ----------
    x : Tensor
        (instances, channels, ...), of any floating point type.
    gamma, beta : Tensor
        Factors and offsets, (channels,); `beta` may be None.
    epsilon : float
        Added to the variance.
    process_group : torch.distributed.ProcessGroup
        The processes.

    Returns
    -------
    tuple of Tensor
        `x` normalised; mean and inverse deviation, (channels,) of the type of `gamma`, which have
        no gradient.
    """
    output, mean, inv_std = _SharedBatchNorm.apply(x, gamma, beta, epsilon, process_group)
    return output, mean, inv_std


class _SharedBatchNorm(torch.autograd.Function):
    """One exchange of statistics on the way forth, and one of their gradients on the way back."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        gamma: Tensor,
        beta: Tensor | None,
        epsilon: float,
        process_group: distributed.ProcessGroup,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the output, mean and inverse deviation."""
        mean, spread, count = _shared_statistics(x, gamma, epsilon, process_group)
        ctx.save_for_backward(x, gamma, mean, spread, count)
        ctx.process_group = process_group
        inv_std = spread.rsqrt()
        ctx.mark_non_differentiable(mean, inv_std)
        return _normalized(x, mean, spread, gamma, beta), mean, inv_std

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, gradient: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, Tensor, Tensor | None, None, None]:
        """Return the gradients; what passes through the statistics comes from all processes."""
        x, gamma, mean, spread, count = ctx.saved_tensors
        direct, by_gamma, by_beta = gradient, torch.zeros_like(gamma), torch.zeros_like(gamma)
        if x.numel():
            direct, by_gamma, by_beta = torch.ops.aten.native_batch_norm_backward(
                gradient, x, gamma, mean, spread, None, None, False, 0.0, [True, True, True]
            )
        by_x = None
        if ctx.needs_input_grad[0]:
            sums = torch.stack([by_gamma, by_beta])
            distributed.all_reduce(sums, group=ctx.process_group)
            slope, offset = sums / count * gamma * spread.rsqrt()
            by_x = direct - _normalized(x, mean, spread, slope, offset)
        return by_x, by_gamma, by_beta if ctx.needs_input_grad[2] else None, None, None


def _shared_statistics(
    x: Tensor, gamma: Tensor, epsilon: float, process_group: distributed.ProcessGroup
) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and variance plus `epsilon`, (channels,), and count, (), over all processes.

    T. F. Chan, G. H. Golub and R. J. LeVeque (1979): Updating formulae and a pairwise algorithm
    for computing sample variances.
    """
    count = x.numel() // x.shape[1]
    mean, inv_std = torch.zeros_like(gamma), torch.ones_like(gamma)
    if count:
        ones = torch.ones_like(gamma)
        _, mean, inv_std = torch.native_batch_norm(x, ones, None, None, None, True, 0.0, epsilon)
    own = torch.cat([mean, inv_std, torch.full_like(mean[:1], count)])
    size = distributed.get_world_size(process_group)
    every = [torch.empty_like(own) for _ in range(size)]
    distributed.all_gather(every, own, group=process_group)
    means, inv_stds, counts = torch.stack(every).split([len(gamma), len(gamma), 1], dim=1)
    total = counts.sum()
    shares = counts / total
    mean = (shares * means).sum(0)
    spread = (shares * (inv_stds.pow(-2) + (means - mean).square())).sum(0)
    return mean, spread, total


def _normalized(
    x: Tensor, mean: Tensor, spread: Tensor, gamma: Tensor, beta: Tensor | None
) -> Tensor:
    """Return ``(x - mean) * gamma / sqrt(spread) + beta``, an empty batch as it is."""
    if not x.numel():
        return torch.empty_like(x)
    output: Tensor = torch.native_batch_norm(x, gamma, beta, mean, spread, False, 0.0, 0.0)[0]
    return output
