"""What a run of run_experiment has left in its folder."""

import csv
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.snapshots import load_snapshot

TIMES = ("seconds", "images_per_second", "waiting_seconds", "copying_seconds")


def metrics(folder: Path) -> list[dict[str, str]]:
    """The lines of metrics.csv without what a clock measures."""
    with (folder / "metrics.csv").open() as file:
        lines = list(csv.DictReader(file))
    return [{key: line[key] for key in line if key not in TIMES} for line in lines]


def results(folder: Path) -> dict[str, Any]:
    """What results.json holds."""
    return dict(json.loads((folder / "results.json").read_text()))


def snapshots(folder: Path) -> list[str]:
    """What distinguishes the snapshots' names, as in ["1", "1-7"], the oldest first."""
    names = [path.name.split("snapshot-")[1] for path in folder.glob("*.snapshot-*.safetensors")]
    stems = [name.removesuffix(".safetensors") for name in names if ".before-" not in name]
    return sorted(stems, key=lambda stem: [int(part) for part in stem.split("-")])


def state(folder: Path, stem: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A snapshot's header without the run's options and times, and its tensors."""
    snapshot = load_snapshot(folder / f"model.snapshot-{stem}.safetensors")
    header = {key: one for key, one in snapshot.header.items() if key != "experiment"}
    return header | {"progress": header["progress"]["loss"]}, snapshot.tensors


def assert_same_run(one: Path, other: Path) -> None:
    """Asserts that two runs have come to the same, bit for bit."""
    assert metrics(one) == metrics(other)
    stem = metrics(one)[-1]["epoch"]
    (header, tensors), (other_header, other_tensors) = state(one, stem), state(other, stem)
    assert header == other_header
    assert tensors.keys() == other_tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, other_tensors[name]), name
    assert_whole(one)
    assert_whole(other)


def assert_whole(folder: Path) -> None:
    """Asserts that nothing half-written is left."""
    assert not [path.name for path in folder.iterdir() if path.suffix == ".partial"]
