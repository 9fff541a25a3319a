"""create_spectrograms against Essentia's frame-by-frame loop and librosa, and its peak memory.

Run: python benchmarks/spectrograms.py [RECORDINGS] [PYTHON]

The recordings are dances of create_demo_recordings, 30 s each, 44.1 kHz, 16 bits, as wav, 3 MB for
each in the temporary folder. PYTHON is an interpreter that has essentia and librosa, by default
this one; what it lacks is left out. Essentia: MIRdl's way, a Python loop over frames. librosa: as
many mel bands of a power spectrogram. Both keep their spectrograms in memory, and the time of their
imports does not count; of create_spectrograms the whole command counts, from the start of Python to
the dataset on the disk. The rounds are interleaved; all but the files' reading is on `cores` cores.
"""

import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FRAME, HOP, BANDS = 2048, 1024, 40
ROUNDS = 3
DANCES = 8
ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def with_essentia(path: Path) -> None:
    """MIRdl's features of one recording."""
    import numpy as np
    from essentia import standard  # type: ignore[import-not-found]

    audio = standard.MonoLoader(filename=str(path))()
    window = standard.Windowing(type="blackmanharris62")
    spectrum, bands = standard.Spectrum(), standard.MelBands(numberBands=BANDS)
    frames = standard.FrameGenerator(audio, frameSize=FRAME, hopSize=HOP)
    np.array([bands(spectrum(window(frame))) for frame in frames], np.float32)


def with_librosa(path: Path) -> None:
    """The same by librosa, whose windows and bands differ a little."""
    import librosa  # type: ignore[import-not-found]

    audio, rate = librosa.load(path, sr=None)
    librosa.feature.melspectrogram(
        y=audio, sr=rate, n_fft=FRAME, hop_length=HOP, n_mels=BANDS, htk=True, window="blackman"
    )


WORK: dict[str, Callable[[Path], None]] = {"essentia": with_essentia, "librosa": with_librosa}


def compute(name: str, processes: int, paths: list[Path]) -> None:
    """Prints the seconds that another library takes, once it is imported in every process."""
    work = WORK[name]
    if processes == 1:
        work(paths[0])
        start = time.perf_counter()
        for path in paths:
            work(path)
    else:
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            pool.map(work, paths[:1] * 4 * processes, chunksize=1)
            start = time.perf_counter()
            for _ in pool.imap(work, paths, chunksize=4):
                pass
    print(time.perf_counter() - start)


def manage(*arguments: str) -> float:
    """Runs a command; returns the seconds that it takes."""
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def elsewhere(python: str, name: str, processes: int, folder: Path) -> float:
    """Runs another library on the recordings in the folder; returns the seconds that it takes."""
    command = [python, __file__, name, str(processes), str(folder)]
    result = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | ONE_CORE
    )
    return float(result.stdout.split()[-1])


def has(python: str, name: str) -> bool:
    command = [python, "-c", f"import {name}"]
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0


def compare(folder: Path, out: Path, count: int, python: str) -> None:
    """Prints recordings/s of each way."""
    cores = len(os.sched_getaffinity(0))
    ways: dict[str, Callable[[], float]] = {}
    for processes in (cores, 1):
        own = ["create_spectrograms", str(folder), str(out), "--num-workers", str(processes)]
        ways[f"create_spectrograms, {processes}"] = lambda own=own: manage(*own)  # type: ignore[misc]
        for name in WORK:
            if has(python, name):
                ways[f"{name}, {processes}"] = lambda name=name, processes=processes: elsewhere(  # type: ignore[misc]
                    python, name, processes, folder
                )
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, work in ways.items():
            speeds[way].append(count / work())
    first = next(iter(speeds.values()))
    print(f"| how, processes | recordings/s, median of {ROUNDS} | the first in proportion |")
    print("| --- | --- | --- |")
    for way, found in speeds.items():
        ratio = statistics.median(a / b for a, b in zip(first, found, strict=True))
        print(f"| {way} | {statistics.median(found):,.1f} | {ratio:.1f} |", flush=True)


def peak(folder: Path, out: Path) -> float:
    """Returns the memory of the largest process of the command at its peak, in MB."""
    script = (
        "import resource, subprocess, sys; "
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, str(ROOT / "manage.py"), "create_spectrograms"]
    result = subprocess.run(
        [sys.executable, "-c", script, *command, str(folder), str(out)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(result.stdout) / 1e3


def main() -> None:
    """Prints the table and the peak; in PYTHON, what `compute` prints."""
    if len(sys.argv) > 1 and sys.argv[1] in WORK:
        compute(sys.argv[1], int(sys.argv[2]), sorted(Path(sys.argv[3]).rglob("*.wav")))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    python = sys.argv[2] if len(sys.argv) > 2 else sys.executable
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name) / "dances", Path(name) / "x.pkl.zip"
        each = -(-count // DANCES)
        made = manage(
            *("create_demo_recordings", str(folder), "--recordings-per-label", str(each)),
            *("--audio-format", "wav"),
        )
        compare(folder, out, DANCES * each, python)
        print(f"\nPeak memory of create_spectrograms' largest process: {peak(folder, out):,.0f} MB")
        print(f"create_demo_recordings: {DANCES * each / made:.1f} recordings/s")


if __name__ == "__main__":
    main()
