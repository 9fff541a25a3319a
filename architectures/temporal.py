"""MIRdl's networks for spectrograms: filters along time alone, of many lengths side by side.

An O-net has short filters, which find onsets, a P-net long ones, which find patterns; each filter's
output is pooled over all frames and a few bands.

Source: J. Pons and X. Serra, Designing efficient architectures for modeling temporal features with
convolutional neural networks (ICASSP 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from architectures.keywords import COUNT, PROBABILITY, convert_all
from architectures.layers import conv, max_pool, require_pictures, softmax_output
from common.errors import CommandError
from lasagne.layers import ConcatLayer, DropoutLayer, Layer

ONET_FRAMES = (6, 11, 16, 21, 26, 31, 36, 41)
PNET_FRAMES = tuple(range(46, 217, 5))
RULES = {
    "onet_filters": COUNT,
    "pnet_filters": COUNT,
    "pool_bands": COUNT,
    "dropout": PROBABILITY,
}


def temporal_net(
    incoming: Layer,
    num_classes: int,
    num_onets: int = 1,
    num_pnets: int = 1,
    onet_filters: int = 5,
    pnet_filters: int = 1,
    onet_frames: tuple[int, ...] = ONET_FRAMES,
    pnet_frames: tuple[int, ...] = PNET_FRAMES,
    pool_bands: int = 4,
    dropout: float = 0.5,
) -> Layer:
    """`num_onets` O-nets and `num_pnets` P-nets on patches of shape (1, bands, frames).

    A net has `onet_filters` (or `pnet_filters`) filters for each length of `onet_frames` (or
    `pnet_frames`), in frames, and a max pool over `pool_bands` bands and all frames that are left.
    """
    require_pictures(incoming, "TemporalNet")
    given = {
        "onet_filters": onet_filters,
        "pnet_filters": pnet_filters,
        "pool_bands": pool_bands,
        "dropout": dropout,
    }
    convert_all("TemporalNet", RULES, given)
    kinds = {
        "onet": (num_onets, onet_filters, onet_frames),
        "pnet": (num_pnets, pnet_filters, pnet_frames),
    }
    _check(incoming, {kind: lengths for kind, (count, _, lengths) in kinds.items() if count})
    nets = [
        _net(incoming, f"{kind}{copy}", num_filters, lengths, pool_bands)
        for kind, (count, num_filters, lengths) in kinds.items()
        for copy in range(count)
    ]
    layer = nets[0] if len(nets) == 1 else ConcatLayer(nets, name="concat")
    if dropout:
        layer = DropoutLayer(layer, p=dropout, name="dropout")
    return softmax_output(layer, num_classes)


def _net(
    incoming: Layer, name: str, num_filters: int, lengths: tuple[int, ...], pool_bands: int
) -> Layer:
    pools = []
    for length in lengths:
        branch = f"{name}_{length}"
        layer = conv(
            incoming, branch, num_filters=num_filters, filter_size=(1, length), pad="valid"
        )
        size = pool_bands, layer.output_shape[3]
        pools.append(max_pool(layer, f"{branch}_pool", pool_size=size))
    return ConcatLayer(pools, name=name)


def _check(incoming: Layer, frames: dict[str, tuple[int, ...]]) -> None:
    if not frames:
        raise CommandError("TemporalNet has no nets: give num_onets or num_pnets above 0.")
    available = incoming.output_shape[3]
    for kind, lengths in frames.items():
        if not lengths:
            raise CommandError(f"TemporalNet: {kind}_frames is empty; give lengths in frames.")
        if available is not None and max(lengths) > available:
            raise CommandError(
                f"TemporalNet: a filter of {kind}_frames is {max(lengths)} frames long, and "
                f"instances have {available}; give longer patches or shorter {kind}_frames."
            )


def _named(name: str, num_onets: int, num_pnets: int) -> Callable[..., Layer]:
    network = partial(temporal_net, num_onets=num_onets, num_pnets=num_pnets)
    network.__doc__ = f"MIRdl's {name}, a TemporalNet."
    return network


MIRDL: Mapping[str, Callable[..., Layer]] = {
    name: _named(name, *counts)
    for name, counts in {
        "oNetOne": (1, 0),
        "pNetOne": (0, 1),
        "oNetTwo": (2, 0),
        "pNetTwo": (0, 2),
        "oNetpNet": (1, 1),
        "oNetTwopNetTwo": (2, 2),
        "oNetFourpNetFour": (4, 4),
        "oNetEightpNetEight": (8, 8),
    }.items()
}
"""The paper's networks by their names in MIRdl."""
