"""Starts a process for each device of an experiment, on this machine, as torchrun does."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import yaml
from torch.distributed import TCPStore

from common.child import close_pipe, start_child, under_torchrun
from common.errors import CommandError
from common.options import checked, to_plain
from results.run_folder import RunFolder, folder_of
from training.distributed import common_device
from training.experiment import Experiment

MANAGE = Path(__file__).parents[1] / "manage.py"
NOTICE = 5.0  # seconds in which the others notice by themselves that one has failed
GRACE = 120.0  # seconds in which they must end, with a snapshot
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def needs_launch(experiment: Experiment) -> bool:
    """Tells whether other processes must be started for the experiment.

    Raises CommandError where torchrun has started another number of them.
    """
    number = experiment.num_devices
    if number < 1:
        raise CommandError(f"--num-devices is {number}; give at least 1.")
    if not under_torchrun():
        return number > 1
    if number not in (1, int(os.environ["WORLD_SIZE"])):
        raise CommandError(
            f"--num-devices is {number}, but torchrun has started {os.environ['WORLD_SIZE']} "
            "processes already; give torchrun --nproc-per-node, or --num-devices without torchrun."
        )
    return False


def launch(experiment: Experiment) -> dict[str, Any]:
    """Runs an experiment on its `num_devices` devices, in a process for each.

    What the processes print goes to this one's standard output and error, the first's alone to the
    output. SIGINT, SIGTERM and SIGHUP reach all of them. When one fails, the others get a SIGTERM,
    as from torchrun, but after `NOTICE` seconds, and SIGKILL after `GRACE`.

    Returns
    -------
    dict
        What results.json holds, and the run's folder as `run`.

    Raises
    ------
    CommandError
        If there are fewer devices.
    SystemExit
        With the first process's status where the run failed, which has told of it then.
    """
    experiment = checked(experiment)
    _check_devices(experiment)
    folder = experiment.out_dir or experiment.resume or folder_of(experiment)
    if experiment.resume is None:
        experiment = dataclasses.replace(experiment, out_dir=folder)
    with tempfile.TemporaryDirectory(prefix="run-experiment-") as temporary:
        recipe = Path(temporary) / "experiment.yaml"
        text = yaml.safe_dump(to_plain(experiment), allow_unicode=True)
        recipe.write_text(text, encoding="utf-8")
        program = [str(MANAGE), "run_experiment", "--config", str(recipe)]
        program += [argument for argument in sys.argv if argument == "--traceback"]
        status = run_processes(program, experiment.num_devices)
    if status:
        with suppress(OSError):  # made above, and still empty
            folder.rmdir()
        raise SystemExit(status)
    return RunFolder(folder).read_results() | {"run": str(folder)}


def run_processes(program: Sequence[str], number: int) -> int:
    """Runs a Python program in several processes at once, with torchrun's environment variables.

    When this process ends, even by SIGKILL, they get a SIGTERM, upon which a training saves and
    stops. Returns 0, or the exit status of the first process that failed by itself; 1 where a
    signal ended all that failed.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with _forwarding(processes):
            for rank in range(number):
                processes.append(_start(program, rank, number, store.port))
            _wait(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()
            close_pipe(process)
    failed = [process.returncode for process in processes if process.returncode]
    return next((status for status in failed if status > 0), 1 if failed else 0)


def _check_devices(experiment: Experiment) -> None:
    device, number = common_device(experiment.device), experiment.num_devices
    if device.type == "cuda":
        there, kind = torch.cuda.device_count(), "GPUs that PyTorch sees"
    else:
        there, kind = len(os.sched_getaffinity(0)), "cores of this machine"
    if number > there:
        raise CommandError(
            f"--num-devices is {number}, more than the {there} {kind}; give at most {there}."
        )


def _start(program: Sequence[str], rank: int, number: int, port: int) -> subprocess.Popen[bytes]:
    variables = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": number,
        "LOCAL_WORLD_SIZE": number,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "TORCHELASTIC_USE_AGENT_STORE": True,
    }
    return start_child(
        program,
        env={"TORCH_CPP_LOG_LEVEL": "ERROR"}
        | os.environ
        | {name: str(value) for name, value in variables.items()},
        stdout=subprocess.DEVNULL if rank else None,
    )


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Waits for all processes; ends the others when one has failed."""
    failed = None
    told = False
    while None in (statuses := [process.poll() for process in processes]):
        now = time.monotonic()
        if failed is None and any(statuses):
            failed = now
        if failed is not None and now > failed + NOTICE and not told:
            told = True
            for process in processes:
                process.terminate()
        if failed is not None and now > failed + GRACE:
            return
        time.sleep(0.05)


@contextmanager
def _forwarding(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Hands signals on to the processes, those that are not ignored (as SIGHUP is by nohup)."""

    def forward(number: int, frame: FrameType | None) -> None:
        for process in processes:
            process.send_signal(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in FORWARDED}
        ignored = (signal.SIG_IGN, None)
        before = {number: handler for number, handler in handlers.items() if handler not in ignored}
    try:
        for number in before:
            signal.signal(number, forward)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
