"""Peak memory of run_experiment on a dataset file of 2 GB, whole and in chunks.

Every run is a process of its own; its peak counts mapped pages of the file as well.
Run: python benchmarks/peak_memory.py [FOLDER with 3 GB of room]
"""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from datasets.container import Blocks, write_dataset  # noqa: E402

SIDE = 128
COUNTS = {"training": 40_000, "validation": 1_000, "testing": 1_000}
RUN = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from commands import main
status = main(sys.argv[2:])
print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(status)
"""


def blocks(count: int) -> Iterator[np.ndarray]:
    """Yields `count` random pictures, 500 at a time."""
    generator = np.random.default_rng(0)
    for start in range(0, count, 500):
        shape = (min(500, count - start), SIDE, SIDE, 3)
        yield generator.integers(0, 256, shape, np.uint8)


def write(path: Path) -> None:
    """Writes the dataset and says how much memory that took."""
    subsets = {
        name: (
            Blocks((count, SIDE, SIDE, 3), np.dtype(np.uint8), blocks(count)),
            np.arange(count, dtype=np.int32) % 10,
        )
        for name, count in COUNTS.items()
    }
    labels = {str(label): label for label in range(10)}
    shape = (SIDE, SIDE, 3)
    write_dataset(path, subsets, labels, layout="nhwc", scale=255, picture_shape=shape)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"| writing it | {peak:,.0f} |")


def peak_of(*arguments: str) -> float:
    """Returns the peak resident memory of a command line in MB."""
    command = [sys.executable, "-c", RUN, str(ROOT), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(result.stdout.split()[-1]) / 1e3


def main() -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        path = Path(name) / "random.rgb.pkl.zip"
        print("| what | peak memory, MB |\n| --- | --- |")
        write(path)
        print(f"| the file itself | {path.stat().st_size / 1e6:,.0f} |")
        common = ["run_experiment", "--dataset-path", str(path), "--num-epochs", "1"]
        network = ["--model-architecture", "SingleLayerMlp", "--model-params", "num_units=1"]
        for chunk in ("0", "1000", "10000"):
            out = ["--out-dir", f"{name}/{chunk}", "--batch-size", "500"]
            peak = peak_of(*common, *network, "--chunk-size", chunk, *out)
            print(f"| run_experiment, `--chunk-size {chunk}` | {peak:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
