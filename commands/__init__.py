"""Management commands: every module in this folder that has no leading underscore is one.

A command `NAME` is the file `commands/NAME.py` with

- a docstring, whose first line is its line in `python manage.py help`,
- `GROUP`, the heading that it is listed under,
- `Options`, a frozen dataclass: every field is an option, with its type, default and docstring,
- `run(options)`, which does the work, returns what a notebook may want, and raises `CommandError`.

Listing the commands and printing their help must import neither torch nor numpy: a command imports
what is heavy inside `run`.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from common.errors import CommandError, UsageError, unknown_name

PROGRAM = "manage.py"
HELP = {"help", "--help", "-h"}
EPILOGUE = (
    "Also: --config FILE.yaml reads the options from a recipe (the command line wins); "
    "--traceback shows where an error was raised."
)


def main(argv: Sequence[str]) -> int:
    """Runs the command line `argv` (without the program's name) and returns its exit status.

    0: done; 1: a user's mistake; 2: a command line that can't be understood; 3: the training
    diverged; 128 + a signal's number: it was stopped, as 130 by Ctrl-C. A programming error keeps
    its traceback.
    """
    arguments = [argument for argument in argv if argument != "--traceback"]
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return _dispatch(arguments)
    except CommandError as error:
        if len(arguments) < len(argv):
            traceback.print_exc()
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.status
    except SystemExit as leaving:  # of the option parser, after --help or a wrong option
        return int(leaving.code or 0)
    except KeyboardInterrupt as interruption:  # which may say how to go on
        said = "; ".join(["interrupted", *map(str, interruption.args)])
        print(f"\n{PROGRAM}: {said}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # what reads the output has gone, and Python flushes once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _dispatch(arguments: list[str]) -> int:
    if arguments and arguments[0] in HELP and len(arguments) > 1:
        arguments = [arguments[1], "--help"]
    if not arguments or arguments[0] in HELP:
        print(listing())
        return 0
    name, *rest = arguments
    module = load(name)
    module.run(parse(module, name, rest))
    return 0


def names() -> list[str]:
    """Returns the names of all commands, sorted."""
    folder = Path(__file__).parent
    return sorted(file.stem for file in folder.glob("*.py") if not file.stem.startswith("_"))


def load(name: str) -> ModuleType:
    """Imports the command `name`.

    Raises UsageError with the near name where there is no such command.
    """
    if name not in names():
        raise UsageError(
            unknown_name("command", name, names()) + f" 'python {PROGRAM} help' describes them."
        )
    return importlib.import_module(f"commands.{name}")


def listing() -> str:
    """Returns the list of commands by group, a line each, read without importing any of them."""
    groups: dict[str, list[str]] = {}
    for name in names():
        group, summary = _heading(Path(__file__).with_name(f"{name}.py"))
        groups.setdefault(group, []).append(f"    {name:<24} {summary}")
    sections = "\n\n".join("\n".join([group, *lines]) for group, lines in sorted(groups.items()))
    return (
        f"usage: python {PROGRAM} COMMAND [options]\n\n{sections}\n\n"
        f"'python {PROGRAM} help COMMAND' describes a command and its options."
    )


def _heading(file: Path) -> tuple[str, str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    summary = (ast.get_docstring(tree) or "").partition("\n")[0]
    for statement in tree.body:
        match statement:
            case ast.Assign([ast.Name("GROUP")], ast.Constant(str(group))):
                return group, summary
    return "Other", summary


def parse(module: ModuleType, name: str, arguments: list[str]) -> Any:
    """Reads the command line `arguments` of the command `name` into its `Options`.

    Raises SystemExit as argparse does: with status 0 after --help, 2 where an option is wrong.
    """
    import tyro

    arguments, given = _take_defaults(module, arguments)
    default = None
    if given:
        missing = {
            field.name: tyro.MISSING
            for field in dataclasses.fields(module.Options)
            if field.default is dataclasses.MISSING
        }
        default = module.Options(**(missing | given))
    return tyro.cli(
        module.Options,
        prog=f"{PROGRAM} {name}",
        description=f"{module.__doc__}\n\n{EPILOGUE}",
        default=default,
        args=arguments,
    )


def _take_defaults(module: ModuleType, arguments: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Takes `--config FILE` out of the arguments; returns the rest and what replaces the defaults.

    A command that knows another source of options, as a snapshot, has `defaults(arguments,
    recipe)`; the recipe wins over it.
    """
    from common.options import read_recipe

    rest: list[str] = []
    recipe: dict[str, Any] = {}
    remaining = iter(arguments)
    for argument in remaining:
        option, equals, value = argument.partition("=")
        if option != "--config":
            rest.append(argument)
            continue
        file = value if equals else next(remaining, "")
        if not file:
            raise UsageError("--config needs the name of a YAML file.")
        recipe |= read_recipe(module.Options, Path(file))
    beneath = module.defaults(rest, recipe) if hasattr(module, "defaults") else {}
    return rest, beneath | recipe


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"{PROGRAM}: warning: {message}", file=sys.stderr)
