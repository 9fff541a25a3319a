"""What to minimise, and what to report.

Targets may be tensors, NumPy arrays or, where they are no labels, numbers. All functions but
:func:`aggregate` return one value for each item (or element), so that items can be
weighted or masked before ``loss.mean()`` or :func:`aggregate` reduces them.
"""

from typing import Literal

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

from lasagne.nonlinearities import preactivation

__all__ = [
    "aggregate",
    "align_targets",
    "binary_accuracy",
    "binary_crossentropy",
    "binary_hinge_loss",
    "categorical_accuracy",
    "categorical_crossentropy",
    "huber_loss",
    "multiclass_hinge_loss",
    "squared_error",
]

#: PyTorch takes one label, by default -100, to mean that there is none: here there is always one.
_NO_LABEL = -(2**31)


def align_targets(
    predictions: Tensor | ArrayLike, targets: Tensor | ArrayLike
) -> tuple[Tensor, Tensor]:
    """Make a column of a vector of targets where the predictions are a column.

    Without it (n, 1) predictions and (n,) targets would broadcast to (n, n).

    Parameters
    ----------
    predictions : Tensor or array
        Predictions of any shape.
    targets : Tensor, array or number
        Targets of any shape.

    Returns
    -------
    (Tensor, Tensor)
        `predictions`, and `targets`, which are (n, 1) now if they were (n,) and the predictions
        are (n, 1).
    """
    predictions = torch.as_tensor(predictions)
    targets = torch.as_tensor(targets, device=predictions.device)
    if targets.ndim == 1 and predictions.ndim == 2 and predictions.shape[1] == 1:
        targets = targets.unsqueeze(1)
    return predictions, targets


def binary_crossentropy(predictions: Tensor, targets: Tensor | ArrayLike) -> Tensor:
    """Return ``-(t log p + (1 - t) log(1 - p))``.

    Parameters
    ----------
    predictions : Tensor
        Probabilities in (0, 1). Straight from :func:`lasagne.nonlinearities.sigmoid`, the loss is
        computed from the pre-activation and stays finite; given as exactly 0 or 1, it is inf or
        nan, as Lasagne's.
    targets : Tensor
        Targets in [0, 1]. A vector is compared with a column elementwise.

    Returns
    -------
    Tensor, shape of the predictions
    """
    log_odds = preactivation(predictions, "log_odds")
    predictions, targets = _aligned_numbers(predictions, targets)
    if log_odds is not None:
        log_odds = log_odds.float() if log_odds.dtype.itemsize < 4 else log_odds
        targets = targets.to(log_odds.dtype).expand_as(log_odds)
        return functional.binary_cross_entropy_with_logits(log_odds, targets, reduction="none")
    return -(targets * predictions.log() + (1 - targets) * torch.log1p(-predictions))


def categorical_crossentropy(predictions: Tensor, targets: Tensor | ArrayLike) -> Tensor:
    """Return each row's ``-sum(t log p)``.

    Where `predictions` come straight from :func:`lasagne.nonlinearities.softmax`, the loss is
    computed from the pre-activation they carry as ``logits`` and stays finite where probabilities
    underflow; else it is the logarithm of the probabilities given (inf for a probability of 0).

    Parameters
    ----------
    predictions : Tensor, shape (batch, classes)
        Probabilities.
    targets : Tensor of int, shape (batch,), or Tensor, shape (batch, classes)
        Labels, or a distribution over the classes for each row.

    Returns
    -------
    Tensor, shape (batch,)

    Raises
    ------
    TypeError
        If the targets' number of axes is neither the predictions' nor one less, or labels are not
        integers.
    """
    targets = torch.as_tensor(targets, device=predictions.device)
    labels = _are_labels(predictions, targets)
    logits = preactivation(predictions, "logits")
    if logits is not None:
        logits = logits.float() if logits.dtype.itemsize < 4 else logits
        targets = targets.long() if labels else targets.to(logits.dtype)
        return functional.cross_entropy(logits, targets, reduction="none", ignore_index=_NO_LABEL)
    if labels:
        chosen = predictions.gather(-1, targets.long().unsqueeze(-1)).squeeze(-1)
        return -chosen.log()
    return -(targets * predictions.log()).sum(dim=-1)


