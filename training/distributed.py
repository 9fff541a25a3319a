"""The processes that train one network together, a device for each, as torchrun starts them."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    contextmanager,
    nullcontext,
    redirect_stderr,
    redirect_stdout,
    suppress,
)
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from common.child import under_torchrun
from common.errors import CommandError
from lasagne.layers import BatchNormLayer
from training.devices import choose_compute
from training.peers import TIMEOUT, Peers


@dataclass(frozen=True)
class Group:
    """The processes that train one network together.

    Attributes
    ----------
    rank : int
        This process's, from 0.
    size : int
        How many there are.
    device : torch.device, optional
        This process's own; None where it is alone, and may choose.
    peers : Peers, optional
        The others.
    """

    rank: int
    size: int
    device: torch.device | None = None
    peers: Peers | None = field(default=None, compare=False, repr=False)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """Returns this process's rows of a batch of `count`: none where there are too few."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def largest_part(self, count: int) -> int:
        """Returns the number of rows of the process that has most of them, of a batch of `count`.

        A network that is trained in parts must be called equally often in all processes, so that
        the number of parts follows from this.
        """
        return -(-count // self.size)

    def sum(self, tensor: Tensor) -> Tensor:
        """Returns a tensor summed over the processes, on each of them; alone, the tensor itself."""
        if self.size == 1:
            return tensor
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    def highest(self, number: int) -> int:
        """Returns the largest of all processes' numbers, without waiting for a GPU."""
        if self.size == 1:
            return number
        highest = torch.tensor(number)
        distributed.all_reduce(highest, distributed.ReduceOp.MAX)
        return int(highest)

    def first_text(self, text: str) -> str:
        """Returns, on all processes, the first one's text that is not empty; "" if all are."""
        if self.size == 1:
            return text
        texts = [""] * self.size
        distributed.all_gather_object(texts, text)
        return next(filter(None, texts), "")

    def wrap(self, network: nn.Module) -> nn.Module:
        """Returns what to call in place of a network, to train it in all processes alike.

        All start with the first process's weights; gradients are averaged over the processes as
        they are computed, and batches normalised together. Alone, it is the network itself.
        """
        if self.size == 1:
            return network
        synchronise(network, self)
        for param in network.parameters():
            if 1 in param.shape:
                param.register_hook(partial(_with_strides, param.shape, param.stride()))
        wrapped = DistributedDataParallel(network, gradient_as_bucket_view=True)
        wrapped.broadcast_buffers = False  # running averages are alike already
        return wrapped

    def unsynchronised(self, wrapped: nn.Module) -> AbstractContextManager[object]:
        """Returns the context in which gradients are added up but not averaged yet."""
        if isinstance(wrapped, DistributedDataParallel):
            return wrapped.no_sync()
        return nullcontext()

    def watched(self) -> AbstractContextManager[object]:
        """Returns the context that raises `PeerLost` where an exchange with the others fails."""
        return self.peers.watched() if self.peers else nullcontext()


ALONE = Group(0, 1)


def synchronise(network: nn.Module, group: Group) -> None:
    """Makes batch normalisation take the statistics of all processes' batches, or of one alone.

    As it makes a network exchange data, all processes must then call it alike while training.
    """
    together = distributed.group.WORLD if group.size > 1 else None
    for layer in network.modules():
        if isinstance(layer, BatchNormLayer) and 0 in layer.axes:
            layer.process_group = together


@contextmanager
def joined(device_name: str) -> Iterator[Group]:
    """Makes this process one of the group that torchrun started; alone, it changes nothing.

    Processes on GPUs get one each, those on the CPU a part of its cores each. All but the first
    print nothing; an error that several have is told once.

    Parameters
    ----------
    device_name : str
        "auto", "cpu" or "cuda", as in `Experiment`.

    Raises
    ------
    CommandError
        If there is no such device, or too few of them.
    PeerLost
        If another process dies, or does not answer.
    """
    if not under_torchrun() or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    _prefer_loopback()
    store, rank, size = next(distributed.rendezvous("env://", timeout=TIMEOUT))
    peers = Peers(store, rank, size)
    with ExitStack() as stack:
        stack.enter_context(peers.speaking_once())
        stack.enter_context(peers.watched())
        if rank:
            nowhere = stack.enter_context(Path(os.devnull).open("w"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(nowhere))
        device = _own_device(device_name)
        backend = "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl"
        stack.callback(_leave)
        distributed.init_process_group(
            backend,
            store=distributed.PrefixStore("group", store),
            rank=rank,
            world_size=size,
            timeout=TIMEOUT,
            device_id=None if device.type == "cpu" else device,
        )
        yield Group(rank, size, device, peers)


def _with_strides(shape: torch.Size, strides: tuple[int, ...], gradient: Tensor) -> Tensor:
    """Returns a gradient with a parameter's own strides, where it lies in memory as that does.

    The stride of an axis of length 1 means nothing: a convolution of one channel may give another,
    of which DistributedDataParallel warns as of a gradient that it has to copy element by element.
    """
    relevant = [axis for axis, length in enumerate(shape) if length > 1]
    if any(gradient.stride(axis) != strides[axis] for axis in relevant):
        return gradient
    return gradient.as_strided(shape, strides)


def _prefer_loopback() -> None:
    """Keeps gloo off the network where all processes are on this machine, whatever its name is."""
    on_one_machine = os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]
    if on_one_machine and Path("/sys/class/net/lo").exists():
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")


def _leave() -> None:
    gc.collect()  # what holds the group: left to the interpreter's end, its threads can abort it
    with suppress(RuntimeError, AssertionError):
        distributed.destroy_process_group()


def common_device(device_name: str) -> torch.device:
    """Returns the device, of which each process has its own: "cpu" or "cuda".

    Raises CommandError where it is a certain GPU, or is not there.
    """
    device = choose_compute(device_name, "float32", os.environ.get("THEANO_FLAGS", "")).device
    if device.index is not None:
        raise CommandError(
            f"--device {device} is one device, but each process trains on its own; give "
            f"--device {device.type}."
        )
    return device


def _own_device(device_name: str) -> torch.device:
    device = common_device(device_name)
    index, count = (int(os.environ.get(f"LOCAL_{name}", 0)) for name in ("RANK", "WORLD_SIZE"))
    if device.type == "cpu":
        if count > 1:
            _take_cores(index, count)
        return device
    if index >= torch.cuda.device_count():
        raise CommandError(
            f"There are {count} processes, but PyTorch sees {torch.cuda.device_count()} GPUs; give "
            "torchrun a --nproc-per-node of at most as many, or run_experiment --device cpu."
        )
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    return device


def _take_cores(index: int, count: int) -> None:
    """Keeps this process to its part of the cores, those of a socket together.

    It computes with a thread on each, unless OMP_NUM_THREADS says otherwise; torchrun sets that to
    1 where nobody did.
    """
    cores = sorted(os.sched_getaffinity(0), key=_place)
    own = cores[len(cores) * index // count : len(cores) * (index + 1) // count] or cores
    os.sched_setaffinity(0, own)
    if os.environ.get("OMP_NUM_THREADS", "1") == "1":
        torch.set_num_threads(len({_place(core)[:2] for core in own}))


def _place(core: int) -> tuple[int, int, int]:
    """Returns a core's socket, the physical core that it is a thread of, and its own number."""
    topology = Path(f"/sys/devices/system/cpu/cpu{core}/topology")
    try:
        socket, physical = (
            int((topology / name).read_text()) for name in ("physical_package_id", "core_id")
        )
    except (OSError, ValueError):
        return 0, core, core
    return socket, physical, core
