"""What each keyword of a layer accepts in a parameter string: rules as data."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from common.errors import CommandError, near_name, unknown_name
from lasagne import init, nonlinearities

NONLINEARITIES = (
    *("sigmoid", "softmax", "tanh", "scaled_tanh", "rectify", "leaky_rectify"),
    *("very_leaky_rectify", "elu", "selu", "softplus", "linear", "identity"),
)
INITIALIZERS = ("GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Normal", "Uniform")
SCALED = re.compile(r"(Normal|Uniform)\((.+)\)")
"""An initializer with its standard deviation, or the ends of its interval."""
WORDS = (*NONLINEARITIES, *INITIALIZERS, "True", "False", "None", "same", "valid", "full")
SYNONYMS = {"relu": "rectify", "leaky_relu": "leaky_rectify", "glorot": "GlorotUniform"}


@dataclass(frozen=True)
class Rule:
    """What a keyword accepts.

    Attributes
    ----------
    accepts : the values in words, as in "a whole number of at least 1".
    convert : turns a value of the parameter string into the layer's argument; raises ValueError
        where the value is not accepted.
    """

    accepts: str
    convert: Callable[[Any], Any]


def _checked(test: Callable[[Any], bool]) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if not test(value):
            raise ValueError
        return value

    return convert


def _is_int(value: Any, low: int) -> bool:
    return type(value) is int and value >= low


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_size(value: Any, low: int) -> bool:
    pair = value if isinstance(value, tuple) else (value, value)
    return len(pair) == 2 and all(_is_int(size, low) for size in pair)


def _nonlinearity(value: Any) -> Any:
    if value is not None and value not in NONLINEARITIES:
        raise ValueError
    return getattr(nonlinearities, value or "linear")


def _initializer(value: Any) -> Any:
    if _is_number(value):
        return init.Constant(float(value))
    if isinstance(value, str) and (match := SCALED.fullmatch(value)):
        scale = float(match[2])
        if not 0 < scale < math.inf:
            raise ValueError
        return getattr(init, match[1])(scale)
    if value not in INITIALIZERS:
        raise ValueError
    gain = {"gain": "relu"} if value.startswith("He") else {}
    return getattr(init, value)(**gain)


def optional(none: str, rule: Rule) -> Rule:
    """Returns the rule with None accepted as well; `none` says so before what it accepts."""
    return Rule(none + rule.accepts, lambda value: None if value is None else rule.convert(value))


COUNT = Rule("a whole number of at least 1", _checked(lambda value: _is_int(value, 1)))
SIZE = Rule(
    "a whole number of at least 1, or a pair (height, width) of them",
    _checked(lambda value: _is_size(value, 1)),
)
STRIDE = optional("None (the pool size), or ", SIZE)
PADDING = Rule(
    "'same', 'valid', 'full', a whole number of at least 0, or a pair of them",
    _checked(lambda value: value in ("same", "valid", "full") or _is_size(value, 0)),
)
POOL_PADDING = Rule(
    "a whole number of at least 0, or a pair of them", _checked(lambda value: _is_size(value, 0))
)
SWITCH = Rule("True or False", _checked(lambda value: isinstance(value, bool)))
NONLINEARITY = Rule(f"None or one of {', '.join(NONLINEARITIES)}", _nonlinearity)
WEIGHTS = Rule(
    f"a number, one of {', '.join(INITIALIZERS)}, or one of the last two with its standard "
    "deviation or bound, as in Normal(0.005)",
    _initializer,
)
BIASES = optional("None (no biases), ", WEIGHTS)
PROBABILITY = Rule(
    "a number from 0 (no dropout) to below 1",
    _checked(lambda value: _is_number(value) and 0 <= value < 1),
)

POSITIVE = Rule(
    "a number above 0", _checked(lambda value: _is_number(value) and 0 < value < math.inf)
)
NOT_NEGATIVE = Rule(
    "a number of at least 0", _checked(lambda value: _is_number(value) and 0 <= value < math.inf)
)
ODD = Rule("an odd whole number", _checked(lambda value: _is_int(value, 1) and value % 2 == 1))

CONV: Mapping[str, Rule] = {
    "num_filters": COUNT,
    "filter_size": SIZE,
    "stride": SIZE,
    "pad": PADDING,
    "untie_biases": SWITCH,
    "W": WEIGHTS,
    "b": BIASES,
    "nonlinearity": NONLINEARITY,
    "flip_filters": SWITCH,
    "num_groups": COUNT,
}
MAX_POOL: Mapping[str, Rule] = {
    "pool_size": SIZE,
    "stride": STRIDE,
    "pad": POOL_PADDING,
    "ignore_border": SWITCH,
}
RESPONSE_NORM: Mapping[str, Rule] = {
    "alpha": NOT_NEGATIVE,
    "k": POSITIVE,
    "beta": NOT_NEGATIVE,
    "n": ODD,
}
DENSE: Mapping[str, Rule] = {
    "num_units": COUNT,
    "W": WEIGHTS,
    "b": BIASES,
    "nonlinearity": NONLINEARITY,
}
BY_TYPE: Mapping[Any, Rule] = {
    int: Rule("a whole number of at least 0", _checked(lambda value: _is_int(value, 0))),
    bool: SWITCH,
    float: Rule("a number", _checked(_is_number)),
    str: Rule("a word", _checked(lambda value: isinstance(value, str))),
    tuple[int, ...]: Rule(
        "whole numbers of at least 1, as in (6, 11)",
        _checked(lambda value: isinstance(value, tuple) and all(_is_int(one, 1) for one in value)),
    ),
}


def convert_all(owner: str, rules: Mapping[str, Rule], params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments that the `params` of `owner` ("ConvNet's layer lc0") stand for.

    Raises CommandError that names the owner, the parameter and what is accepted.
    """
    converted = {}
    for name, value in params.items():
        if name not in rules:
            raise CommandError(f"{owner}: {unknown_name('parameter', name, rules)}")
        try:
            converted[name] = rules[name].convert(value)
        except (ValueError, TypeError) as error:
            hint = near_name(SYNONYMS.get(value, value), WORDS) if isinstance(value, str) else ""
            raise CommandError(
                f"{owner}: the parameter '{name}' is {value!r}; "
                f"it accepts {rules[name].accepts}.{hint}"
            ) from error
    return converted
