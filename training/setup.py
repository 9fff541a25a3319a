"""Makes a trainer of an experiment: opens the dataset, builds the network, takes up a snapshot."""

from __future__ import annotations

import inspect
import math
import os
import warnings
from collections.abc import Callable
from typing import cast

import numpy as np
import torch

import lasagne
from architectures.registry import build
from common.errors import CommandError
from common.params import parse_names, parse_params
from datasets.container import open_dataset
from datasets.dataset import Dataset
from lasagne.layers import Layer
from training.batches import (
    Preparation,
    choose_crops,
    cropped_shape,
    network_shape,
    training_mean,
)
from training.devices import choose_compute
from training.experiment import Experiment
from training.policies import AdaptiveRate, ConstantRate
from training.snapshots import Snapshot, check_fits, check_weights, load_snapshot
from training.trainer import Trainer


def prepare(experiment: Experiment) -> Trainer:
    """Makes everything ready to train or test.

    Raises CommandError where options, dataset, architecture or snapshot don't fit one another.
    """
    _check(experiment)
    compute = choose_compute(
        experiment.device, experiment.precision, os.environ.get("THEANO_FLAGS", "")
    )
    dataset = _open(experiment)
    shape = network_shape(dataset, experiment.reshape_to)
    crops = choose_crops(
        experiment.num_crops, experiment.crop_shape, experiment.mirror_crops, shape
    )
    num_training = 0 if experiment.test_only else len(dataset.subset("training"))
    _check_sizes(experiment, crops.per_instance if crops else 1, num_training)
    input_shape = cropped_shape(shape, crops)
    output_layer = _output_layer(experiment, input_shape, dataset)
    snapshot = _snapshot(experiment, dataset, input_shape)
    mean = _mean(experiment, dataset, snapshot)
    scale = experiment.input_scale if experiment.input_scale is not None else 1 / dataset.scale
    preparation = Preparation(dataset, shape, scale, mean, crops, compute.device, compute.dtype)
    trainer = Trainer(
        experiment,
        dataset,
        compute,
        output_layer,
        _optimizer_maker(experiment, output_layer),
        AdaptiveRate() if experiment.adapt_learning_rate else ConstantRate(),
        preparation,
        mean,
    )
    if snapshot and experiment.start_from_snapshot:
        wanted = trainer.network.state_dict()
        check_weights(experiment.start_from_snapshot, snapshot.group("network"), wanted)
        trainer.restore(snapshot)
    return trainer


def _check(experiment: Experiment) -> None:
    lowest = {"num_epochs": 0, "batch_size": 1, "chunk_size": 0, "snapshot_every": 0, "seed": 0}
    for name, low in lowest.items():
        value = getattr(experiment, name)
        if value < low:
            raise CommandError(f"{_option(name)} is {value}; give at least {low}.")
    for name in ("learning_rate", "input_scale"):
        value = getattr(experiment, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise CommandError(f"{_option(name)} is {value}; give a number above 0.")
    if experiment.test_only and experiment.start_from_snapshot is None:
        raise CommandError("--test-only needs weights to test; give --start-from-snapshot FILE.")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _check_sizes(experiment: Experiment, per_instance: int, num_training: int) -> None:
    batch, chunk = experiment.batch_size, experiment.chunk_size * per_instance
    if batch % per_instance:
        raise CommandError(
            f"--batch-size {batch} counts crops and must be a multiple of the {per_instance} crops "
            "per instance (mirrors included); "
            f"give {max(1, round(batch / per_instance)) * per_instance}."
        )
    if 0 < chunk < batch:
        raise CommandError(
            f"--chunk-size {experiment.chunk_size} makes {chunk} crops, fewer than one batch of "
            f"{batch}; give at least {-(-batch // per_instance)}."
        )
    if chunk % batch and experiment.chunk_size < num_training:
        warnings.warn(
            f"--chunk-size {experiment.chunk_size} ({chunk} crops) is no multiple of --batch-size "
            f"{batch}: the last batch of each chunk is smaller.",
            stacklevel=2,
        )


def _open(experiment: Experiment) -> Dataset:
    dataset = open_dataset(experiment.dataset_path)
    if experiment.labels_to_keep:
        dataset = dataset.keep_labels(parse_names(experiment.labels_to_keep))
    needed = ["testing"] if experiment.test_only else ["training", "validation"]
    if experiment.test_at_end:
        needed.append("testing")
    for name in needed:
        if not len(dataset.subset(name)):
            raise CommandError(
                f"The {name} subset of {dataset.path} is empty; make a dataset with more instances."
            )
    return dataset


def _output_layer(experiment: Experiment, input_shape: tuple[int, ...], dataset: Dataset) -> Layer:
    lasagne.random.set_rng(np.random.default_rng(experiment.seed))
    params = parse_params(experiment.model_params)
    return build(experiment.model_architecture, input_shape, len(dataset.label_names), params)


def _optimizer_maker(
    experiment: Experiment, output_layer: Layer
) -> Callable[[float], torch.optim.Optimizer]:
    """Returns a function that starts the update rule anew, at a given rate."""
    rule = getattr(lasagne.updates, experiment.update_func_name)
    kwargs = parse_params(experiment.update_func_kwargs)
    accepted = list(inspect.signature(rule).parameters)[3:]
    for name, value in kwargs.items():
        if name not in accepted:
            raise CommandError(
                f"--update-func-kwargs: {experiment.update_func_name} has no parameter '{name}'. "
                f"It has: {', '.join(accepted) or 'none'}."
            )
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CommandError(f"--update-func-kwargs: '{name}' is {value!r}; give a number.")
    params = lasagne.layers.get_all_params(output_layer, trainable=True)

    def make(rate: float) -> torch.optim.Optimizer:
        try:
            return cast(torch.optim.Optimizer, rule(None, params, rate, **kwargs))
        except ValueError as error:
            raise CommandError(f"--update-func-kwargs: {error}.") from error

    return make


def _snapshot(
    experiment: Experiment, dataset: Dataset, input_shape: tuple[int, ...]
) -> Snapshot | None:
    if experiment.start_from_snapshot is None:
        return None
    snapshot = load_snapshot(experiment.start_from_snapshot)
    wanted = {
        "architecture": (experiment.model_architecture, experiment.model_params),
        "labels": dataset.label_names,
        "input_shape": list(input_shape),
    }
    check_fits(experiment.start_from_snapshot, snapshot.header, wanted)
    return snapshot


def _mean(experiment: Experiment, dataset: Dataset, snapshot: Snapshot | None) -> np.ndarray | None:
    if not experiment.subtract_mean:
        return None
    if snapshot and "mean" in snapshot.tensors:
        return snapshot.tensors["mean"].numpy()
    return training_mean(dataset)
