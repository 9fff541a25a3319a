"""What has become of a file: a prediction, or the reason why there is none."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.files import write_whole

MOST_COLUMNS = 50  # labels up to which each has a column of a table
RANKED = 10  # labels in a table of more


@dataclass(frozen=True)
class GivenFile:
    """A file to predict: its path, and its name below the folder that all files lie in."""

    path: Path
    name: str


@dataclass(frozen=True)
class Failed:
    """A file that can't be predicted, and why, in a few words."""

    file: GivenFile
    reason: str

    def __str__(self) -> str:
        """Returns the line for the screen."""
        return f"{str(self.file.path)!a} can't be predicted: {self.reason}"


@dataclass(frozen=True, eq=False)
class Predicted:
    """A file's prediction.

    Parameters
    ----------
    file : GivenFile
    probabilities : np.ndarray of shape (labels,), float64
        Of a recording, the mean of its patches'.
    vote : int, optional
        The label that most patches of a recording are predicted to have.
    patches : int, optional
        How many a recording has.
    """

    file: GivenFile
    probabilities: np.ndarray
    vote: int | None = None
    patches: int | None = None

    def line(self, label_names: Sequence[str], top_k: int) -> str:
        """Returns the line for the screen, with the `top_k` most probable labels."""
        best = np.argsort(-self.probabilities, kind="stable")[:top_k]
        shares = [f"{label_names[label]} {self.probabilities[label]:.1%}" for label in best]
        line = f"{self.file.name}: {', '.join(shares)}"
        if self.vote is None:
            return line
        patches = "1 patch" if self.patches == 1 else f"{self.patches} patches"
        return f"{line}; most of {patches}: {label_names[self.vote]}"


def write_table(path: Path, predicted: Sequence[Predicted], label_names: Sequence[str]) -> None:
    """Writes a line for each file to a CSV file, whole or not at all.

    Its columns are name, prediction, of recordings vote and patches, and `probability_<label>` for
    each label; of more than `MOST_COLUMNS` labels, the most probable ones and their probabilities.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    of_recordings = any(one.vote is not None for one in predicted)
    columns = ["name", "prediction", *(["vote", "patches"] if of_recordings else [])]
    writer.writerow(columns + _probability_columns(label_names))
    for one in predicted:
        cells = [one.file.name, label_names[int(one.probabilities.argmax())]]
        if one.vote is not None:
            cells += [label_names[one.vote], str(one.patches)]
        writer.writerow(cells + _probability_cells(one, label_names))
    write_whole(path, stream.getvalue())


def _probability_columns(label_names: Sequence[str]) -> list[str]:
    if len(label_names) <= MOST_COLUMNS:
        return [f"probability_{label}" for label in label_names]
    ranks = range(1, RANKED + 1)
    return [f"{kind}_{rank}" for rank in ranks for kind in ("label", "probability")]


def _probability_cells(one: Predicted, label_names: Sequence[str]) -> list[str]:
    if len(label_names) <= MOST_COLUMNS:
        return [f"{value:.6g}" for value in one.probabilities]
    best = np.argsort(-one.probabilities, kind="stable")[:RANKED].tolist()
    return [text for i in best for text in (label_names[i], f"{one.probabilities[i]:.6g}")]
