"""Checks this machine: versions, devices, precision, threads, memory, disk, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass

GROUP = "Machine"


@dataclass(frozen=True)
class Options:
    """What is checked."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1, …: the device that run_experiment would be given. Where that leaves
    open which GPU, all of them are tried."""

    precision: str = "auto"
    """auto, float32, bfloat16, float16 or float64, as run_experiment has it."""

    speed: bool = False
    """Times a matrix product and a convolution as well."""


def run(options: Options) -> list[str]:
    """Prints what there is; returns what to look out for.

    Raises CommandError where something is wrong.
    """
    from results.self_check import self_check

    return self_check(options.device, options.precision, speed=options.speed)
