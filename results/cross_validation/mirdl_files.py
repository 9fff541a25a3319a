"""MIRdl's own files of a cross-validation, for programs that read them.

Of every run, NAME.result (what was reached), NAME.training (a line for each epoch: its number, the
training and validation loss, the validation accuracy), NAME.param (every setting) and NAME.npz (the
best weights, `numpy.savez` of Lasagne's get_all_param_values); and one .result of all folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from architectures.registry import build
from common.files import whole_file, write_whole
from common.options import to_plain
from common.params import parse_params
from lasagne.layers import Network, get_all_param_values
from results.cross_validation.fold import FoldRun
from training.cross_validation import CrossValidation
from training.snapshot_folder import newest_snapshot
from training.snapshots import load_snapshot


def write_mirdl_files(
    runs: Sequence[FoldRun], results: Mapping[str, Any], options: CrossValidation, folder: Path
) -> None:
    """Writes the files of every run into its folder, and those of all folds into `folder`."""
    for run in runs:
        if (reached := run.results) is None:
            continue
        stem = run.run.path / run.name
        settings = to_plain(options.of_fold())
        settings |= {"fold": run.fold, "seed": options.seed_of(run.number)}
        write_whole(stem.with_suffix(".result"), _lines(reached))
        write_whole(stem.with_suffix(".param"), _lines(settings))
        records = "".join(
            f"{one.epoch},{one.training_loss},{one.validation_loss},{one.validation_accuracy}\n"
            for one in run.records()
        )
        write_whole(stem.with_suffix(".training"), records)
        _write_weights(newest_snapshot(run.run.path), stem.with_suffix(".npz"))
    figures = {name: value for name, value in results.items() if name != "each_fold"}
    write_whole(folder / "cross-validation.result", _lines(figures))


def _lines(values: Mapping[str, Any]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in values.items())


def _write_weights(snapshot_path: Path, path: Path) -> None:
    snapshot = load_snapshot(snapshot_path)
    options, header = snapshot.header["experiment"], snapshot.header
    shape, params = tuple(header["input_shape"]), parse_params(options["model_params"])
    output_layer = build(options["model_architecture"], shape, len(header["labels"]), params)
    Network(output_layer).load_state_dict(snapshot.best_weights)
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez(file, *get_all_param_values(output_layer))
