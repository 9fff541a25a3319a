"""Predicts picture files, brought to what a network was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from datasets.dataset import Dataset, Subset
from datasets.origin import PictureOrigin
from datasets.pictures import PictureError, ignore_harmless
from datasets.workers import num_cores
from results.prediction.outcome import Failed, GivenFile, Predicted
from training.trained import Trained

SUBSET = "given"


def predict_pictures(
    trained: Trained, files: Sequence[GivenFile], *, inverted: bool = False
) -> Iterator[Predicted | Failed]:
    """Yields what has become of every file, in order, some at a time.

    Parameters
    ----------
    trained : Trained
        A network that was trained on pictures.
    files : sequence of GivenFile
    inverted : bool
        Whether the pictures' negatives are predicted.
    """
    origin = PictureOrigin.of(trained.origin)
    read = partial(_read, origin=origin, inverted=inverted)
    with ThreadPoolExecutor(num_cores()) as pool:
        for start in range(0, len(files), trained.at_once):
            block = files[start : start + trained.at_once]
            with warnings.catch_warnings():  # around all threads, as they share the filters
                ignore_harmless()
                pictures = list(pool.map(read, block))
            yield from _predict(trained, origin, block, pictures)


def _read(file: GivenFile, origin: PictureOrigin, inverted: bool) -> np.ndarray | str:
    """Returns a picture, or why there is none."""
    try:
        return origin.read(file.path, inverted=inverted)
    except PictureError as error:
        return str(error)


def _predict(
    trained: Trained,
    origin: PictureOrigin,
    files: Sequence[GivenFile],
    pictures: Sequence[np.ndarray | str],
) -> Iterator[Predicted | Failed]:
    read = [picture for picture in pictures if not isinstance(picture, str)]
    rows: Iterator[np.ndarray] = iter(())
    if read:
        instances = origin.instances(np.stack(read))
        dataset = Dataset(
            path=files[0].path,
            subsets={SUBSET: Subset(instances, np.zeros(len(instances), np.int32))},
            label_to_index={name: index for index, name in enumerate(trained.labels)},
            layout=origin.layout,
            scale=origin.scale,
            picture_shape=origin.shape,
        )
        evaluation = trained.evaluate(dataset, SUBSET, "predicting")
        assert evaluation.log_probabilities is not None
        rows = iter(np.exp(evaluation.log_probabilities.astype(np.float64)))
    for file, picture in zip(files, pictures, strict=True):
        if isinstance(picture, str):
            yield Failed(file, picture)
        else:
            yield Predicted(file, next(rows))
