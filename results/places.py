"""Where runs run that run at once: each on its own devices, as far as there are enough."""

from __future__ import annotations

import os
import subprocess
import sys

from common.host import usable_cores
from training.experiment import Experiment
from training.theano_flags import read_theano_flags

COUNT = "import torch; print(torch.cuda.device_count())"


def environments(
    num_parallel: int, experiment: Experiment, own: dict[str, str]
) -> list[dict[str, str]]:
    """Returns the variables for each of the runs that run at once.

    The GPUs are dealt out in turn where the experiment leaves the device open, as many to each as
    it asks for by --num-devices; the cores are shared evenly, unless OMP_NUM_THREADS is set.

    Parameters
    ----------
    num_parallel : int
        Runs at once.
    experiment : Experiment
        What they have in common.
    own : dict
        Variables that each of them has, as a search's BASE_CMD sets them.
    """
    if num_parallel == 1:
        return [own]
    variables = os.environ | own
    shared = dict(own)
    if "OMP_NUM_THREADS" not in variables:
        shared["OMP_NUM_THREADS"] = str(max(1, int(usable_cores() / num_parallel)))
    device = experiment.device
    if device == "auto":
        device = read_theano_flags(variables.get("THEANO_FLAGS", "")).get("device", device)
    gpus = _gpus(variables) if device in ("auto", "cuda") else []
    size = experiment.num_devices
    groups = [gpus[first : first + size] for first in range(0, len(gpus) - size + 1, size)]
    if not groups:
        return [shared] * num_parallel
    return [
        shared | {"CUDA_VISIBLE_DEVICES": ",".join(groups[index % len(groups)])}
        for index in range(num_parallel)
    ]


def _gpus(variables: dict[str, str]) -> list[str]:
    """Returns the names of the GPUs; another process asks PyTorch, whose import takes seconds."""
    if visible := variables.get("CUDA_VISIBLE_DEVICES"):
        return visible.split(",")
    counted = subprocess.run(
        [sys.executable, "-c", COUNT], env=variables, capture_output=True, text=True, check=True
    )
    return [str(index) for index in range(int(counted.stdout))]
