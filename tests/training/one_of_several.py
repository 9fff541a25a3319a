"""What each process does in `test_distributed`: python one_of_several.py MODE FOLDER DEVICE."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from common.errors import CommandError
from lasagne import nonlinearities, updates
from lasagne.layers import (
    BatchNormLayer,
    Conv2DLayer,
    DenseLayer,
    InputLayer,
    MaxPool2DLayer,
    Network,
    batch_norm,
)
from lasagne.objectives import categorical_crossentropy
from training.distributed import Group, joined, synchronise
from training.peers import PeerLost
from training.stop_signals import stop_signals

SIZES = [10, 7, 2, 1, 11]
"""Instances in each batch: uneven parts, and with three processes none for one or two of them."""
X = torch.from_numpy(np.random.default_rng(0).normal(size=(sum(SIZES), 2, 7, 6)))
LABELS = torch.arange(len(X)) % 3
PART = 2

AXES = {(11, 4, 5, 3): (0, 2, 3), (7, 6): (0,), (9, 3, 4): (0, 1), (2, 3): (0,)}
"""Shapes of batches, and the axes that they are normalised over."""
TYPES = [torch.float64, torch.float32, torch.bfloat16]


def small_network(normalised: bool) -> Network:
    torch.manual_seed(1)
    layer = Conv2DLayer(InputLayer((None, 2, 7, 6)), 4, 3, W=torch.randn(4, 2, 3, 3) / 3)
    layer = MaxPool2DLayer(batch_norm(layer) if normalised else layer, 2)
    layer = DenseLayer(layer, 5, W=torch.randn(16, 5) / 3)
    layer = batch_norm(layer) if normalised else layer
    softmax = nonlinearities.softmax
    return Network(DenseLayer(layer, 3, W=torch.randn(5, 3), nonlinearity=softmax)).double()


def train(group: Group, network: Network, in_parts: bool) -> list[float]:
    """Trains twice over all batches, each process on its rows; returns each batch's loss."""
    wrapped, losses, device = group.wrap(network.to(group.device)), [], group.device
    rule = updates.nesterov_momentum(None, list(network.parameters()), 0.05, 0.9)
    for size, x, labels in zip(SIZES * 2, X.split(SIZES) * 2, LABELS.split(SIZES) * 2, strict=True):
        rule.zero_grad(set_to_none=True)
        x, labels = (values[group.rows(size)].to(device) for values in (x, labels))
        count = -(-group.largest_part(size) // PART) if in_parts else 1
        total = torch.zeros((), dtype=torch.float64, device=device)
        for index, rows in enumerate(torch.arange(len(x)).tensor_split(count)):
            last = index == count - 1
            with group.unsynchronised(wrapped if not last else network):
                outputs = wrapped(x[rows])
                loss = categorical_crossentropy(outputs, labels[rows]).sum()
                (loss / size * group.size).backward()
            assert outputs.logits is not None  # what the loss is computed from
            total += loss.detach()
        rule.step()
        losses.append(group.sum(total).item() / size)
    return losses


def train_plainly(network: Network) -> list[float]:
    """The same on one device, the loss as a mean."""
    losses, params = [], list(network.parameters())
    rule = torch.optim.SGD(params, 0.05, momentum=0.9, nesterov=True)
    for x, labels in zip(X.split(SIZES) * 2, LABELS.split(SIZES) * 2, strict=True):
        rule.zero_grad()
        loss = cross_entropy(network(x).logits, labels)
        loss.backward()
        rule.step()
        losses.append(loss.item())
    return losses


def data(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns a batch and a gradient of the same shape."""
    random = np.random.default_rng(2)
    x, gradient = random.normal(5, 3, shape), random.normal(size=shape)
    return torch.from_numpy(x), torch.from_numpy(gradient)


def normalise(group: Group, shape: tuple[int, ...], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Normalises this process's rows of a batch; returns all that comes of it."""
    layer = BatchNormLayer((None, *shape[1:]), axes=AXES[shape], alpha=1)
    layer = layer.to(group.device, torch.float64 if dtype == torch.float64 else torch.float32)
    synchronise(layer, group)
    rows, kind = group.rows(shape[0]), {"device": group.device, "dtype": dtype, "copy": True}
    x, gradient = (values[rows].to(**kind) for values in data(shape))
    output = layer(x.requires_grad_())
    output.backward(gradient)
    return {
        "output": output.detach(),
        "x": x.grad,
        "gamma": group.sum(layer.gamma.grad),
        "beta": group.sum(layer.beta.grad),
        "mean": layer.mean,
        "inv_std": layer.inv_std,
    }


def learn(folder: Path, group: Group) -> None:
    print("learning", group.rank)
    networks = {name: small_network(name == "normalised") for name in ("normalised", "in parts")}
    found = {
        "losses": {name: train(group, one, name != "normalised") for name, one in networks.items()},
        "states": {name: network.state_dict() for name, network in networks.items()},
        "normalised": {
            (shape, dtype): normalise(group, shape, dtype) for shape in AXES for dtype in TYPES
        },
        "highest": [group.highest(group.rank), group.highest(-group.rank)],
        "cores": os.sched_getaffinity(0),
        "threads": torch.get_num_threads(),
    }
    torch.save(found, folder / f"{group.rank}")


def learn_until_one_dies(folder: Path, group: Group) -> None:
    network = small_network(True).to(group.device)
    wrapped = group.wrap(network)
    try:
        with group.watched(), stop_signals():
            for index in range(100_000):
                if index == 20 and group.rank == 1:
                    (folder / "dies").touch()
                    threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGKILL)).start()
                wrapped(X[group.rows(10)].to(group.device)).sum().backward()
                group.highest(0)
    except PeerLost:
        os.kill(os.getpid(), signal.SIGTERM)  # as torchrun does
        torch.save(network.state_dict(), folder / f"saved-{group.rank}")
        raise


def wait_for_a_signal(folder: Path, group: Group) -> None:
    (folder / f"ready-{group.rank}").touch()
    with stop_signals() as signals:
        while not group.highest(signals.received or 0):
            time.sleep(0.01)
    if group.is_first:
        time.sleep(0.5)
        (folder / "written").touch()
    raise KeyboardInterrupt


def main(mode: str, folder: Path, device: str) -> None:
    with joined(device) as group:
        if mode == "stop":
            wait_for_a_signal(folder, group)
        learn(folder, group)
        if mode == "die":
            learn_until_one_dies(folder, group)
        raise CommandError("All of them make the same mistake.")


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
    except CommandError as error:
        print(f"one_of_several: {error}", file=sys.stderr)
        sys.exit(error.status)
    except KeyboardInterrupt:
        print("one_of_several: interrupted", file=sys.stderr)
        sys.exit(130)
