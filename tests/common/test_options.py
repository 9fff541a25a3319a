from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from common.errors import CommandError
from common.options import Shape, from_plain, parse_shape, read_recipe, to_plain


@dataclass(frozen=True)
class Options:
    path: Path
    count: int = 1
    rate: float = 0.5
    loud: bool = False
    shape: Shape | None = None
    kind: Literal["a", "b"] = "a"


def test_options_become_plain_data_and_back():
    options = Options(Path("x/y"), 2, 0.25, True, (1, 28, 28), "b")
    plain = to_plain(options)
    assert plain == {
        "path": "x/y",
        "count": 2,
        "rate": 0.25,
        "loud": True,
        "shape": [1, 28, 28],
        "kind": "b",
    }
    assert Options(**from_plain(Options, plain, Path("recipe"))) == options


@pytest.mark.parametrize("text", ["(1, 28, 28)", "1,28,28", "(1,28,28)"])
def test_a_shape_is_read_with_and_without_brackets(text):
    assert parse_shape(text) == (1, 28, 28)


@pytest.mark.parametrize("text", ["", "()", "a", "(1.5, 2)", "(True, 1)", "[1, 2]", "1x2"])
def test_what_is_no_shape_is_refused(text):
    with pytest.raises(ValueError, match="is no shape"):
        parse_shape(text)


def test_a_recipe_is_read_with_hyphens_or_underscores(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("path: a/b\nshape: (3, 4)\ncount: 7\n")
    assert read_recipe(Options, file) == {"path": Path("a/b"), "shape": (3, 4), "count": 7}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("conut: 3", r"unknown option 'conut'\. Did you mean 'count'\? Valid: path, count"),
        ("count: many", "option 'count' is 'many'"),
        ("loud: perhaps", "option 'loud' is 'perhaps'"),
        ("kind: c", "option 'kind' is 'c'"),
        ("shape: wide", "option 'shape': 'wide' is no shape"),
        ("- a\n- b", "must hold 'option: value' lines"),
        ("a: [", "is no YAML"),
        ("!!python/object/apply:os.getcwd []", "is no YAML"),
    ],
)
def test_a_wrong_recipe_gives_a_sentence(tmp_path, text, sentence):
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    with pytest.raises(CommandError, match=sentence):
        read_recipe(Options, file)


@dataclass(frozen=True)
class Texts:
    labels: str = ""
    params: str = ""
    count: int = 1


def test_yaml_has_its_own_form_of_lists_and_mappings(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("labels: [jazz, 3]\nparams: {num_units: 5, size: [1, 2]}\n")
    read = read_recipe(Texts, file)
    assert read == {"labels": "jazz,3", "params": "num_units=5:size=[1, 2]"}
    file.write_text("labels: null\nparams: 7\n")
    assert read_recipe(Texts, file) == {"labels": "", "params": "7"}
    file.write_text("count: true\n")
    with pytest.raises(CommandError, match="option 'count': True is neither a number nor a text"):
        read_recipe(Texts, file)


def test_a_missing_recipe_gives_a_sentence(tmp_path):
    with pytest.raises(CommandError, match=r"The recipe .* can't be read"):
        read_recipe(Options, tmp_path / "none.yaml")
