"""What training_throughput.py runs: run_experiment and the loops that it is measured against."""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]
from baselines_pytorch import NETWORKS, build, matrix_limit  # noqa: E402

import architectures.registry  # noqa: E402
from datasets.container import Blocks, open_dataset, write_dataset  # noqa: E402
from datasets.convert import write_shards  # noqa: E402
from lasagne.layers import Network, get_all_params  # noqa: E402

#: Runs manage.py's command line and prints the peak memory (MB) and, if profiled, the idle share.
RUN = """
import contextlib, json, os, sys
sys.path[:0] = sys.argv[1:3]
from commands import main
from baselines_pytorch import idle_share, peak_memory
with idle_share(os.environ.get("PROFILE") == "1") as idle:
    status = main(sys.argv[4:])
print("FOUND", json.dumps({"peak": peak_memory(sys.argv[3]), "idle": idle()}))
sys.exit(status)
"""
#: glibc gives large blocks back to the system as soon as they are freed, unless told not to.
KEEP_FREED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}


@dataclass(frozen=True)
class Case:
    """A network at a batch size.

    Attributes
    ----------
    name, architecture : its name in baselines_pytorch and for run_experiment.
    batch, side, stored, labels : the batch, sides of crops and of stored pictures, and labels.
    batches : in an epoch.
    shard_size : instances of a shard, for a dataset that is a folder of them.
    """

    name: str
    architecture: str
    batch: int
    side: int = 224
    stored: int = 256
    labels: int = 10
    batches: int = 20
    epochs: int = 4
    shard_size: int | None = None

    @property
    def loop_options(self) -> list[str]:
        """The options of both hand-written loops."""
        numbers = {"batch": self.batch, "side": self.side, "labels": self.labels}
        numbers |= {"steps": self.batches, "blocks": self.epochs - 1}
        return [text for name, value in numbers.items() for text in (f"--{name}", str(value))]


CASES = {
    "alexnet-64": Case("alexnet", "AlexNet", 64),
    "alexnet-256": Case("alexnet", "AlexNet", 256, batches=8),
    "vgg": Case("vgg16", "VggNet", 256),
    "imagenet": Case(
        "imagenet_alexnet", "CaffeAlexNet", 256, 227, batches=4, epochs=3, shard_size=512
    ),
}


