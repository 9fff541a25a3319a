"""Hyperparameters and their distributions: the functions of hyperopt.hp, checked as they are read.

Nothing here imports hyperopt before a distribution is made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from common.errors import CommandError, unknown_name
from common.params import literal, parse_params, split_outside

BOUNDS, NORMAL = ("low", "high"), ("mu", "sigma")
ARGUMENTS = {
    "uniform": BOUNDS,
    "quniform": (*BOUNDS, "q"),
    "loguniform": BOUNDS,
    "qloguniform": (*BOUNDS, "q"),
    "uniformint": BOUNDS,
    "normal": NORMAL,
    "qnormal": (*NORMAL, "q"),
    "lognormal": NORMAL,
    "qlognormal": (*NORMAL, "q"),
    "randint": BOUNDS,
}
FUNCTIONS = {*ARGUMENTS, "choice", "pchoice"}
WHOLE = {"uniformint", "randint"}
EXAMPLE = "as in ld0_dropout__uniform=0.0,0.75"
LARGEST_EXPONENT = 700  # of e, in a float64


@dataclass(frozen=True)
class Parameter:
    """A hyperparameter with its distribution.

    Attributes
    ----------
    name : as an option or a network parameter.
    function : of hyperopt.hp, one of `FUNCTIONS`.
    arguments : the function's: numbers; for choice the options, for pchoice (probability, option)
        pairs.
    """

    name: str
    function: str
    arguments: tuple[Any, ...]

    @property
    def options(self) -> tuple[Any, ...]:
        """What is chosen from; empty where the values are numbers of a range."""
        if self.function == "choice":
            return self.arguments
        return tuple(option for _, option in self.arguments) if self.function == "pchoice" else ()

    @property
    def is_logarithmic(self) -> bool:
        """Whether the values are spread over orders of magnitude."""
        return self.function.removeprefix("q").startswith("log")

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The lowest and the highest value of a range, None where there are none."""
        if self.options or ARGUMENTS[self.function][:2] != BOUNDS:
            return None
        low, high = self.arguments[:2]
        if self.is_logarithmic:
            return math.exp(low), math.exp(high)
        return low, high - 1 if self.function == "randint" else high

    @property
    def samples(self) -> tuple[Any, ...]:
        """All options; of a range one close to its lower end, or the middle where it has no end.

        Of uniform and loguniform it is no whole number, as few draws are.
        """
        if self.options:
            return self.options
        first, second, *q = self.arguments
        if self.function in ("uniform", "loguniform"):
            first += (second - first) / 997
        lowest = math.exp(first) if self.is_logarithmic else first
        return (self.value(round(lowest / q[0]) * q[0] if q else lowest),)

    def node(self, options: list[Any] | None = None) -> Any:
        """Returns the distribution as hyperopt's node; `options` may replace those of a choice."""
        from hyperopt import hp

        function = getattr(hp, self.function)
        if self.function == "choice":
            return function(self.name, options or list(self.arguments))
        if self.function == "pchoice":
            return function(self.name, list(self.arguments))
        return function(self.name, *self.arguments)

    def value(self, drawn: float) -> Any:
        """Returns what a draw of hyperopt stands for: an option, or a number of 8 digits.

        Whole numbers are integers, as the originals' command lines wrote them: units and filters
        may be drawn by quniform.
        """
        if self.options:
            return self.options[int(drawn)]
        number = float(f"{drawn:.8g}")
        return int(number) if number.is_integer() else number

    def __str__(self) -> str:
        """Describes it for a person, as in "uniform 0.0 to 0.75"."""
        if self.function == "choice":
            return "one of " + ", ".join(map(str, self.arguments))
        if self.function == "pchoice":
            return "one of " + ", ".join(
                f"{option} ({share:g})" for share, option in self.arguments
            )
        first, second, *q = self.arguments
        steps = f" in steps of {q[0]:g}" if q else ""
        if self.bounds is None:
            return f"{self.function} around {first:g}, deviation {second:g}{steps}"
        low, high = self.bounds
        return f"{self.function} {low:.3g} to {high:.3g}{steps}"


