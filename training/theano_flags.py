"""THEANO_FLAGS, the originals' way to choose device and precision, on today's names."""

from __future__ import annotations

import re
import warnings

from common.errors import CommandError

PRECISIONS = {"float16": "float16", "float32": "float32", "float64": "float64"}


def read_theano_flags(flags: str) -> dict[str, str]:
    """Returns the `device` and `precision` that `device=gpu,floatX=float32` stands for.

    Flags that have no meaning here are named in a warning and ignored.

    Raises CommandError where the value of `device` or `floatX` is none of Theano's.
    """
    chosen = {}
    for flag in filter(None, (part.strip() for part in flags.split(","))):
        name, _, value = (part.strip() for part in flag.partition("="))
        if name == "device":
            chosen["device"] = _device(value)
        elif name == "floatX":
            if value not in PRECISIONS:
                raise CommandError(
                    f"THEANO_FLAGS has floatX={value}; it accepts {', '.join(PRECISIONS)}."
                )
            chosen["precision"] = PRECISIONS[value]
        else:
            warnings.warn(
                f"THEANO_FLAGS has '{flag}', which means nothing here and is ignored; "
                "device and floatX are read.",
                stacklevel=2,
            )
    return chosen


def _device(value: str) -> str:
    match = re.fullmatch(r"(?:gpu|cuda)(\d*)", value)
    if match:
        return f"cuda:{match[1]}" if match[1] else "cuda"
    if value == "cpu":
        return value
    raise CommandError(
        f"THEANO_FLAGS has device={value}; it accepts cpu, gpu, gpu0, gpu1, …, cuda, cuda0, …."
    )
