"""MIRdl's normalisation of spectrograms, log0m1v: their logarithms with mean 0 and variance 1."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from datasets.dataset import BLOCK_BYTES, SUBSETS
from datasets.patches import PatchDataset
from datasets.recordings import Recordings
from training.experiment import Experiment

FACTOR = 10_000
ROUNDING = 1e-6
"""The least deviation, of values up to 1, that is more than float32's rounding of equal values."""


def compress(values: Tensor) -> Tensor:
    """Returns log10(10000 x + 1) of every value x of a spectrogram, a new tensor."""
    return torch.add(torch.ones((), dtype=values.dtype), values, alpha=FACTOR).log10_()


class Log0m1v:
    """Compresses instances, and normalises each by its own recording where asked.

    Parameters
    ----------
    local : mapping, optional
        "mean" and "std" of every recording, see `of_each`.
    device : torch.device
    dtype : torch.dtype
        Of what it returns.
    """

    def __init__(
        self, local: Mapping[str, np.ndarray] | None, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._dtype = dtype
        self._moments = None
        if local is not None:
            mean, std = local["mean"], np.where(local["std"] > 0, local["std"], 1)
            self._moments = torch.from_numpy(np.stack([mean, 1 / std])).to(device, dtype)

    def __call__(self, instances: Tensor, recordings: Tensor | None) -> Tensor:
        """Returns new instances.

        Parameters
        ----------
        instances : Tensor of shape (n, 1, bands, frames)
            As stored.
        recordings : Tensor of shape (n,), int64
            The number of each one's recording; only used where each has moments of its own.
        """
        values = compress(instances.to(self._dtype))
        if self._moments is None:
            return values
        assert recordings is not None
        mean, factor = self._moments[:, recordings, None, None, None]
        return values.sub_(mean).mul_(factor)


def statistics(dataset: PatchDataset, experiment: Experiment) -> dict[str, np.ndarray]:
    """Returns the mean and deviation of compressed values that an experiment normalises by.

    They are those of all frames of the training recordings, or of all recordings (`global`), that
    have patches.

    Returns
    -------
    dict of str to np.ndarray
        "mean" and "std", float64 of shape ().
    """
    is_global = experiment.spectrogram_normalisation == "global"
    parts = [dataset.subsets[name].recordings for name in (SUBSETS if is_global else SUBSETS[:1])]
    chosen = np.unique(np.concatenate([part for part in parts if part is not None]))
    return _moments(np.sum([_sums(dataset.source, one) for one in chosen.tolist()], axis=0))


def of_each(source: Recordings) -> dict[str, np.ndarray]:
    """Returns the mean and deviation of each recording's compressed values, (recordings,)."""
    return _moments(np.array([_sums(source, number) for number in range(len(source))]))


def _sums(source: Recordings, recording: int) -> np.ndarray:
    """Returns the number of a recording's values, their sum and their squares' sum, float64."""
    sums = np.zeros(3)
    for values in _blocks(source[recording]):
        sums += len(values), values.sum().item(), values.square().sum().item()
    return sums


def _blocks(frames: np.ndarray) -> Iterator[Tensor]:
    step = max(1, BLOCK_BYTES // (8 * frames.shape[1]))
    for start in range(0, len(frames), step):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            block = torch.from_numpy(frames[start : start + step])
        yield compress(block).double().view(-1)


def _moments(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the mean and deviation, 0 for values that are all the same, of `_sums`."""
    count, total, squares = np.moveaxis(sums, -1, 0)
    mean = total / count
    std = np.sqrt(np.maximum(0, squares / count - mean**2))
    std = np.where(std > ROUNDING * np.maximum(1, mean), std, 0)
    return {"mean": np.asarray(mean), "std": std}