class Bench:
    """What all parts share: options, the device, and the folder with the dataset files."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.folder = folder
        self.quick: bool = options.quick
        self.brief: bool = options.brief
        self.rounds = 1 if self.quick else options.rounds
        self.theano: str | None = options.theano
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self._runs = 0
        size = {"cpu": 4096, "cuda": 8192}[self.device] // (8 if self.quick else 1)
        self.limit = matrix_limit(self.device, torch.bfloat16, size)

    def case(self, part: str) -> Case:
        """Return a part's case as it is measured here."""
        case = CASES[part]
        if self.device == "cuda":
            case = replace(case, batches=100)
        if self.quick:
            case = replace(case, batch=4, side=67, stored=72, batches=3, epochs=3)
        check_same(case)
        return case

    def dataset(self, case: Case) -> Path:
        """Write a case's dataset where it is not there, and return it."""
        count = case.batch * case.batches
        path = self.folder / f"{count}-{case.stored}-{case.labels}.rgb.pkl.zip"
        if not path.exists():
            write(path, {"training": count, "validation": case.batch}, case)
        if case.shard_size is None:
            return path
        shards = path.with_name(f"{count}.shards")
        if not shards.exists():
            write_shards(open_dataset(path), shards, case.shard_size)
        return shards

    def ours(self, case: Case, *more: str, profile: bool = False) -> dict[str, float]:
        """Run run_experiment; return images/s, peak memory (MB), waiting and idle shares."""
        self._runs += 1
        out = self.folder / f"run-{self._runs}"
        given = {
            "--dataset-path": self.dataset(case),
            "--model-architecture": case.architecture,
            "--num-epochs": case.epochs,
            "--batch-size": case.batch,
            "--num-crops": 1,
            "--crop-shape": (case.side, case.side),
            "--learning-rate": 0.001,
            "--device": self.device,
            "--out-dir": out,
        }
        arguments = [str(part) for pair in given.items() for part in pair]
        arguments += ["--no-mirror-crops", "--random-mirror", "--no-snapshot-final-model", *more]
        program = [sys.executable, "-c", RUN, str(ROOT), str(HERE), self.device, "run_experiment"]
        text = output_of([*program, *arguments], {"PROFILE": str(int(profile))})
        found: dict[str, float] = json.loads(text.rpartition("FOUND")[2])
        with (out / "metrics.csv").open(encoding="utf-8") as file:
            epochs = list(csv.DictReader(file))[1:]
        found["images_per_second"] = statistics.median(
            float(epoch["images_per_second"]) for epoch in epochs
        )
        found["waiting"] = statistics.median(
            float(epoch["waiting_seconds"]) / float(epoch["seconds"]) for epoch in epochs
        )
        return found

    def resident(
        self, case: Case, precision: str, variant: str, environment: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Run the hand-written loop on one batch; `variant` may be "fastest"."""
        program = [sys.executable, str(HERE / "baselines_pytorch.py"), case.name]
        program += [*case.loop_options, "--precision", precision, "--variant", variant]
        found: dict[str, Any] = json.loads(
            output_of([*program, "--device", self.device], environment or {})
        )
        return found

    def fastest(self, case: Case, precision: str) -> str:
        """Return the fastest variant of the hand-written loop."""
        if self.quick:
            return "eager"
        return str(self.resident(case, precision, "fastest")["variant"])

    def common(self, case: Case) -> float:
        """Return the images/s of the loop that most people write."""
        program = [sys.executable, str(HERE / "common_loop.py"), "throughput", case.name]
        program += [*case.loop_options, "--stored", str(case.stored), "--device", self.device]
        return float(json.loads(output_of(program, {}))["images_per_second"])

    def theano_step(self, case: Case) -> float:
        """Return the images/s of Theano and Lasagne."""
        assert self.theano is not None
        program = [self.theano, str(HERE / "theano_alexnet_step.py"), str(case.batch)]
        return float(
            json.loads(output_of([*program, str(case.side), "3"], {}))["images_per_second"]
        )


def output_of(program: Sequence[str], environment: dict[str, str]) -> str:
    """Run a program and return what it prints; says what it wrote to stderr where it fails."""
    result = subprocess.run(
        program, capture_output=True, text=True, cwd=ROOT, env=os.environ | environment
    )
    if result.returncode:
        raise SystemExit(f"{' '.join(program[:4])}… failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def write(path: Path, counts: dict[str, int], case: Case) -> None:
    """Write a dataset file of random pictures, the same every time."""
    shape = (case.stored, case.stored, 3)

    def blocks(count: int) -> Iterator[np.ndarray]:
        generator = np.random.default_rng(0)
        for start in range(0, count, 500):
            yield generator.integers(0, 256, (min(500, count - start), *shape), np.uint8)

    subsets = {
        name: (
            Blocks((count, *shape), np.dtype(np.uint8), blocks(count)),
            np.arange(count, dtype=np.int32) % case.labels,
        )
        for name, count in counts.items()
    }
    labels = {str(label): label for label in range(case.labels)}
    write_dataset(path, subsets, labels, layout="nhwc", scale=255, picture_shape=shape)


def check_same(case: Case) -> None:
    """Check that both networks compute the same from the same parameters."""
    shape = (3, case.side, case.side)
    output = architectures.registry.build(case.architecture, shape, case.labels, {})
    plain = build(case.name, case.labels, case.side, pools_first=True).eval()
    with torch.no_grad():
        params = get_all_params(output, trainable=True)
        for own, theirs in zip(plain.parameters(), params, strict=True):
            turned = theirs.flip(2, 3) if theirs.ndim == 4 else theirs.t()
            own.copy_(turned if theirs.ndim > 1 else theirs)
        x = torch.rand(2, *shape)
        torch.testing.assert_close(Network(output)(x, deterministic=True), plain(x).softmax(1))


def flops_per_image(case: Case) -> float:
    """Return the operations of forward and backward, counted by PyTorch, for an image."""
    network = build(case.name, case.labels, case.side)
    with FlopCounterMode(display=False) as counter:
        outputs = network(torch.rand(2, NETWORKS[case.name][1], case.side, case.side))
        functional.cross_entropy(outputs, torch.zeros(2, dtype=torch.int64)).backward()
    return counter.get_total_flops() / 2
