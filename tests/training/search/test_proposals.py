"""Proposals against hyperopt.fmin on a function that is known, and on files of its own."""

import math
import os
import pickle
from functools import partial
from pathlib import Path

import cloudpickle
import hyperopt
import numpy as np
import pytest

from common.errors import CommandError
from tests.training.search.test_parameters import EVERY
from training.experiment import Experiment
from training.search.options import Search
from training.search.proposals import ALGORITHMS, RANDOM_FIRST, Proposals
from training.search.space import Space

HYPEROPT = {
    "tpe": partial(hyperopt.tpe.suggest, n_startup_jobs=RANDOM_FIRST),
    "random": hyperopt.rand.suggest,
    "anneal": hyperopt.anneal.suggest,
}


def space(params: str = EVERY, **options) -> Space:
    search = Search("run_experiment", Path("log"), model_params_space=params, **options)
    return Space(search, Experiment(Path("d"), "ConvNet"))


def loss(drawn: dict[str, float]) -> float:
    """A bowl with its lowest point at a rate of e^-8, by adam."""
    return abs(math.log(drawn["learning_rate"]) + 8) + drawn["update_func"]


def result(trial) -> dict:
    """Every seventh trial fails."""
    drawn = {name: one[0] for name, one in trial["misc"]["vals"].items() if one}
    if trial["tid"] % 7 == 3:
        return {"status": "fail", "loss": 1e3}
    return {"status": "ok", "loss": loss(drawn)}


def evaluate(proposals: Proposals, count: int) -> None:
    for _ in range(count):
        trial = proposals.propose()
        proposals.begin(trial)
        proposals.finish(trial, result(trial))


def drawn(trials) -> list[dict]:
    return [trial["misc"]["vals"] for trial in trials]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_they_are_those_of_fmin(algorithm, tmp_path):
    """For every function of hyperopt.hp, and with failures."""
    own = Proposals(space(), algorithm, 5, tmp_path / "trials.pkl")
    evaluate(own, 25)
    trials = hyperopt.Trials()

    @hyperopt.fmin_pass_expr_memo_ctrl
    def objective(expr, memo, ctrl):
        return result(ctrl.current_trial)

    with np.errstate(divide="ignore"):
        hyperopt.fmin(
            objective, space().expression(), HYPEROPT[algorithm], 25, trials=trials,
            rstate=np.random.default_rng(5), verbose=False, return_argmin=False,
        )  # fmt: skip
    assert drawn(own.all) == drawn(trials.trials)
    assert [trial["result"] for trial in own.all] == trials.results


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_search_taken_up_proposes_what_it_would_have(algorithm, tmp_path):
    whole = Proposals(space(), algorithm, 0, tmp_path / "whole.pkl")
    evaluate(whole, 12)
    for _ in range(6):
        again = Proposals(space(), algorithm, 0, tmp_path / "parts.pkl")
        for trial in again.unfinished:
            again.finish(trial, result(trial))
        evaluate(again, 1)
        again.begin(again.propose())
    again = Proposals(space(), algorithm, 0, tmp_path / "parts.pkl")
    assert [trial["tid"] for trial in again.unfinished] == [11]
    assert drawn(again.all) == drawn(whole.all)


def test_another_seed_is_another_search(tmp_path):
    first, second = (
        Proposals(space(), "random", seed, tmp_path / f"{seed}.pkl").propose() for seed in (0, 1)
    )
    assert drawn([first]) != drawn([second])


def test_parallel_ones_differ(tmp_path):
    proposals = Proposals(space(), "tpe", 0, tmp_path / "trials.pkl")
    evaluate(proposals, 10)
    together = [proposals.propose() for _ in range(4)]
    rates = {trial["misc"]["vals"]["learning_rate"][0] for trial in together}
    assert len(rates) == 4


def test_tpe_finds_more_than_chance(tmp_path):
    """Of 5 pairs of 40 evaluations with the same random start, most; the originals' 20 random ones
    would leave it half as many."""
    best = {}
    for algorithm in ("tpe", "random"):
        for seed in range(5):
            path = tmp_path / f"{algorithm}-{seed}.pkl"
            proposals = Proposals(space("n__uniform=0,1"), algorithm, seed, path)
            evaluate(proposals, 40)
            best[algorithm, seed] = min(trial["result"]["loss"] for trial in proposals.all)
    wins = sum(best["tpe", seed] < best["random", seed] for seed in range(5))
    assert wins >= 4


def test_the_file_is_hyperopts(tmp_path):
    path = tmp_path / "trials.pkl"
    proposals = Proposals(space("n__uniform=0,1"), "random", 0, path)
    evaluate(proposals, 6)
    with path.open("rb") as file:
        trials = pickle.load(file)
    assert isinstance(trials, hyperopt.Trials)
    good = [trial["result"]["loss"] for trial in proposals.all if trial["tid"] != 3]
    assert trials.best_trial["result"]["loss"] == min(good)
    assert set(trials.argmin) <= {"update_func", "beta1", "beta2", "momentum", "learning_rate", "n"}
    assert trials.statuses() == ["ok", "ok", "ok", "fail", "ok", "ok"]


def test_hyperopt_may_go_on_with_the_file_and_so_may_we(tmp_path):
    path = tmp_path / "trials.pkl"
    own = space("n__uniform=0,1")
    evaluate(Proposals(own, "random", 0, path), 3)
    trials = pickle.loads(path.read_bytes())
    hyperopt.fmin(
        lambda point: point["learning_rate"], own.expression(), hyperopt.rand.suggest, 5,
        trials=trials, rstate=np.random.default_rng(1), verbose=False,
    )  # fmt: skip
    path.write_bytes(cloudpickle.dumps(trials))  # as fmin's trials_save_file
    proposals = Proposals(own, "tpe", 0, path)
    assert len(proposals.finished) == 5
    evaluate(proposals, 2)
    assert [trial["tid"] for trial in proposals.all] == list(range(7))


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("made",)


@pytest.mark.parametrize(
    "content", [b"", b"no pickle", pickle.dumps(Hostile()), pickle.dumps({"a": 1})]
)
def test_a_file_from_a_stranger_runs_no_code(content, tmp_path):
    path = tmp_path / "trials.pkl"
    path.write_bytes(content)
    with pytest.raises(CommandError, match="can't be read as hyperopt's trials"):
        Proposals(space(), "tpe", 0, path)
    assert not (tmp_path / "made").exists()


def test_trials_of_other_hyperparameters(tmp_path):
    evaluate(Proposals(space("n__uniform=0,1"), "tpe", 0, tmp_path / "trials.pkl"), 1)
    with pytest.raises(CommandError, match="holds trials of other hyperparameters"):
        Proposals(space("m__uniform=0,1"), "tpe", 0, tmp_path / "trials.pkl")
