"""Limits for the norms of parameters and gradients; :mod:`lasagne.updates` has them too."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from lasagne.utils import default_norm_axes

__all__ = ["norm_constraint", "total_norm_constraint"]


def norm_constraint(
    tensor_var: Tensor,
    max_norm: float,
    norm_axes: Iterable[int] | None = None,
    epsilon: float = 1e-7,
) -> Tensor:
    """Scale down the units whose incoming weights have too large a norm.

    Parameters
    ----------
    tensor_var : Tensor
        Weights.
    max_norm : float
        The largest Euclidean norm allowed.
    norm_axes : iterable of int, optional
        The axes that a norm is taken over; by default the first of a matrix, and all but the first
        of filters (3 to 5 axes).
    epsilon : float, default 1e-7
        Keeps the divisor from zero; it shrinks units within the limit by that share as well.

    Returns
    -------
    Tensor
        Of the same shape.

    Raises
    ------
    ValueError
        If there is no default for the number of axes.

    Examples
    --------
    After every step of an optimizer:

    >>> import torch
    >>> from lasagne.updates import norm_constraint, sgd
    >>> W = torch.nn.Parameter(torch.tensor([[3.0, 0.3], [4.0, 0.4]]))
    >>> optimizer = sgd(W.sum() * 0, [W], learning_rate=0.1)
    >>> hook = optimizer.register_step_post_hook(
    ...     lambda *_: W.data.copy_(norm_constraint(W.data, max_norm=2))
    ... )
    >>> optimizer.step()
    >>> W.norm(dim=0).tolist()
    [2.0, 0.5]
    """
    axes = default_norm_axes(tensor_var, norm_axes)
    norms = torch.linalg.vector_norm(tensor_var, dim=axes, keepdim=True)
    return tensor_var * (norms.clamp(max=max_norm) / (epsilon + norms))


def total_norm_constraint(
    tensor_vars: Sequence[Tensor],
    max_norm: float,
    epsilon: float = 1e-7,
    return_norm: bool = False,
) -> list[Tensor] | tuple[list[Tensor], Tensor]:
    """Scale tensors, usually gradients, by one factor if their joint norm is too large.

    Parameters
    ----------
    tensor_vars : sequence of Tensor
        The tensors.
    max_norm : float
        The largest Euclidean norm allowed of all of them together.
    epsilon : float, default 1e-7
        Keeps the divisor from zero.
    return_norm : bool, default False
        Whether to return the norm they had, too.

    Returns
    -------
    list of Tensor, or (list of Tensor, Tensor)
        The scaled tensors, and the norm if asked for.

    References
    ----------
    Ilya Sutskever, Oriol Vinyals and Quoc V. Le (2014): Sequence to sequence learning with neural
    networks. https://arxiv.org/abs/1409.3215
    """
    norms = [torch.linalg.vector_norm(tensor) for tensor in tensor_vars]
    norm = torch.linalg.vector_norm(torch.stack(norms))
    factor = norm.clamp(max=max_norm) / (epsilon + norm)
    scaled = [tensor * factor for tensor in tensor_vars]
    return (scaled, norm) if return_norm else scaled
