"""Everything that a person chooses for a search, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from common.errors import CommandError

Algorithm = Literal["tpe", "random", "anneal"]

LOWEST = {"max_evals": 1, "num_parallel": 1, "grace_epochs": 1, "seed": 0}


@dataclass(frozen=True)
class Search:
    """Searches for the hyperparameters of an experiment."""

    base_cmd: Annotated[str, Positional, arg(metavar="BASE_CMD")]
    """The experiment, in quotes: "python manage.py run_experiment --dataset-path …", with what all
    evaluations have in common, and few epochs."""
    log_dir: Annotated[Path, Positional, arg(metavar="LOG_DIR")]
    """The search's folder; with one that holds this search already, it goes on."""
    base_model_params: str = ""
    """The architecture's parameters that all evaluations have, name=value:name=value."""
    model_params_space: str = ""
    """Parameters to search and their hyperopt.hp functions, name__function=arguments:…, as in
    ld0_dropout__uniform=0.0,0.75:ld0_num_units__choice=128,256,512."""
    max_evals: int = 10
    """Evaluations in all; with a larger number a search that has ended goes on."""
    learning_rate_range: str = "-12,-5"
    """The natural logarithms of the lowest and the highest learning rate."""
    disabled_hyperparams: str = ""
    """Not to be searched, of update_func, learning_rate, mirror_crops and num_crops, divided by
    commas; BASE_CMD decides."""
    algorithm: Algorithm = "tpe"
    """hyperopt's: a tree of Parzen estimators after 5 random evaluations, random, or annealing."""
    seed: int = 0
    """Seeds what is proposed; the experiments' own seed is BASE_CMD's."""
    num_parallel: int = 1
    """Evaluations at once, on different devices where there are several."""
    early_stop: bool = False
    """Successive halving: after --grace-epochs, and each time the epochs have doubled, an
    evaluation goes on only if it is among the better half of those that have come so far."""
    grace_epochs: int = 1
    """The epochs that --early-stop gives to every evaluation."""


def check_numbers(search: Search, num_epochs: int) -> None:
    """Raises CommandError where a number is out of range, for evaluations of so many epochs."""
    for name, lowest in LOWEST.items():
        if (value := getattr(search, name)) < lowest:
            option = name.replace("_", "-")
            raise CommandError(f"--{option} is {value}; give at least {lowest}.")
    if search.early_stop and search.grace_epochs >= num_epochs:
        raise CommandError(
            f"--early-stop would stop nothing: --grace-epochs is {search.grace_epochs}, and "
            f"BASE_CMD has --num-epochs {num_epochs}; give fewer or more."
        )
