"""A network computed on the side, without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lasagne.layers import BatchNormLayer, Network, get_all_params


@contextmanager
def unchanged(network: Network) -> Iterator[None]:
    """Whatever is computed within, the training goes on as if it had not been.

    Running averages and the random generators' states are put back. What is trained does not change
    in a forward pass; its gradients are the caller's to leave alone. Of several processes that
    normalise their batches together, this one computes by itself, and waits for no other.
    """
    running = {id(one): one for one in get_all_params(network.output_layer, trainable=False)}
    running |= {id(one): one for one in network.buffers()}
    before = [(one, one.detach().clone()) for one in running.values()]
    together = [one for one in network.modules() if isinstance(one, BatchNormLayer)]
    groups = [one.process_group for one in together]
    gpus = {one.device.index for one in network.parameters() if one.device.type == "cuda"}
    with torch.random.fork_rng(devices=[gpu for gpu in gpus if gpu is not None]):
        try:
            for layer in together:
                layer.process_group = None
            yield
        finally:
            for layer, group in zip(together, groups, strict=True):
                layer.process_group = group
            with torch.no_grad():
                for one, value in before:
                    one.copy_(value)
