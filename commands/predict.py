"""Predicts the labels of pictures or recordings by a snapshot's network.

Pictures of any size are brought to what the network was trained on, and recordings become
spectrograms just as its were, cut into patches: they are predicted by the mean of their patches'
probabilities, and by the majority. Prints the most probable labels of each; OUT_DIR gets
predictions.csv and, of every recording, its spectrogram above the probabilities over time. What
can't be read is named, and the exit status is 1 then.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from training.experiment import Precision

if TYPE_CHECKING:
    from results.prediction.outcome import Predicted

GROUP = "Experiments"


@dataclass(frozen=True)
class Options:
    """The options of predict."""

    files: Annotated[
        tuple[Path, ...], Positional, arg(metavar="FILE…", help_behavior_hint="(one or more)")
    ]
    """Pictures or recordings, or folders of them."""

    snapshot: Path
    """Snapshot of run_experiment, whose best weights predict."""

    top_k: int = 3
    """Number of most probable labels to print of each."""

    out_dir: Path | None = None
    """Folder for predictions.csv and the recordings' pictures; None writes nothing."""

    invert: bool = False
    """Predict the pictures' negatives: black on white by a network trained on white on black."""

    batch_size: int | None = None
    """Inputs that are computed at once; None is as many as in training."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1, …; auto is the first GPU where there is one."""

    precision: Precision | None = None
    """As in run_experiment; None is that of the training."""


def run(options: Options) -> list[Predicted]:
    """Prints the predictions, writes what is asked for, and returns them."""
    from results.prediction.run import predict
    from training.trained import Trained

    trained = Trained(
        options.snapshot,
        batch_size=options.batch_size,
        device=options.device,
        precision=options.precision,
    )
    return predict(
        trained,
        options.files,
        top_k=options.top_k,
        inverted=options.invert,
        out_dir=options.out_dir,
    )
