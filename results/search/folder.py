"""A search's folder: its options, hyperopt's trials, a folder for each evaluation, the summary."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import yaml

from common.errors import CommandError
from common.files import make_folder, write_whole
from common.options import read_recipe, to_plain
from results.locked_folder import LockedFolder
from training.search.options import Search

TRIALS = "trials.pkl"
FREE = {"log_dir", "max_evals", "num_parallel"}
"""Options that may differ where a search goes on."""


class SearchFolder(LockedFolder):
    """The folder of a search, locked until `close`.

    Attributes
    ----------
    path : the folder.
    recipe, trials, table, picture, results : its files.

    Raises
    ------
    CommandError
        Where it can't be written to, another process searches in it, or it holds another search.
    """

    def __init__(self, search: Search) -> None:
        super().__init__(make_folder(search.log_dir), "search_hyperparams runs")
        self.recipe = self.path / "search.yaml"
        self.trials = self.path / TRIALS
        self.table = self.path / "evaluations.csv"
        self.picture = self.path / "search.png"
        self.results = self.path / "results.json"
        try:
            self._check_same(search)
        except BaseException:
            self.close()
            raise
        header = f"# Goes on with this search:\n# {self.command_to_go_on()}\n"
        text = yaml.safe_dump(to_plain(search), sort_keys=False, allow_unicode=True, width=10**6)
        write_whole(self.recipe, header + text)

    def command_to_go_on(self) -> str:
        """Returns the command line that takes the search up."""
        return f"python manage.py search_hyperparams --config {shlex.quote(str(self.recipe))}"

    def evaluation(self, number: int, arguments: Sequence[str], taken: Collection[Path]) -> Path:
        """Returns the folder of an evaluation: eval-<number>-<hash of its arguments>.

        One of the same arguments that is there already, and not `taken`, is found again, whatever
        its number.
        """
        key = key_of(arguments)
        there = [folder for folder in self.path.glob(f"eval-*-{key}") if folder not in taken]
        own = self.path / f"eval-{number:04d}-{key}"
        return own if own in there or not there else min(there)

    def _check_same(self, search: Search) -> None:
        if not self.recipe.exists():
            self._refuse_files_of_others()
            return
        before: dict[str, Any] = read_recipe(Search, self.recipe)
        now = {name: getattr(search, name) for name in before}
        for options in (before, now):
            options["base_cmd"] = shlex.split(options.get("base_cmd", ""))
        other = [name for name in before if name not in FREE and before[name] != now[name]]
        if other:
            names = ", ".join(
                "BASE_CMD" if name == "base_cmd" else f"--{name.replace('_', '-')}"
                for name in other
            )
            raise CommandError(
                f"{self.path} holds a search with another {names}; choose another LOG_DIR, or go "
                f"on with that search by {self.command_to_go_on()}."
            )

    def _refuse_files_of_others(self) -> None:
        others = [entry.name for entry in self.path.iterdir() if entry.name != TRIALS]
        if others:
            raise CommandError(
                f"{self.path} holds no search, but {min(others)}; choose a LOG_DIR that is new or "
                "empty."
            )


def key_of(arguments: Sequence[str]) -> str:
    """Returns the hash of a command line's arguments: 8 hexadecimal digits of SHA-256."""
    return hashlib.sha256(shlex.join(arguments).encode()).hexdigest()[:8]
