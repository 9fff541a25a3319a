"""What a run says of its dataset before it begins."""

from __future__ import annotations

import numpy as np

from datasets.dataset import Dataset, Subset
from datasets.patches import PatchDataset
from training.experiment import Experiment

LEAK = (
    "spectrograms are normalised over all recordings, those tested on too, as in MIRdl's paper: "
    "what is known of them leaks into training"
)


def dataset_lines(dataset: Dataset, experiment: Experiment) -> list[str]:
    """Returns what there is to train on, and how it was chosen."""
    sizes = ", ".join(f"{subset_size(part)} {name}" for name, part in dataset.subsets.items())
    lines = [f"dataset {dataset.path}: {sizes}; {len(dataset.label_names)} labels"]
    if experiment.fold is not None or isinstance(dataset, PatchDataset):
        lines.append(f"fold {experiment.fold or 1} of {experiment.folds} is tested on")
    if isinstance(dataset, PatchDataset):
        if dataset.num_too_short:
            recordings = _counted(dataset.num_too_short, "recording", "recordings")
            have = "has" if dataset.num_too_short == 1 else "have"
            lines.append(f"{recordings} {have} no patch of {experiment.patch_frames} frames")
        if experiment.spectrogram_normalisation == "global":
            lines.append(LEAK)
    return lines


def subset_size(subset: Subset) -> str:
    """Returns how many instances, or patches of how many recordings, a subset has."""
    if subset.recordings is None:
        return f"{len(subset):,}"
    recordings = _counted(len(np.unique(subset.recordings)), "recording", "recordings")
    return f"{_counted(len(subset), 'patch', 'patches')} of {recordings}"


def _counted(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"
