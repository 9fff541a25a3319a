"""The self-test of a machine: what it has, what will be used and why, and what is wrong."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import CommandError
from common.host import memory, nvidia_driver, processor, usable_cores
from common.pins import OLDEST_PYTHON, pinned_versions
from common.sizes import size_text
from training.theano_flags import read_theano_flags

if TYPE_CHECKING:
    from training.devices import Compute

ROOT = Path(__file__).parents[1]
LITTLE_DISK, TOO_LITTLE_DISK = 5 * 10**9, 2 * 10**8  # bytes
LITTLE_MEMORY = 10**9
SECONDS = 0.5  # that each computation is repeated for where it is timed
TOO_SLOW = {"matrix product": 10, "convolution": 30}
"""How many times slower than the GPU's papers promise is wrong."""
BROKEN = (RuntimeError, AssertionError)  # what PyTorch raises of a GPU that is busy or has failed


class Findings:
    """Prints what there is, and gathers what is wrong and what to look out for."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.look_out: list[str] = []

    def tell(self, label: str, text: str) -> None:
        """Prints a line."""
        print(f"{label:<15} {text}", flush=True)


def self_check(device: str, precision: str, *, speed: bool) -> list[str]:
    """Prints the state of this machine, and a sentence for whatever is wrong.

    Returns what to look out for: what works, but perhaps not as one thinks.

    Raises CommandError where something is wrong: experiments would fail here.
    """
    findings = Findings()
    _check_versions(findings)
    driver = _check_driver(findings)
    try:
        import torch  # noqa: F401  # of a build that this machine can't load, say
    except (ImportError, OSError) as error:
        findings.wrong.append(f"torch can't be imported ({error}); install requirements.txt.")
    else:
        _check_compute(findings, device, precision, driver, speed)
    _check_host(findings)
    for kind, sentences in (("look out", findings.look_out), ("wrong", findings.wrong)):
        for sentence in sentences:
            findings.tell(kind, sentence)
    if findings.wrong:
        number = len(findings.wrong)
        things = "1 thing is" if number == 1 else f"{number} things are"
        raise CommandError(f"{things} wrong with this machine, as listed above.")
    findings.tell("all is well", "experiments can run here")
    return findings.look_out


def _check_versions(findings: Findings) -> None:
    findings.tell("Python", f"{platform.python_version()} ({sys.executable})")
    if sys.version_info < OLDEST_PYTHON:
        findings.wrong.append("Python is older than 3.11; make the environment of a newer one.")
    pinned = pinned_versions((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    differing = []
    for name, wanted in pinned.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            findings.wrong.append(f"{name} is not installed; install requirements.txt.")
            continue
        if version.partition("+")[0] != wanted.partition("+")[0]:
            differing.append(f"{name} is {version} and not {wanted}")
    findings.tell(
        "packages", "; ".join(differing) or f"{len(pinned)}, as requirements.txt pins them"
    )
    if differing:
        findings.look_out.append(
            f"{', '.join(differing)}: numbers may differ; install requirements.txt."
        )


def _check_driver(findings: Findings) -> str:
    driver, trouble = nvidia_driver()
    if trouble:
        findings.look_out.append(f"{trouble}: training runs on the CPU until the driver is mended.")
    return driver


def _check_compute(
    findings: Findings, device: str, precision: str, driver: str, speed: bool
) -> None:
    """Tells the devices and what would be used; computes with it."""
    import torch

    from training.devices import Compute, choose_compute

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "for the CPU"
    findings.tell("torch", f"{torch.__version__}, {build}")
    cores = usable_cores()
    findings.tell("cpu", f"{processor()}, {cores:g} cores")
    gpus = [
        index for index in range(torch.cuda.device_count()) if _answers(findings, index, driver)
    ]
    if driver and not torch.cuda.is_available():
        why = "is built for the CPU" if not torch.version.cuda else "can't use its driver"
        findings.look_out.append(
            f"There is a GPU (driver {driver}), but torch {why}: training runs on the CPU; install "
            "the build of torch that the driver can run."
        )
    try:
        compute = choose_compute(device, precision, os.environ.get("THEANO_FLAGS", ""))
    except CommandError as error:
        findings.wrong.append(str(error))
        return
    except BROKEN as error:
        findings.wrong.append(f"The device {device} can't be used: {_reason(error)}.")
        return
    flags = _theano_flags()
    findings.tell("device", f"{compute.device}: {_why_device(compute, device, flags)}")
    findings.tell("precision", f"{compute.precision}: {_why_precision(compute, precision, flags)}")
    _check_threads(findings, torch.get_num_threads(), cores)
    _check_results(findings, compute, speed, findings.wrong)
    if compute.device.type == "cuda" and compute.device.index is None:  # that is the first
        for index in filter(None, gpus):
            other = Compute(torch.device("cuda", index), compute.precision)
            _check_results(findings, other, speed, findings.look_out)


def _answers(findings: Findings, index: int, driver: str) -> bool:
    """Tells what a GPU is and has free, or that it does not answer; returns whether it did."""
    import torch

    try:
        properties = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
    except BROKEN as error:
        findings.look_out.append(f"cuda:{index} does not answer: {_reason(error)}.")
        return False
    findings.tell(
        f"cuda:{index}",
        f"{properties.name}, capability {properties.major}.{properties.minor}, "
        f"{size_text(free)} of {size_text(total)} free, driver {driver or 'unknown'}",
    )
    return True


def _reason(error: Exception) -> str:
    """Returns what PyTorch says of a device, and what to do."""
    from training.memory import is_out_of_memory

    said = str(error).partition("\n")[0].rstrip(".")
    if is_out_of_memory(error):
        return f"{said}; end what uses its memory, as nvidia-smi names it"
    return f"{said}; restart the machine, or choose another device"


def _theano_flags() -> dict[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `choose_compute` has warned of what is ignored
        return read_theano_flags(os.environ.get("THEANO_FLAGS", ""))


def _why_device(compute: Compute, asked: str, flags: dict[str, str]) -> str:
    if asked != "auto":
        return "as --device says"
    if "device" in flags:
        return "as THEANO_FLAGS says"
    return "the first GPU" if compute.device.type == "cuda" else "torch sees no GPU"


def _why_precision(compute: Compute, asked: str, flags: dict[str, str]) -> str:
    if asked != "auto":
        return "as --precision says"
    if "precision" in flags:
        return "as THEANO_FLAGS says"
    has = "has" if compute.precision == "bfloat16" else "has not"
    return f"the device {has} matrix units for bfloat16"


def _check_threads(findings: Findings, threads: int, cores: float) -> None:
    limit = os.environ.get("OMP_NUM_THREADS")
    findings.tell("threads", f"{threads}{f', as OMP_NUM_THREADS={limit} says' if limit else ''}")
    if threads > cores + 0.5:
        findings.look_out.append(
            f"torch uses {threads} threads on {cores:g} cores, which is slower than as many as "
            f"cores; set OMP_NUM_THREADS={max(1, round(cores))}."
        )
    elif threads < cores / 2:
        findings.look_out.append(f"torch uses {threads} of {cores:g} cores; unset OMP_NUM_THREADS.")


def _check_results(findings: Findings, compute: Compute, speed: bool, sentences: list[str]) -> None:
    """Computes a product and a convolution, and compares them with float64 on the CPU.

    What is wrong is added to the sentences.
    """
    from training.speed import TOLERANCE, convolution_speed, expected_speed, product_speed

    where = f"{compute.device} in {compute.precision}"
    for name, measure in (("matrix product", product_speed), ("convolution", convolution_speed)):
        try:
            expected = expected_speed(compute)
            measured = measure(compute, SECONDS if speed else 0.0)
        except BROKEN as error:
            sentences.append(f"A {name} fails on {where}: {_reason(error)}.")
            continue
        if not measured.error < TOLERANCE[compute.precision]:
            sentences.append(
                f"A {name} on {where} is off by {measured.error:.1%}: the device is broken."
            )
        if not speed:
            continue
        promise = f"; order of magnitude to expect: {_rate(expected)}" if expected else ""
        findings.tell(name, f"{_rate(measured.operations)} ({where}{promise})")
        if expected and measured.operations * TOO_SLOW[name] < expected:
            sentences.append(
                f"A {name} on {where} runs at {_rate(measured.operations)}, far below the "
                f"{_rate(expected)} to expect: look with nvidia-smi whether something else uses "
                "the GPU, or it is throttled."
            )


def _rate(operations: float) -> str:
    if operations < 1e12:
        return f"{operations / 1e9:,.0f} GFLOP/s"
    return f"{operations / 1e12:,.1f} TFLOP/s"


def _check_host(findings: Findings) -> None:
    available, total = memory()
    findings.tell("memory", f"{size_text(available)} of {size_text(total)} available")
    if available < LITTLE_MEMORY:
        findings.look_out.append(
            f"Only {size_text(available)} of memory are available; end what uses the rest."
        )
    folder = Path("runs").resolve() if Path("runs").is_dir() else Path.cwd()
    free = shutil.disk_usage(folder).free
    findings.tell("disk", f"{size_text(free)} free for {folder}")
    if not os.access(folder, os.W_OK):
        findings.wrong.append(f"{folder} can't be written to; choose a folder that you may use.")
    if free < TOO_LITTLE_DISK:
        findings.wrong.append(f"Only {size_text(free)} of disk are free at {folder}; free some.")
    elif free < LITTLE_DISK:
        findings.look_out.append(
            f"Only {size_text(free)} of disk are free at {folder}; snapshots of large networks "
            "take hundreds of megabytes each."
        )
