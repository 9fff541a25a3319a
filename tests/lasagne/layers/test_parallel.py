"""A network on two processes, which exchange gradients."""

import gc
import socket
from pathlib import Path

import torch
from torch import distributed, multiprocessing
from torch.nn.parallel import DistributedDataParallel

from lasagne import nonlinearities, objectives, updates
from lasagne.layers import (
    Conv2DLayer,
    DenseLayer,
    InputLayer,
    MaxPool2DLayer,
    Network,
    batch_norm,
    get_all_params,
)

X, LABELS = torch.linspace(-1, 1, 8 * 16).reshape(8, 1, 4, 4).sin(), torch.arange(8) % 3


def train(network: torch.nn.Module, x: torch.Tensor, labels: torch.Tensor) -> None:
    rule = updates.nesterov_momentum(None, network.parameters(), 0.1, 0.9)
    for _ in range(3):
        rule.zero_grad()
        objectives.categorical_crossentropy(network(x), labels).mean().backward()
        rule.step()


def small_network(normalized: bool) -> Network:
    torch.manual_seed(1)
    layer = Conv2DLayer(InputLayer((None, 1, 4, 4)), 3, 3, W=torch.randn(3, 1, 3, 3))
    layer = MaxPool2DLayer(batch_norm(layer) if normalized else layer, 2)
    return Network(DenseLayer(layer, 3, W=torch.randn(3, 3), nonlinearity=nonlinearities.softmax))


def one_of_two(rank: int, port: int, folder: str) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    torch.set_num_threads(1)
    for normalized in (False, True):
        network = small_network(normalized)
        train(DistributedDataParallel(network), X[rank::2], LABELS[rank::2])
        torch.save(network.state_dict(), Path(folder) / f"{normalized}-{rank}")
    gc.collect()  # what holds the group: left to the interpreter's end, its threads can abort it
    distributed.destroy_process_group()


def test_two_processes_train_as_one(tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(one_of_two, (port, str(tmp_path)), nprocs=2)
    states = {file.name: torch.load(file) for file in tmp_path.iterdir()}
    alone = small_network(False)
    train(alone, X, LABELS)
    for rank in range(2):
        for key, value in alone.state_dict().items():
            torch.testing.assert_close(states[f"False-{rank}"][key], value)
    # Each process normalises with its own half of the batch; the parameters stay the same.
    learned = {f"{key}" for key, _ in small_network(True).named_parameters()}
    for key in learned:
        assert torch.equal(states["True-0"][key], states["True-1"][key])
    assert len(learned) == len(get_all_params(small_network(True).output_layer, trainable=True))
