"""What training and evaluation have in common: a network on its device, and how inputs are made."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

import lasagne
from architectures.registry import build
from common.params import parse_params
from datasets.dataset import Dataset
from datasets.patches import PatchDataset
from lasagne.layers import DenseLayer, InputLayer, Layer, Network, get_all_layers
from lasagne.layers.conv.base import BaseConvLayer
from training import log0m1v
from training.batches import Preparation
from training.devices import Compute
from training.experiment import Experiment
from training.views import Views


def make_output_layer(
    experiment: Experiment, input_shape: tuple[int, ...], num_labels: int
) -> Layer:
    """Builds an experiment's network, with the start weights of its seed.

    Raises CommandError where architecture and parameters don't fit the input.
    """
    lasagne.random.set_rng(np.random.default_rng(experiment.seed))
    params = parse_params(experiment.model_params)
    return build(experiment.model_architecture, input_shape, num_labels, params)


def make_network(output_layer: Layer, compute: Compute, experiment: Experiment) -> Network:
    """Returns the network of an output layer on its device, compiled where that is asked for."""
    network = Network(output_layer).to(compute.device, compute.dtype)
    if experiment.compile:
        network.compile()
    return network


def make_preparation(
    experiment: Experiment,
    dataset: Dataset,
    views: Views,
    statistics: Mapping[str, np.ndarray],
    output_layer: Layer,
    compute: Compute,
) -> Preparation:
    """Returns what makes a network's inputs of a dataset's instances.

    Parameters
    ----------
    statistics : mapping of str to np.ndarray
        What is subtracted ("mean") and divided by ("std"), see `Preparation`.
    output_layer : Layer
        The network's.
    """
    scale = experiment.input_scale if experiment.input_scale is not None else 1 / dataset.scale
    dtypes = compute.dtype, _input_dtype(output_layer, compute)
    compression = _compression(experiment, dataset, compute)
    return Preparation(dataset, views, scale, statistics, compute.device, *dtypes, compression)


def _input_dtype(output_layer: Layer, compute: Compute) -> torch.dtype:
    """Returns what autocast would make of the input, if all that takes it is cast."""
    first = [
        layer
        for layer in get_all_layers(output_layer)
        if any(
            isinstance(source, InputLayer)
            for source in getattr(layer, "input_layers", [getattr(layer, "input_layer", None)])
        )
    ]
    cast = all(isinstance(layer, BaseConvLayer | DenseLayer) for layer in first)
    return compute.short_dtype if cast else compute.dtype


def _compression(
    experiment: Experiment, dataset: Dataset, compute: Compute
) -> log0m1v.Log0m1v | None:
    if not isinstance(dataset, PatchDataset):
        return None
    is_local = experiment.spectrogram_normalisation == "local"
    local = log0m1v.of_each(dataset.source) if is_local else None
    return log0m1v.Log0m1v(local, compute.device, compute.dtype)
