import json
import signal

import pytest

from results.child_run import signal_of
from results.run_folder import RunFolder
from results.search.outcome import failure, halved, kind, settled
from tests.training.search.test_halving import records


def run(folder, log="", **results) -> RunFolder:
    found = RunFolder(folder / "eval-0001-abc")
    (found.path / "log.txt").write_text(log)
    if results:
        (found.path / "results.json").write_text(json.dumps(results))
    return found


REACHED = {"epochs": 7, "seconds": 2.5, "best_epoch": 3, "validation_accuracy": 0.75}


@pytest.mark.parametrize("stopped", ["finished", "converged", "out of time", "stopped early"])
def test_a_whole_run(tmp_path, stopped):
    assert settled(run(tmp_path, stopped=stopped, **REACHED)) == {
        "status": "ok",
        "loss": 0.25,
        "stopped": "converged" if stopped == "stopped early" else stopped,
        "epochs": 7,
        "seconds": 2.5,
        "folder": "eval-0001-abc",
    }


def test_a_run_that_is_not_at_its_end(tmp_path):
    assert settled(run(tmp_path)) is None
    assert settled(run(tmp_path, stopped="interrupted", **REACHED)) is None
    assert settled(run(tmp_path, stopped="out of time", epochs=0)) is None


def test_the_testing_accuracy_is_nothing_to_a_search(tmp_path):
    tested = {"testing_accuracy": 1.0, "stopped": "finished"}
    assert settled(run(tmp_path, **REACHED, **tested))["loss"] == 0.25


def test_a_run_that_was_halved_counts_by_its_rung(tmp_path):
    result = halved(run(tmp_path), records(0.25, 0.5))
    assert (result["status"], result["loss"], result["epochs"]) == ("ok", 0.5, 2)
    assert result["stopped"] == "stopped early"


LOG = """$ python manage.py run_experiment
manage.py: warning: the batch is small
epoch 1 of 3
{}"""


@pytest.mark.parametrize(
    ("status", "end", "stopped", "reason"),
    [
        (1, "manage.py: No such layer.\n", "failed", "No such layer."),
        (3, "manage.py: The loss is not finite.\n", "diverged", "The loss is not finite."),
        (
            1,
            "manage.py: The memory of cuda is not enough; give --batch-size 7.\n",
            "out of memory",
            "The memory of cuda is not enough; give --batch-size 7.",
        ),
        (1, "Traceback:\nZeroDivisionError: by zero\n", "failed", "ZeroDivisionError: by zero"),
        (-signal.SIGKILL, "", "failed", "killed by SIGKILL, as the system does where memory ends"),
        (-signal.SIGSEGV, "", "failed", "killed by SIGSEGV"),
        (0, "", "failed", "it ended before its first epoch did"),
    ],
)
def test_failures_are_the_worst_and_have_a_reason(tmp_path, status, end, stopped, reason):
    result = failure(run(tmp_path, LOG.format(end)), status)
    assert (result["status"], result["loss"]) == ("fail", 1.0)
    assert (result["stopped"], result["reason"]) == (stopped, reason)


def test_a_process_without_a_word(tmp_path):
    assert failure(run(tmp_path), 7)["reason"] == "exit status 7"


def test_the_reason_is_the_last_processs(tmp_path):
    log = LOG.format("manage.py: Asked to end by SIGTERM.\n") + LOG.format("KeyError: 'x'\n")
    assert failure(run(tmp_path, log), 1)["reason"] == "KeyError: 'x'"


def test_a_run_that_diverged_is_settled(tmp_path):
    found = run(tmp_path, "manage.py: The loss is not finite.\n", stopped="diverged", **REACHED)
    assert settled(found)["stopped"] == "diverged"


def test_the_same_reason_with_other_numbers(tmp_path):
    def of(sentence: str, status: int = 1) -> str:
        return kind(failure(run(tmp_path, f"manage.py: {sentence}\n"), status))

    assert of("Layer lc1 is 3 wide, not 12.5.") == of("Layer lc2 is 4 wide, not 1,000.")
    assert of("Layer lc1 is wide.") != of("Layer lc1 is high.")
    assert of("not finite in ld0", 3) == of("not finite in batch 7", 3)
    assert of("not finite", 3) != of("not finite", 1)


@pytest.mark.parametrize(
    ("status", "number"), [(0, 0), (1, 0), (3, 0), (128, 0), (130, 2), (143, 15), (-1, 1), (-9, 9)]
)
def test_the_signal_in_an_exit_status(status, number):
    assert signal_of(status) == number
