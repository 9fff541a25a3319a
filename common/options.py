"""Options as plain data: what a recipe holds, what a snapshot records, and back."""

from __future__ import annotations

import ast
import dataclasses
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from tyro.constructors import PrimitiveConstructorSpec

from common.errors import CommandError, near_name

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Options = TypeVar("Options", bound=DataclassInstance)


def parse_shape(text: str) -> tuple[int, ...]:
    """Reads a shape as a Python tuple, "(224, 224)", or without its brackets, "224,224".

    Raises ValueError where it is neither.
    """
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        value = None
    shape = (value,) if isinstance(value, int) else value
    if not isinstance(shape, tuple) or not shape or not all(type(n) is int for n in shape):
        raise ValueError(
            f"'{text}' is no shape; write whole numbers in brackets, as in (1, 28, 28)"
        )
    return shape


Shape = Annotated[
    tuple[int, ...],
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="(INT, …)",
        instance_from_str=lambda args: parse_shape(args[0]),
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda shape: [str(shape)],
    ),
]
"""A shape as the originals' command lines write it: a Python tuple in one argument."""


def to_plain(options: DataclassInstance) -> dict[str, Any]:
    """Returns the options by name, in types that YAML and JSON hold."""
    return {
        field.name: _plain(getattr(options, field.name)) for field in dataclasses.fields(options)
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(element) for element in value]
    return value


def from_plain(
    kind: type[DataclassInstance], plain: Mapping[str, Any], source: Path
) -> dict[str, Any]:
    """Returns the values of `plain` converted to the types of the fields of `kind`.

    Raises CommandError that names `source` and the option, where an option is unknown or its value
    is of the wrong type.
    """
    from pydantic import TypeAdapter, ValidationError

    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in plain.items():
        name = str(key).replace("-", "_")
        if name not in hints:
            raise CommandError(
                f"{source} has an unknown option '{key}'.{near_name(name, hints)} "
                f"Valid: {', '.join(hints)}."
            )
        try:
            values[name] = TypeAdapter(hints[name]).validate_python(_typed(value, hints[name]))
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise CommandError(f"{source}: option '{key}' is {value!r}; {reason}.") from error
        except ValueError as error:
            raise CommandError(f"{source}: option '{key}': {error}.") from error
    return values


def checked(options: Options) -> Options:
    """Returns the options with every value converted to its field's type, as from a recipe.

    Raises CommandError where a value is of the wrong type.
    """
    kind = type(options)
    return kind(**from_plain(kind, to_plain(options), Path(kind.__name__)))


def _typed(value: Any, hint: Any) -> Any:
    """Turns what YAML has a form of its own for into what the command line would hold."""
    if hint is str:
        match value:
            case None:
                return ""
            case dict():
                return ":".join(f"{name}={one}" for name, one in value.items())
            case list():
                return ",".join(map(str, value))
            case int() | float():
                return str(value)
    if isinstance(value, str) and "tuple[int, ...]" in str(hint):
        return parse_shape(value)
    if isinstance(value, bool) and hint is not bool:
        raise ValueError(f"{value} is neither a number nor a text")
    return value


def read_recipe(kind: type[DataclassInstance], path: Path) -> dict[str, Any]:
    """Returns the options that the YAML recipe `path` gives, in the types of the fields of `kind`.

    Raises CommandError where the file is missing, is no YAML mapping, or has a wrong option.
    """
    import yaml

    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"The recipe {path} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"The recipe {path} can't be read: it is no text in UTF-8.") from error
    except yaml.YAMLError as error:
        raise CommandError(
            f"The recipe {path} is no YAML: {' '.join(str(error).split())}."
        ) from error
    if not isinstance(plain or {}, dict):
        raise CommandError(
            f"The recipe {path} must hold 'option: value' lines, one for each option."
        )
    return from_plain(kind, plain or {}, path)
