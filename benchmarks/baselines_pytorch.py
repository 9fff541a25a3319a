"""Hand-written PyTorch training loops on one batch that stays where it is: what is fastest.

Run: python benchmarks/baselines_pytorch.py NETWORK [options], which prints a line of JSON: images/s
(the median of the blocks), the variant, and the process's peak memory.

A network's maximum pools come before its rectifiers, which gives the same numbers on smaller
arrays. Weights that are updated are float32 in every variant; the rule is Nesterov momentum, fused.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

Step = Callable[[], None]
VGG = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class ResponseNorm(nn.Module):
    """Local response normalisation over 5 channels; PyTorch's own has no bfloat16 on the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised (batch, channels, height, width)."""
        squares = functional.pad(x.square(), (0, 0, 0, 0, 2, 2))
        total = sum(squares[:, i : i + x.shape[1]] for i in range(5))
        return x * (2 + 1e-4 * total) ** -0.75


def alexnet(labels: int) -> list[nn.Module]:
    """One tower of AlexNet, as Bandcamp Deep Learning had it, up to the flattened features."""
    return [
        *(nn.Conv2d(3, 48, 11, stride=4, padding=5), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(48, 128, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(128, 192, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(192, 192, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(192, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *_dense(2048, 2048, labels),
    ]


def imagenet_alexnet(labels: int) -> list[nn.Module]:
    """theano_alexnet's network (arXiv 1412.2302)."""
    return [
        *(nn.Conv2d(3, 96, 11, stride=4), nn.ReLU(), nn.MaxPool2d(3, 2)),
        ResponseNorm(),
        *(nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        ResponseNorm(),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *_dense(4096, 4096, labels),
    ]


def vgg16(labels: int) -> list[nn.Module]:
    """VGG-16, configuration D."""
    modules: list[nn.Module] = []
    channels = 3
    for block in VGG:
        for filters in block:
            modules += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()]
            channels = filters
        modules.append(nn.MaxPool2d(2))
    return modules + _dense(4096, 4096, labels)


def mlp(labels: int) -> list[nn.Module]:
    """784-512-10."""
    return [nn.Flatten(), nn.LazyLinear(512), nn.ReLU(), nn.Linear(512, labels)]


def convnet(labels: int) -> list[nn.Module]:
    """experiments/fashion-mnist-convnet.yaml's network."""
    return [
        *(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *_dense(256, labels),
    ]


#: name: (modules, channels)
NETWORKS: dict[str, tuple[Callable[[int], list[nn.Module]], int]] = {
    "alexnet": (alexnet, 3),
    "imagenet_alexnet": (imagenet_alexnet, 3),
    "vgg16": (vgg16, 3),
    "mlp": (mlp, 1),
    "convnet": (convnet, 1),
}


def _dense(*units: int) -> list[nn.Module]:
    """Return dense layers, each but the last with a rectifier and dropout."""
    modules: list[nn.Module] = [nn.Flatten()]
    for count in units[:-1]:
        modules += [nn.LazyLinear(count), nn.ReLU(), nn.Dropout(0.5)]
    return [*modules, nn.LazyLinear(units[-1])]


def build(name: str, labels: int, side: int, pools_first: bool = False) -> nn.Sequential:
    """Return a network for pictures of side × side; max pools come first where that is asked."""
    make, channels = NETWORKS[name]
    modules = make(labels)
    if pools_first:
        for i, module in enumerate(modules[:-1]):
            if isinstance(module, nn.ReLU) and isinstance(modules[i + 1], nn.MaxPool2d):
                modules[i], modules[i + 1] = modules[i + 1], module
    network = nn.Sequential(*modules)
    with torch.no_grad():
        network(torch.zeros(1, channels, side, side))  # gives the lazy layers their size
    return network


class Setting:
    """A network and a batch on a device, in a precision ("float32" or "bfloat16")."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.device = torch.device(options.device)
        self.bfloat16 = options.precision == "bfloat16"
        dtype = torch.bfloat16 if self.bfloat16 else torch.float32
        layout = torch.channels_last
        network: nn.Module = build(name, options.labels, options.side, pools_first=True)
        self.network: Any = network.to(self.device, memory_format=layout)  # type: ignore[call-overload]
        shape = (options.batch, NETWORKS[name][1], options.side, options.side)
        self.inputs = torch.rand(shape, device=self.device, dtype=dtype).to(memory_format=layout)
        self.labels = torch.randint(options.labels, shape[:1], device=self.device)

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context to run the network in."""
        # A captured graph must not keep the casts that another step made.
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.bfloat16, cache_enabled=False
        )


def _rule(params: list[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=0.001, momentum=0.9, nesterov=True, fused=True)


def eager(setting: Setting) -> Step:
    """Autocast, or plain float32."""
    optimizer = _rule(list(setting.network.parameters()))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with setting.autocast():
            outputs = setting.network(setting.inputs)
        functional.cross_entropy(outputs.float(), setting.labels).backward()
        optimizer.step()

    return step


def masters(setting: Setting) -> Step:
    """A network in bfloat16, and its weights in float32 beside it, which are updated."""
    network = setting.network.to(torch.bfloat16)
    params = list(network.parameters())
    weights = [param.detach().float().requires_grad_() for param in params]
    optimizer = _rule(weights)

    def step() -> None:
        network.zero_grad(set_to_none=True)
        outputs = network(setting.inputs)
        functional.cross_entropy(outputs.float(), setting.labels).backward()
        for weight, param in zip(weights, params, strict=True):
            assert param.grad is not None
            weight.grad = param.grad.float()
        optimizer.step()
        with torch.no_grad():
            torch._foreach_copy_(params, weights)

    return step


def compiled(setting: Setting) -> Step:
    """`eager`, with the network compiled."""
    setting.network = torch.compile(setting.network)
    return eager(setting)


def captured(make: Callable[[Setting], Step]) -> Callable[[Setting], Step]:
    """Another variant's step as one CUDA graph."""

    def of(setting: Setting) -> Step:
        step = make(setting)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(5):
                step()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        return graph.replay

    return of


def variants(device: str, precision: str) -> dict[str, Callable[[Setting], Step]]:
    """Return the variants that there are on a device."""
    found: dict[str, Callable[[Setting], Step]] = {"eager": eager, "compiled": compiled}
    if precision == "bfloat16":
        found["masters"] = masters
    if device.startswith("cuda"):
        graphs = {f"{name}, CUDA graph": captured(make) for name, make in found.items()}
        found |= graphs
    return found


def rate(step: Step, options: argparse.Namespace, steps: int) -> float:
    """Return the images/s of so many steps."""
    start = time.perf_counter()
    for _ in range(steps):
        step()
    if options.device.startswith("cuda"):
        torch.cuda.synchronize()
    return float(options.batch * steps / (time.perf_counter() - start))


def fastest(options: argparse.Namespace) -> str:
    """Return the variant with the highest rate; each in turn, three times."""
    steps: dict[str, Step] = {}
    for name, make in variants(options.device, options.precision).items():
        try:
            steps[name] = make(Setting(options.network, options))
            rate(steps[name], options, options.warmup)
        except Exception as error:  # no compiler, or no graph of this network: the others remain
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            steps.pop(name, None)
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(3):
        for name, step in steps.items():
            rates[name].append(rate(step, options, max(2, options.steps // 4)))
    return max(rates, key=lambda name: statistics.median(rates[name]))


def matrix_limit(device: str, dtype: torch.dtype, size: int) -> float:
    """Return the TFLOP/s of the product of two square matrices, the best of ten."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    product = a @ b
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        torch.mm(a, b, out=product)
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e12


def peak_memory(device: str) -> float:
    """Return the peak memory in MB: allocated on a GPU, else the process's."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


@contextmanager
def idle_share(profiled: bool) -> Iterator[Callable[[], float]]:
    """Give a function that tells, afterwards, for what share of the last third a GPU was idle."""
    if not profiled:
        yield lambda: 0.0
        return
    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        yield lambda: idle
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in trace.events() or ()
        if event.device_type == DeviceType.CUDA and not event.name.startswith(("Memcpy", "Memset"))
    )
    idle = idle_of(spans[2 * len(spans) // 3 :])


def idle_of(spans: Sequence[tuple[float, float]]) -> float:
    """Return the part of the time from the first start to the last end that no span covers."""
    covered, reached = 0.0, spans[0][0]
    for start, end in spans:
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return 1 - covered / (reached - spans[0][0])


def main() -> None:
    """Measure a variant, or find the fastest one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--labels", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--variant", default="fastest", help="or eager, compiled, masters, …")
    parser.add_argument("--warmup", type=int, default=3, help="steps before the first block")
    parser.add_argument("--steps", type=int, default=20, help="steps in a block")
    parser.add_argument("--blocks", type=int, default=3)
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.device.startswith("cuda"):
        torch.backends.cudnn.benchmark = True
    if options.variant == "fastest":
        print(json.dumps({"variant": fastest(options)}))
        return
    setting = Setting(options.network, options)
    step = variants(options.device, options.precision)[options.variant](setting)
    rate(step, options, options.warmup)
    rates = [rate(step, options, options.steps) for _ in range(options.blocks)]
    found = {
        "images_per_second": statistics.median(rates),
        "variant": options.variant,
        "peak": peak_memory(options.device),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
