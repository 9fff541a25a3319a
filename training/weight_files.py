"""Files of weights that other programs have published, and what is known of their inputs.

theano_alexnet's network takes pixels less the mean picture; torchvision's take values from 0 to 1
less the channels' mean and divided by their deviation; those of Lasagne's model zoo take pixels,
blue first, less a mean that stands in the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from architectures.state_dict import read_state_dict, state_dict_values
from common.errors import CommandError
from lasagne.layers import (
    DenseLayer,
    Layer,
    get_all_layers,
    get_all_params,
    set_all_param_values,
)
from lasagne.weights import Values, load_model, load_param_values

ChannelOrder = Literal["rgb", "bgr"]
STATE_DICTS = (".pth", ".pt", ".safetensors")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet from 0 to 1; torchvision's
OUTPUT_BIASES = ("fc.bias", "classifier.6.bias")  # of ResNets; of AlexNet and VGGs
MEANS = ("mean value", "mean image")


@dataclass(frozen=True)
class WeightFile:
    """What a file of weights holds.

    Parameters
    ----------
    path : Path
    weights : list of np.ndarray, or mapping of str to Tensor
        The values of a Lasagne network's parameters in order, or torchvision's by name.
    scale : float
        What pixels, 0 to 255, are multiplied by.
    mean, std : np.ndarray, optional
        Subtracted from pixels, and divided by, float64; of shape (3, 1, 1) or (3, height, width).
    labels : list of str, optional
        The names of the labels, by index.
    channel_order : "rgb" or "bgr"
        The order of the channels that the network takes.
    halves_dropout : bool
        Whether its dropout halved activations in testing, in place of doubling them in training.
    """

    path: Path
    weights: Values | Mapping[str, Tensor]
    scale: float = 1.0
    mean: np.ndarray | None = None
    std: np.ndarray | None = None
    labels: list[str] | None = None
    channel_order: ChannelOrder = "rgb"
    halves_dropout: bool = False

    @property
    def num_labels(self) -> int:
        """How many labels its network tells apart; 0 where that can't be seen."""
        if isinstance(self.weights, Mapping):
            biases = [self.weights[key] for key in OUTPUT_BIASES if key in self.weights]
            return len(biases[0]) if biases and biases[0].ndim else 0
        return int(self.weights[-1].shape[-1]) if self.weights[-1].ndim else 0

    def set(self, output_layer: Layer) -> None:
        """Gives a network the weights, in red, green, blue.

        Raises CommandError that names what does not fit.
        """
        if isinstance(self.weights, Mapping):
            values = [np.asarray(one) for one in state_dict_values(output_layer, self.weights)]
        else:
            values = _joined(self.weights, get_all_params(output_layer))
        if self.channel_order == "bgr":
            values[0] = np.flip(values[0], 1)
        try:
            set_all_param_values(output_layer, values)
        except ValueError as error:
            raise CommandError(
                f"The weights of {self.path} don't fit the network: {error}; give the "
                "--model-architecture, --model-params and labels that they are of."
            ) from error
        if self.halves_dropout:
            _halve(output_layer)


def read_weights(path: Path, channel_order: ChannelOrder | None = None) -> WeightFile:
    """Reads published weights; no code in the file runs.

    Parameters
    ----------
    path : Path
        A folder of theano_alexnet's .npy files, a state dict of torchvision (.pth, .pt or
        .safetensors), a pickle of Lasagne's model zoo, or an .npz file of parameters in order.
    channel_order : "rgb" or "bgr", optional
        Of the network's input; unless given, the zoo's have blue first, all others red.

    Raises
    ------
    CommandError
        Where it can't be read.
    """
    try:
        return _read(path, channel_order)
    except OSError as error:
        raise CommandError(f"{path} can't be read: {error.strerror}; check its name.") from error
    except ValueError as error:
        raise CommandError(
            f"{error}; give a folder of theano_alexnet's .npy files, torchvision's .pth or "
            ".safetensors, or a pickle of Lasagne's model zoo."
        ) from error


def _read(path: Path, channel_order: ChannelOrder | None) -> WeightFile:
    order = channel_order or "rgb"
    if path.is_dir():
        values = load_param_values(path)
        return WeightFile(path, values, halves_dropout=True, channel_order=order)
    if path.suffix in STATE_DICTS:
        mean, std = (255 * np.reshape(values, (3, 1, 1)) for values in (MEAN, STD))
        state = read_state_dict(path)
        return WeightFile(path, state, 1 / 255, mean, std, channel_order=order)
    if path.suffix == ".npz":
        return WeightFile(path, load_param_values(path), channel_order=order)
    return _of_the_zoo(path, load_model(path), channel_order or "bgr")


def _of_the_zoo(path: Path, model: Mapping[str, Any], order: ChannelOrder) -> WeightFile:
    mean = next((np.asarray(model[key], np.float64) for key in MEANS if key in model), None)
    if mean is not None:
        if mean.shape == (3,):
            mean = mean.reshape(3, 1, 1)
        if mean.ndim != 3 or len(mean) != 3:
            raise ValueError(f"'{path}' has a mean of shape {mean.shape}, not one of 3 channels")
        mean = mean[::-1] if order == "bgr" else mean
    words = model.get("synset words")
    labels = None if words is None else unique([str(word) for word in words])
    return WeightFile(path, model["param values"], mean=mean, labels=labels, channel_order=order)


def unique(names: Sequence[str]) -> list[str]:
    """Returns the names with a number behind each that is there again, as "crane" of ImageNet."""
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        seen[name] += 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return result


def _joined(values: Values, params: Sequence[Tensor]) -> Values:
    """Joins the halves of grouped convolutions, which the zoo's CaffeNet keeps as two layers.

    These come as W, b, W, b, and have half the filters that a network's parameter has.
    """
    left, result = list(values), []
    for W in params:
        shape = (W.shape[0] // 2, *W.shape[1:])
        if W.ndim == 4 and len(left) > 3 and left[0].shape == left[2].shape == shape:
            left[:4] = [np.concatenate(left[i:4:2]) for i in range(2)]
        if left:
            result.append(left.pop(0))
    return result + left


def _halve(output_layer: Layer) -> None:
    """Halves the weights of all dense layers but the first, which stood on a dropout of 0.5."""
    dense = [layer for layer in get_all_layers(output_layer) if isinstance(layer, DenseLayer)]
    for layer in dense[1:]:
        layer.W.data /= 2
