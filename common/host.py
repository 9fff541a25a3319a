"""What the operating system says of this machine: processor, cores, memory, disk, driver."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from contextlib import suppress
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
MEMORY_LIMITS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)
"""Where a container's control group, of version 2 or 1, tells its memory's limit, how much is used,
and of that, under a name, what can be taken back."""


def processor() -> str:
    """Returns the processor's name."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()


def usable_cores() -> float:
    """Returns how many cores this process may use: a container may be lent less than it sees."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota, _, period = _cgroup("cpu.max").partition(" ")
    if not quota:
        quota, period = _cgroup("cpu/cpu.cfs_quota_us"), _cgroup("cpu/cpu.cfs_period_us")
    if quota.isdigit() and period.isdigit():
        return min(cores or 1, int(quota) / int(period))
    return cores or 1


def memory() -> tuple[int, int]:
    """Returns the bytes of memory that are available, and those in all.

    Available is what is free or only keeps what was read from files; in a container it is no more
    than what its limit leaves. Where the system tells neither, all is taken for available.
    """
    sizes = {}
    with suppress(OSError):
        for line in MEMINFO.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            sizes[name] = int(value.split()[0]) * 1024
    total = sizes.get("MemTotal") or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    available = sizes.get("MemAvailable", total)
    for limit_file, used_file, stat_file, cached in MEMORY_LIMITS:
        limit, used = _cgroup(limit_file), _cgroup(used_file)
        if limit.isdigit() and used.isdigit() and int(limit) < total:
            cache = re.search(rf"^{cached} (\d+)$", _cgroup(stat_file), re.MULTILINE)
            total = int(limit)
            left = total - int(used) + (int(cache[1]) if cache else 0)
            available = min(available, max(0, left))
    return available, total


def nvidia_driver() -> tuple[str, str]:
    """Returns the version of NVIDIA's driver, and what is wrong with it; both may be empty."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        return "", ""
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", f"nvidia-smi does not answer: {error}"
    said = (result.stdout + result.stderr).strip().partition("\n")[0]
    return (said, "") if result.returncode == 0 else ("", f"nvidia-smi says '{said}'")


def _cgroup(name: str) -> str:
    try:
        return (CGROUP / name).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
