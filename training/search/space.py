"""The space of a search: the experiment's own hyperparameters and those of its network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import CommandError, unknown_name
from common.params import format_params, literal, parse_names, parse_params, split_outside
from training.experiment import Experiment
from training.search.options import Search
from training.search.parameters import Parameter, make_parameter, parse_space

UPDATE_RULES = {
    "adam": (
        Parameter("beta1", "uniform", (0.0, 0.9)),
        Parameter("beta2", "uniform", (0.99, 1.0)),
    ),
    "nesterov_momentum": (Parameter("momentum", "uniform", (0.5, 1.0)),),
}
"""The update rules that are searched, and their own hyperparameters."""
MIRROR_CROPS = Parameter("mirror_crops", "choice", (False, True))
NUM_CROPS = Parameter("num_crops", "choice", (1, 5))
OWN = ("update_func", "learning_rate", "mirror_crops", "num_crops")

Point = Mapping[str, Any]
"""Values by hyperparameter; those that a choice has left out are not in it."""


class Space:
    """Hyperparameters, and what they mean on run_experiment's command line.

    Parameters
    ----------
    search : Search
        The ranges, and what is disabled.
    experiment : Experiment
        What all evaluations have in common.

    Attributes
    ----------
    parameters : dict of str to Parameter
        All of them, those of the update rules included.
    left_out : str
        Why some of the experiment's own are not searched; empty where they are.

    Raises
    ------
    CommandError
        Where the options are no space, or don't fit the experiment.
    """

    def __init__(self, search: Search, experiment: Experiment) -> None:
        disabled = _disabled(search.disabled_hyperparams)
        self._in_network = parse_space(search.model_params_space)
        self._base_params = parse_params(experiment.model_params)
        self._base_params |= parse_params(search.base_model_params)
        self._own: dict[str, Parameter] = {}
        if "update_func" not in disabled:
            self._own["update_func"] = Parameter("update_func", "choice", tuple(UPDATE_RULES))
        if "learning_rate" not in disabled:
            self._own["learning_rate"] = _learning_rate(search.learning_rate_range)
        crops, self.left_out = _crops(experiment, disabled)
        self._own |= {parameter.name: parameter for parameter in crops}
        self.parameters = self._all()
        if not self.parameters:
            raise CommandError(
                "There is nothing to search: all hyperparameters are disabled; give some by "
                "--model-params-space."
            )

    def expression(self) -> dict[str, Any]:
        """Returns the space as hyperopt takes it; a rule's own parameters belong to its choice."""
        nodes = {parameter.name: parameter.node() for parameter in self._in_network}
        for name, parameter in self._own.items():
            nodes[name] = parameter.node(_rule_nodes() if name == "update_func" else None)
        return nodes

    def point(self, drawn: Mapping[str, list[float]]) -> dict[str, Any]:
        """Returns the values that a trial of hyperopt, its `misc["vals"]`, stands for."""
        return {
            name: parameter.value(drawn[name][0])
            for name, parameter in self.parameters.items()
            if drawn[name]
        }

    def samples(self) -> list[dict[str, Any]]:
        """Returns a few points, with every option of every choice, and ranges' lower ends."""
        samples = {name: parameter.samples for name, parameter in self.parameters.items()}
        points = []
        for index in range(max(map(len, samples.values()))):
            point = {name: values[index % len(values)] for name, values in samples.items()}
            if rule := point.get("update_func"):
                of_others = {
                    one.name
                    for other in UPDATE_RULES
                    if other != rule
                    for one in UPDATE_RULES[other]
                }
                point = {name: value for name, value in point.items() if name not in of_others}
            points.append(point)
        return points

    def options(self, point: Point) -> dict[str, str | bool]:
        """Returns run_experiment's options for a point, by their names; flags are bool."""
        options: dict[str, str | bool] = {}
        if rule := point.get("update_func"):
            own = {one.name: point[one.name] for one in UPDATE_RULES[rule]}
            options["--update-func-name"] = rule
            options["--update-func-kwargs"] = format_params(own)
        if "learning_rate" in point:
            options["--learning-rate"] = str(point["learning_rate"])
        if "num_crops" in point:
            options["--num-crops"] = str(point["num_crops"])
        if "mirror_crops" in point:
            options["--mirror-crops"] = point["mirror_crops"]
        searched = {parameter.name: point[parameter.name] for parameter in self._in_network}
        if params := self._base_params | searched:
            options["--model-params"] = format_params(params)
        return options

    def _all(self) -> dict[str, Parameter]:
        found: dict[str, Parameter] = {}
        for parameter in self._own.values():
            found[parameter.name] = parameter
            if parameter.name == "update_func":
                found |= {one.name: one for rule in UPDATE_RULES.values() for one in rule}
        for parameter in self._in_network:
            if parameter.name in found:
                raise CommandError(
                    f"The network's parameter '{parameter.name}' has the name of one of the "
                    "search's own; rename it in your architecture."
                )
            found[parameter.name] = parameter
        return found


def _rule_nodes() -> list[Any]:
    return [
        {"name": rule} | {one.name: one.node() for one in own} for rule, own in UPDATE_RULES.items()
    ]


def _disabled(text: str) -> set[str]:
    names = set(parse_names(text)) if text.strip() else set()
    for name in sorted(names - set(OWN)):
        raise CommandError(unknown_name("hyperparameter to disable", name, OWN))
    return names


def _learning_rate(text: str) -> Parameter:
    bounds = tuple(literal(part) for part in split_outside(text.strip("()[] "), ","))
    try:
        rate = make_parameter("learning_rate", "loguniform", bounds)
    except CommandError as error:
        raise CommandError(f"--learning-rate-range is '{text}': {error}") from error
    if bounds[0] >= 0:
        raise CommandError(
            f"--learning-rate-range is '{text}', which are rates from 1 up; give the natural "
            "logarithms of the lowest and the highest rate, as in -7,-2 for 0.001 to 0.1."
        )
    return rate


def _crops(experiment: Experiment, disabled: set[str]) -> tuple[list[Parameter], str]:
    """Returns which parameters of crops there are to search, and why some are left out."""
    wanted = [one for one in (MIRROR_CROPS, NUM_CROPS) if one.name not in disabled]
    if experiment.crop_shape is None:
        names = " and ".join(one.name for one in wanted)
        return [], f"{names} not searched: BASE_CMD has no --crop-shape" if names else ""
    if experiment.random_mirror and MIRROR_CROPS in wanted:
        wanted.remove(MIRROR_CROPS)
        return wanted, "mirror_crops not searched: BASE_CMD has --random-mirror"
    return wanted, ""
