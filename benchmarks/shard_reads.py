"""Random reads of whole shards, and of some of their rows, from cold files: MB/s beside dd's.

Every shard is read to a buffer by a dataset's ShardedArray, as a chunk is, and by
`dd of=/dev/null bs=1M`; before each reading its file is dropped from the system's cache, and that
is checked. Shards come in random order, and the ways take turns. Some rows: a random tenth, sorted,
as a chunk of a shuffled epoch takes them from every shard; in runs of six, 1.2 MB, where a dataset
does not fit in memory (run_experiment's --shuffle-run).
Run: python benchmarks/shard_reads.py [FOLDER on the disk in question] [SHARDS of 101 MB] [ROUNDS]
"""

import ctypes
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from datasets.sharded import Shard, ShardedArray  # noqa: E402

ROWS = 512  # of a shard
SHAPE = (256, 256, 3)
ROW_BYTES = 256 * 256 * 3
RUN = 6


def write(folder: Path, count: int) -> list[Shard]:
    """Writes the shards, of random pictures."""
    shards = []
    for number in range(count):
        path = folder / f"{number}.npy"
        np.save(path, np.random.default_rng(number).integers(0, 256, (ROWS, *SHAPE), np.uint8))
        shards.append(Shard(path, ROWS, path.stat().st_size - ROWS * ROW_BYTES))
    return shards


def drop(path: Path) -> None:
    """Drops a file from the system's cache; ends the program where the system keeps it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        pages = -(-path.stat().st_size // mmap.PAGESIZE)
        resident = (ctypes.c_ubyte * pages)()
        with mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as own:
            start = ctypes.c_char.from_buffer(own)
            libc = ctypes.CDLL(None, use_errno=True)
            failed = libc.mincore(ctypes.byref(start), ctypes.c_size_t(len(own)), resident)
            del start
    kept = sum(page & 1 for page in resident)
    if failed or kept > pages // 100:
        raise SystemExit(f"{path}: {kept} of {pages} pages are still in memory; use another disk.")


def some_rows(generator: np.random.Generator, run: int) -> np.ndarray:
    """Returns a random tenth of a shard's rows, in runs, sorted."""
    starts = np.sort(generator.choice(ROWS // run, ROWS // run // 10, replace=False)) * run
    return (starts[:, None] + np.arange(run)).ravel()


def main() -> None:
    """Prints the table."""
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 16
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        shards = write(Path(name), count)
        buffer = np.ones((ROWS, *SHAPE), np.uint8)
        generator = np.random.default_rng(0)

        def dd(number: int) -> int:
            command = ["dd", f"if={shards[number].path}", "of=/dev/null", "bs=1M"]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
            return ROWS

        def whole(number: int) -> int:
            array = ShardedArray(shards[number : number + 1], SHAPE, np.dtype(np.uint8))
            array.copy_rows(range(ROWS), buffer)
            return ROWS

        def tenth(number: int, run: int) -> int:
            array = ShardedArray(shards[number : number + 1], SHAPE, np.dtype(np.uint8))
            rows = some_rows(generator, run)
            array.copy_rows(rows, buffer[: len(rows)])
            return len(rows)

        ways: dict[str, Callable[[int], int]] = {
            "`dd`, whole shards": dd,
            "ShardedArray, whole shards": whole,
            f"ShardedArray, a tenth of the rows, runs of {RUN}": partial(tenth, run=RUN),
            "ShardedArray, a tenth of the rows, one by one": partial(tenth, run=1),
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        names = list(ways)
        for turn, number in enumerate(
            int(number) for _ in range(rounds) for number in generator.permutation(count)
        ):
            for way in names[turn % len(names) :] + names[: turn % len(names)]:
                drop(shards[number].path)
                start = time.perf_counter()
                rows = ways[way](number)
                rates[way].append(rows * ROW_BYTES / 1e6 / (time.perf_counter() - start))
    print(f"| {count} shards of {ROWS * ROW_BYTES / 1e6:.0f} MB, cold | MB/s | ratio |")
    print("| --- | --- | --- |")
    for way, own in rates.items():
        pairs = zip(own, rates[names[0]], strict=True)
        ratio = statistics.median(rate / other for rate, other in pairs)
        print(f"| {way} | {statistics.median(own):,.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
