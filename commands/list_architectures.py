"""Lists the architectures, each with its parameters and defaults."""

from __future__ import annotations

from dataclasses import dataclass

GROUP = "Experiments"


@dataclass(frozen=True)
class Options:
    """None."""


def run(options: Options) -> list[str]:
    """Prints the list; returns the architectures' names."""
    from architectures.describe import describe
    from architectures.registry import ARCHITECTURES

    for name in ARCHITECTURES:
        print(describe(name) + "\n")
    print("Your own: --model-architecture path/to/file.py:function, a function of (incoming,")
    print("num_classes, **params) that returns its output layer.")
    return list(ARCHITECTURES)
