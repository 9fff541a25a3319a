"""Makes a trainer of an experiment: opens the dataset, builds the network, takes up a snapshot."""

from __future__ import annotations

import math
import os
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from common.errors import CommandError
from common.host import memory
from datasets.dataset import Dataset
from datasets.patches import PatchDataset
from lasagne.layers import Network
from training import log0m1v
from training.averages import WeightAverage
from training.batches import network_shape, training_statistics
from training.devices import Compute, choose_compute
from training.distributed import ALONE, Group
from training.experiment import Experiment
from training.host_memory import keep_freed_memory
from training.loss import check_smoothing
from training.memory import estimate
from training.micro_batches import choose_micro_batch_size
from training.model import make_network, make_output_layer, make_preparation
from training.order import run_length
from training.out_of_memory import memory_told
from training.policies import make_policy
from training.snapshot_folder import newest_snapshot
from training.snapshots import Snapshot, check_fits, check_weights, load_snapshot
from training.start_weights import set_start_weights, start_snapshot
from training.step import Step
from training.subsets import check_unchanged, open_subsets
from training.trainer import Trainer
from training.update_rule import optimizer_maker
from training.views import Views, choose_views

LOWEST = {
    "num_epochs": 0,
    "batch_size": 1,
    "micro_batch_size": 1,
    "chunk_size": 0,
    "shuffle_run": 1,
    "max_minutes": 0,
    "clip_gradient_norm": 0,
    "snapshot_every": 0,
    "snapshot_minutes": 0,
    "keep_snapshots": 0,
    "seed": 0,
}


def prepare(experiment: Experiment, group: Group = ALONE) -> Trainer:
    """Makes everything ready to train or test, on every process of a group alike.

    Raises CommandError where options, dataset, architecture or snapshot don't fit one another.
    """
    experiment = _from_snapshot(experiment)
    _check(experiment)
    policy = make_policy(experiment)
    compute = choose_compute(
        str(group.device or experiment.device),
        experiment.precision,
        os.environ.get("THEANO_FLAGS", ""),
    )
    dataset = open_needed(experiment)
    experiment = _with_order(experiment, dataset, group)
    shape, views = _inputs(experiment, dataset, group.size)
    with memory_told(experiment):
        output_layer = make_output_layer(experiment, views.input_shape, len(dataset.label_names))
        network = make_network(output_layer, compute, experiment)
    snapshot = _snapshot(experiment, dataset, views.input_shape)
    begun = _begin_with_weights(experiment, dataset, views, network)
    statistics = _statistics(experiment, dataset, shape, snapshot or begun)
    preparation = make_preparation(experiment, dataset, views, statistics, output_layer, compute)
    make_optimizer = optimizer_maker(experiment, output_layer)
    optimizer = make_optimizer(experiment.learning_rate)
    shares = dataset, network, compute, views.training_views, group.size
    with memory_told(experiment):
        step = _step(experiment, network, optimizer, compute, group, views.training_views)
        if not experiment.test_only:
            # Weights are there twice meanwhile, which leaves room for what an estimate misses.
            whole = estimate(experiment, *shares)
            step.micro_batch_size = choose_micro_batch_size(
                experiment, step, network, whole.total - whole.activations
            )
    if compute.device.type == "cpu" and step.micro_batch_size is None:  # else memory is scarce
        keep_freed_memory()
    experiment = replace(experiment, micro_batch_size=step.micro_batch_size)  # what "auto" found
    trainer = Trainer(
        experiment,
        dataset,
        compute,
        network,
        step,
        make_optimizer,
        policy,
        preparation,
        statistics,
        group,
    )
    trainer.estimate = estimate(experiment, *shares)
    if snapshot and experiment.start_from_snapshot:
        wanted = trainer.network.state_dict()
        check_weights(experiment.start_from_snapshot, snapshot.group("network"), wanted)
        trainer.restore(snapshot)
    return trainer


def try_out(experiment: Experiment) -> None:
    """Checks as much of an experiment as takes little time: opens the dataset, makes the network.

    Raises CommandError where options, dataset and architecture don't fit one another.
    """
    _check(experiment)
    make_policy(experiment)
    choose_compute(experiment.device, experiment.precision, os.environ.get("THEANO_FLAGS", ""))
    dataset = open_needed(experiment)
    _, views = _inputs(experiment, dataset, experiment.num_devices)
    with memory_told(experiment):
        output_layer = make_output_layer(experiment, views.input_shape, len(dataset.label_names))
    optimizer_maker(experiment, output_layer)(experiment.learning_rate)


def _inputs(
    experiment: Experiment, dataset: Dataset, devices: int
) -> tuple[tuple[int, ...], Views]:
    """Returns an instance's shape for the network, and the views of it."""
    shape = network_shape(dataset, experiment.reshape_to)
    views = choose_views(experiment, shape)
    _check_sizes(experiment, views.training_views, devices)
    return shape, views


