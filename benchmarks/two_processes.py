"""One network trained by two processes (gloo) with a core each, against one process.

First that both come to the same weights: in float64, without dropout, the parameters after a few
steps on the same batches. Then the time of a step: one process on one core, one on two cores, two
with a core each; and that of the exchange alone, an all-reduce of as many gradients in the 25 MB
pieces that DistributedDataParallel sends. Every way is processes of its own, and the ways take
turns. The step is run_experiment's own; its batch is in memory.
Run: python benchmarks/two_processes.py [--model-architecture AlexNet] [--batch-size 32]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import distributed

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from datasets.container import write_dataset  # noqa: E402
from lasagne.layers import DropoutLayer  # noqa: E402
from training.distributed import Group, joined  # noqa: E402
from training.experiment import Experiment  # noqa: E402
from training.setup import prepare  # noqa: E402
from training.trainer import Trainer  # noqa: E402

BUCKET = 25 * 2**20  # bytes; DistributedDataParallel's own
EXACT_STEPS = 3
WARM_UP = 2
LABELS = 1000


def parser() -> argparse.ArgumentParser:
    """Return the options, of the program and of its workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-architecture", default="AlexNet")
    parser.add_argument("--crop", type=int, default=227)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--steps", type=int, default=5, help="of a round, that count")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", choices=["exact", "time"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser


def write(path: Path) -> None:
    """Write a dataset for the trainer to open; its few pictures are not what is trained on."""
    pictures = np.random.default_rng(0).integers(0, 256, (4, 256, 256, 3), np.uint8)
    write_dataset(
        path,
        {name: (pictures, np.arange(4, dtype=np.int32)) for name in ("training", "validation")},
        {f"{label:04d}": label for label in range(LABELS)},
        layout="nhwc",
        scale=255,
        picture_shape=(256, 256, 3),
    )


def make_trainer(options: argparse.Namespace, group: Group) -> Trainer:
    """Return the trainer of a worker."""
    exact = options.worker == "exact"
    experiment = Experiment(
        dataset_path=options.folder / "x.rgb.pkl.zip",
        model_architecture=options.model_architecture,
        batch_size=options.batch_size,
        num_crops=1,
        crop_shape=(options.crop, options.crop),
        mirror_crops=False,
        precision="float64" if exact else options.precision,
        device="cpu",
        num_devices=group.size,
    )
    trainer = prepare(experiment, group)
    trainer.network.train()
    if exact:  # what is dropped depends on how a batch is divided
        for layer in trainer.network.modules():
            if isinstance(layer, DropoutLayer):
                layer.p = 0.0
    return trainer


def work(options: argparse.Namespace) -> None:
    """Train as one process of a way; the first prints or writes what was found."""
    with joined("cpu") as group:
        trainer = make_trainer(options, group)
        size, rows = options.batch_size, group.rows(options.batch_size)
        steps = EXACT_STEPS if options.worker == "exact" else WARM_UP + options.steps
        generator = np.random.default_rng(0)
        shape = (size, *trainer.preparation.input_shape)
        seconds = []
        for _ in range(steps):
            inputs = torch.from_numpy(generator.standard_normal(shape)).to(trainer.compute.dtype)
            labels = torch.from_numpy(generator.integers(0, LABELS, size))
            inputs, labels = inputs[rows].contiguous(), labels[rows]
            start = time.perf_counter()
            trainer.step(inputs, labels, size)
            seconds.append(time.perf_counter() - start)
        if options.worker == "exact" and group.is_first:
            torch.save(trainer.network.state_dict(), options.folder / f"{group.size}.pt")
        count = sum(parameter.numel() for parameter in trainer.network.parameters())
        exchange = exchange_seconds(count, options.steps) if group.size > 1 else 0.0
        if group.is_first:
            found = {"step": statistics.median(seconds[WARM_UP:]), "exchange": exchange}
            print(json.dumps(found | {"parameters": count}))


def exchange_seconds(count: int, rounds: int) -> float:
    """Return the time that the processes take to sum up so many float32 gradients."""
    pieces = torch.ones(count).split(BUCKET // 4)
    seconds = []
    for _ in range(rounds + 1):
        distributed.barrier()
        start = time.perf_counter()
        for piece in pieces:
            distributed.all_reduce(piece)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def run(worker: str, processes: int, cores: int, arguments: list[str]) -> dict[str, float]:
    """Run a way in processes of its own on so many cores; return what it prints."""
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command += [__file__, "--worker", worker, *arguments]
    own = set(sorted(os.sched_getaffinity(0))[:cores])
    environment = os.environ | {"OMP_NUM_THREADS": str(cores // processes)}
    output = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, own),
    ).stdout
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def largest_difference(folder: Path) -> float:
    """Return how far the two ways' parameters are apart, relative to the largest of each."""
    one, two = (torch.load(folder / f"{size}.pt", weights_only=True) for size in (1, 2))
    return max(float((one[name] - two[name]).abs().max() / one[name].abs().max()) for name in one)


def main() -> None:
    """Print the tables."""
    options = parser().parse_args()
    if options.worker:
        work(options)
        return
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("Two processes with a core each need two cores.")
    with tempfile.TemporaryDirectory() as name:
        write(Path(name) / "x.rgb.pkl.zip")
        arguments = [*sys.argv[1:], "--folder", name]
        for processes in (1, 2):
            run("exact", processes, 2, arguments)
        difference = largest_difference(Path(name))
        ways = {"one process, one core": (1, 1), "one process, two cores": (1, 2)}
        ways["two processes, a core each"] = (2, 2)
        found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way, (processes, cores) in ways.items():
                found[way].append(run("time", processes, cores, arguments))
    print(f"After {EXACT_STEPS} steps in float64, one process and two: parameters that differ by ")
    print(f"{difference:.1e} of the largest at most (wanted: 1e-9).\n")
    what = f"{options.model_architecture}, batch {options.batch_size}, {options.precision}"
    print(f"| {what} | step, s | images/s | against two cores |\n| --- | --- | --- | --- |")
    medians = {way: statistics.median(own["step"] for own in runs) for way, runs in found.items()}
    whole = [own["step"] for own in found["one process, two cores"]]
    for way, runs in found.items():
        pairs = zip(whole, runs, strict=True)
        speed = statistics.median(seconds / own["step"] for seconds, own in pairs)
        rate = options.batch_size / medians[way]
        print(f"| {way} | {medians[way]:.3f} | {rate:.1f} | {speed:.2f} |")
    last = found["two processes, a core each"]
    exchange = statistics.median(own["exchange"] for own in last)
    count = last[0]["parameters"]
    print(f"| the exchange alone, {count / 1e6:.1f} M gradients | {exchange:.3f} | | |")


if __name__ == "__main__":
    main()
