"""The rate of each stage of an ImageNet epoch on this machine, as imagenet_scaling.py takes them.

Decoding is of synthetic JPEGs of 500x375 pixels with the detail of photographs, to 256x256, on one
core; shards are read by one thread where nothing else is said; the step is run_experiment's own on
all cores. The exchange of gradients is two_processes.py's.
Run: python benchmarks/imagenet_stages.py [ARCHITECTURE] [FOLDER on the disk in question]
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
import shard_reads  # noqa: E402
import two_processes  # noqa: E402

from datasets.pictures import decode  # noqa: E402
from datasets.sharded import Shard, ShardedArray  # noqa: E402
from training.distributed import ALONE  # noqa: E402
from training.transfer import READERS_FOR_GPU  # noqa: E402

PICTURES = 100
HEIGHT, WIDTH = 375, 500
SHARDS = 8
BATCH = 64


def texture(seed: int) -> Image.Image:
    """Return a picture whose spectrum falls off nearly as 1/f, as that of photographs."""
    generator = np.random.default_rng(seed)
    frequencies = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None])
    frequencies[0, 0] = 1
    parts = generator.normal(size=(2, 3, HEIGHT, WIDTH // 2 + 1))
    planes = np.fft.irfft2((parts[0] + 1j * parts[1]) / frequencies**1.2, (HEIGHT, WIDTH))
    planes = planes[:1] + 0.3 * planes  # colours that go together
    scaled = 128 + 50 * (planes - planes.mean()) / planes.std()
    return Image.fromarray(np.clip(scaled, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def seconds_of(call: Callable[[], object], rounds: int = 5) -> float:
    """Return the median time of a call, after a first one."""
    call()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def decoding(folder: Path) -> tuple[float, float]:
    """Return pictures/s of one core, and the mean size of a JPEG in kB."""
    paths = [folder / f"{number}.jpg" for number in range(PICTURES)]
    for number, path in enumerate(paths):
        texture(number).save(path, quality=90)
    size = statistics.fmean(path.stat().st_size for path in paths) / 1000
    return PICTURES / seconds_of(lambda: [decode(path, (256, 256)) for path in paths]), size


def shards(folder: Path) -> list[float]:
    """Return MB/s: whole shards and runs of some rows from the disk, whole ones from memory.

    And runs of rows from the disk by several threads.
    """
    files = shard_reads.write(folder, SHARDS)
    buffer = np.ones((shard_reads.ROWS, *shard_reads.SHAPE), np.uint8)
    runs = shard_reads.some_rows(np.random.default_rng(0), shard_reads.RUN)
    whole = np.arange(shard_reads.ROWS)
    rates: list[list[float]] = [[], [], []]
    for file in files * 2:
        array = ShardedArray([file], shard_reads.SHAPE, np.dtype(np.uint8))
        for own, rows in zip(rates, (whole, runs, whole), strict=True):
            if own is not rates[2]:
                shard_reads.drop(file.path)
            else:  # the runs left most of it on the disk
                array.copy_rows(whole, buffer)
            target = buffer[: len(rows)]
            start = time.perf_counter()
            array.copy_rows(rows, target)
            own.append(target.nbytes / 1e6 / (time.perf_counter() - start))
    return [*map(statistics.median, rates), threads(files, runs)]


def threads(files: list[Shard], rows: np.ndarray) -> float:
    """Return MB/s of some rows of each of the shards, read by as many threads as for a GPU."""
    buffers = np.ones((len(files), len(rows), *shard_reads.SHAPE), np.uint8)
    arrays = [ShardedArray([file], shard_reads.SHAPE, np.dtype(np.uint8)) for file in files]
    rates = []
    with ThreadPoolExecutor(READERS_FOR_GPU) as pool:
        for _ in range(5):
            for file in files:
                shard_reads.drop(file.path)
            start = time.perf_counter()
            list(
                pool.map(
                    lambda one: one[0].copy_rows(rows, one[1]), zip(arrays, buffers, strict=True)
                )
            )
            rates.append(buffers.nbytes / 1e6 / (time.perf_counter() - start))
    return statistics.median(rates)


def copying() -> float:
    """Return the MB/s of a copy of 256 pictures from memory to memory by one thread."""
    source = np.ones((256, *shard_reads.SHAPE), np.uint8)
    target = np.ones_like(source)
    return source.nbytes / 1e6 / seconds_of(lambda: np.copyto(target, source), 21)


def stepping(folder: Path, architecture: str, precision: str) -> float:
    """Return the images/s of a training step on all cores."""
    two_processes.write(folder / "x.rgb.pkl.zip")
    given = ["--model-architecture", architecture, "--batch-size", str(BATCH)]
    given += ["--precision", precision, "--folder", str(folder), "--worker", "time"]
    trainer = two_processes.make_trainer(two_processes.parser().parse_args(given), ALONE)
    inputs = torch.randn(BATCH, *trainer.preparation.input_shape)
    labels = torch.arange(BATCH) % two_processes.LABELS
    return BATCH / seconds_of(lambda: trainer.step(inputs, labels, BATCH))


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("architecture", nargs="?", default="CaffeAlexNet")
    options.add_argument("folder", nargs="?")
    given = options.parse_args()
    print(f"| stage, {torch.get_num_threads()} threads in the step | rate |\n| --- | --- |")
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        rate, size = decoding(Path(name))
        print(f"| decode and resize JPEGs of {size:.0f} kB, one core | {rate:,.0f} pictures/s |")
        whole, runs, warm, several = shards(Path(name))
        print(f"| read whole shards from the disk | {whole:,.0f} MB/s |")
        print(f"| read a tenth of the rows, in runs of six | {runs:,.0f} MB/s |")
        print(f"| the same by {READERS_FOR_GPU} threads | {several:,.0f} MB/s |")
        print(f"| read whole shards that are in memory | {warm:,.0f} MB/s |")
        print(f"| copy from memory to memory | {copying():,.0f} MB/s |", flush=True)
        for precision in ("float32", "bfloat16"):
            rate = stepping(Path(name), given.architecture, precision)
            print(f"| step of {given.architecture}, {precision} | {rate:,.1f} images/s |")


if __name__ == "__main__":
    main()
