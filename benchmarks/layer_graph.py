"""Training steps of Lasagne networks against the same networks in plain PyTorch, interleaved.

Run: python benchmarks/layer_graph.py [mlp] [alexnet] [wide]

A step is forward, cross-entropy and backward. `layer by layer` is lasagne.layers.get_output, which
computes every layer on its own; `Network` computes what it can at once. Both end in softmax, plain
PyTorch in the logits. The loss is PyTorch's for all; in the last row it is Lasagne's,
categorical_crossentropy(...).mean(), which has a value for each instance before the mean.
"""

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent.parent))

from architectures.registry import build
from lasagne import nonlinearities
from lasagne.layers import (
    ConcatLayer,
    Conv2DLayer,
    DenseLayer,
    DropoutLayer,
    InputLayer,
    Layer,
    MaxPool2DLayer,
    Network,
    get_all_layers,
    get_output,
)
from lasagne.objectives import categorical_crossentropy

Step = Callable[[Tensor, Tensor], Tensor]

#: name: (batch shape, rounds, steps in a round)
CASES = {
    "mlp": ((100, 1, 28, 28), 301, 10),
    "alexnet": ((64, 3, 224, 224), 21, 1),
    "wide": ((50, 1, 40, 250), 5, 1),
}


def network(name: str) -> Layer:
    """Return the output layer of a case's network, with 10 classes."""
    shape = CASES[name][0][1:]
    if name == "mlp":
        return build("SingleLayerMlp", shape, 10, {"num_units": 512})
    if name == "alexnet":
        return build("AlexNet", shape, 10, {})
    incoming = InputLayer((None, *shape))
    onset = [Conv2DLayer(incoming, 5, (1, n)) for _ in range(8) for n in range(6, 42, 5)]
    pattern = [Conv2DLayer(incoming, 1, (1, n)) for _ in range(8) for n in range(46, 217, 5)]
    pooled = [MaxPool2DLayer(one, (4, one.output_shape[3] or 1)) for one in onset + pattern]
    return DenseLayer(ConcatLayer(pooled), 10, nonlinearity=nonlinearities.softmax)


class Plain(nn.Module):
    """The same network written in PyTorch: a sequence, or parallel branches and a dense layer."""

    def __init__(self, output: Layer) -> None:
        super().__init__()
        layers = get_all_layers(output)
        merge = next((layer for layer in layers if isinstance(layer, ConcatLayer)), None)
        if merge is None:
            self.branches = nn.ModuleList()
            self.top = nn.Sequential(*[m for layer in layers for m in modules(layer)])
        else:
            pools = [pool for pool in merge.input_layers if pool is not None]
            self.branches = nn.ModuleList(
                nn.Sequential(*modules(pool.input_layer), *modules(pool)) for pool in pools
            )
            self.top = nn.Sequential(*modules(output))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        if self.branches:
            x = torch.cat([branch(x) for branch in self.branches], dim=1)
        result: Tensor = self.top(x)
        return result


def modules(layer: Any) -> list[nn.Module]:
    """Return a layer as PyTorch's modules, with its parameters' values."""
    if isinstance(layer, Conv2DLayer):
        sizes = (layer.num_channels, layer.num_filters, layer.filter_size, layer.stride)
        conv: Any = nn.Conv2d(*sizes, padding=layer._padding())  # type: ignore[arg-type]
        conv.weight.data = layer.W.data.flip(2, 3).contiguous()
        conv.bias.data = layer.b.data.clone()  # type: ignore[union-attr]
        return [conv, nn.ReLU()]
    if isinstance(layer, MaxPool2DLayer):
        return [nn.MaxPool2d(layer.pool_size, layer.stride, layer.pad)]
    if isinstance(layer, DropoutLayer):
        return [nn.Dropout(layer.p)]
    if isinstance(layer, DenseLayer):
        linear: Any = nn.Linear(*layer.W.shape)
        linear.weight.data = layer.W.data.t().contiguous()
        linear.bias.data = layer.b.data.clone()  # type: ignore[union-attr]
        relu = [nn.ReLU()] if layer.nonlinearity is nonlinearities.rectify else []
        return [nn.Flatten(), linear, *relu]
    assert isinstance(layer, InputLayer), layer
    return []


