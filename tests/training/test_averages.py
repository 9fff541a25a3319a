"""The average of the weights against its definition in NumPy."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from common.errors import CommandError
from lasagne.layers import BatchNormLayer, DenseLayer, InputLayer, Network
from lasagne.nonlinearities import softmax
from lasagne.updates import nesterov_momentum
from training.averages import WeightAverage
from training.loss import instance_losses

LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0])


def make_network(dtype: torch.dtype = torch.float64) -> Network:
    layer = BatchNormLayer(DenseLayer(InputLayer((None, 6)), 5))
    return Network(DenseLayer(layer, 3, nonlinearity=softmax)).to(dtype)


def inputs(seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(7, 6, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def values(network: nn.Module) -> dict[str, np.ndarray]:
    return {
        name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()
    }


class Training:
    """Some steps of a network whose weights and BatchNorm statistics change with each."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        params = [param for param in network.parameters() if param.requires_grad]
        self.optimizer = nesterov_momentum(None, params, 0.1)
        self.steps = 0

    def step(self) -> None:
        weight = next(self.network.parameters())
        batch = inputs(self.steps, weight.dtype).to(weight.device)
        self.optimizer.zero_grad()
        losses = instance_losses(self.network(batch), LABELS.to(weight.device))
        losses.mean().backward()
        self.optimizer.step()
        self.steps += 1


def by_definition(history: list[dict[str, np.ndarray]], decay: float) -> dict[str, np.ndarray]:
    average = dict(history[0])
    for done, after in enumerate(history[1:]):
        kept = min(decay, (1 + done) / (10 + done))
        average = {name: kept * average[name] + (1 - kept) * after[name] for name in average}
    return average


def assert_close(ours: dict[str, np.ndarray], expected: dict[str, np.ndarray], rtol: float) -> None:
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(ours[name], value, rtol=rtol, atol=rtol, err_msg=name)


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("decay", [0.5, 0.9, 0.9999])
def test_the_definition(decay, dtype, rtol):
    """Of all entries, BatchNorm's running statistics too; the weights themselves stay apart."""
    network = make_network(dtype)
    average, training, history = WeightAverage(network, decay), Training(network), [values(network)]
    for _ in range(30):
        training.step()
        average.update()
        history.append(values(network))
    assert any("inv_std" in name for name in history[0])
    assert all(not np.array_equal(history[0][name], history[-1][name]) for name in history[0])
    with average.applied():
        assert_close(values(network), by_definition(history, decay), rtol)
    assert_close(values(network), history[-1], 0)


@pytest.mark.parametrize("fails", [False, True])
def test_applied_and_back_nothing_is_copied(fails):
    network = make_network()
    average, training = WeightAverage(network, 0.9), Training(network)
    training.step()
    average.update()
    entries = network.state_dict(keep_vars=True)
    places = {name: (entry.data_ptr(), entry.stride()) for name, entry in entries.items()}
    before, outputs = values(network), network(inputs(1), deterministic=True)
    averages = average.state_dict()
    try:
        with average.applied():
            assert not np.array_equal(
                network(inputs(1), deterministic=True).detach(), outputs.detach()
            )
            for name, entry in network.state_dict(keep_vars=True).items():
                assert entry is entries[name]
                assert entry.stride() == places[name][1]
                assert entry.data_ptr() != places[name][0]
                assert torch.equal(entry, averages[name])
            with average.applied():
                pass
            assert entry.data_ptr() == averages[name].data_ptr()
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert fails
    assert {name: (e.data_ptr(), e.stride()) for name, e in entries.items()} == places
    assert_close(values(network), before, 0)
    assert torch.equal(network(inputs(1), deterministic=True), outputs)
    training.step()


def test_a_dense_layers_weights_keep_their_strides():
    network = make_network()
    strides = {name: value.stride() for name, value in network.state_dict().items()}
    assert any(len(stride) == 2 and stride[0] < stride[1] for stride in strides.values())
    average = WeightAverage(network, 0.9)
    average.load_state_dict({k: v.contiguous() for k, v in average.state_dict().items()})
    average.update()
    average.restart()
    held = average.state_dict()
    assert {name: held[name].stride() for name in strides} == strides


