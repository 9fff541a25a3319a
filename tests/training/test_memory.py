import subprocess
import sys

import numpy as np

from datasets.container import Blocks, write_dataset
from tests.paths import ROOT

RUN = """
import resource, sys
import torch, sklearn
from commands.run_experiment import Options, run
from pathlib import Path
run(Options(Path(sys.argv[1]), "SingleLayerMlp", num_epochs=0, precision="float32"))
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run(Options(Path(sys.argv[1]), "SingleLayerMlp", "num_units=1", num_epochs=1, chunk_size=400,
            precision="float32"))
print("GREW", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start)
"""


def test_memory_grows_with_the_chunk_and_not_with_the_file(tmp_path):
    """A chunk has 12 MB, the file 600 MB, whose mapped pages count as the process's memory."""
    counts = {"training": 20_000, "validation": 400, "testing": 400}
    block = np.zeros((400, 100, 100, 3), np.uint8)
    subsets = {
        name: (
            Blocks((count, 100, 100, 3), np.dtype(np.uint8), (block for _ in range(count // 400))),
            np.arange(count, dtype=np.int32) % 2,
        )
        for name, count in counts.items()
    }
    path = tmp_path / "zeros.rgb.pkl.zip"
    shape = (100, 100, 3)
    write_dataset(path, subsets, {"a": 0, "b": 1}, layout="nhwc", scale=255, picture_shape=shape)
    result = subprocess.run(
        [sys.executable, "-c", RUN, str(path)],
        cwd=tmp_path, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    path.unlink()
    grew = int(result.stdout.split()[-1]) * 1024
    assert grew < 200e6, f"{grew / 1e6:.0f} MB"
