"""Evaluates a snapshot's network on a dataset, and writes what has come of it."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import CommandError
from common.files import make_folder, write_whole
from common.host import memory
from common.sizes import size_text
from datasets.convert import SUFFIX
from datasets.dataset import Dataset
from datasets.origin import origin_of
from datasets.patches import PatchDataset
from results.dataset_lines import subset_size
from results.scores import Scores, scores_of
from results.tables import loss_text
from results.testing import PICTURE, PREDICTIONS, Tested, weights_text
from training.matching import ALL, open_matching
from training.trained import Trained

RESULTS = "evaluation.json"
PROBABILITY_BYTES = 24  # as float32, float64 and while they are compared


def evaluate_snapshot(
    trained: Trained,
    dataset_path: Path | None = None,
    subset: str = "testing",
    top_k: Sequence[int] = (1,),
    out_dir: Path | None = None,
    *,
    ten_crops: bool = False,
) -> dict[str, Any]:
    """Evaluates a network, tells a person what it is worth, and writes files into a folder.

    Parameters
    ----------
    trained : Trained
        The network.
    dataset_path : Path, optional
        The dataset; that of the training unless given.
    subset : str
        Of the dataset, or `ALL`.
    top_k : sequence of int
        Each k of which the share of labels among the k most probable is wanted, of recordings by
        their mean probabilities.
    out_dir : Path, optional
        The folder; unless given, it is beside the snapshot and named after the dataset, the subset
        and the weights' epoch.
    ten_crops : bool
        Whether a network that sees a picture's centre alone is evaluated on ten crops as well.

    Returns
    -------
    dict
        What evaluation.json holds, and the folder as `folder`.

    Raises
    ------
    CommandError
        Where the dataset is none for this network, a k makes no sense, or nothing can be written.
    """
    _check(top_k, len(trained.labels))
    dataset = open_matching(trained, dataset_path, subset)
    _check_memory(len(dataset.subset(subset)), len(trained.labels))
    folder = make_folder(out_dir or _folder_of(trained, dataset, subset))
    print(f"snapshot {trained.path}, {weights_text(trained.epoch)}")
    unit = "" if isinstance(dataset, PatchDataset) else " instances"
    print(f"dataset {dataset.path}, {subset}: {subset_size(dataset.subset(subset))}{unit}")
    if line := _prepared_otherwise(trained, dataset):
        print(line)
    print(f"device {trained.compute}", flush=True)
    start = time.perf_counter()
    evaluation = trained.evaluate(dataset, subset, f"evaluating on {subset}")
    seconds = time.perf_counter() - start
    scores = scores_of(evaluation, dataset.subset(subset))
    tested = Tested(subset, dataset, evaluation, scores, trained.epoch)
    results = {
        "snapshot": str(trained.path),
        "dataset": str(dataset.path),
        "subset": subset,
        "instances": len(dataset.subset(subset)),
        **tested.figures,
        **_shares(scores, top_k),
        "labels": trained.labels,
        "evaluation_crops": trained.experiment.evaluation_crops,
        "device": str(trained.compute.device),
        "precision": trained.compute.precision,
        "seconds": seconds,
    }
    if ten_crops and trained.sees_the_centre_alone and not isinstance(dataset, PatchDataset):
        results["ten_crops"] = _on_ten_crops(trained, dataset, subset, top_k)
    architecture = trained.experiment.model_architecture
    tested.write(folder, f"{architecture} on {dataset.path.name}, {subset}")
    write_whole(folder / RESULTS, json.dumps(results, indent=2) + "\n")
    _tell(trained, tested, results)
    print(f"Wrote {RESULTS}, {PREDICTIONS} and {PICTURE} in {folder}.")
    return results | {"folder": str(folder)}


def _prepared_otherwise(trained: Trained, dataset: Dataset) -> str:
    """Returns what to say where pictures became squares in another way than the network knows."""
    known, found = (origin.get("steps") for origin in (trained.origin, origin_of(dataset)))
    if not known or not found or known == found:
        return ""
    texts = (" then ".join(f"{mode} to {h}x{w}" for mode, h, w in one) for one in (found, known))
    return "pictures were made by {}, but the network knows them by {}".format(*texts)


def _check(top_k: Sequence[int], num_labels: int) -> None:
    for k in top_k:
        if not 1 <= k <= num_labels:
            raise CommandError(
                f"--top-k has {k}; give numbers from 1 to {num_labels}, the network's labels, as "
                f"in --top-k 1,{min(5, num_labels)}."
            )


def _check_memory(instances: int, labels: int) -> None:
    """Raises CommandError where the probabilities of all labels of all instances need too much."""
    needed, free = instances * labels * PROBABILITY_BYTES, memory()[0]
    if needed > free:
        raise CommandError(
            f"{labels:,} probabilities of each of {instances:,} instances take "
            f"{size_text(needed)}, and {size_text(free)} are free; evaluate a smaller subset."
        )


def _shares(scores: Scores, top_k: Sequence[int]) -> dict[str, float]:
    return {f"top_{k}_accuracy": scores.top_accuracy(k) for k in top_k if k > 1}


def _on_ten_crops(
    trained: Trained, dataset: Dataset, subset: str, top_k: Sequence[int]
) -> dict[str, float]:
    evaluation = trained.evaluate(dataset, subset, "evaluating ten crops", ten_crops=True)
    scores = scores_of(evaluation, dataset.subset(subset))
    figures = {"loss": evaluation.loss, "accuracy": evaluation.accuracy}
    return figures | _shares(scores, top_k)


def _folder_of(trained: Trained, dataset: Dataset, subset: str) -> Path:
    """Returns the folder beside the snapshot, another one for another snapshot or dataset."""
    stem = f"{dataset.path.name.removesuffix(SUFFIX)}-{subset}"
    name = f"epoch-{trained.epoch}" if trained.epoch else trained.path.stem
    own = {"snapshot": str(trained.path), "dataset": str(dataset.path)}
    for number in itertools.count(1):
        suffix = f"-{number}" if number > 1 else ""
        folder = trained.path.parent / f"evaluation-{stem}-{name}{suffix}"
        try:
            there = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return folder
        if trained.epoch:  # another snapshot of the run may have the same best weights
            own["snapshot"] = there["snapshot"]
        if own.items() <= there.items():
            return folder
    raise AssertionError


def _tell(trained: Trained, tested: Tested, results: dict[str, Any]) -> None:
    print(f"\n{tested}")
    of = " of recordings" if tested.scores.recordings is not None else ""
    for line in _top_lines(results, of):
        print(line)
    if ten := results.get("ten_crops"):
        print(f"on ten crops: accuracy {ten['accuracy']:.2%}, loss {loss_text(ten['loss'])}")
        for line in _top_lines(ten, " on ten crops"):
            print(line)
    if tested.subset == ALL and _is_same(tested.dataset.path, trained.experiment.dataset_path):
        print("The network was trained on most of these, so that it knows them.")


def _top_lines(figures: Mapping[str, Any], of: str) -> list[str]:
    return [
        f"{name.removesuffix('_accuracy').replace('_', '-')} accuracy{of} {value:.2%}"
        for name, value in figures.items()
        if name.startswith("top_")
    ]


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