def _from_snapshot(experiment: Experiment) -> Experiment:
    """Returns the experiment with the newest snapshot of the run to resume, if one is named."""
    if experiment.resume is None or experiment.start_from_snapshot is not None:
        return experiment
    return replace(experiment, start_from_snapshot=newest_snapshot(experiment.resume))


def _step(
    experiment: Experiment,
    network: Network,
    optimizer: torch.optim.Optimizer,
    compute: Compute,
    group: Group,
    views: int,
) -> Step:
    decay = experiment.average_weights
    return Step(
        group.wrap(network),
        list(network.parameters()),
        optimizer,
        compute,
        group,
        views,
        label_smoothing=experiment.label_smoothing,
        clip_gradient_norm=experiment.clip_gradient_norm,
        average=WeightAverage(network, decay) if decay else None,
    )


def _with_order(experiment: Experiment, dataset: Dataset, group: Group) -> Experiment:
    """Returns the experiment with what it leaves to the machine at hand recorded."""
    if experiment.test_only or experiment.shuffle_run is not None:
        return experiment
    run = run_length(dataset.subset("training"), experiment.chunk_size, memory()[0])
    return replace(experiment, shuffle_run=group.highest(run))


def _check(experiment: Experiment) -> None:
    for name, low in LOWEST.items():
        value = getattr(experiment, name)
        if isinstance(value, int | float) and not (math.isfinite(value) and value >= low):
            raise CommandError(f"{_option(name)} is {value}; give at least {low}.")
    check_smoothing(experiment.label_smoothing)
    for name in ("learning_rate", "input_scale"):
        value = getattr(experiment, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise CommandError(f"{_option(name)} is {value}; give a number above 0.")
    if experiment.test_only and experiment.start_from_snapshot is None:
        raise CommandError("--test-only needs weights to test; give --start-from-snapshot FILE.")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _check_sizes(experiment: Experiment, per_instance: int, devices: int) -> None:
    batch, chunk = experiment.batch_size, experiment.chunk_size * per_instance
    if batch % per_instance:
        raise CommandError(
            f"--batch-size {batch} counts crops and must be a multiple of the {per_instance} crops "
            "per instance (mirrors included); "
            f"give {max(1, round(batch / per_instance)) * per_instance}."
        )
    if batch // per_instance < devices:
        raise CommandError(
            f"--batch-size {batch} has fewer instances than the {devices} devices that share it; "
            f"give at least {devices * per_instance}."
        )
    if 0 < chunk < batch:
        raise CommandError(
            f"--chunk-size {experiment.chunk_size} makes {chunk} crops, fewer than one batch of "
            f"{batch}; give at least {-(-batch // per_instance)}."
        )


def open_needed(experiment: Experiment) -> Dataset:
    """Opens an experiment's dataset with its subsets, see `open_subsets`.

    Raises CommandError where the options don't fit it, or a subset that is needed is empty.
    """
    fold, fewer = "", ""
    if experiment.fold is not None:
        fold, fewer = f" in fold {experiment.fold}", ", or give fewer --folds"
    dataset = open_subsets(experiment)
    needed = ["testing"] if experiment.test_only else ["training", "validation"]
    if experiment.test_at_end:
        needed.append("testing")
    for name in needed:
        if not len(dataset.subset(name)):
            raise CommandError(
                f"The {name} subset of {dataset.path} is empty{fold}; make a dataset with more "
                f"instances{fewer}."
            )
    return dataset


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
    check_unchanged(experiment, dataset, experiment.start_from_snapshot, snapshot.header)
    return snapshot


def _begin_with_weights(
    experiment: Experiment, dataset: Dataset, views: Views, network: Network
) -> Snapshot | None:
    """Gives the network the weights of `start_weights`; returns that snapshot, if there is one."""
    path = experiment.start_weights
    if path is None or experiment.start_from_snapshot is not None:
        return None
    snapshot = start_snapshot(experiment, dataset, views)
    set_start_weights(network, snapshot, dataset.label_names, path)
    return snapshot


def _statistics(
    experiment: Experiment, dataset: Dataset, shape: tuple[int, ...], snapshot: Snapshot | None
) -> dict[str, np.ndarray]:
    """Returns the snapshot's, where it has what is asked for, else the training subset's."""
    asked = {"mean": experiment.subtract_mean, "std": experiment.divide_by_std}
    if isinstance(dataset, PatchDataset):
        asked = dict.fromkeys(asked, experiment.spectrogram_normalisation != "local")
    names = [name for name, wanted in asked.items() if wanted]
    held: dict[str, Tensor] = snapshot.tensors if snapshot else {}
    if all(name in held for name in names):
        return {name: held[name].numpy() for name in names}
    if isinstance(dataset, PatchDataset):
        return log0m1v.statistics(dataset, experiment) if names else {}
    return training_statistics(dataset, shape, experiment)
