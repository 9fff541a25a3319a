"""Runs a cross-validation from its options to its folder, telling a person what happens."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.errors import CommandError
from common.options import checked
from datasets.dataset import SUBSETS
from results.child_run import DIVERGED, LOG, ChildRun, signal_of
from results.child_runs import ChildRuns, ending_by
from results.cross_validation.fold import FoldRun
from results.cross_validation.folder import CrossValidationFolder
from results.cross_validation.summary import summarise
from results.places import environments
from training.cross_validation import CrossValidation
from training.order import fingerprint
from training.setup import open_needed, try_out
from training.stop_signals import STOPPING, stop_signals, tell


def run_cross_validation(options: CrossValidation) -> dict[str, Any]:
    """Runs what is left of a cross-validation, and tells what came out.

    Returns
    -------
    dict
        What results.json holds, and the folder as `run`.

    Raises
    ------
    CommandError
        For a user's mistake, before anything runs; where a run fails, or all of a fold's diverge,
        which no other run can make up for.
    KeyboardInterrupt, Terminated
        After a signal; the same command with --resume goes on.
    """
    options = checked(options)
    options.check()
    folds = [replace(options.of_fold(), fold=fold + 1) for fold in range(max(1, options.folds))]
    try_out(folds[0])
    for fold in folds:
        dataset = open_needed(fold)
    known = {name: fingerprint(dataset, name) for name in SUBSETS}
    with CrossValidationFolder(options, known) as folder:
        running = CrossValidationRun(options, folder)
        with stop_signals(told=False) as signals:
            running.run(signals)
        if signals.received is not None:
            tell(f"\nto go on: {folder.command_to_go_on()}\n")
            raise ending_by(signals.received, "cross-validation")
        if running.problem:
            raise CommandError(running.problem)
        results = summarise(running.runs, options, folder)
    return results | {"run": str(folder.path)}


class CrossValidationRun(ChildRuns):
    """Trains and tests every try of every fold, those that are whole already left as they are.

    Attributes
    ----------
    problem : why it ended early, empty where it did not.
    """

    def __init__(self, options: CrossValidation, folder: CrossValidationFolder) -> None:
        super().__init__()
        self._tries = [
            (fold, number)
            for fold in range(1, options.folds + 1)
            for number in range(1, options.random_tries + 1)
        ]
        self._options = options
        self._folder = folder
        self._places = environments(options.num_parallel, options, {})
        done = {(run.fold, run.number) for run in self.runs if run.results or run.has_diverged}
        self._waiting = [one for one in self._tries if one not in done]
        self._running: dict[int, FoldRun]
        self._told_to_wait: set[str] = set()
        self.problem = self._lost()
        self._introduce(len(done))

    @property
    def runs(self) -> list[FoldRun]:
        """Those that have begun, by fold and try."""
        paths = {one: self._path(*one) for one in self._tries}
        return [FoldRun(*one, path) for one, path in paths.items() if path.is_dir()]

    def _children(self) -> list[ChildRun]:
        return [*self._running.values()]

    def _path(self, fold: int, number: int) -> Path:
        return self._folder.run(fold, number, self._options.random_tries)

    def _introduce(self, done: int) -> None:
        options = self._options
        tries = f", {options.random_tries} tries each" if options.random_tries > 1 else ""
        print(f"cross-validation {self._folder.path}: {options.folds} folds{tries}")
        if done:
            print(f"{done} of {len(self._tries)} runs are done already")
        print(flush=True)

    def _fill(self) -> None:
        for place, environment in enumerate(self._places):
            if place in self._running or not self._waiting:
                continue
            fold, number = self._waiting[0]
            run = FoldRun(fold, number, self._path(fold, number))
            if not run.take():
                if run.name not in self._told_to_wait:
                    self._told_to_wait.add(run.name)
                    print(f"a process of before still writes to {run.run.path}; waiting for it")
                return
            del self._waiting[0]
            going_on = " goes on from its snapshot" if run.can_go_on else ""
            print(f"{run.name}{going_on}; log: {run.run.path / LOG}", flush=True)
            seed = self._options.seed_of(run.number)
            run.go_on(self._folder.experiment, seed, self._options, environment)
            self._running[place] = run

    def _look(self, place: int, ending: bool) -> None:
        """Notes the end of a run, if it has ended."""
        run = self._running[place]
        status = run.poll()
        if status is None:
            return
        del self._running[place]
        if status == 0 and run.results:
            print(f"{run.name} {_reached(run.results)}", flush=True)
        elif status == DIVERGED:
            print(f"{run.name} diverged: {run.reason(status)}", flush=True)
            self.problem = self.problem or self._lost()
        elif not (ending and signal_of(status) in (*STOPPING, signal.SIGKILL)):
            log = run.run.path / LOG
            self.problem = self.problem or (
                f"{run.name} failed: {run.reason(status)} (log: {log}). What is done is kept: "
                f"{self._folder.command_to_go_on()} goes on."
            )

    def _lost(self) -> str:
        """Returns the sentence for a fold whose tries have all diverged; empty without one."""
        diverged = [run.fold for run in self.runs if run.has_diverged]
        for fold in diverged:
            if diverged.count(fold) == self._options.random_tries:
                every = " in every try" if self._options.random_tries > 1 else ""
                return (
                    f"Fold {fold} diverged{every}, so that there is no result; begin again in "
                    "another --out-dir with a lower --learning-rate."
                )
        return ""


def _reached(results: dict[str, Any]) -> str:
    epochs = "1 epoch" if results["epochs"] == 1 else f"{results['epochs']} epochs"
    recordings = ""
    if "testing_vote_accuracy" in results:
        recordings = (
            f", of recordings {results['testing_recording_accuracy']:.2%} "
            f"(vote {results['testing_vote_accuracy']:.2%})"
        )
    return (
        f"{results['stopped']} after {epochs}, {results['seconds']:.1f} s: validation accuracy "
        f"{results['validation_accuracy']:.2%}, testing accuracy "
        f"{results['testing_accuracy']:.2%}{recordings}"
    )
