"""Predicts recordings by the patches of their spectrograms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from datasets.analyse import spectrogram
from datasets.audio import AudioError
from datasets.dataset import Dataset
from datasets.patches import PatchPolicy, patch_dataset
from datasets.recordings import Recordings
from datasets.spectra import Parameters
from results.prediction.outcome import GivenFile, Predicted
from results.scores import scores_of
from training.trained import Trained

SUBSET = "given"
CURVE_PARTS = 10  # of a patch, which a curve's points are apart


@dataclass(frozen=True)
class RecordingPredictor:
    """Predicts recordings by a network that was trained on spectrograms."""

    trained: Trained

    @cached_property
    def parameters(self) -> Parameters:
        """What its spectrograms are made by."""
        return Parameters.of(self.trained.origin["parameters"])

    @property
    def patch_seconds(self) -> float:
        """How long a patch is."""
        return self.trained.experiment.patch_frames / self.frames_per_second

    @property
    def frames_per_second(self) -> float:
        """How many frames begin in a second."""
        return self.parameters.sample_rate / self.parameters.hop_size

    def read(self, path: Path) -> Recordings:
        """Makes a recording's spectrogram as the training's were made.

        Raises
        ------
        AudioError
            Where it can't be read, is silent or has no patch.
        """
        frames = spectrogram(path, self.parameters)
        experiment = self.trained.experiment
        needed = experiment.patch_frames
        if experiment.patch_policy == "original":  # which leaves out a recording's last one
            needed += experiment.frames_between_patches
        if len(frames) < needed:
            raise AudioError(
                f"it is too short, {len(frames) / self.frames_per_second:.1f} s, and the network "
                f"needs {needed / self.frames_per_second:.1f} s"
            )
        return Recordings(
            path=path,
            frames=frames,
            offsets=np.array([0, len(frames)], np.int64),
            labels=np.zeros(1, np.int32),
            names=[path.name],
            label_to_index={name: index for index, name in enumerate(self.trained.labels)},
            parameters=self.parameters.plain(),
        )

    def predict(self, file: GivenFile, recording: Recordings) -> Predicted:
        """Predicts a recording by the patches that one of the training has."""
        experiment = self.trained.experiment
        hop, policy = experiment.frames_between_patches, experiment.patch_policy
        dataset = self._patches(recording, hop, policy)
        evaluation = self.trained.evaluate(dataset, SUBSET, "predicting")
        scores = scores_of(evaluation, dataset.subset(SUBSET))
        assert scores.votes is not None and scores.patches is not None
        return Predicted(
            file, scores.probabilities[0], int(scores.votes[0]), int(scores.patches[0])
        )

    def curve(self, recording: Recordings) -> tuple[np.ndarray, np.ndarray]:
        """Returns the probabilities over time, of patches that overlap by nine tenths.

        Returns
        -------
        seconds : np.ndarray of shape (n,), float64
            The middle of each patch.
        probabilities : np.ndarray of shape (n, labels), float64
        """
        frames = self.trained.experiment.patch_frames
        dataset = self._patches(recording, max(1, frames // CURVE_PARTS), "all")
        evaluation = self.trained.evaluate(dataset, SUBSET, "predicting over time")
        starts = dataset.subset(SUBSET).rows
        assert starts is not None and evaluation.log_probabilities is not None
        seconds = (starts + frames / 2) / self.frames_per_second
        return seconds, np.exp(evaluation.log_probabilities.astype(np.float64))

    def _patches(self, recording: Recordings, hop: int, policy: PatchPolicy) -> Dataset:
        frames = self.trained.experiment.patch_frames
        return patch_dataset(recording, {SUBSET: np.zeros(1, np.int64)}, frames, hop, policy)