def steps(name: str) -> dict[str, Step]:
    """Return the ways to compute a case's loss, all with the same parameters."""
    output = network(name)
    plain = Plain(output)
    graph = Network(output)

    def of_plain(x: Tensor, t: Tensor) -> Tensor:
        return nn.functional.cross_entropy(plain(x).float(), t)

    def of_layers(x: Tensor, t: Tensor) -> Tensor:
        return nn.functional.cross_entropy(get_output(output, x).logits.float(), t)

    def of_graph(x: Tensor, t: Tensor) -> Tensor:
        return nn.functional.cross_entropy(graph(x).logits.float(), t)

    def of_graph_and_loss(x: Tensor, t: Tensor) -> Tensor:
        return categorical_crossentropy(graph(x), t).mean()

    x = torch.rand(CASES[name][0])
    with torch.no_grad():
        expected = plain.eval()(x).softmax(1)
        torch.testing.assert_close(graph(x, deterministic=True), expected)
    plain.train()
    return {
        "plain PyTorch": of_plain,
        "layer by layer": of_layers,
        "Network": of_graph,
        "Network, Lasagne's loss": of_graph_and_loss,
    }


def seconds(step: Step, x: Tensor, t: Tensor, repeats: int, precision: str) -> float:
    """Return the mean time of a step."""
    bfloat16 = precision == "bfloat16"
    start = time.perf_counter()
    for _ in range(repeats):
        with torch.autocast("cpu", torch.bfloat16) if bfloat16 else nullcontext():
            loss = step(x, t)
        loss.backward()
    return (time.perf_counter() - start) / repeats


def compare(name: str, precision: str) -> None:
    """Print a row of a table for every way to compute the network."""
    shape, rounds, repeats = CASES[name]
    x, t = torch.rand(shape), torch.randint(10, shape[:1])
    ways = steps(name)
    times: dict[str, list[float]] = {way: [] for way in ways}
    for round_ in range(rounds + 1):
        for way, step in ways.items():
            elapsed = seconds(step, x, t, repeats, precision)
            if round_:
                times[way].append(elapsed)
    plain = times["plain PyTorch"]
    for way, own in times.items():
        ratio = statistics.median(a / b for a, b in zip(plain, own, strict=True))
        median = statistics.median(own)
        speed = shape[0] / median
        print(
            f"| {name}, {precision} | {way} | {1000 * median:.2f} | {speed:.0f} | {ratio:.2f} |",
            flush=True,
        )


def peak(name: str, way: str, connection: Any) -> None:
    """Send by how much memory grew in three steps, in MB."""
    shape = CASES[name][0]
    x, t = torch.rand(shape), torch.randint(10, shape[:1])
    step = steps(name)[way]
    before = memory("VmRSS")
    for _ in range(3):
        step(x, t).backward()
    connection.send(memory("VmHWM") - before)


def peak_of_a_process(name: str, way: str) -> float:
    """Return what :func:`peak` measures in a process of its own."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=peak, args=(name, way, sender))
    process.start()
    grown: float = receiver.recv()
    process.join()
    return grown


def memory(what: str) -> float:
    """Return the process's memory now (VmRSS) or at its peak (VmHWM), in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{what}:")[2].split()[0]) / 1024


def main() -> None:
    """Compare speed and memory of the cases named, by default of all."""
    names = sys.argv[1:] or list(CASES)
    print("| network | computed | step, ms | images/s | speed |\n| --- | --- | --- | --- | --- |")
    for name in names:
        compare(name, "float32")
        if name == "wide":
            compare(name, "bfloat16")
    print("\n| network | computed | peak memory of a step, MB (median of 5) |\n| --- | --- | --- |")
    for name in names:
        peaks: dict[str, list[float]] = {"plain PyTorch": [], "Network": []}
        for _ in range(5):
            for way, own in peaks.items():
                own.append(peak_of_a_process(name, way))
        for way, own in peaks.items():
            print(f"| {name} | {way} | {statistics.median(own):.1f} |", flush=True)


if __name__ == "__main__":
    main()
