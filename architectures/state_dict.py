"""PyTorch's state dicts as a network's weights: reading them safely, and finding their layers."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.errors import CommandError
from lasagne.layers import (
    BatchNormLayer,
    Conv1DLayer,
    Conv2DLayer,
    Conv3DLayer,
    DenseLayer,
    Layer,
    get_all_layers,
    get_all_params,
)

CONVOLUTIONS = Conv1DLayer | Conv2DLayer | Conv3DLayer
ZIP_START = b"PK\x03\x04"
GLOBAL = re.compile(r"GLOBAL (\S+)")
"""Where PyTorch names what a pickle asks for and must not get."""
UNUSED = "num_batches_tracked"
"""PyTorch's count of the batches that a normalisation has seen."""

AGAIN = "take them from where they are whole"


class _Unfit(Exception):
    """What does not fit, as the middle of a sentence, and what to do."""

    def __init__(
        self,
        problem: str,
        advice: str = "give the --model-architecture that they are of, with as many labels",
    ) -> None:
        super().__init__(f"{problem}; {advice}")


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Reads weights by name from a .safetensors file, or what torch.save wrote (.pth, .pt).

    No code in the file is run. Where the format allows it the tensors are views of the file, which
    must stay as it is until they are copied.

    Raises CommandError where the file is missing, damaged, or holds anything but tensors by name.
    """
    try:
        state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    except OSError as error:
        raise CommandError(
            f"The weights {path} cannot be read: {error.strerror or error}; check the path."
        ) from error
    if not isinstance(state, Mapping):
        raise _no_state_dict(path, f"hold one {type(state).__name__}")
    for name, tensor in state.items():
        if not isinstance(name, str):
            raise _no_state_dict(path, f"have a name that is of {type(name).__name__}")
        if not isinstance(tensor, Tensor):
            raise _no_state_dict(path, f"have {name!r}, which is of {type(tensor).__name__}")
    return dict(state)


def state_dict_values(output_layer: Layer, state: Mapping[str, Tensor]) -> list[Tensor]:
    """Returns a state dict's values in the order of `lasagne.layers.set_all_param_values`.

    Parameters
    ----------
    output_layer : Layer
        Of a network of convolutions, dense layers and batch normalisations, each with the name of
        its module; an underscore stands for a dot: layer1_0_conv1.
    state : mapping of str to Tensor
        "layer1.0.conv1.weight" and so on. A dense layer's weights are (units, inputs), filters
        those of a correlation, and a normalisation has its running_mean and running_var.

    Raises
    ------
    CommandError
        that names the first layer that is missing, superfluous or of another shape.
    """
    keys = {_place(key): key for key in state}
    values: dict[Tensor, Tensor] = {}
    used = set()
    try:
        for layer in get_all_layers(output_layer):
            for name, param in _by_torch_name(layer).items():
                place = (layer.name or "", name)
                if place not in keys:
                    raise _Unfit(f"have no {name} for the layer {layer}")
                used.add(keys[place])
                values[param] = _converted(layer, name, param, keys[place], state[keys[place]])
        for key in state:
            if key not in used and not key.endswith(UNUSED):
                raise _Unfit(f"have {key!r}, which belongs to no layer of the network")
    except _Unfit as unfit:
        raise CommandError(f"The weights {unfit}.") from None
    return [values[param] for param in get_all_params(output_layer)]


def _place(key: str) -> tuple[str, str]:
    """Returns the layer's name and the parameter's in PyTorch."""
    module, _, name = key.rpartition(".")
    return module.replace(".", "_"), name


def _by_torch_name(layer: Layer) -> dict[str, Tensor]:
    """Returns a layer's parameters by their names in PyTorch."""
    if isinstance(layer, BatchNormLayer):
        named = {
            "weight": layer.gamma,
            "bias": layer.beta,
            "running_mean": layer.mean,
            "running_var": layer.inv_std,
        }
    elif isinstance(layer, DenseLayer | CONVOLUTIONS):
        named = {"weight": layer.W, "bias": layer.b}
    elif layer.params:
        raise _Unfit(f"cannot be those of the layer {layer}, whose kind is not known here")
    else:
        return {}
    return {name: param for name, param in named.items() if param is not None}


def _converted(layer: Layer, name: str, param: Tensor, key: str, tensor: Tensor) -> Tensor:
    """Returns a tensor as its parameter's value."""
    is_matrix = isinstance(layer, DenseLayer) and name == "weight"
    wanted = param.shape[::-1] if is_matrix else param.shape
    if tensor.shape != wanted:
        raise _Unfit(
            f"have {key!r} of shape {tuple(tensor.shape)}, where the layer {layer} needs "
            f"{tuple(wanted)}"
        )
    if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.is_meta:
        raise _Unfit(f"have {key!r} of {tensor.dtype}, which is no array of real numbers", AGAIN)
    value = tensor.detach().to(param.dtype)
    low, high = value.aminmax()
    if not (low.isfinite() and high.isfinite()) or (name == "running_var" and low < 0):
        raise _Unfit(f"have numbers in {key!r} that no trained network has", AGAIN)
    if isinstance(layer, BatchNormLayer) and name == "running_var":
        return (value.double() + layer.epsilon).rsqrt()
    if isinstance(layer, CONVOLUTIONS) and name == "weight" and layer.flip_filters:
        return value.flip(tuple(range(2, value.ndim)))
    return value.t() if is_matrix else value


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise _damaged(path, str(error)) from error


def _read_torch(path: Path) -> Any:
    with path.open("rb") as file:
        is_zip = file.read(len(ZIP_START)) == ZIP_START
    try:
        if is_zip:
            _check_zip(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except OSError:
        raise
    except Exception as error:  # a damaged or hostile file can make the unpickler raise anything
        if match := GLOBAL.search(str(error)):
            raise CommandError(
                f"The weights {path} ask for '{match[1]}', which no state dict needs; nothing of "
                "them was run. Take them from where you trust them."
            ) from error
        raise _damaged(path, "it is no state dict that torch.save wrote") from error


def _check_zip(path: Path) -> None:
    """Raises BadZipFile where a member is compressed, which PyTorch's are not, or damaged."""
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise zipfile.BadZipFile("a member is compressed")
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(f"{damaged} is damaged")


def _no_state_dict(path: Path, found: str) -> CommandError:
    return CommandError(
        f"The weights {path} {found}, where tensors by name are needed; save a network's "
        "state_dict() alone."
    )


def _damaged(path: Path, reason: str) -> CommandError:
    return CommandError(f"The weights {path} cannot be read: {reason}; get the file again.")
