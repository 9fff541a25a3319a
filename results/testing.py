"""What a network is worth on a subset: figures, predictions.csv and the confusion matrix."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.files import write_whole
from datasets.dataset import Dataset
from datasets.patches import PatchDataset
from results.confusion import confusion_matrix, confusion_picture
from results.scores import Scores, scores_of
from results.tables import loss_text
from training.evaluation import Evaluation
from training.experiment import Experiment
from training.matching import ALL
from training.trainer import Trainer

PREDICTIONS, PICTURE = "predictions.csv", "confusion-matrix.png"


@dataclass(frozen=True, eq=False)
class Tested:
    """A network's evaluation on a subset.

    Parameters
    ----------
    subset : str
        Its name.
    dataset : Dataset
        That it is of.
    evaluation : Evaluation
        Of every instance; of patches, every patch.
    scores : Scores
        Of every instance or, where these are patches, of every recording.
    epoch : int
        The one that the weights are of.
    """

    subset: str
    dataset: Dataset
    evaluation: Evaluation
    scores: Scores
    epoch: int

    @property
    def figures(self) -> dict[str, Any]:
        """Loss, accuracy and the weights' epoch; of patches, also what is true of recordings."""
        figures: dict[str, Any] = {
            "loss": self.evaluation.loss,
            "accuracy": self.evaluation.accuracy,
            "epoch": self.epoch,
        }
        if self.scores.recordings is not None:
            figures["recordings"] = len(self.scores.recordings)
            figures["recording_accuracy"] = self.scores.accuracy
            figures["vote_accuracy"] = self.scores.vote_accuracy
        return figures

    @property
    def results(self) -> dict[str, Any]:
        """What results.json holds of it."""
        return {f"{self.subset}_{name}": value for name, value in self.figures.items()}

    @property
    def names(self) -> list[str]:
        """The name of every recording, or the row of every instance in its subset as it is stored.

        Of a fold it is the row in all subsets, one after another; in `ALL`, `<subset>/<number>`.
        """
        if isinstance(self.dataset, PatchDataset) and self.scores.recordings is not None:
            return [self.dataset.source.names[number] for number in self.scores.recordings]
        if self.subset != ALL:
            rows = self.dataset.subset(self.subset).rows
            return [str(row) for row in (range(len(self.scores.labels)) if rows is None else rows)]
        parts = {name: part for name, part in self.dataset.subsets.items() if name != ALL}
        return [f"{name}/{number}" for name, part in parts.items() for number in range(len(part))]

    def __str__(self) -> str:
        """Returns the lines for the screen."""
        return testing_line(self.subset, self.results)

    def write(self, folder: Path, title: str) -> None:
        """Writes predictions.csv and confusion-matrix.png."""
        labels, scores = self.dataset.label_names, self.scores
        write_predictions(folder / PREDICTIONS, self.names, scores, labels)
        matrix = confusion_matrix(scores.labels, scores.predictions, len(labels))
        confusion_picture(matrix, labels, title, folder / PICTURE)


def evaluated(trainer: Trainer, subset: str = "testing") -> Tested:
    """Evaluates the best weights on a subset, on every process of a group alike."""
    evaluation = trainer.evaluate(subset)
    epoch = trainer.best.epoch if trainer.best else 0
    scores = scores_of(evaluation, trainer.dataset.subset(subset))
    return Tested(subset, trainer.dataset, evaluation, scores, epoch)


def title_of(experiment: Experiment) -> str:
    """Returns the title of an experiment's pictures."""
    return f"{experiment.model_architecture} on {experiment.dataset_path.name}"


def testing_line(subset: str, results: dict[str, Any]) -> str:
    """Returns what results.json holds of a subset's evaluation, for the screen."""
    figures = {
        name.removeprefix(f"{subset}_"): value
        for name, value in results.items()
        if name.startswith(f"{subset}_")
    }
    name = "overall" if subset == ALL else subset
    if "recordings" not in figures:
        text = f"{name} accuracy {figures['accuracy']:.2%}"
    else:
        text = (
            f"{name} accuracy of {figures['recordings']} recordings "
            f"{figures['recording_accuracy']:.2%} by mean probability, "
            f"{figures['vote_accuracy']:.2%} by majority vote, of their patches "
            f"{figures['accuracy']:.2%}"
        )
    loss, epoch = loss_text(figures["loss"]), figures["epoch"]
    return f"{text}, {name} loss {loss} ({weights_text(epoch)})"


def weights_text(epoch: int) -> str:
    """Returns which weights they are, by the best epoch's number; 0 where none was whole."""
    return f"weights of epoch {epoch}" if epoch else "weights from before the first epoch"


def write_predictions(path: Path, names: list[str], scores: Scores, label_names: list[str]) -> None:
    """Writes a line for each instance or recording to a CSV file, whole or not at all.

    Its columns are name, label, prediction, probability (of the prediction), label_probability (of
    the label) and, of recordings, vote and patches.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    columns = ["name", "label", "prediction", "probability", "label_probability"]
    with_patches = scores.votes is not None and scores.patches is not None
    writer.writerow(columns + ["vote", "patches"] * with_patches)
    rows = np.arange(len(scores.labels))
    probabilities = scores.probabilities[rows, scores.predictions]
    of_labels = scores.probabilities[rows, scores.labels]
    for row, name in enumerate(names):
        true, predicted = scores.labels[row], scores.predictions[row]
        values = [f"{probabilities[row]:.6g}", f"{of_labels[row]:.6g}"]
        if scores.votes is not None and scores.patches is not None:
            values += [label_names[scores.votes[row]], str(scores.patches[row])]
        writer.writerow([name, label_names[true], label_names[predicted], *values])
    write_whole(path, stream.getvalue())
