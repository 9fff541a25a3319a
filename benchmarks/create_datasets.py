"""create_datasets against Pillow alone, and its peak memory on few and on many pictures.

Run: python benchmarks/create_datasets.py [PICTURES] [FOLDER with 15 GB of room]

The pictures are synthetic JPEGs of 350x350 pixels with the detail of photographs, resized to 256.
`Pillow alone` decodes and resizes them in as many processes as there are cores (a multiprocessing
pool) and keeps nothing; `one process` is the originals' way, one picture after another, with
scikit-image where it is installed, else with Pillow. create_datasets is the whole command: looking
for duplicates and writing four files included.
"""

import importlib.util
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent
SIDE, SIZE, LABELS = 350, 256, 10
ROUNDS = 3
MANAGE = str(ROOT / "manage.py")


def texture(seed: int) -> Image.Image:
    """Returns a picture whose spectrum falls off as 1/f, as that of photographs, in colour."""
    generator = np.random.default_rng(seed)
    frequencies = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    frequencies[0, 0] = 1
    noise = generator.normal(size=(3, SIDE, SIDE // 2 + 1)) + 1j * generator.normal(
        size=(3, SIDE, SIDE // 2 + 1)
    )
    planes = np.fft.irfft2(noise / frequencies**1.2, (SIDE, SIDE))
    mixed = np.tensordot([[1, 0.3, 0.1], [1, -0.1, 0.2], [1, -0.3, -0.3]], planes, axes=1)
    scaled = 128 + 50 * (mixed - mixed.mean()) / mixed.std()
    return Image.fromarray(np.clip(scaled, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def draw(job: tuple[int, Path]) -> None:
    """Writes one picture."""
    seed, folder = job
    path = folder / f"label-{seed % LABELS}" / f"{seed:06}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    texture(seed).save(path, quality=85)


def with_pillow(path: Path) -> int:
    """Decodes and resizes one picture."""
    with Image.open(path) as image:
        small = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return np.asarray(small).shape[0]


def with_scikit_image(path: Path) -> int:
    """The same by scikit-image."""
    from skimage import io, transform  # type: ignore[import-not-found]

    return transform.resize(io.imread(path), (SIZE, SIZE)).shape[0]


def in_a_pool(paths: list[Path]) -> None:
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for _ in pool.imap(with_pillow, paths, chunksize=16):
            pass


def manage(folder: Path, out: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, MANAGE, "create_datasets", str(folder), str(out)]
    size = ["--image-size", str(SIZE), *options]
    return subprocess.Popen([*command, *size], stdout=subprocess.DEVNULL)


def create(folder: Path, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    if manage(folder, out).wait():
        raise SystemExit("create_datasets has failed")


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def tree(process: int) -> list[int]:
    """Returns the ids of a process and its children."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *map(int, children)]


def anonymous(process: int) -> int:
    """Returns the memory of a process that is no file's, in kB; pages of files are the system's."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return int(status.partition("RssAnon:")[2].split()[0]) if "RssAnon:" in status else 0


def peak(folder: Path, out: Path) -> tuple[float, float]:
    """Returns the peak of the first process with all mapped pages, and of all without, in MB."""
    shutil.rmtree(out, ignore_errors=True)
    process = manage(folder, out)
    highest = [0]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            try:
                highest[0] = max(highest[0], sum(map(anonymous, tree(process.pid))))
            except OSError:
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, status, usage = os.wait4(process.pid, 0)
    ended.set()
    watcher.join()
    process.returncode = status
    if status:
        raise SystemExit("create_datasets has failed")
    return usage.ru_maxrss / 1e3, highest[0] / 1e3


def compare(folder: Path, out: Path, paths: list[Path]) -> None:
    """Prints pictures/s of the three ways, interleaved."""
    has_skimage = importlib.util.find_spec("skimage") is not None
    original = with_scikit_image if has_skimage else with_pillow
    part = paths[: len(paths) // 5]
    ways: dict[str, tuple[Callable[[], object], int]] = {
        "create_datasets": (lambda: create(folder, out), len(paths)),
        f"Pillow alone, {os.cpu_count()} processes": (lambda: in_a_pool(paths), len(paths)),
        f"one process, {'scikit-image' if has_skimage else 'Pillow'}": (
            lambda: [original(path) for path in part] and None,
            len(part),
        ),
    }
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, (work, count) in ways.items():
            speeds[way].append(count / seconds(work))  # type: ignore[arg-type]
    own = speeds["create_datasets"]
    print(f"| how | pictures/s, median of {ROUNDS} | create_datasets in proportion |")
    print("| --- | --- | --- |")
    for way, found in speeds.items():
        ratio = statistics.median(a / b for a, b in zip(own, found, strict=True))
        print(f"| {way} | {statistics.median(found):,.0f} | {ratio:.2f} |", flush=True)


def main() -> None:
    """Prints the two tables."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    place = sys.argv[2] if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory(dir=place) as name:
        few, many, out = Path(name) / "few", Path(name) / "many", Path(name) / "out"
        with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
            pool.map(draw, [(seed, few) for seed in range(count)], chunksize=16)
        paths = sorted(few.rglob("*.jpg"))
        compare(few, out, paths)
        for path in paths:  # other pictures by name and content, at no cost
            for copy in range(4):
                target = many / path.parent.name / f"{copy}-{path.name}"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes() + bytes([copy]))
        print("\n| pictures | peak memory, first process, MB | all processes, without files, MB |")
        print("| --- | --- | --- |")
        for number, folder in ((count, few), (4 * count, many)):
            first, every = peak(folder, out)
            print(f"| {number:,} | {first:,.0f} | {every:,.0f} |", flush=True)
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(f"\nThe benchmark itself: {own:,.0f} MB.")


if __name__ == "__main__":
    main()
