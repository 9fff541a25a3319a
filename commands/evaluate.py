"""Evaluates a snapshot's network on a dataset: loss, accuracy, predictions, confusion matrix.

Mean, scale, crops, patches and normalisation are those of the training; nothing of it is to be
typed again. Of spectrograms it says what is true of recordings, by the mean probability and by the
majority vote of their patches. The folder gets evaluation.json, predictions.csv and
confusion-matrix.png.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from common.options import Shape
from training.experiment import Precision

GROUP = "Experiments"


@dataclass(frozen=True)
class Options:
    """The options of evaluate."""

    snapshot: Path
    """Snapshot of run_experiment, whose best weights are evaluated."""

    dataset_path: Path | None = None
    """Dataset whose labels are the network's, or some of them; None is that of the training."""

    test_subset: Literal["testing", "validation", "training", "all"] = "testing"
    """Subset that is evaluated; all are all instances of the file."""

    top_k: Shape = (1,)
    """Numbers of most probable labels that the right one is looked for among, as in 1,5."""

    evaluation_crops: Literal["as-trained", "centre", "ten"] | None = None
    """What is evaluated of a picture, see run_experiment; None is what the training did and, where
    that is the centre of a picture, ten crops as well."""

    out_dir: Path | None = None
    """Folder to write to; unless given, evaluation-DATASET-SUBSET-epoch-EPOCH beside the snapshot.
    """

    batch_size: int | None = None
    """Inputs that are computed at once; None is as many as in training."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1, …; auto is the first GPU where there is one."""

    precision: Precision | None = None
    """As in run_experiment; None is that of the training."""


def run(options: Options) -> dict[str, Any]:
    """Evaluates; returns what evaluation.json holds, and its folder as `folder`."""
    from results.snapshot_evaluation import evaluate_snapshot
    from training.trained import Trained

    trained = Trained(
        options.snapshot,
        evaluation_crops=options.evaluation_crops,
        batch_size=options.batch_size,
        device=options.device,
        precision=options.precision,
    )
    return evaluate_snapshot(
        trained,
        options.dataset_path,
        options.test_subset,
        options.top_k,
        options.out_dir,
        ten_crops=options.evaluation_crops is None,
    )
