"""Predicts files, and tells a person what the network says of each."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from common.errors import CommandError
from common.files import make_folder
from datasets.audio import SUFFIXES, AudioError
from datasets.origin import LIGHT_ON_DARK, PICTURES, RECORDINGS
from datasets.pictures import suffixes
from datasets.scan import name_fault
from results.prediction.drawing import prediction_picture
from results.prediction.files import given_files
from results.prediction.outcome import Failed, GivenFile, Predicted, write_table
from results.prediction.pictures import predict_pictures
from results.prediction.recordings import RecordingPredictor
from results.testing import PREDICTIONS
from training.trained import Trained


def predict(
    trained: Trained,
    paths: Sequence[Path],
    *,
    top_k: int = 3,
    inverted: bool = False,
    out_dir: Path | None = None,
) -> list[Predicted]:
    """Predicts pictures or recordings, whichever the network was trained on; a line for each.

    Parameters
    ----------
    trained : Trained
        The network.
    paths : sequence of Path
        Files, and folders of them.
    top_k : int
        How many labels a line has, the most probable ones.
    inverted : bool
        Whether the negatives of pictures are predicted.
    out_dir : Path, optional
        Where predictions.csv goes, and a picture of every recording.

    Raises
    ------
    CommandError
        Where the snapshot does not say how its instances were made, nothing is given, or nothing
        can be written; and at the end, where a file could not be predicted.
    """
    _check(trained, top_k, inverted)
    of_pictures = trained.origin["kind"] == PICTURES
    known = suffixes() if of_pictures else SUFFIXES
    files = given_files(paths, known, PICTURES if of_pictures else RECORDINGS)
    if out_dir is not None:
        make_folder(out_dir)
    faults = [Failed(file, fault) for file in files if (fault := _fault(file))]
    sound = [file for file in files if not _fault(file)]
    if of_pictures:
        outcomes = predict_pictures(trained, sound, inverted=inverted)
    else:
        outcomes = _predict_recordings(trained, sound, out_dir)
    predicted = []
    for outcome in itertools.chain(faults, outcomes):
        if isinstance(outcome, Failed):
            print(outcome, file=sys.stderr, flush=True)
        else:
            print(outcome.line(trained.labels, top_k), flush=True)
            predicted.append(outcome)
    if out_dir is not None:
        write_table(out_dir / PREDICTIONS, predicted, trained.labels)
        print(f"Wrote {out_dir / PREDICTIONS}{'' if of_pictures else ', and a picture of each'}.")
    if len(predicted) < len(files):
        raise CommandError(
            f"{len(files) - len(predicted):,} of {len(files):,} files can't be predicted; the "
            "lines above say why."
        )
    return predicted


def _check(trained: Trained, top_k: int, inverted: bool) -> None:
    kind = trained.origin.get("kind")
    if kind is None:
        raise CommandError(
            f"The snapshot {trained.path} is of an earlier version, and does not say how its "
            "pictures or spectrograms were made; run_experiment --start-from-snapshot "
            f"{trained.path} writes one that does, without further training where it had ended."
        )
    if kind not in (PICTURES, RECORDINGS):
        raise CommandError(
            f"The network of {trained.path} was trained on features of which it is not known what "
            "pictures they were, so no file can be brought to them; train on a dataset of "
            "create_datasets or create_spectrograms."
        )
    if top_k < 1:
        raise CommandError(f"--top-k is {top_k}; give at least 1.")
    if inverted and kind != PICTURES:
        raise CommandError("--invert makes negatives of pictures, not of recordings; leave it out.")
    if trained.origin.get("command") in LIGHT_ON_DARK and not inverted:
        print(
            "The network was trained on pictures that are light on dark; give --invert for those "
            "that are dark on light.",
            file=sys.stderr,
        )


def _fault(file: GivenFile) -> str | None:
    """Returns why a file is not even to be opened, or None."""
    is_special = file.path.exists() and not file.path.is_file()  # as a pipe, which would block
    return "it is no regular file" if is_special else name_fault(file.name)


def _predict_recordings(
    trained: Trained, files: Sequence[GivenFile], out_dir: Path | None
) -> Iterator[Predicted | Failed]:
    predictor = RecordingPredictor(trained)
    for file in files:
        try:
            recording = predictor.read(file.path)
        except AudioError as error:
            yield Failed(file, str(error))
            continue
        predicted = predictor.predict(file, recording)
        if out_dir is not None:
            picture = out_dir / f"{file.name}.png"
            curve = predictor.curve(recording)
            prediction_picture(recording, predicted, curve, trained.labels, picture)
        yield predicted
