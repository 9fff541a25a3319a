"""What an epoch of ImageNet costs, stage by stage, on 1, 8 and 64 GPUs: docs/scaling.md's tables.

Arithmetic only. MEASURED comes from preprocess_imagenet.py and imagenet_stages.py, on two
CPU cores; ASSUMED is published of others' machines, or a guess that is called one. Put your own
figures there, or give them: `--set gpu_resnet=3000 disk=6.0`.
Run: python benchmarks/imagenet_scaling.py
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace

PICTURES = 1_281_167  # of ILSVRC 2012's training set
PICTURE_GB = 256 * 256 * 3 / 1e9
TOTAL_GB = PICTURES * PICTURE_GB
GPUS = (1, 8, 64)
GPUS_OF_A_NODE = 8

#: name: (value, unit, what it is)
MEASURED = {
    "decode": (
        229.0,
        "pictures/s",
        "a core of two makes 256×256 of a JPEG of 500×375, and stores it",
    ),
    "disk": (
        1.67,
        "GB/s",
        "four threads read shards from the disk, in scattered runs of six pictures",
    ),
    "memory": (6.3, "GB/s", "a thread reads shards that the system has in memory"),
    "step_float32": (44.0, "images/s", "a step of CaffeAlexNet on two CPU cores, float32"),
    "step_bfloat16": (71.0, "images/s", "the same in bfloat16"),
}
#: name: (value, unit, what it is, where it is from)
ASSUMED = {
    "gpu_resnet": (
        *(2470.0, "images/s", "a step of ResNet-50 on one A100, mixed precision"),
        "published: NVIDIA DeepLearningExamples, ResNet-50 v1.5 for PyTorch, DGX A100 80 GB",
    ),
    "gpu_alexnet": (
        *(14_000.0, "images/s", "a step of CaffeAlexNet on the same"),
        "guess: ResNet-50's operations per second, 0.72 G multiply-adds in place of 4.1 G",
    ),
    "bus": (25.0, "GB/s", "from pinned memory to a GPU", "guess: 0.8 of PCIe 4.0 x16's 31.5"),
    "node": (230.0, "GB/s", "all-reduce in a node (bus bandwidth)", "guess: ¾ of NVLink 3's 300"),
    "network": (10.0, "GB/s", "a node's network", "guess: 0.8 of 100 Gb/s"),
    "request": (
        *(0.085, "GB/s", "one request to object storage"),
        "published: Amazon S3 User Guide, performance design patterns: 85 to 90 MB/s a request",
    ),
    "cores": (8.0, "per GPU", "CPU cores", "guess: what is rented with a GPU"),
}


@dataclass(frozen=True)
class Network:
    """A network: its name, which step it takes, and its parameters."""

    name: str
    step: str
    parameters: float


ALEXNET = Network("CaffeAlexNet", "gpu_alexnet", 61.0e6)
RESNET = Network("ResNet-50", "gpu_resnet", 25.6e6)


@dataclass(frozen=True)
class Plan:
    """How a network is trained.

    Attributes
    ----------
    gpus : int
    batch : pictures of a GPU in a step.
    gradient_bytes : of a gradient, on its way.
    source : "disk", "memory" or "storage": where shards are read.
    requests : to object storage at once, of a node.
    rates : what MEASURED and ASSUMED hold.
    """

    network: Network
    gpus: int
    rates: dict[str, float] = field(repr=False)
    batch: int = 256
    gradient_bytes: int = 4
    source: str = "disk"
    requests: int = 64

    @property
    def nodes(self) -> int:
        """Machines of up to eight GPUs."""
        return -(-self.gpus // GPUS_OF_A_NODE)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-PICTURES // (self.batch * self.gpus))

    def stages(self) -> dict[str, float]:
        """Return the seconds that an epoch needs in each stage, were it alone."""
        return {
            "read shards": TOTAL_GB / self._reading(),
            "copy to the GPUs": TOTAL_GB / (self.gpus * self.rates["bus"]),
            "compute steps": PICTURES / (self.gpus * self.rates[self.network.step]),
            "exchange gradients": self.steps * self._exchange(),
        }

    def _reading(self) -> float:
        """Return the GB/s of all nodes: a disk each, or all GPUs' readers from memory."""
        if self.source == "storage":
            return self.nodes * min(self.requests * self.rates["request"], self.rates["network"])
        if self.source == "memory":
            return self.gpus * self.rates["memory"]
        return self.nodes * self.rates["disk"]

    def _exchange(self) -> float:
        """Return the seconds of an all-reduce: in each node's ring, then in a ring of nodes."""
        gigabytes = self.network.parameters * self.gradient_bytes / 1e9
        inside, nodes = min(self.gpus, GPUS_OF_A_NODE), self.nodes
        seconds = 2 * (inside - 1) / inside * gigabytes / self.rates["node"]
        return seconds + 2 * (nodes - 1) / nodes * gigabytes / self.rates["network"]


