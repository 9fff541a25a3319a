"""Every public name of Lasagne 0.2, with its signature.

tests/golden/lasagne-api.md was read off the original by introspection; what differs here must stand
in the table of docs/lasagne.md, and nothing else may stand there.
"""

import ast
import importlib
import inspect
import re
from typing import Any

import pytest

from lasagne.init import Initializer
from lasagne.layers import Gate
from tests.paths import GOLDEN, ROOT

_SIGNATURE = re.compile(r"`(\w+)\((.*?)\)`(?:[,;]|$| ←| \(=)")


def read_list() -> list[tuple[str, str, str]]:
    """Return (qualified name, signature, base class) of everything in the list."""
    found = []
    module = owner = ""
    for line in (GOLDEN / "lasagne-api.md").read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"##+ (lasagne\.[\w.]+)", line):
            module = match[1]
        elif match := re.fullmatch(
            r"- (?:class )?`(\w+)\((.*)\)`(?: ← (\w+))?(?: \(= \w+\))?", line
        ):
            owner = f"{module}.{match[1]}"
            found.append((owner, match[2], match[3] or ""))
        elif line.startswith("  - "):
            found += [
                (f"{owner}.{name}", arguments, "")
                for name, arguments in re.findall(r"`(\w+)\((.*?)\)`", line)
            ]
    return found


API = read_list()


def resolve(name: str) -> Any:
    """Return the object of a qualified name."""
    parts = name.split(".")
    depth = 3 if parts[1] == "layers" and len(parts) > 2 else 2
    found: Any = importlib.import_module(".".join(parts[:depth]))
    for part in parts[depth:]:
        found = getattr(found, part)
    return found


def same_default(ours: Any, theirs: ast.expr) -> bool:
    """Tell whether a default is what the list says: a literal, a name or a call."""
    if isinstance(theirs, ast.Name):
        return getattr(ours, "__name__", None) == theirs.id
    if not isinstance(theirs, ast.Call):
        return ours == ast.literal_eval(theirs)
    assert isinstance(theirs.func, ast.Name)
    if type(ours).__name__ != theirs.func.id or not isinstance(ours, Initializer | Gate):
        return False
    given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in theirs.keywords}
    return all(getattr(ours, str(key)) == value for key, value in given.items())


def difference(function: Any, arguments: str) -> str:
    """Return how a signature differs from the list's; an empty string if it does not."""
    theirs = ast.parse(f"def f({arguments}): pass").body[0].args  # type: ignore[attr-defined]
    parameters = list(inspect.signature(function).parameters.values())
    if inspect.isclass(function) and function.__init__ is object.__init__:
        return ""
    parameters = [p for p in parameters if p.name != "self"]
    names = [arg.arg for arg in theirs.args]
    names += [f"*{theirs.vararg.arg}"] if theirs.vararg else []
    names += [f"**{theirs.kwarg.arg}"] if theirs.kwarg else []
    marks = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    ours = [marks.get(p.kind, "") + p.name for p in parameters]
    if ours != names:
        return f"({', '.join(ours)}) instead of ({', '.join(names)})"
    plain = [p for p in parameters if p.kind not in marks]
    defaults = [None] * (len(plain) - len(theirs.defaults)) + list(theirs.defaults)
    for parameter, default in zip(plain, defaults, strict=True):
        if (default is None) != (parameter.default is inspect.Parameter.empty):
            return f"{parameter.name} has a default in one of them only"
        if default is not None and not same_default(parameter.default, default):
            return f"{parameter.name}={parameter.default!r} instead of {ast.unparse(default)}"
    return ""


def documented() -> set[str]:
    """Return the names which the docs' table lists for their signatures."""
    text = (ROOT / "docs" / "lasagne.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    return {
        name
        for row in rows
        if row[2].strip() == "signature"
        for name in re.findall(r"`(lasagne[\w.]+)`", row[1])
    }


def test_the_list_was_read_whole():
    names = [name for name, _, _ in API]
    assert len(names) > 240
    assert {"lasagne.layers.base.Layer.get_params", "lasagne.utils.unroll_scan"} < set(names)


@pytest.mark.parametrize(("name", "arguments", "base"), API, ids=[name for name, _, _ in API])
def test_signature(name: str, arguments: str, base: str):
    found = resolve(name)
    if base:
        assert base in {ancestor.__name__ for ancestor in found.__mro__[1:]}
    differs = difference(found, arguments)
    assert bool(differs) == (name in documented()), differs or "documented, but it does not differ"


def test_layers_are_exported():
    package = importlib.import_module("lasagne.layers")
    listed = {n.split(".")[3] for n, _, _ in API if n.startswith("lasagne.layers.")}
    assert listed <= set(package.__all__)
    assert all(hasattr(package, name) for name in package.__all__)


@pytest.mark.parametrize(
    "module",
    ["init", "nonlinearities", "objectives", "updates", "regularization", "random", "utils"],
)
def test_other_names_are_exported(module: str):
    listed = {n.split(".")[2] for n, _, _ in API if n.startswith(f"lasagne.{module}.")}
    assert listed
    assert listed <= set(importlib.import_module(f"lasagne.{module}").__all__)


def test_documented_names_are_in_the_list():
    assert documented() <= {name for name, _, _ in API}
