"""The originals' parameter strings, `key=value:key=value`: values are Python literals or text."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from common.errors import CommandError

TOKEN = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|.""", re.DOTALL)
"""A quoted string, or any other character."""


def parse_params(text: str) -> dict[str, Any]:
    """Reads `key=value:key=value`; a value is a Python literal, or plain text where it is none.

    A colon inside brackets or quotes does not end a value.

    Raises CommandError where a part has no '=', no name, or a name comes twice.
    """
    params: dict[str, Any] = {}
    for part in split_outside(text, ":"):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise CommandError(
                f"The parameter '{part}' is not of the form name=value; "
                "parameters are written name=value:name=value."
            )
        if name in params:
            raise CommandError(f"The parameter '{name}' is given twice in '{text}'; give it once.")
        params[name] = literal(value)
        if isinstance(params[name], str) and re.search(r",\s*\w+=", params[name]):
            raise CommandError(
                f"The parameter '{part}' seems to hold another one; parameters are divided by "
                "colons, name=value:name=value."
            )
    return params


def parse_names(text: str) -> list[str]:
    """Reads names divided by commas, as in "jazz, metal"."""
    return [name.strip() for name in text.split(",")]


def format_params(params: Mapping[str, Any]) -> str:
    """Writes parameters as `parse_params` reads them: text without quotes where it needs none."""
    return ":".join(f"{name}={_written(value)}" for name, value in params.items())


def split_outside(text: str, separator: str) -> list[str]:
    """Splits at a character where it is outside brackets and quotes; empty parts are left out."""
    parts, depth = [""], 0
    for token in TOKEN.findall(text):
        depth += (token in "([{") - (token in ")]}")
        if token == separator and depth <= 0:
            parts.append("")
        else:
            parts[-1] += token
    return [part for part in parts if part.strip()]


def literal(value: str) -> Any:
    """Reads a Python literal; what is none is text, without the spaces around it."""
    try:
        return ast.literal_eval(value.strip())
    except (SyntaxError, ValueError):
        return value.strip()


def _written(value: Any) -> str:
    if not isinstance(value, str):
        return repr(value)
    is_plain = re.fullmatch(r"[\w./+-]+", value) and literal(value) == value
    return value if is_plain else repr(value)
