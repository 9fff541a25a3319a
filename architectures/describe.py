"""Describes an architecture in words: what it is, its parameters and their defaults."""

from __future__ import annotations

import inspect
import textwrap
from functools import partial
from typing import Any

from architectures.convnet import (
    ALEX_NET,
    CAFFE_ALEX_NET,
    LAYER_DEFAULTS,
    LAYER_RULES,
    alex_net,
    caffe_alex_net,
    conv_net,
)
from architectures.registry import find, parameters
from lasagne.init import Constant
from lasagne.layers import (
    Conv2DLayer,
    DenseLayer,
    LocalResponseNormalization2DLayer,
    MaxPool2DLayer,
)

KINDS = {
    "lc": ("convolution", Conv2DLayer),
    "lm": ("max pool", MaxPool2DLayer),
    "ln": ("local response normalisation", LocalResponseNormalization2DLayer),
    "ld": ("dense layer", DenseLayer),
}
OTHER_DEFAULTS = {alex_net: ALEX_NET, caffe_alex_net: CAFFE_ALEX_NET}
"""ConvNets with other defaults."""


def describe(name: str) -> str:
    """Returns the architecture's docstring and a line for each parameter, with its default."""
    architecture = find(name)
    lines = [name, textwrap.indent(inspect.getdoc(architecture) or "", "    "), ""]
    if isinstance(architecture, partial):
        other = ":".join(f"{key}={value}" for key, value in architecture.keywords.items())
        return "\n".join([*lines, f"    {other}", "    and every other parameter of TemporalNet"])
    for key, parameter in parameters(architecture).items():
        lines += _wrapped(f"{key}={_text(parameter.default)}", "    ")
    if architecture is conv_net:
        lines += [line for kind in LAYER_RULES for line in _layer_lines(kind)]
    if architecture in OTHER_DEFAULTS:
        others = OTHER_DEFAULTS[architecture].items()
        defaults = ":".join(f"{key}={value}" for key, value in others)
        lines += _wrapped(defaults, "    ")
        lines.append("    and every other parameter of ConvNet")
    return "\n".join(lines)


def _layer_lines(kind: str) -> list[str]:
    words, layer = KINDS[kind]
    signature = inspect.signature(layer).parameters
    lines = [f"    each {words} {kind}0, {kind}1, … ({layer.__name__}):"]
    for keyword, rule in LAYER_RULES[kind].items():
        if keyword in LAYER_DEFAULTS[kind]:
            default = LAYER_DEFAULTS[kind][keyword]
        else:
            default = signature[keyword].default if keyword in signature else 1
        lines += _wrapped(f"{kind}<i>_{keyword}={_text(default)}: {rule.accepts}", " " * 8)
    return lines


def _wrapped(text: str, indent: str) -> list[str]:
    for kind in KINDS:
        text = text.replace(f":{kind}", f": {kind}")
    wrapped = textwrap.wrap(
        text, 98, initial_indent=indent, subsequent_indent=indent + "    ", break_on_hyphens=False
    )
    return [line.replace(": l", ":l") for line in wrapped]


def _text(default: Any) -> str:
    if isinstance(default, Constant):
        return f"{default.val:g}"
    return getattr(default, "__name__", str(default))
