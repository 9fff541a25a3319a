"""Prints a completion script for bash or zsh: `source <(python manage.py completion bash)`.

It completes commands, options and their choices after `manage.py` and `python manage.py`.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import Any, Literal

from tyro.conf import Positional

GROUP = "Help"

SCRIPT = """
_manage_py() {
    local i at=-1 current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    for ((i = 0; i < COMP_CWORD; i++)); do
        case "${COMP_WORDS[i]}" in manage.py|*/manage.py) at=$i; break ;; esac
    done
    COMPREPLY=()
    ((at >= 0)) || return 0
    if ((COMP_CWORD == at + 1)) || [[ "$previous" == help ]]; then
        COMPREPLY=($(compgen -W "help @COMMANDS@" -- "$current"))
        return 0
    fi
    case "${COMP_WORDS[at+1]} $previous" in
@CHOICES@
    esac
    [[ "$current" == -* ]] || return 0
    case "${COMP_WORDS[at+1]}" in
@OPTIONS@
    esac
}
complete -o default -o bashdefault -F _manage_py manage.py ./manage.py python python3
"""
ZSH = "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n"
EVERYWHERE = ["--help", "--config", "--traceback"]


@dataclass(frozen=True)
class Options:
    """Which shell."""

    shell: Positional[Literal["bash", "zsh"]]
    """The shell that reads the script."""


def run(options: Options) -> str:
    """Prints and returns the script."""
    script = _script()
    if options.shell == "zsh":
        script = ZSH + script
    print(script)
    return script


def _script() -> str:
    from commands import load, names

    choices, flags = [], []
    for name in names():
        options = load(name).Options
        kinds, positionals = typing.get_type_hints(options), _positionals(options)
        words = list(EVERYWHERE)
        for field in dataclasses.fields(options):
            if field.name in positionals:
                continue
            kind = kinds[field.name]
            option = "--" + field.name.replace("_", "-")
            words.append(option)
            if kind is bool:
                words.append(option.replace("--", "--no-", 1))
            if typing.get_origin(kind) is Literal:
                values = " ".join(map(str, typing.get_args(kind)))
                choices.append(_reply(f'"{name} {option}"', values))
        flags.append(_reply(name, " ".join(words)))
    return (
        SCRIPT.replace("@COMMANDS@", " ".join(names()))
        .replace("@CHOICES@", "\n".join(choices))
        .replace("@OPTIONS@", "\n".join(flags))
        .strip()
    )


def _positionals(options: type[Any]) -> set[str]:
    """Returns the names of the fields that are given by their place."""
    hints = typing.get_type_hints(options, include_extras=True)
    marker = typing.get_args(Positional[int])[1]
    return {name for name, hint in hints.items() if marker in typing.get_args(hint)[1:]}


def _reply(pattern: str, words: str) -> str:
    ends = " return 0" if pattern.startswith('"') else ""
    return f'        {pattern}) COMPREPLY=($(compgen -W "{words}" -- "$current"));{ends} ;;'