def parse_space(text: str) -> list[Parameter]:
    """Reads `name__function=arguments:…`, the originals' syntax, for all functions of hyperopt.hp.

    Arguments are divided by commas: numbers, for choice its options, for pchoice
    (probability, option) pairs. Options are Python literals, or text where they are none.

    Raises
    ------
    CommandError
        Where a function is unknown, or its arguments are not what it takes.
    """
    parameters: dict[str, Parameter] = {}
    for key, value in parse_params(text).items():
        name, divider, function = key.rpartition("__")
        if not divider or not name:
            raise CommandError(
                f"The space's '{key}' has no function; write name__function=arguments, {EXAMPLE}."
            )
        if name in parameters:
            raise CommandError(f"The space has '{name}' twice; give it one function.")
        parameters[name] = make_parameter(name, function, _values(value))
    return list(parameters.values())


def make_parameter(name: str, function: str, arguments: tuple[Any, ...]) -> Parameter:
    """Makes a hyperparameter, checked.

    Raises CommandError where the function is unknown, or the arguments are not what it takes.
    """
    if function not in FUNCTIONS:
        raise CommandError(unknown_name(f"hyperopt function of '{name}'", function, FUNCTIONS))
    what = f"The space's '{name}__{function}'"
    if function in ("choice", "pchoice"):
        if len(arguments) == 1 and isinstance(arguments[0], list | tuple) and arguments[0]:
            arguments = tuple(arguments[0])  # one list of all options, as hyperopt itself takes it
        if not arguments:
            raise CommandError(f"{what} has no option; divide some by commas.")
        if function == "pchoice":
            arguments = _pairs(what, arguments)
        return Parameter(name, function, arguments)
    if function == "randint" and len(arguments) == 1:
        arguments = (0, *arguments)
    _check_numbers(what, function, arguments)
    if function in WHOLE:
        arguments = tuple(map(int, arguments))
    return Parameter(name, function, arguments)


def _values(value: Any) -> tuple[Any, ...]:
    """Returns the arguments that a parameter's value, a literal or text, stands for."""
    if isinstance(value, str):
        return tuple(literal(part) for part in split_outside(value, ","))
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _pairs(what: str, arguments: tuple[Any, ...]) -> tuple[tuple[float, Any], ...]:
    pairs = []
    for one in arguments:
        if isinstance(one, str) and one.startswith("(") and one.endswith(")"):
            one = _values(one[1:-1])  # an option without quotes is no Python literal
        if not isinstance(one, tuple | list) or len(one) != 2 or not _is_number(one[0]):
            raise CommandError(
                f"{what} takes (probability, option) pairs, as in (0.7,rectify),(0.3,elu); "
                f"'{one}' is none."
            )
        pairs.append((float(one[0]), one[1]))
    total = sum(share for share, _ in pairs)
    if min(share for share, _ in pairs) < 0 or not math.isclose(total, 1, abs_tol=1e-6):
        raise CommandError(
            f"{what} has probabilities that add up to {total:g}; give parts of 1, as 0.7 and 0.3."
        )
    return tuple(pairs)


def _check_numbers(what: str, function: str, arguments: tuple[Any, ...]) -> None:
    names = ARGUMENTS[function]
    given = ",".join(map(str, arguments))
    if len(arguments) != len(names) or not all(map(_is_number, arguments)):
        raise CommandError(f"{what} takes the numbers {', '.join(names)}; '{given}' are others.")
    first, second, *q = arguments
    if names[:2] == BOUNDS and not first < second:
        raise CommandError(f"{what} has low {first:g}, which is not below high {second:g}.")
    if names[:2] == NORMAL and second <= 0:
        raise CommandError(f"{what} has sigma {second:g}; give more than 0.")
    if q and q[0] <= 0:
        raise CommandError(f"{what} has steps (q) of {q[0]:g}; give more than 0.")
    if function in WHOLE and not all(float(bound).is_integer() for bound in arguments):
        raise CommandError(f"{what} takes whole numbers; '{given}' are others.")
    if "log" in function and max(map(abs, arguments[:2])) > LARGEST_EXPONENT:
        raise CommandError(
            f"{what} takes natural logarithms, as -12,-5 for 6e-06 to 0.0067; '{given}' are beyond "
            "all numbers."
        )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