def squared_error(a: Tensor | ArrayLike, b: Tensor | ArrayLike) -> Tensor:
    """Return ``(a - b) ** 2``, elementwise; a vector is compared with a column elementwise."""
    a, b = align_targets(a, b)
    return (a - b).square()


def aggregate(
    loss: Tensor,
    weights: Tensor | ArrayLike | None = None,
    mode: Literal["mean", "sum", "normalized_sum"] = "mean",
) -> Tensor:
    """Reduce a loss to a scalar.

    Parameters
    ----------
    loss : Tensor
        Losses of items or elements.
    weights : Tensor, array or float, optional
        Factors, broadcast to the shape of `loss`; zeros mask items out.
    mode : {'mean', 'sum', 'normalized_sum'}, default 'mean'
        The mean or sum of the weighted loss, or its sum divided by the sum of the weights.

    Returns
    -------
    Tensor, a scalar

    Raises
    ------
    ValueError
        If `mode` is none of the three, or weights are missing for 'normalized_sum'.
    """
    if weights is not None:
        weights = torch.as_tensor(weights, device=loss.device)
        loss = loss * weights
    if mode == "mean":
        return loss.mean()
    if mode == "sum":
        return loss.sum()
    if mode != "normalized_sum":
        raise ValueError(f"mode must be 'mean', 'sum' or 'normalized_sum', got {mode!r}")
    if weights is None:
        raise ValueError("weights must be given for mode='normalized_sum', got None")
    return loss.sum() / weights.sum()


def binary_hinge_loss(
    predictions: Tensor,
    targets: Tensor | ArrayLike,
    delta: float = 1,
    log_odds: bool | None = None,
    binary: bool = True,
) -> Tensor:
    """Return ``max(0, delta - t x)``, for the log-odds `x` and targets `t` of -1 and 1.

    Parameters
    ----------
    predictions : Tensor
        Log-odds, or probabilities in (0, 1).
    targets : Tensor
        Targets, 0 or 1, or -1 or 1. A vector is compared with a column elementwise.
    delta : float, default 1
        The margin.
    log_odds : bool
        Whether `predictions` are log-odds; it must be given.
    binary : bool, default True
        Whether `targets` are 0 or 1.

    Returns
    -------
    Tensor, shape of the predictions

    Raises
    ------
    FutureWarning
        If `log_odds` is not given, as in Lasagne, which was about to change its default.
    """
    if log_odds is None:
        raise FutureWarning(
            "binary_hinge_loss needs log_odds=True if the predictions are log-odds, or "
            "log_odds=False if they are probabilities, got None"
        )
    if not log_odds:
        predictions = torch.logit(predictions)
    predictions, targets = _aligned_numbers(predictions, targets)
    if binary:
        targets = 2 * targets - 1
    return torch.relu(delta - predictions * targets)


def multiclass_hinge_loss(
    predictions: Tensor, targets: Tensor | ArrayLike, delta: float = 1
) -> Tensor:
    """Return each row's ``max(0, delta + best score of a wrong class - score of the right one)``.

    Parameters
    ----------
    predictions : Tensor, shape (batch, classes)
        Scores.
    targets : Tensor of int, shape (batch,), or Tensor, shape (batch, classes)
        Labels, or one-hot rows.
    delta : float, default 1
        The margin.

    Returns
    -------
    Tensor, shape (batch,)

    Raises
    ------
    TypeError
        If the targets' number of axes is neither the predictions' nor one less, or labels are not
        integers.
    """
    targets = torch.as_tensor(targets, device=predictions.device)
    labels = targets if _are_labels(predictions, targets) else targets.argmax(dim=-1)
    labels = labels.long().unsqueeze(-1)
    best_wrong = predictions.scatter(-1, labels, -torch.inf).max(dim=-1).values
    return torch.relu(delta + best_wrong - predictions.gather(-1, labels).squeeze(-1))


