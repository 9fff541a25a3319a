"""preprocess_imagenet against Pillow alone.

Run: python benchmarks/preprocess_imagenet.py [PICTURES] [FOLDER with 3 GB of room]

The pictures are synthetic JPEGs of 500x375 pixels, ImageNet's most common size, with the detail of
photographs, in folders of WordNet ids beside a kit. `Pillow alone` decodes them and resizes them to
256x256 by the same filter, in as many processes as there are cores (a multiprocessing pool), and
keeps nothing. preprocess_imagenet is the whole command: its start, the kit, shards, checksums, mean
and lists included.
"""

import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent
WIDTH, HEIGHT, SIZE, CLASSES = 500, 375, 256, 10
ROUNDS = 5
IMAGENET = 1_281_167 + 50_000


def texture(seed: int) -> Image.Image:
    """Returns a picture whose spectrum falls off as 1/f, as that of photographs, in colour."""
    generator = np.random.default_rng(seed)
    frequencies = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None])
    frequencies[0, 0] = 1
    shape = (3, HEIGHT, WIDTH // 2 + 1)
    noise = generator.normal(size=shape) + 1j * generator.normal(size=shape)
    planes = np.fft.irfft2(noise / frequencies**1.2, (HEIGHT, WIDTH))
    mixed = np.tensordot([[1, 0.3, 0.1], [1, -0.1, 0.2], [1, -0.3, -0.3]], planes, axes=1)
    scaled = 128 + 50 * (mixed - mixed.mean()) / mixed.std()
    return Image.fromarray(np.clip(scaled, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def draw(job: tuple[int, Path]) -> None:
    """Writes one picture; every tenth is for validation."""
    seed, folder = job
    part = "train" if seed % 10 else "val"
    wordnet_id = wordnet_ids()[seed // 10 % CLASSES]
    path = folder / part / wordnet_id / f"{wordnet_id}_{seed}.JPEG"
    path.parent.mkdir(parents=True, exist_ok=True)
    texture(seed).save(path, quality=90)


def wordnet_ids() -> list[str]:
    return [f"n{1440764 + number:08d}" for number in range(CLASSES)]


def write_kit(folder: Path) -> None:
    """Writes meta.mat as the kit of 2012 has it."""
    from scipy.io import savemat  # which the pool's processes need not import

    names = ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children"]
    synsets = np.zeros((CLASSES, 1), [(name, object) for name in names])
    for number, name in enumerate(wordnet_ids()):
        synsets[number, 0] = (float(number + 1), name, f"thing {number}", "", 0.0)
    (folder / "data").mkdir(parents=True)
    savemat(folder / "data" / "meta.mat", {"synsets": synsets})


def with_pillow(path: Path) -> int:
    """Decodes and resizes one picture."""
    with Image.open(path) as image:
        small = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return small.width


def in_a_pool(paths: list[Path]) -> None:
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for _ in pool.imap_unordered(with_pillow, paths, chunksize=16):
            pass


def in_this_process(paths: list[Path]) -> None:
    for path in paths:
        with_pillow(path)


def preprocess(folder: Path, *options: str) -> None:
    shutil.rmtree(folder / "out", ignore_errors=True)
    command = [sys.executable, str(ROOT / "manage.py"), "preprocess_imagenet", *options]
    places = {"train-dir": "train", "val-dir": "val", "devkit": "kit", "out-dir": "out"}
    for option, name in places.items():
        command += [f"--{option}", str(folder / name)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(folder: Path, paths: list[Path]) -> None:
    """Prints pictures/s of all ways, interleaved."""
    cores = os.cpu_count()
    ways: dict[str, Callable[[], object]] = {
        f"Pillow alone, {cores} processes": lambda: in_a_pool(paths),
        f"preprocess_imagenet, {cores} processes": lambda: preprocess(folder),
        "Pillow alone, one process": lambda: in_this_process(paths),
        "preprocess_imagenet, one process": lambda: preprocess(folder, "--num-workers", "1"),
    }
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    for round_ in range(ROUNDS):
        for way, work in ways.items():
            if "one process" not in way or round_ < 2:
                speeds[way].append(len(paths) / seconds(work))
    print("| how | pictures/s, median | of Pillow alone | hours for ImageNet |")
    print("| --- | --- | --- | --- |")
    reference: list[float] = []
    for way, found in speeds.items():
        reference = found if way.startswith("Pillow") else reference
        ratio = statistics.median(a / b for a, b in zip(found, reference, strict=True))
        speed = statistics.median(found)
        print(f"| {way} | {speed:,.0f} | {ratio:.2f} | {IMAGENET / speed / 3600:.2f} |", flush=True)


def main() -> None:
    """Prints the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    place = sys.argv[2] if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        write_kit(folder / "kit")
        with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
            pool.map(draw, [(seed, folder) for seed in range(count)], chunksize=16)
        paths = sorted(folder.rglob("*.JPEG"))
        size = statistics.mean(path.stat().st_size for path in paths)
        compare(folder, paths)
        print(f"\n{len(paths):,} pictures of {size / 1000:.0f} kB on average.")


if __name__ == "__main__":
    main()
