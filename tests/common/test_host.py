"""What this machine is, compared with what the system's own programs say."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from common import host


def said(*command: str) -> str:
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_processor():
    assert host.processor() in " ".join(said("lscpu").split())


def test_cores():
    assert 0 < host.usable_cores() <= int(said("nproc", "--all"))


def test_memory():
    available, total = host.memory()
    total_said = int(said("free", "--bytes").splitlines()[1].split()[1])
    assert 0 < available < total <= total_said


def test_available_is_what_the_kernel_says(tmp_path, monkeypatch):
    """A file of its own: the machine's memory is others' as well, and changes while it is read."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  24558404 kB\nMemFree:  1000 kB\nMemAvailable:  7000000 kB\n")
    monkeypatch.setattr(host, "MEMINFO", meminfo)
    monkeypatch.setattr(host, "CGROUP", tmp_path)
    assert host.memory() == (7_000_000 * 1024, 24_558_404 * 1024)


def test_where_the_kernel_says_nothing_all_is_available(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "MEMINFO", tmp_path / "none")
    monkeypatch.setattr(host, "CGROUP", tmp_path)
    pages, page_size = (int(said("getconf", name)) for name in ("_PHYS_PAGES", "PAGESIZE"))
    assert host.memory() == (pages * page_size, pages * page_size)


@pytest.mark.parametrize(
    "files",
    [
        {
            "cpu.max": ("50000 100000", "max 100000"),
            "memory.max": ("400000000", "max"),
            "memory.current": ("300000000", "300000000"),
            "memory.stat": ("anon 200000000\ninactive_file 90000000", ""),
        },
        {
            "cpu/cpu.cfs_quota_us": ("50000", "-1"),
            "cpu/cpu.cfs_period_us": ("100000", "100000"),
            "memory/memory.limit_in_bytes": ("400000000", "9223372036854771712"),
            "memory/memory.usage_in_bytes": ("300000000", "300000000"),
            "memory/memory.stat": ("inactive_file 1\ntotal_inactive_file 90000000", ""),
        },
    ],
    ids=["version 2", "version 1"],
)
def test_a_container_s_share(tmp_path, monkeypatch, files):
    """As control groups write it (the kernel's documents of their two versions)."""
    monkeypatch.setattr(host, "CGROUP", tmp_path)
    _, all_of_it = host.memory()
    for name, (limited, _) in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{limited}\n")
    assert host.usable_cores() == 0.5
    assert host.memory() == (190_000_000, 400_000_000)
    for name, (_, unlimited) in files.items():
        (tmp_path / name).write_text(f"{unlimited}\n")
    assert host.usable_cores() == len(os.sched_getaffinity(0))
    assert host.memory()[1] == all_of_it


@pytest.mark.parametrize(
    ("script", "driver", "trouble"),
    [
        ("echo 580.95.05; echo 580.95.05", "580.95.05", ""),
        ("echo NVIDIA-SMI has failed; exit 9", "", "nvidia-smi says 'NVIDIA-SMI has failed'"),
    ],
)
def test_the_driver(tmp_path, monkeypatch, script, driver, trouble):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert host.nvidia_driver() == (driver, trouble)


def test_no_driver(monkeypatch):
    monkeypatch.setenv("PATH", str(Path("/nowhere")))
    assert host.nvidia_driver() == ("", "")