def huber_loss(predictions: Tensor, targets: Tensor | ArrayLike, delta: float = 1) -> Tensor:
    """Return ``d ** 2 / 2`` where the difference `d` is at most `delta`, and a line beyond.

    Parameters
    ----------
    predictions : Tensor
        Predictions of any shape.
    targets : Tensor
        Targets. A vector is compared with a column elementwise.
    delta : float, default 1
        Where the parabola goes over into the line ``delta * (d - delta / 2)``.

    Returns
    -------
    Tensor, shape of the predictions

    References
    ----------
    Peter J. Huber (1964): Robust estimation of a location parameter.
    """
    predictions, targets = align_targets(predictions, targets)
    difference = (targets - predictions).abs()
    line = delta * (difference - delta / 2)
    return torch.where(difference <= delta, difference.square() / 2, line)


def binary_accuracy(
    predictions: Tensor, targets: Tensor | ArrayLike, threshold: float = 0.5
) -> Tensor:
    """Tell which predictions lie on the right side of a threshold.

    Parameters
    ----------
    predictions : Tensor
        Probabilities; those of at least `threshold` mean 1, the others 0.
    targets : Tensor
        Targets, 0 or 1. A vector is compared with a column elementwise.
    threshold : float, default 0.5
        The threshold.

    Returns
    -------
    Tensor of bool, shape of the predictions
    """
    predictions, targets = align_targets(predictions, targets)
    return (predictions >= threshold) == targets


def categorical_accuracy(
    predictions: Tensor, targets: Tensor | ArrayLike, top_k: int = 1
) -> Tensor:
    """Tell which rows have the right class among the `top_k` most probable.

    Of equally probable classes the first is taken for ``top_k=1`` and the last for ``top_k>1``,
    as Lasagne's argmax and argsort do.

    Parameters
    ----------
    predictions : Tensor, shape (..., classes)
        Probabilities, or any scores that grow with them.
    targets : Tensor of int, shape (...), or Tensor, shape (..., classes)
        Labels, or a distribution whose most probable class is the label.
    top_k : int, default 1
        How many guesses each row has.

    Returns
    -------
    Tensor of bool, shape (...)

    Raises
    ------
    TypeError
        If the targets' number of axes is neither the predictions' nor one less, or labels are not
        integers.
    """
    predictions = torch.as_tensor(predictions)
    targets = torch.as_tensor(targets, device=predictions.device)
    if not _are_labels(predictions, targets):
        targets = targets.argmax(dim=-1)
    if top_k == 1:
        return predictions.argmax(dim=-1) == targets
    targets = targets.long().unsqueeze(-1)
    score = predictions.gather(-1, targets)
    classes = torch.arange(predictions.shape[-1], device=predictions.device)
    # `~(<=)` rather than `>`: a nan ranks above everything, so that it cannot count as correct.
    before = ~(predictions <= score) | ((predictions == score) & (classes > targets))
    return before.sum(dim=-1) < top_k


def _aligned_numbers(predictions: Tensor, targets: Tensor | ArrayLike) -> tuple[Tensor, Tensor]:
    """Return both as :func:`align_targets` does, targets as numbers that may be negative."""
    predictions, targets = align_targets(predictions, targets)
    return predictions, targets if targets.is_floating_point() else targets.to(predictions.dtype)


def _are_labels(predictions: Tensor, targets: Tensor) -> bool:
    """Tell labels from distributions by their number of axes."""
    if targets.ndim not in (predictions.ndim, predictions.ndim - 1):
        raise TypeError(
            f"targets must have shape {tuple(predictions.shape[:-1])} (labels) or "
            f"{tuple(predictions.shape)} (distributions), got {tuple(targets.shape)}"
        )
    labels = targets.ndim < predictions.ndim
    if labels and (targets.is_floating_point() or targets.dtype == torch.bool):
        raise TypeError(f"labels must be integers, got {targets.dtype}")
    return labels
