"""What every layer must do, over all cases of the golden numbers."""

import copy
import pickle
from pathlib import Path

import pytest
import torch

from lasagne import layers
from tests.lasagne.golden import cases, load
from tests.lasagne.layers.test_golden import Case, build

ALL = pytest.mark.parametrize("path", cases("layers"))


def one_of_each_layer() -> list:
    """Return the first case of every class, and of every function that wraps a layer."""
    found: dict[str, object] = {}
    for case in cases("layers"):
        spec, _ = load(case.values[0])
        then = [wrapper["function"] for wrapper in spec.get("then", [])]
        found.setdefault(str((spec["layer"], then)), case)
    return list(found.values())


EACH = pytest.mark.parametrize("path", one_of_each_layer())


def inputs(case: Case) -> list[torch.Tensor]:
    return [case.x(f"x{i}").detach() for i in range(len(case.inputs))]


def output(network: layers.Network, x: list[torch.Tensor]) -> torch.Tensor:
    return network(*x, deterministic=True)[0]


@ALL
def test_copies_and_state(path: Path):
    """A deep copy, a pickled one, and a new network with the state loaded are the same."""
    case = Case(path, torch.float64)
    network, x = case.network, inputs(case)
    expected = output(network, x)
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(output(twin, x), expected)
    layer, its_inputs = build(load(path)[0])
    other = layers.Network([layer, *its_inputs]).double()
    assert list(other.state_dict()) == list(network.state_dict())
    other.load_state_dict(network.state_dict())
    assert torch.equal(output(other, x), expected)


@ALL
def test_network_equals_get_output(path: Path):
    case = Case(path, torch.float64)
    x = inputs(case)
    torch.testing.assert_close(output(case.network, x), case.output(x, deterministic=True))


@EACH
def test_gradients(path: Path):
    """By finite differences, in a random direction."""
    if "clip" in path.stem:
        pytest.skip("gradient clipping is meant to give another gradient")
    case = Case(path, torch.float64)
    x = inputs(case)
    floats = [value for value in x if value.is_floating_point()]
    params = [param for param in case.params if param.requires_grad]
    for value in floats:
        value.requires_grad_()

    def function(*_: torch.Tensor) -> torch.Tensor:
        return case.output(x, deterministic=case.deterministic)

    assert torch.autograd.gradcheck(function, [*floats, *params], fast_mode=True)


@EACH
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_traced_as_one_graph(path: Path):
    case = Case(path, torch.float32)
    x = inputs(case)
    traced = torch.compile(case.network, backend="eager", fullgraph=True)
    torch.testing.assert_close(output(traced, x), output(case.network, x))
    torch.compiler.reset()


@EACH
def test_autocast(path: Path):
    """Bfloat16 changes the numbers by no more than its 8 bits let one expect."""
    case = Case(path, torch.float32)
    x = [case.x(f"x{i}") for i in range(len(case.inputs))]
    expected = output(case.network, x)
    with torch.autocast("cpu", torch.bfloat16):
        y = output(case.network, x).float()
    torch.testing.assert_close(y, expected, rtol=0.05, atol=0.05 * expected.abs().max().item())
    if y.requires_grad:
        y.sum().backward()
    for value in [*x, *case.params]:
        assert value.grad is None or value.grad.dtype == torch.float32


@EACH
def test_channels_last(path: Path):
    case = Case(path, torch.float64)
    x = inputs(case)
    if any(param.ndim == 5 for param in case.params):
        pytest.skip("PyTorch's channels_last is for parameters of four axes")
    expected = output(case.network, x)
    x = [
        value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
        for value in x
    ]
    network = case.network.to(memory_format=torch.channels_last)
    torch.testing.assert_close(output(network, x), expected)


@EACH
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_training_mode_traced_and_in_half_precision(path: Path):
    """Batch statistics and noise are the same in a trace, and finite under autocast."""
    case = Case(path, torch.float32)
    x, twin = inputs(case), copy.deepcopy(case.network)
    traced = torch.compile(twin, backend="eager", fullgraph=True)
    results = []
    for network in (case.network, traced):
        torch.manual_seed(3)
        results.append(network(*x)[0])
    torch.testing.assert_close(*results)
    for key, value in case.network.state_dict().items():
        torch.testing.assert_close(twin.state_dict()[key], value)
    torch.compiler.reset()
    with torch.autocast("cpu", torch.bfloat16):
        assert case.network(*x)[0].isfinite().all()
    for buffer in case.network.buffers():
        assert buffer.dtype == torch.float32
        assert buffer.isfinite().all()
