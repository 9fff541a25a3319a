"""What hyperopt proposes, kept in its trials, so that a search can go on where it stopped."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hyperopt import Trials, anneal, rand, tpe
from hyperopt.base import JOB_STATE_DONE, JOB_STATE_RUNNING, Domain
from hyperopt.utils import coarse_utcnow

from common.errors import CommandError
from training.search.space import Space
from training.search.trials_file import load_trials, save_trials

RANDOM_FIRST = 5
"""Evaluations before TPE has an opinion. hyperopt's default of 20 makes a search of 10, the
originals' default, a random one."""
ALGORITHMS: dict[str, Callable[..., list[dict[str, Any]]]] = {
    "tpe": functools.partial(tpe.suggest, n_startup_jobs=RANDOM_FIRST),
    "random": rand.suggest,
    "anneal": anneal.suggest,
}
LARGEST_SEED = 2**31 - 1  # what hyperopt.fmin draws below

Trial = dict[str, Any]
"""A document of hyperopt: its number from 0 (`tid`), what was drawn (`misc`), its `result`."""


class Proposals:
    """The trials of a search, in a file that is whole at any time.

    Proposals depend on the seed, the trial's number and the results so far: those of a search with
    one evaluation at a time are those of hyperopt.fmin with the generator
    numpy.random.default_rng(seed), however often it was interrupted. Evaluations that run count as
    the worst meanwhile.

    Parameters
    ----------
    space : Space
        What is searched.
    algorithm : str
        One of `ALGORITHMS`.
    seed : int
        At least 0.
    path : Path
        The file of trials; read where it exists.

    Raises
    ------
    CommandError
        Where the file can't be read, or is that of another space.
    """

    def __init__(self, space: Space, algorithm: str, seed: int, path: Path) -> None:
        self._domain = Domain(None, space.expression())
        self._suggest = ALGORITHMS[algorithm]
        self._seed = seed
        self._path = path
        self._trials = load_trials(path) if path.exists() else Trials()
        names = set(space.parameters)
        if any(set(trial["misc"]["vals"]) != names for trial in self.all):
            raise CommandError(
                f"{path} holds trials of other hyperparameters; give another LOG_DIR."
            )

    @property
    def all(self) -> list[Trial]:
        """All trials by their numbers."""
        return list(self._trials.trials)

    @property
    def unfinished(self) -> list[Trial]:
        """The trials without a result, by their numbers."""
        return [trial for trial in self.all if trial["state"] != JOB_STATE_DONE]

    @property
    def finished(self) -> list[Trial]:
        """The trials with a result, by their numbers."""
        return [trial for trial in self.all if trial["state"] == JOB_STATE_DONE]

    def propose(self) -> Trial:
        """Returns a new trial, which the file has then."""
        number = len(self._trials)
        with np.errstate(divide="ignore"):  # the logarithm of a draw that was rounded down to 0
            (trial,) = self._suggest([number], self._domain, self._trials, self._draw_seed(number))
        for entry in ("idxs", "vals"):  # plain numbers in place of NumPy's
            given = trial["misc"][entry]
            trial["misc"][entry] = {name: np.asarray(one).tolist() for name, one in given.items()}
        self._trials.insert_trial_doc(trial)
        self._trials.refresh()
        self._save()
        return self.all[-1]

    def begin(self, trial: Trial) -> None:
        """Notes that a trial runs."""
        trial["state"] = JOB_STATE_RUNNING
        trial["book_time"] = trial["book_time"] or coarse_utcnow()
        self._save()

    def finish(self, trial: Trial, result: dict[str, Any]) -> None:
        """Notes a trial's result: with a `status` ("ok" or "fail") and a `loss`."""
        trial["state"] = JOB_STATE_DONE
        trial["result"] = result
        trial["refresh_time"] = coarse_utcnow()
        self._trials.refresh()
        self._save()

    def _draw_seed(self, number: int) -> int:
        generator = np.random.default_rng(self._seed)
        for _ in range(number):
            generator.integers(LARGEST_SEED)
        return int(generator.integers(LARGEST_SEED))

    def _save(self) -> None:
        save_trials(self._trials, self._path)