def test_training_goes_on_bitwise_whether_or_not_the_average_was_applied():
    torch.manual_seed(0)
    one, other = make_network(), make_network()
    other.load_state_dict(one.state_dict())
    first, second = Training(one), Training(other)
    average = WeightAverage(other, 0.9)
    for _ in range(5):
        first.step()
        second.step()
        average.update()
        with average.applied():
            other(inputs(9), deterministic=True)
    assert_close(values(other), values(one), 0)


@pytest.mark.parametrize("cut", [0, 1, 7])
def test_through_a_file_it_goes_on_bitwise(cut, tmp_path):
    network = make_network(torch.float32)
    whole, training = WeightAverage(network, 0.9), Training(network)
    for _ in range(cut):
        training.step()
        whole.update()
    state = {name: value.contiguous() for name, value in whole.state_dict().items()}
    save_file(state, tmp_path / "average.safetensors")
    training.step()
    after = WeightAverage(network, 0.9)
    after.load_state_dict(load_file(tmp_path / "average.safetensors"))
    for each in (whole, after):
        each.update()
    ours, expected = after.state_dict(), whole.state_dict()
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[name], expected[name]) for name in expected)
    assert int(ours["updates"]) == cut + 1


@pytest.mark.parametrize("by", ["restart", "an empty state"])
def test_started_anew_it_is_that_of_a_new_one(by):
    network = make_network()
    average, training = WeightAverage(network, 0.9), Training(network)
    for _ in range(3):
        training.step()
        average.update()
    average.restart() if by == "restart" else average.load_state_dict({})
    new = WeightAverage(network, 0.9)
    training.step()
    average.update()
    new.update()
    ours, expected = average.state_dict(), new.state_dict()
    assert all(torch.equal(ours[name], expected[name]) for name in expected)


def test_weights_that_layers_share_are_averaged_once():
    first = DenseLayer(InputLayer((None, 6)), 6)
    network = Network(DenseLayer(first, 6, W=first.W, b=first.b, nonlinearity=softmax))
    average = WeightAverage(network, 0.9)
    with torch.no_grad():
        first.W.fill_(1)
    start = average.state_dict()
    average.update()
    with average.applied():
        assert first.W.max() < 1 - 1e-9
        assert all(torch.equal(start[name], first.W) for name in start if name.endswith(".W"))
    assert first.W.min() == 1


def test_whole_numbers_are_left_alone():
    network = nn.BatchNorm1d(4)
    average = WeightAverage(network, 0.9)
    assert set(average.state_dict()) == {*network.state_dict(), "updates"} - {"num_batches_tracked"}
    network(torch.randn(3, 4))
    average.update()
    with average.applied():
        assert network.num_batches_tracked == 1


def test_a_network_that_is_compiled():
    network = make_network()
    average, training = WeightAverage(network, 0.9), Training(network)
    expected = make_network()
    network.compile(backend="aot_eager")
    for _ in range(3):
        training.step()
        average.update()
        with average.applied(), torch.inference_mode():
            expected.load_state_dict(network.state_dict())
            ours = network(inputs(5), deterministic=True)
            torch.testing.assert_close(ours, expected(inputs(5), deterministic=True))


@pytest.mark.skipif(
    not torch.distributed.is_available(), reason="this PyTorch has no torch.distributed"
)
def test_a_network_that_is_wrapped_for_several_processes(tmp_path):
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        network = make_network()
        average, history = WeightAverage(network, 0.9), [values(network)]
        training = Training(DistributedDataParallel(network))
        for _ in range(3):
            training.step()
            average.update()
            history.append(values(network))
            with average.applied():
                assert_close(values(network), by_definition(history, 0.9), 1e-12)
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    network = make_network(torch.float32).cuda()
    average, training, history = WeightAverage(network, 0.9), Training(network), [values(network)]
    for _ in range(20):
        training.step()
        average.update()
        history.append(values(network))
    assert all(value.is_cuda for name, value in average.state_dict().items() if name != "updates")
    with average.applied():
        assert_close(values(network), by_definition(history, 0.9), 1e-5)
    assert_close(values(network), history[-1], 0)


@pytest.mark.parametrize("decay", [-0.1, 0.0, 1.0, float("nan")])
def test_a_decay_outside_its_range_is_refused(decay):
    with pytest.raises(CommandError) as error:
        WeightAverage(make_network(), decay)
    assert str(error.value) == (
        f"--average-weights is {decay}; give more than 0 and less than 1, as in 0.999, or 0 for no "
        "average."
    )
