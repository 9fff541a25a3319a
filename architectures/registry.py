"""Finds an architecture by its name, or in a user's own file, and builds its network."""

from __future__ import annotations

import importlib.util
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

from architectures.convnet import (
    alex_net,
    caffe_alex_net,
    conv_net,
    lasagne_mnist_conv_example,
)
from architectures.keywords import BY_TYPE, Rule, convert_all, optional
from architectures.mlp import lasagne_mnist_example, single_layer_mlp
from architectures.resnet import torchvision_res_net18, torchvision_res_net50
from architectures.temporal import MIRDL, temporal_net
from architectures.torchvision import torchvision_alex_net, torchvision_vgg16, torchvision_vgg19
from architectures.vgg import vgg_net
from common.errors import CommandError, near_name, unknown_name
from lasagne.layers import InputLayer, Layer

Architecture = Callable[..., Layer]
"""A function of (incoming, num_classes, **params) that returns the output layer."""

ARCHITECTURES: Mapping[str, Architecture] = {
    "AlexNet": alex_net,
    "CaffeAlexNet": caffe_alex_net,
    "ConvNet": conv_net,
    "LasagneMnistConvExample": lasagne_mnist_conv_example,
    "LasagneMnistExample": lasagne_mnist_example,
    "SingleLayerMlp": single_layer_mlp,
    "TemporalNet": temporal_net,
    "TorchvisionAlexNet": torchvision_alex_net,
    "TorchvisionResNet18": torchvision_res_net18,
    "TorchvisionResNet50": torchvision_res_net50,
    "TorchvisionVgg16": torchvision_vgg16,
    "TorchvisionVgg19": torchvision_vgg19,
    "VggNet": vgg_net,
    **MIRDL,
}


def build(
    name: str, input_shape: tuple[int, ...], num_classes: int, params: Mapping[str, Any]
) -> Layer:
    """Builds the network `name` and returns its output layer, of shape (None, num_classes).

    Parameters
    ----------
    name : one of `ARCHITECTURES`, or "path/to/file.py:function" for a user's own.
    input_shape : one instance's shape, (channels, height, width) or (features,).
    num_classes : how many labels there are.
    params : the architecture's parameters by name.

    Raises
    ------
    CommandError
        for an unknown architecture, an unknown or ill-typed parameter, or shapes that don't fit.
    """
    architecture = find(name)
    incoming = InputLayer((None, *input_shape), name="input")
    arguments = _checked(name, architecture, params)
    try:
        inspect.signature(architecture).bind(incoming, num_classes, **arguments)
    except TypeError as error:
        raise CommandError(
            f"The architecture {name} can't be called with (incoming, num_classes, **params): "
            f"{error}; give what is missing in --model-params."
        ) from error
    with _as_sentence(name, own=name not in ARCHITECTURES):
        layer = architecture(incoming, num_classes, **arguments)
    if not isinstance(layer, Layer) or layer.output_shape != (None, num_classes):
        made = getattr(layer, "output_shape", type(layer).__name__)
        raise CommandError(
            f"The architecture {name} returned {made}; it must return its output layer, "
            f"of shape (None, {num_classes}) for {num_classes} labels."
        )
    return layer


def find(name: str) -> Architecture:
    """Returns the architecture `name`, or the function of "path/to/file.py:function".

    Raises CommandError where there is none.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    file, colon, function = name.rpartition(":")
    if colon and file.endswith(".py"):
        return _from_file(Path(file), function)
    if name.endswith(".py"):
        raise CommandError(f"The architecture {name} lacks its function; give {name}:FUNCTION.")
    raise CommandError(
        unknown_name("architecture", name, ARCHITECTURES)
        + " Or give your own as path/to/file.py:function."
    )


def parameters(architecture: Architecture) -> dict[str, inspect.Parameter]:
    """Returns the named parameters of an architecture, without `incoming` and `num_classes`."""
    return {
        name: parameter
        for name, parameter in list(inspect.signature(architecture).parameters.items())[2:]
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }


def _from_file(file: Path, function: str) -> Architecture:
    if not file.is_file():
        raise CommandError(f"The architecture's file {file} does not exist; check its path.")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with _as_sentence(str(file), own=True):
        spec.loader.exec_module(module)
    functions = {
        key: value
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == file.stem
    }
    if function not in functions:
        raise CommandError(
            f"{file} has no function '{function}'.{near_name(function, functions)} "
            f"It has: {', '.join(sorted(functions)) or 'none'}."
        )
    return functions[function]


@contextmanager
def _as_sentence(name: str, own: bool) -> Iterator[None]:
    """Turns an error in a user's own code into one sentence; --traceback shows all of it."""
    try:
        yield
    except CommandError:
        raise
    except Exception as error:
        if not own:
            raise
        raise CommandError(
            f"The architecture {name} fails with {type(error).__name__}: {error}; mend it "
            "(--traceback shows where)."
        ) from error


def _checked(name: str, architecture: Architecture, params: Mapping[str, Any]) -> dict[str, Any]:
    """Checks the named parameters by their annotation; the layers' own are the architecture's."""
    named = parameters(architecture)
    takes_more = any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD
        for parameter in inspect.signature(architecture).parameters.values()
    )
    try:
        hints = typing.get_type_hints(getattr(architecture, "func", architecture))  # of a partial
    except NameError:  # a user's annotation of something imported for type checking only
        hints = {}
    rules = {key: _rule(hints.get(key, Any)) for key in named}
    extra = {key: value for key, value in params.items() if takes_more and key not in rules}
    own = {key: value for key, value in params.items() if key not in extra}
    return convert_all(name, rules, own) | extra


def _rule(hint: Any) -> Rule:
    kinds = typing.get_args(hint) if isinstance(hint, UnionType) else (hint,)
    rule = next((BY_TYPE[kind] for kind in kinds if kind in BY_TYPE), ANYTHING)
    return optional("None or ", rule) if NoneType in kinds else rule


ANYTHING = Rule("anything", lambda value: value)
