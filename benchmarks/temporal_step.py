"""Training steps of oNetEightpNetEight in this project against the same network in plain PyTorch.

Run: python benchmarks/temporal_step.py [ROUNDS]

A batch is 50 random patches of 40 bands × 250 frames, on the CPU's cores. Plain PyTorch is a module
of nn.Conv2d, relu, nn.MaxPool2d, cat, nn.Dropout and nn.Linear; its step is zero_grad, forward,
cross-entropy, backward and SGD with Nesterov momentum. The project's step is run_experiment's own.
A forward pass alone is without dropout, in inference mode. The ways are interleaved, in one
process, with run_experiment's setting of the memory allocator. Before that, output and gradients
of both are compared, in float64.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parent.parent))

from architectures.registry import build
from architectures.temporal import ONET_FRAMES, PNET_FRAMES
from lasagne.layers import Network, get_all_params
from lasagne.objectives import categorical_crossentropy
from lasagne.updates import nesterov_momentum
from training.devices import Compute
from training.distributed import Group
from training.host_memory import keep_freed_memory
from training.step import Step

BATCH, BANDS, FRAMES, LABELS = 50, 40, 250, 8
COPIES, ONSET_FILTERS, PATTERN_FILTERS, POOL_BANDS = 8, 5, 1, 4
RATE, MOMENTUM = 0.001, 0.9

Way = Callable[[Tensor, Tensor], None]


class Plain(nn.Module):
    """The network as PyTorch's users write it."""

    def __init__(self) -> None:
        super().__init__()
        onset = [(n, ONSET_FILTERS) for n in ONET_FRAMES] * COPIES
        pattern = [(n, PATTERN_FILTERS) for n in PNET_FRAMES] * COPIES
        branches = onset + pattern
        self.convs = nn.ModuleList(nn.Conv2d(1, count, (1, n)) for n, count in branches)
        self.pools = [nn.MaxPool2d((POOL_BANDS, FRAMES - n + 1)) for n, _ in branches]
        values = sum(count for _, count in branches) * (BANDS // POOL_BANDS)
        self.dropout, self.top = nn.Dropout(), nn.Linear(values, LABELS)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        pairs = zip(self.convs, self.pools, strict=True)
        x = torch.cat([pool(functional.relu(conv(x))) for conv, pool in pairs], dim=1)
        logits: Tensor = self.top(self.dropout(x.flatten(1)))
        return logits


def network() -> Network:
    """Return the project's network."""
    return Network(build("oNetEightpNetEight", (1, BANDS, FRAMES), LABELS, {}))


def patches(count: int) -> tuple[Tensor, Tensor]:
    """Return random patches and labels."""
    return torch.rand(count, 1, BANDS, FRAMES), torch.randint(LABELS, (count,))


def in_plain(value: Tensor) -> Tensor:
    """Return a layer's weights, biases or gradient as PyTorch has them.

    A Conv2DLayer's filters slide mirrored, a DenseLayer's weights have the inputs first.
    """
    return value.flip(3) if value.ndim == 4 else value.t()


def check() -> None:
    """Raise AssertionError unless both networks have the same output and gradients."""
    ours, plain = network().double(), Plain().double().eval()
    params = get_all_params(ours.output_layer, trainable=True)
    with torch.no_grad():
        for own, other in zip(params, plain.parameters(), strict=True):
            other.copy_(in_plain(own))
    x, labels = patches(4)
    output, logits = ours(x.double(), deterministic=True), plain(x.double())
    torch.testing.assert_close(output, logits.softmax(1), rtol=1e-12, atol=1e-12)
    categorical_crossentropy(output, labels).mean().backward()
    functional.cross_entropy(logits, labels).backward()
    for own, other in zip(params, plain.parameters(), strict=True):
        assert own.grad is not None
        torch.testing.assert_close(in_plain(own.grad), other.grad, rtol=1e-12, atol=1e-12)


def plain_ways() -> dict[str, Way]:
    """Return a training step and a forward pass of plain PyTorch."""
    plain = Plain()
    optimizer = torch.optim.SGD(plain.parameters(), RATE, momentum=MOMENTUM, nesterov=True)

    def step(x: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        functional.cross_entropy(plain.train()(x), labels).backward()
        optimizer.step()

    def forward(x: Tensor, labels: Tensor) -> None:
        with torch.inference_mode():
            plain.eval()(x)

    return {"step, plain PyTorch, float32": step, "forward, plain PyTorch, float32": forward}


def own_ways(precision: str) -> dict[str, Way]:
    """Return a training step and a forward pass of the project."""
    ours, compute = network(), Compute(torch.device("cpu"), precision)
    params = get_all_params(ours.output_layer, trainable=True)
    optimizer = nesterov_momentum(None, params, RATE, MOMENTUM)
    update = Step(ours, list(ours.parameters()), optimizer, compute, Group(0, 1))

    def step(x: Tensor, labels: Tensor) -> None:
        update(x.to(compute.short_dtype), labels, len(x))

    def forward(x: Tensor, labels: Tensor) -> None:
        with torch.inference_mode(), compute.autocast():
            ours(x.to(compute.short_dtype), deterministic=True)

    name = f"this project, {precision}"
    return {f"step, {name}": step, f"forward, {name}": forward}


def main() -> None:
    """Compare the ways and print a table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    torch.manual_seed(0)
    check()
    keep_freed_memory()
    ways = plain_ways() | own_ways("float32") | own_ways("bfloat16")
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    x, labels = patches(BATCH)
    for way in ways.values():
        way(x, labels)
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way(x, labels)
            speeds[name].append(BATCH / (time.perf_counter() - start))
    print(f"| what, how | patches/s, median of {rounds} (range) | ratio |\n| --- | --- | --- |")
    for name, own in speeds.items():
        plain = speeds[f"{name.split(',')[0]}, plain PyTorch, float32"]
        ratio = statistics.median(a / b for a, b in zip(own, plain, strict=True))
        shown = f"{statistics.median(own):.0f} ({min(own):.0f} to {max(own):.0f})"
        print(f"| {name} | {shown} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
