"""Patches of spectrograms: instances of one shape, cut from mapped recordings without copying them.

All recordings' frames lie in one array, so that every stretch of `patch_frames` frames is a row of
a sliding window over it, a view; a subset is the rows at which its recordings' patches begin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from common.errors import CommandError
from datasets.dataset import Dataset, Subset
from datasets.recordings import Recordings

PatchPolicy = Literal["all", "original"]


@dataclass(frozen=True, eq=False, kw_only=True)
class PatchDataset(Dataset):
    """A dataset whose instances are patches; every `Subset.recordings` says of which recording.

    An instance has the shape (1, bands, frames).

    Parameters
    ----------
    source : Recordings
        What the patches are cut from.
    num_too_short : int
        Recordings that have no patch.
    """

    source: Recordings
    num_too_short: int = 0


def patch_starts(
    offsets: np.ndarray, patch_frames: int, patch_hop: int, policy: PatchPolicy = "all"
) -> tuple[np.ndarray, np.ndarray]:
    """Returns where patches begin, and which recording each one is of; both int64 (patches,).

    Parameters
    ----------
    offsets : np.ndarray of shape (recordings + 1,), int64
        See `Recordings`; what is returned counts from their 0.
    patch_frames, patch_hop : int
        A patch's length, and the way from one's first frame to the next one's.
    policy : 'all' or 'original'
        All whole patches; or without each recording's last one, as MIRdl's `chunk` had it.
    """
    steps = (np.diff(offsets) - patch_frames) // patch_hop
    counts = np.maximum(0, steps + 1 if policy == "all" else steps)
    recordings = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(recordings)) - np.repeat(np.cumsum(counts) - counts, counts)
    return offsets[recordings] + number * patch_hop, recordings


def patch_dataset(
    recordings: Recordings,
    parts: Mapping[str, np.ndarray],
    patch_frames: int,
    patch_hop: int,
    policy: PatchPolicy = "all",
) -> PatchDataset:
    """Cuts recordings into patches.

    Parameters
    ----------
    recordings : Recordings
    parts : mapping of str to np.ndarray
        The numbers of each subset's recordings.
    patch_frames, patch_hop, policy
        See `patch_starts`.

    Raises
    ------
    CommandError
        Where no recording is as long as a patch.
    """
    _check(recordings, patch_frames, patch_hop, policy)
    starts, of = patch_starts(recordings.offsets, patch_frames, patch_hop, policy)
    windows = sliding_window_view(recordings.frames, patch_frames, axis=0)[:, np.newaxis]
    subsets = {}
    for name, part in parts.items():
        chosen = np.isin(of, part)
        labels = recordings.labels[of[chosen]]
        subsets[name] = Subset(windows, labels, starts[chosen], of[chosen].astype(np.int32))
    return PatchDataset(
        path=recordings.path,
        subsets=subsets,
        label_to_index=recordings.label_to_index,
        layout="nchw",
        scale=1.0,
        picture_shape=None,
        created_by=recordings.created_by,
        source=recordings,
        num_too_short=len(recordings) - len(np.unique(of)),
    )


def _check(recordings: Recordings, patch_frames: int, patch_hop: int, policy: PatchPolicy) -> None:
    for name, value in (("frames", patch_frames), ("hop", patch_hop)):
        if value < 1:
            raise CommandError(f"--patch-{name} is {value}; give at least 1.")
    longest = int(recordings.num_frames.max())
    # The original needs a frame's way more than a patch for its first one.
    needed = patch_frames + (patch_hop if policy == "original" else 0)
    if longest < needed:
        seconds = longest / recordings.frames_per_second
        raise CommandError(
            f"--patch-frames {patch_frames} needs recordings of {needed} frames, but the longest "
            f"in {recordings.path} has {longest} ({seconds:.1f} s); give fewer."
        )
