"""BASE_CMD: the run_experiment command line that all evaluations have in common."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.errors import UsageError
from training.experiment import Experiment

NAME = "run_experiment"
FORM = 'as in "python manage.py run_experiment --dataset-path data/full.rgb.pkl.zip …"'
OWN_FOLDER = "each evaluation has a folder of its own in LOG_DIR"
REFUSED = {
    "out_dir": f"--out-dir, but {OWN_FOLDER}",
    "resume": f"--resume, but {OWN_FOLDER}",
    "test_only": "--test-only, but a search must not see the testing subset",
}


@dataclass(frozen=True)
class BaseCommand:
    """A run_experiment command line, taken apart.

    Attributes
    ----------
    prefix : what stood before run_experiment's options, as "python manage.py run_experiment".
    environment : variables that were set before it, as THEANO_FLAGS.
    arguments : the options.
    experiment : what they mean.
    """

    prefix: str
    environment: dict[str, str]
    arguments: tuple[str, ...]
    experiment: Experiment

    def with_options(self, options: Mapping[str, str | bool]) -> list[str]:
        """Returns the arguments with other values of some options, which stand at the end."""
        arguments = without(self.arguments, options)
        for name, value in options.items():
            if isinstance(value, bool):
                arguments.append(name if value else f"--no-{name.removeprefix('--')}")
            else:
                arguments += [name, value]
        return arguments

    def line(self, arguments: Iterable[str]) -> str:
        """Returns a command line to paste, of this one's prefix and other arguments."""
        return f"{self.prefix} {shlex.join(arguments)}"


def read_base_command(text: str, parse: Callable[[list[str]], Experiment]) -> BaseCommand:
    """Takes a command line apart as a shell would, without running one.

    Parameters
    ----------
    text : str
        Variables (NAME=value), python and manage.py may be left out; run_experiment may not.
    parse : callable
        run_experiment's own parser; SystemExit where the options are none.

    Raises
    ------
    UsageError
        Where it is no run_experiment, or has an option that a search can't have.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"BASE_CMD can't be split into words: {error}; {FORM}.") from error
    rest = list(words)
    environment = {}
    while rest and (match := re.fullmatch(r"([A-Za-z_]\w*)=(.*)", rest[0], re.DOTALL)):
        environment[match[1]] = match[2]
        del rest[0]
    program = rest[: rest.index(NAME)] if NAME in rest else None
    if program is None or not _is_this_project(program):
        raise UsageError(f"BASE_CMD '{text}' is no {NAME} of this project; give one, {FORM}.")
    arguments = rest[len(program) + 1 :]
    try:
        experiment = parse(arguments)
    except SystemExit as leaving:  # of the option parser, which has told what is wrong
        raise UsageError("BASE_CMD's options can't be understood, as told above.") from leaving
    for field, problem in REFUSED.items():
        if getattr(experiment, field):
            raise UsageError(f"BASE_CMD has {problem}; leave it out.")
    program = program or ["python", "manage.py"]
    variables = [f"{name}={shlex.quote(value)}" for name, value in environment.items()]
    prefix = " ".join([*variables, shlex.join([*program, NAME])])
    return BaseCommand(prefix, environment, tuple(arguments), experiment)


def without(arguments: Iterable[str], names: Iterable[str]) -> list[str]:
    """Returns command-line arguments without some options and their values.

    Parameters
    ----------
    arguments : iterable of str
        Options as --name value, --name=value, --name or --no-name; underlines are hyphens.
    names : iterable of str
        What to leave out, as --name. Only --mirror-crops has no value.
    """
    names = {*names}
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
            continue
        option, equals, _ = argument.partition("=")
        name = option.replace("_", "-").replace("--no-", "--", 1)
        if not option.startswith("--") or name not in names:
            kept.append(argument)
        else:
            skip = not equals and name != "--mirror-crops"
    return kept


def _is_this_project(program: list[str]) -> bool:
    """Tells whether words before run_experiment start this project's manage.py, or are none."""
    rest = program
    if program and re.fullmatch(r"python[\d.]*", Path(program[0]).name):
        rest = program[1:]
    if not rest:
        return not program
    own = Path(__file__).parents[2] / "manage.py"
    return (
        len(rest) == 1
        and Path(rest[0]).name == own.name
        and (not Path(rest[0]).exists() or Path(rest[0]).samefile(own))
    )
