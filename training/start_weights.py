"""Start weights from another network's snapshot: to fine-tune it, on any labels."""

from __future__ import annotations

from pathlib import Path

from common.errors import CommandError
from datasets.dataset import Dataset
from lasagne.layers import Layer, Network, get_all_layers
from training.batches import statistics_fit
from training.experiment import Experiment
from training.snapshots import (
    Snapshot,
    check_architecture,
    check_weights,
    load_snapshot,
)
from training.views import Views

MOMENTS = ("mean", "std")


def start_snapshot(experiment: Experiment, dataset: Dataset, views: Views) -> Snapshot:
    """Returns the snapshot whose weights an experiment starts with.

    Raises CommandError where it is of another architecture, or for other inputs.
    """
    path = experiment.start_weights
    assert path is not None
    snapshot = load_snapshot(path)
    check_architecture(
        path, snapshot.header, experiment.model_architecture, experiment.model_params
    )
    held = tuple(snapshot.header["input_shape"])
    if held != views.input_shape:
        raise CommandError(
            f"The network of {path} takes inputs of shape {held}, but these have the shape "
            f"{views.input_shape}; give a dataset and crops that make such inputs."
        )
    known = {name: snapshot.tensors[name].numpy() for name in MOMENTS if name in snapshot.tensors}
    if not statistics_fit(known, views.shape):
        shape = next(iter(known.values())).shape
        raise CommandError(
            f"The mean picture of {path} has shape {shape}, but the instances of {dataset.path} "
            f"have the shape {views.shape}; give a dataset of pictures of that size."
        )
    scale = snapshot.header["origin"].get("scale", dataset.scale)
    if scale != dataset.scale:
        raise CommandError(
            f"The network of {path} knows values up to {scale:g}, but those of {dataset.path} go "
            f"up to {dataset.scale:g}; make the dataset anew with values like the former."
        )
    return snapshot


def set_start_weights(network: Network, snapshot: Snapshot, labels: list[str], path: Path) -> None:
    """Gives a network a snapshot's best weights.

    Where its labels are others, its last layer that has parameters keeps those it has.

    Raises CommandError where the weights are those of another network.
    """
    weights, wanted = snapshot.best_weights, network.state_dict()
    anew = snapshot.header["labels"] != labels
    if anew:
        own = _of_last_layer(network)
        weights = {key: value for key, value in weights.items() if key not in own}
        wanted = {key: value for key, value in wanted.items() if key not in own}
    check_weights(path, weights, wanted)
    network.load_state_dict(weights, strict=not anew)


def _of_last_layer(network: Network) -> set[str]:
    """Returns what the parameters of the last layer that has some are called in the network."""
    assert isinstance(network.output_layer, Layer)
    layers = reversed(get_all_layers(network.output_layer))
    own = next(params for layer in layers if (params := layer.get_params()))
    named = network.named_parameters(remove_duplicate=False)
    return {name for name, param in named if any(param is one for one in own)}
