"""Opening a dataset of 10 GB, as one file and as shards, and reading random batches of it.

Every opening is a process of its own. Batches are read from what the system has in memory; the same
rows taken from an array in memory are the measure.
Run: python benchmarks/open_dataset.py [FOLDER with room for twice the size] [GIGABYTES]
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from datasets.container import Blocks, open_dataset, write_dataset  # noqa: E402
from datasets.convert import write_shards  # noqa: E402

SIDE = 64
BATCH = 256
ROUNDS = 7
OPEN = """
import json, resource, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import numpy as np
import datasets.container
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
start, before = time.perf_counter(), resident()
dataset = datasets.container.open_dataset(Path(sys.argv[2]))
opened = time.perf_counter()
training = dataset.subset("training")
training.read(np.sort(np.random.default_rng(int(sys.argv[3])).choice(len(training), 256)))
read = time.perf_counter()
print(json.dumps([1000 * (opened - start), 1000 * (read - opened), resident() - before]))
"""
BATCHES = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import numpy as np
from datasets.container import open_dataset
from datasets.dataset import Subset
one, many = (open_dataset(Path(path)).subset("training") for path in sys.argv[2:4])
within = min(len(one), 2**30 // (one.instances.nbytes // len(one)))  # 1 GB of it
memory = Subset(many.read(slice(0, within)), one.labels[:within])
assert (one.read(slice(0, within)) == memory.instances).all()
generator = np.random.default_rng(0)
subsets = {"memory": memory, "file": one, "shards": many}
seconds = {name: [] for name in subsets}
for _ in range(60):
    positions = generator.choice(within, 256)
    for name, subset in subsets.items():
        start = time.perf_counter()
        batch = subset.read(positions if sys.argv[4] == "random" else np.sort(positions))
        seconds[name].append(time.perf_counter() - start)
print(json.dumps({name: 1000 * float(np.median(times[10:])) for name, times in seconds.items()}))
"""


def blocks(count: int) -> Iterator[np.ndarray]:
    """Yields `count` pictures, 2,000 at a time: random ones, in another order in each block."""
    pictures = np.random.default_rng(0).integers(0, 256, (2000, SIDE, SIDE, 3), np.uint8)
    for start in range(0, count, len(pictures)):
        yield np.roll(pictures, start // len(pictures), axis=0)[: count - start]


def write(path: Path, gigabytes: float) -> None:
    """Writes the dataset file."""
    count = int(gigabytes * 1e9) // (SIDE * SIDE * 3)
    write_dataset(
        path,
        {
            name: (
                Blocks((size, SIDE, SIDE, 3), np.dtype(np.uint8), blocks(size)),
                np.arange(size, dtype=np.int32) % 10,
            )
            for name, size in (("training", count), ("validation", 1000))
        },
        {str(label): label for label in range(10)},
        layout="nhwc",
        scale=255,
        picture_shape=(SIDE, SIDE, 3),
    )


def warm(path: Path) -> None:
    """Reads all of a dataset, so that the system has in memory what fits."""
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        with file.open("rb") as stream:
            while stream.read(2**24):
                pass


def result_of(script: str, *arguments: str) -> list[float] | dict[str, float]:
    """Runs a script in a process of its own and returns what it prints."""
    command = [sys.executable, "-c", script, str(ROOT), *arguments]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: list[float] | dict[str, float] = json.loads(output)
    return found


def main() -> None:
    """Prints the tables."""
    gigabytes = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        file, folder = Path(name) / "x.rgb.pkl.zip", Path(name) / "x.shards"
        write(file, gigabytes)
        write_shards(open_dataset(file), folder)
        shards = len(list(folder.glob("training-*.labels.npy")))
        print(f"{file.stat().st_size / 1e9:.1f} GB, {shards} shards of pictures to train on\n")
        print("| | opening, ms | first batch, ms | memory taken, MB |\n| --- | --- | --- | --- |")
        for kind, path in (("one file", file), ("a folder of shards", folder)):
            warm(path)
            runs = [result_of(OPEN, str(path), str(seed)) for seed in range(ROUNDS)]
            medians = [statistics.median(figures) for figures in zip(*runs, strict=True)]
            print(f"| {kind} | " + " | ".join(f"{figure:.1f}" for figure in medians) + " |")
        print(f"\n| batches of {BATCH} | ms | ratio |\n| --- | --- | --- |")
        for order in ("random", "sorted"):
            figures = result_of(BATCHES, str(file), str(folder), order)
            assert isinstance(figures, dict)
            for kind, milliseconds in figures.items():
                ratio = milliseconds / figures["memory"]
                print(f"| {kind}, {order} rows | {milliseconds:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
