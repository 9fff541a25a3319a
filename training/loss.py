"""The loss that training minimises."""

from __future__ import annotations

import torch
from torch import Tensor

from common.errors import CommandError
from lasagne.objectives import categorical_crossentropy


def instance_losses(outputs: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Returns each instance's cross-entropy.

    Parameters
    ----------
    outputs : Tensor, shape (n, labels)
        A network's probabilities; those of a softmax carry its input, of which the loss is computed
        (`lasagne.objectives.categorical_crossentropy`).
    labels : Tensor of int64, shape (n,)
    smoothing : float
        Part of the target that is spread over all labels evenly: 1 - smoothing + smoothing / labels
        is expected of the right one, smoothing / labels of each other one.

    Returns
    -------
    Tensor, shape (n,)
        In float32 at least.

    References
    ----------
    Szegedy et al. (2016), section 7: Rethinking the Inception architecture for computer vision.
    https://arxiv.org/abs/1512.00567
    """
    if not smoothing:
        return categorical_crossentropy(outputs, labels)
    spread = smoothing / outputs.shape[1]
    dtype = torch.promote_types(outputs.dtype, torch.float32)
    targets = torch.full_like(outputs, spread, dtype=dtype)
    targets.scatter_(1, labels[:, None], 1 - smoothing + spread)
    return categorical_crossentropy(outputs, targets)


def check_smoothing(smoothing: float) -> None:
    """Raises CommandError where `smoothing` is not in [0, 1)."""
    if not 0 <= smoothing < 1:
        raise CommandError(f"--label-smoothing is {smoothing}; give at least 0 and less than 1.")
