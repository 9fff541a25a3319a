"""Where a layer of a trained network answers most: what its filters look or listen for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from common.errors import CommandError, unknown_name
from lasagne.layers import Layer, get_all_layers, get_output
from lasagne.layers.conv.base import BaseConvLayer
from training.chunks import ChunkStream
from training.setup import prepare
from training.snapshots import resume
from training.trainer import Trainer


@dataclass(frozen=True)
class Peaks:
    """The highest value of every feature map for every instance, and its place in the map.

    Parameters
    ----------
    values : np.ndarray of shape (instances, maps), float32
    rows, columns : np.ndarray of shape (instances, maps), int64
        Of equal values the first one's, row by row. Behind a convolution of spectrograms without
        padding and strides they are the first band and the first frame below the filter.
    """

    values: np.ndarray
    rows: np.ndarray
    columns: np.ndarray


def trained(snapshot: Path) -> Trainer:
    """Returns the network of a snapshot with its best weights, and the dataset that it was made on.

    Raises CommandError where the snapshot or its dataset can't be read.
    """
    trainer = prepare(resume(snapshot))
    if trainer.best:
        trainer.network.load_state_dict(trainer.best.weights)
    return trainer


def untrained(trainer: Trainer) -> Trainer:
    """Returns the network as it was before its first batch, which the seed decides."""
    return prepare(replace(trainer.experiment, start_from_snapshot=None, test_only=False))


def filters(trainer: Trainer, layer: str) -> np.ndarray:
    """Returns a convolution's weights as they lie over its input, a copy.

    Lasagne's convolutions turn their filters round, so that a layer's `W` begins with the end.

    Returns
    -------
    np.ndarray of shape (maps, channels, rows, columns), float32

    Raises
    ------
    CommandError
        Where the network has no convolution of that name.
    """
    found = layer_named(trainer, layer)
    if not isinstance(found, BaseConvLayer):
        raise CommandError(f"The layer {layer} is no convolution, it has no filters; name another.")
    weights = found.W.detach().float()
    if found.flip_filters:
        weights = weights.flip(tuple(range(2, weights.ndim)))
    return weights.cpu().numpy().copy()


@torch.inference_mode()
def peaks(trainer: Trainer, layer: str, subset: str) -> Peaks:
    """Returns where every feature map of a layer is highest, for every instance of a subset.

    Instances are prepared as for evaluation; each counts once for every crop that is evaluated.

    Parameters
    ----------
    trainer : Trainer
        As `trained` returns it.
    layer : str
        A layer's name, as `run_experiment` shows it; its output has rows and columns.
    subset : str
        'training', 'validation' or 'testing'.

    Raises
    ------
    CommandError
        Where there is no such layer or subset, or its output has no rows and columns.
    """
    found = layer_named(trainer, layer)
    if len(found.output_shape) != 4:
        raise CommandError(
            f"The layer {layer} has no feature maps of rows and columns; name another."
        )
    chosen, experiment = trainer.dataset.subset(subset), trainer.experiment
    stream = ChunkStream(chosen, experiment.chunk_size, trainer.compute.device)
    size = max(1, experiment.batch_size // trainer.preparation.evaluation_views)
    parts = []
    for batch in stream.batches(np.arange(len(chosen)), size):
        inputs = trainer.preparation.for_evaluation(batch.instances, batch.recordings)
        with trainer.compute.autocast():
            output = get_output(found, inputs, deterministic=True)
        highest, places = output.float().flatten(2).max(dim=2)
        width = output.shape[3]
        parts.append([part.cpu().numpy() for part in (highest, places // width, places % width)])
    return Peaks(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def layer_named(trainer: Trainer, name: str) -> Layer:
    """Returns a network's layer.

    Raises CommandError where it has none of that name.
    """
    layers = {layer.name: layer for layer in get_all_layers(trainer.output_layer) if layer.name}
    if name not in layers:
        raise CommandError(unknown_name("layer", name, list(layers)))
    return layers[name]
