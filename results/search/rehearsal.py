"""Makes the networks of a few evaluations before the first, so that what doesn't fit is told then.

python -m results.search.rehearsal does it, a process of its own: PyTorch takes seconds to import,
and a network may be too large for the memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.errors import CommandError
from common.options import from_plain, to_plain
from training.experiment import Experiment

ROOT = Path(__file__).parents[2]
LONGEST = 60.0
"""Seconds after which a search begins, whether or not its networks can be made."""


def rehearse(experiments: Mapping[str, Experiment], own: Mapping[str, str]) -> None:
    """Raises CommandError where evaluations would fail for what a person has written.

    A network that is too large is no reason: others may not be.

    Parameters
    ----------
    experiments : mapping
        What to try, by what distinguishes it.
    own : mapping
        Variables that BASE_CMD sets.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    try:
        rehearsal = subprocess.run(
            [sys.executable, "-P", "-m", __name__],
            input=json.dumps([to_plain(one) for one in experiments.values()]),
            env=os.environ | own | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired:
        return
    if rehearsal.returncode:  # killed for what it takes, say: the evaluations will tell
        return
    problems = json.loads(rehearsal.stdout.splitlines()[-1])
    for point, problem in zip(experiments, problems, strict=True):
        if problem and problems == [problem] * len(problems):
            raise CommandError(f"Every evaluation would fail: {problem}")
        if problem:
            raise CommandError(f"An evaluation with {point} would fail: {problem}")


def problems_of(experiments: Sequence[Experiment]) -> list[str]:
    """Returns what is wrong with each experiment, in a sentence; empty where nothing is."""
    from training.memory import is_out_of_memory
    from training.setup import try_out

    problems = []
    for experiment in experiments:
        problem = ""
        try:
            try_out(experiment)
        except CommandError as error:
            if error.__cause__ is None or not is_out_of_memory(error.__cause__):
                problem = str(error)
        problems.append(problem)
    return problems


if __name__ == "__main__":
    given = json.load(sys.stdin)
    read = [Experiment(**from_plain(Experiment, one, Path("BASE_CMD"))) for one in given]
    print(f"\n{json.dumps(problems_of(read))}")
