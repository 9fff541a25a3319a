"""What an evaluation came to, by its folder and its process's exit status."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from results.child_run import DIVERGED, LOG, reason_of
from results.run_folder import WHOLE, RunFolder
from training.records import EpochRecord

WORST = 1.0  # the error rate of an evaluation that failed
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
    # By its own --early-stopping; the search's "stopped early" is for a rung.
    stopped = "converged" if stopped == "stopped early" else stopped
    return _ok(run, accuracy, stopped, results["epochs"], results["seconds"])


def halved(run: RunFolder, records: Sequence[EpochRecord]) -> Result:
    """Returns the result of a run that was ended at a rung, by the epochs before it."""
    accuracy = max(record.validation_accuracy for record in records)
    seconds = sum(record.seconds for record in records)
    return _ok(run, accuracy, "stopped early", len(records), seconds)


def failure(run: RunFolder, status: int) -> Result:
    """Returns the result of a run that failed, as bad as any can be."""
    reason = reason_of(run.path / LOG, status)
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
