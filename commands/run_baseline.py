"""Trains and tests a scikit-learn baseline on a dataset's raw pixels."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from datasets.dataset import Dataset

GROUP = "Experiments"
LARGEST_SEED = 2**32 - 1_000_000  # scikit-learn takes 32 bits; each forest adds one


@dataclass(frozen=True)
class Options:
    """What to train on what."""

    dataset_path: Annotated[Path, Positional, arg(metavar="DATASET_PATH")]
    """The dataset."""
    baseline_name: Positional[Literal["random_forest", "linear"]]
    """A random forest, or a linear support vector machine on scaled features."""
    rf_n_estimators: int = 100
    """Trees in a random forest."""
    rf_num_iter: int = 10
    """Random forests, each with its own seed; their mean and standard deviation are printed."""
    random_state: int = 0
    """The (first) seed."""
    labels_to_keep: str = ""
    """Only these labels, as in jazz,metal; all unless given."""
    test_subset: Literal["validation", "testing"] = "validation"
    """What accuracy is measured on; testing trains on the validation subset as well."""
    out_dir: Path | None = None
    """Where results.json goes; unless given, runs/<time>-<baseline>."""


def run(options: Options) -> dict[str, Any]:
    """Prints the accuracy; returns what results.json holds, and its folder as `run`."""
    from common.errors import CommandError
    from common.options import checked, to_plain
    from common.params import parse_names
    from datasets.container import open_dataset
    from results.run_folder import RunFolder, new_folder, refuse_results

    options = checked(options)
    if min(options.rf_n_estimators, options.rf_num_iter) < 1:
        raise CommandError("--rf-n-estimators and --rf-num-iter must be at least 1.")
    if not 0 <= options.random_state < LARGEST_SEED:
        raise CommandError(
            f"--random-state is {options.random_state}; give 0 to {LARGEST_SEED - 1:,}."
        )
    dataset = open_dataset(options.dataset_path)
    if options.labels_to_keep:
        dataset = dataset.keep_labels(parse_names(options.labels_to_keep))
    if not len(dataset.subset(options.test_subset)):
        raise CommandError(
            f"The {options.test_subset} subset of {dataset.path} is empty; give another "
            "--test-subset."
        )
    if options.out_dir:
        refuse_results(options.out_dir)
    folder = RunFolder(options.out_dir or new_folder(options.baseline_name))
    start = time.monotonic()
    accuracies = _accuracies(options, dataset)
    mean, deviation = statistics.fmean(accuracies), statistics.pstdev(accuracies)
    seconds = time.monotonic() - start
    spread = f" ± {deviation:.2%}" if len(accuracies) > 1 else ""
    print(f"{options.baseline_name}: {options.test_subset} accuracy {mean:.2%}{spread}")
    print(f"{seconds:.1f} s; results in {folder.path / 'results.json'}")
    results = {
        "options": to_plain(options),
        "accuracies": accuracies,
        "accuracy": mean,
        "standard_deviation": deviation,
        "seconds": seconds,
    }
    folder.write_results(results)
    return results | {"run": str(folder.path)}


def _accuracies(options: Options, dataset: Dataset) -> list[float]:
    from training.baselines import linear_accuracy, random_forest_accuracies

    if options.baseline_name == "linear":
        return [linear_accuracy(dataset, options.test_subset, options.random_state)]
    accuracies: list[float] = []
    for accuracy in random_forest_accuracies(
        dataset,
        options.test_subset,
        options.rf_n_estimators,
        options.rf_num_iter,
        options.random_state,
    ):
        print(f"forest {len(accuracies) + 1} of {options.rf_num_iter}: {accuracy:.2%}", flush=True)
        accuracies.append(accuracy)
    return accuracies
