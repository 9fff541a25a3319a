"""What an evaluation came to, by its folder and its process's exit status."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results.run_folder import RunFolder
from training.records import EpochRecord

WHOLE = {
    "finished": "finished",
    "converged": "converged",
    "stopped early": "converged",  # by its own --early-stopping: the search's word is for a rung
    "out of time": "out of time",
}
"""How a run may have ended by itself, and what the search calls that."""
DIVERGED = 3  # run_experiment's exit status
WORST = 1.0  # the error rate of an evaluation that failed
LOG = "log.txt"
PROMPT = "$ python manage.py "  # before each process's command line in the log
TOLD = re.compile(r"^manage\.py: (?!warning: )(.*)", re.MULTILINE)
NO_MEMORY = re.compile(r"memory\b.*\bnot enough|not enough memory", re.IGNORECASE)

Result = dict[str, Any]
"""A trial's result in hyperopt's form: `status` "ok" or "fail", `loss` (the error rate, a part of
1), `stopped` (how it ended), `epochs`, `seconds` of training, `folder`; `reason` where it failed.
"""


def settled(run: RunFolder) -> Result | None:
    """Returns the result of a run that came to its end by itself, None where it did not.

    That is a whole one, or one that diverged.
    """
    results = run.read_results()
    stopped = results.get("stopped")
    if stopped == "diverged":
        return failure(run, DIVERGED)
    if stopped not in WHOLE or "validation_accuracy" not in results:
        return None
    accuracy = results["validation_accuracy"]
    return _ok(run, accuracy, WHOLE[stopped], results["epochs"], results["seconds"])


def halved(run: RunFolder, records: Sequence[EpochRecord]) -> Result:
    """Returns the result of a run that was ended at a rung, by the epochs before it."""
    accuracy = max(record.validation_accuracy for record in records)
    seconds = sum(record.seconds for record in records)
    return _ok(run, accuracy, "stopped early", len(records), seconds)


def failure(run: RunFolder, status: int) -> Result:
    """Returns the result of a run that failed, as bad as any can be."""
    reason = _reason(run.path / LOG, status)
    stopped = "failed"
    if status == DIVERGED:
        stopped = "diverged"
    elif NO_MEMORY.search(reason):
        stopped = "out of memory"
    records = run.records()
    return {
        "status": "fail",
        "loss": WORST,
        "stopped": stopped,
        "reason": reason,
        "epochs": len(records),
        "seconds": sum(record.seconds for record in records),
        "folder": run.path.name,
    }


def signal_of(status: int) -> int:
    """Returns the signal that ended a process, which may have told so by 128 + its number; or 0."""
    return -status if status < 0 else max(0, status - 128)


def kind(result: Result) -> str:
    """Returns what failures of the same reason have in common: all but the numbers in it."""
    if result["stopped"] != "failed":
        return str(result["stopped"])
    return re.sub(r"\d[\d.,]*", "#", result["reason"])


def _ok(run: RunFolder, accuracy: float, stopped: str, epochs: int, seconds: float) -> Result:
    return {
        "status": "ok",
        "loss": 1 - accuracy,
        "stopped": stopped,
        "epochs": epochs,
        "seconds": seconds,
        "folder": run.path.name,
    }


def _reason(log: Path, status: int) -> str:
    """Returns the sentence that a run ended with, or the last line of its log."""
    if status == 0:
        return "it ended before its first epoch did"
    if status == -signal.SIGKILL:
        return "killed by SIGKILL, as the system does where memory ends"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    text = text.rpartition(f"\n{PROMPT}")[2]  # of the last process
    told = TOLD.findall(text)
    lines = [line for line in text.splitlines() if line.strip()]
    if told:
        return str(told[-1])
    return lines[-1].strip() if lines else f"exit status {status}"
