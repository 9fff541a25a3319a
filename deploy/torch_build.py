"""Which build of PyTorch a machine can run: a matter of its driver and its GPUs.

Sources: the support matrix in PyTorch's RELEASE.md for 2.13 (CUDA 12.6 and 13.0) and NVIDIA's CUDA
compatibility guide, table 1 (a driver of 525 or newer runs CUDA 12.x, of 580 or newer 13.x).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

INDEX = "https://download.pytorch.org/whl"


@dataclass(frozen=True)
class Gpu:
    """A GPU as nvidia-smi describes it; memory in bytes."""

    name: str
    driver: str
    capability: tuple[int, int]
    memory: int
    free: int


@dataclass(frozen=True)
class Build:
    """A build of PyTorch: its name in PyTorch's index, and what it needs."""

    name: str
    driver: int
    oldest: tuple[int, int]
    newest: tuple[int, int]
    disk: int
    """Bytes that an installation takes at its height: the downloaded files and what is in them."""

    @property
    def index(self) -> str:
        """The address of the index that has it."""
        return f"{INDEX}/{self.name}"

    def runs_on(self, gpu: Gpu) -> bool:
        """Tells whether it has code for the GPU."""
        return self.oldest <= gpu.capability <= self.newest


CPU = Build("cpu", 0, (0, 0), (0, 0), 2 * 10**9)
CUDA = (
    Build("cu130", 580, (7, 5), (12, 99), 12 * 10**9),
    Build("cu126", 525, (5, 0), (9, 99), 12 * 10**9),
)


def choose_build(gpus: Sequence[Gpu], trouble: str = "") -> tuple[Build, str]:
    """Returns the newest build that runs on all GPUs with their driver, and why, in one sentence.

    The CPU's where there is no GPU, its driver is too old, or is in `trouble`.
    """
    if not gpus:
        broken = f"the driver does not work, nvidia-smi says '{trouble}'"
        return CPU, broken if trouble else "there is no GPU"
    names, text = ", ".join(sorted({gpu.name for gpu in gpus})), gpus[0].driver
    driver = int(text.partition(".")[0])
    fitting = [build for build in CUDA if all(build.runs_on(gpu) for gpu in gpus)]
    for build in fitting:
        if driver >= build.driver:
            return build, f"driver {text} runs it, and it has code for {names}"
    if fitting:
        needed = min(build.driver for build in fitting)
        return CPU, f"driver {text} is too old for {names}; update it to {needed} or newer"
    return CPU, f"no build has code for {names}"