def bottleneck(plan: Plan) -> str:
    """Return the name of the slowest stage."""
    stages = plan.stages()
    return max(stages, key=lambda name: stages[name])


def time_text(seconds: float) -> str:
    """Return a time for a person."""
    if seconds < 0.05:
        return "0"
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rates_tables() -> list[str]:
    """Return the tables of what was measured and assumed."""
    measured = [[what, f"{value:g} {unit}"] for value, unit, what in MEASURED.values()]
    assumed = [[what, f"{value:g} {unit}", why] for value, unit, what, why in ASSUMED.values()]
    return [
        table(["measured here", "rate"], measured),
        table(["assumed", "rate", "source"], assumed),
    ]


def once_table(rates: dict[str, float]) -> str:
    """Return the table of what is done once, and of an epoch on CPU cores."""
    seconds = PICTURES / rates["decode"]
    rows = [
        [f"decode all JPEGs, {cores} cores", time_text(seconds / cores)]
        for cores in (2, int(rates["cores"]), int(rates["cores"] * GPUS_OF_A_NODE))
    ]
    for precision in ("float32", "bfloat16"):
        seconds = PICTURES / rates[f"step_{precision}"]
        rows.append([f"an epoch of CaffeAlexNet on 2 CPU cores, {precision}", time_text(seconds)])
    return table(["on CPU cores", "time"], rows)


def epoch_table(network: Network, rates: dict[str, float]) -> str:
    """Return the table of an epoch's stages on each number of GPUs."""
    plans = [Plan(network, gpus, rates) for gpus in GPUS]
    stages = [plan.stages() for plan in plans]
    rows = [[name, *(time_text(own[name]) for own in stages)] for name in stages[0]]
    slowest = [bottleneck(plan) for plan in plans]
    rows.append(["**bottleneck**", *slowest])
    ends = [own[name] for own, name in zip(stages, slowest, strict=True)]
    rows.append(["**epoch**, stages overlapped", *map(time_text, ends)])
    rows.append(["**epoch**, one after another", *(time_text(sum(own.values())) for own in stages)])
    heads = [f"{plan.gpus} GPU{'s' * (plan.gpus > 1)}" for plan in plans]
    return table([f"{network.name}, 256 a GPU", *heads], rows)


def changes_table(rates: dict[str, float]) -> str:
    """Return the table of what to change: the next bottleneck, one change after another."""
    rows = []
    for network, gpus in ((ALEXNET, 8), (ALEXNET, 64), (RESNET, 8), (RESNET, 64)):
        plan = Plan(network, gpus, rates)
        plans = {
            "as above": plan,
            "shards on object storage, 64 requests a node": replace(plan, source="storage"),
            "shards in the nodes' memory": replace(plan, source="memory"),
        }
        in_memory = plans["shards in the nodes' memory"]
        if bottleneck(in_memory) == "exchange gradients":
            faster = rates | {"network": 4 * rates["network"]}
            plans["… and gradients in bfloat16"] = replace(in_memory, gradient_bytes=2)
            plans["… or batches of 1,024 a GPU"] = replace(in_memory, batch=1024)
            plans["… or a network of four times the rate"] = replace(in_memory, rates=faster)
        for change, own in plans.items():
            slowest = bottleneck(own)
            end = time_text(own.stages()[slowest])
            rows.append([f"{network.name}, {gpus} GPUs", change, slowest, end])
    return table(["network", "change", "bottleneck", "epoch"], rows)


def tables(rates: dict[str, float]) -> list[str]:
    """Return all tables, in Markdown, in the document's order."""
    epochs = [epoch_table(network, rates) for network in (ALEXNET, RESNET)]
    return [*rates_tables(), once_table(rates), *epochs, changes_table(rates)]


def given_rates(changes: list[str]) -> dict[str, float]:
    """Return the rates, with those that `name=value` changes."""
    rates = {name: float(row[0]) for name, row in {**MEASURED, **ASSUMED}.items()}
    for change in changes:
        name, _, value = change.partition("=")
        if name not in rates:
            raise SystemExit(f"There is no rate '{name}'. Valid: {', '.join(rates)}.")
        try:
            rates[name] = float(value)
        except ValueError:
            raise SystemExit(f"'{change}' is not of the form name=number.") from None
        if not rates[name] > 0:
            raise SystemExit(f"'{change}': give a number above 0.")
    return rates


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="other rates")
    print("\n\n".join(tables(given_rates(parser.parse_args().set))))


if __name__ == "__main__":
    main()
