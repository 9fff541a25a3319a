"""Runs a search from its options to its folder, telling a person what happens."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from itertools import takewhile
from typing import Any

from common.errors import CommandError
from common.options import checked
from datasets.recordings import open_any
from results.child_run import LOG, ChildRun, signal_of
from results.child_runs import ChildRuns, ending_by
from results.places import environments
from results.search.evaluation import Evaluation
from results.search.folder import TRIALS, SearchFolder
from results.search.outcome import Result, failure, halved, kind, settled
from results.search.rehearsal import rehearse
from results.search.summary import how_it_failed, summarise
from results.search.table import Row, best_of, point_text, write_csv
from training.experiment import Experiment
from training.search.base_command import BaseCommand, read_base_command
from training.search.halving import Halving
from training.search.options import Search, check_numbers
from training.search.proposals import Proposals, Trial
from training.search.space import Space
from training.stop_signals import STOPPING, stop_signals, tell

ENOUGH = 3
"""Failures in a row for the same reason that end a search."""


def run_search(search: Search, parse: Callable[[list[str]], Experiment]) -> dict[str, Any]:
    """Evaluates what is left of a search, tells what came out, and returns that.

    Parameters
    ----------
    search : Search
        The options.
    parse : callable
        run_experiment's own parser.

    Returns
    -------
    dict
        What `results.search.summary.summarise` returns.

    Raises
    ------
    CommandError
        For a user's mistake, before anything runs; where evaluations fail for the same reason, or
        none succeeds.
    KeyboardInterrupt, Terminated
        After a signal; the search goes on with the same command.
    """
    search = checked(search)
    base = read_base_command(search.base_cmd, parse)
    check_numbers(search, base.experiment.num_epochs)
    space = Space(search, base.experiment)
    open_any(base.experiment.dataset_path)
    if not (search.log_dir / TRIALS).exists():
        points = space.samples()
        commands = [base.with_options(space.options(point)) for point in points]
        tried = dict(zip(map(point_text, points), map(parse, commands), strict=True))
        rehearse(tried, base.environment)
    with SearchFolder(search) as folder:
        running = SearchRun(search, base, space, folder)
        try:
            with stop_signals(told=False) as signals:
                running.run(signals)
            results = summarise(running.rows, search, base, space, folder)
        except OSError:
            if signals.received is None:
                raise
            # Who was to read it has gone with the signal; Python flushes once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if signals.received is not None:
            tell(f"\nto go on: {folder.command_to_go_on()}\n")
            raise ending_by(signals.received, "search")
        if running.problem:
            raise CommandError(running.problem)
        if results["best"] is None:
            last = how_it_failed(running.rows[-1].result, folder.path)
            number = results["evaluations"]
            raise CommandError(f"None of the {number} evaluations succeeded; the last one {last}.")
    return results


class SearchRun(ChildRuns):
    """Proposes, evaluates and records until there are enough evaluations.

    Attributes
    ----------
    problem : why the search ended early, empty where it did not.
    """

    def __init__(
        self, search: Search, base: BaseCommand, space: Space, folder: SearchFolder
    ) -> None:
        super().__init__()
        self._search = search
        self._base = base
        self._space = space
        self._folder = folder
        self._proposals = Proposals(space, search.algorithm, search.seed, folder.trials)
        self._places = environments(search.num_parallel, base.experiment, base.environment)
        self._running: dict[int, tuple[Trial, Evaluation]]
        self._waiting = [t for t in self._proposals.unfinished if t["tid"] < search.max_evals]
        self._halving = self._make_halving() if search.early_stop else None
        self._told_to_wait: set[int] = set()
        self._introduce()

    what = "evaluations"

    def _children(self) -> list[ChildRun]:
        return [evaluation for _, evaluation in self._running.values()]

    @property
    def rows(self) -> list[Row]:
        """The evaluations that have ended, by their numbers."""
        return [
            Row(trial["tid"] + 1, self._space.point(trial["misc"]["vals"]), trial["result"])
            for trial in self._proposals.finished
        ]

    def _introduce(self) -> None:
        search, parameters = self._search, self._space.parameters
        print(f"search {self._folder.path}: {search.algorithm}, seed {search.seed}")
        width = max(map(len, parameters))
        for parameter in parameters.values():
            print(f"    {parameter.name:<{width}}  {parameter}")
        if self._space.left_out:
            print(f"    ({self._space.left_out})")
        if done := len(self._proposals.finished):
            print(f"{done} evaluations are done already; --max-evals is {search.max_evals}")
        print(flush=True)

    def _make_halving(self) -> Halving:
        """Returns the halving as the evaluations that have ended had left it."""
        halving = Halving(self._search.grace_epochs, self._base.experiment.num_epochs)
        seen = set()
        for trial in self._proposals.finished:
            result = trial["result"]
            folder = self._folder.path / result["folder"]
            if folder.is_dir() and folder not in seen:
                halving.take(trial["tid"], Evaluation(folder).records()[: result["epochs"]])
            seen.add(folder)
        return halving

    def _fill(self) -> None:
        """Gives the free places to evaluations that were cut off, then to new ones."""
        for place in range(len(self._places)):
            while place not in self._running and not self.problem:
                if self._waiting:
                    trial = self._waiting.pop(0)
                elif len(self._proposals.all) < self._search.max_evals:
                    trial = self._proposals.propose()
                else:
                    return
                self._begin(place, trial)

    def _begin(self, place: int, trial: Trial) -> None:
        """Gives a trial a place and a folder; one with another's command line has its result."""
        number, of = trial["tid"] + 1, self._search.max_evals
        taken = {evaluation.run.path for _, evaluation in self._running.values()}
        folder = self._folder.evaluation(number, self._arguments(trial), taken)
        point = self._space.point(trial["misc"]["vals"])
        print(f"evaluation {number} of {of}, {folder}: {point_text(point)}", flush=True)
        for other in self._proposals.finished:
            if other["result"]["folder"] == folder.name:
                print(f"evaluation {number} has the command line of {other['tid'] + 1}")
                self._record(trial, dict(other["result"]))
                return
        self._running[place] = trial, Evaluation(folder)
        self._proposals.begin(trial)

    def _arguments(self, trial: Trial) -> list[str]:
        """Returns run_experiment's arguments: BASE_CMD's and what was proposed."""
        point = self._space.point(trial["misc"]["vals"])
        return self._base.with_options(self._space.options(point))

    def _look(self, place: int, ending: bool) -> None:
        """Starts an evaluation, stops it early, or records its end."""
        trial, evaluation = self._running[place]
        if not evaluation.has_begun:
            if ending:
                del self._running[place]
            elif evaluation.take():
                self._start(place, trial, evaluation)
            elif place not in self._told_to_wait:
                self._told_to_wait.add(place)
                where = evaluation.run.path
                print(f"a process of before still writes to {where}; waiting for it", flush=True)
            return
        status = evaluation.poll()
        self._halve(trial, evaluation)
        if status is None:
            return
        del self._running[place]
        result = evaluation.halved or self._result(trial, evaluation, status, ending)
        if result is not None:
            self._finish(trial, result)

    def _result(
        self, trial: Trial, evaluation: Evaluation, status: int, ending: bool
    ) -> Result | None:
        """Returns what a process has come to, None where the evaluation is to go on."""
        if status == 0 and (result := settled(evaluation.run)):
            return result
        number = signal_of(status)
        if ending and number == signal.SIGKILL:  # by `Evaluation.kill`
            return None
        if number not in STOPPING:
            return failure(evaluation.run, status)
        if not ending:
            self.problem = (
                f"Something else has ended evaluation {trial['tid'] + 1} by "
                f"{signal.Signals(number).name} (log: {evaluation.run.path / LOG}); repeat the "
                "command to go on with it."
            )
        return None

    def _start(self, place: int, trial: Trial, evaluation: Evaluation) -> None:
        """Starts the process, unless a search that was killed has left the result."""
        self._halve(trial, evaluation)
        if result := evaluation.halved or settled(evaluation.run):
            evaluation.release()
            del self._running[place]
            self._finish(trial, result)
            return
        if evaluation.can_go_on:
            print(f"evaluation {trial['tid'] + 1} goes on from its snapshot", flush=True)
        experiment, arguments = self._base.experiment, self._arguments(trial)
        if experiment.test_at_end:
            arguments.append("--no-test-at-end")
        evaluation.go_on_or_begin(arguments, experiment, self._places[place])

    def _halve(self, trial: Trial, evaluation: Evaluation) -> None:
        """Stops an evaluation that is not among the better half; its result is that of the rung."""
        if self._halving is None or evaluation.halved or not evaluation.has_grown():
            return
        records = evaluation.records()
        rung = self._halving.stopped_at(trial["tid"], records)
        if rung is not None:
            evaluation.halved = halved(evaluation.run, records[:rung])
            evaluation.stop()

    def _finish(self, trial: Trial, result: Result) -> None:
        """Records a result, and sees whether too many have failed."""
        self._record(trial, result)
        failures = self._failures_in_a_row()
        if result in failures and len(failures) % ENOUGH == 0:  # after a restart as many again
            self.problem = self.problem or (
                f"{len(failures)} evaluations in a row {how_it_failed(result, self._folder.path)}. "
                "Search elsewhere, in another LOG_DIR; or repeat the command to go on all the same."
            )

    def _record(self, trial: Trial, result: Result) -> None:
        before = best_of(self.rows)
        self._proposals.finish(trial, result)
        write_csv(self.rows, list(self._space.parameters), self._folder.table)
        number = trial["tid"] + 1
        if result["status"] != "ok":
            print(f"evaluation {number} {how_it_failed(result, self._folder.path)}", flush=True)
            return
        mark = " *" if before is None or result["loss"] < before.error else ""
        epochs = "1 epoch" if result["epochs"] == 1 else f"{result['epochs']} epochs"
        reached = (
            f"validation error {result['loss']:.2%}{mark}, {epochs}, {result['seconds']:.1f} s"
        )
        print(f"evaluation {number} {result['stopped']}: {reached}", flush=True)

    def _failures_in_a_row(self) -> list[Result]:
        """Returns the last evaluations, as far as they failed for the same reason; no copies."""
        results = list({row.result["folder"]: row.result for row in self.rows}.values())
        reasons = [kind(result) if result["status"] != "ok" else "" for result in results]
        same = takewhile(lambda reason: reason and reason == reasons[-1], reversed(reasons))
        return results[len(results) - len(list(same)) :]
