"""Where and in which precision a network is computed."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import torch

from common.errors import CommandError
from training.theano_flags import read_theano_flags

AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """A device and a precision ("float32", "bfloat16", "float16" or "float64").

    Master weights are float64 in "float64", else float32; the two short ones are autocast.
    """

    device: torch.device
    precision: str

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return torch.float64 if self.precision == "float64" else torch.float32

    @property
    def short_dtype(self) -> torch.dtype:
        """The type that autocast casts to, else that of the weights."""
        return AUTOCAST.get(self.precision, self.dtype)

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Returns the context to run a network in."""
        if self.precision in AUTOCAST:
            return torch.autocast(self.device.type, dtype=AUTOCAST[self.precision])
        return contextlib.nullcontext()

    def __str__(self) -> str:
        """Names both, as in "cpu in bfloat16"."""
        name = str(self.device)
        if self.device.type == "cuda":
            name += f" ({torch.cuda.get_device_name(self.device)})"
            if self.precision == "float32":
                return f"{name} in float32, without TF32"
        return f"{name} in {self.precision}"


def choose_compute(device: str, precision: str, theano_flags: str = "") -> Compute:
    """Chooses where "auto" leaves it open: first by THEANO_FLAGS, then by the hardware.

    Raises CommandError where the device does not exist.
    """
    flags = read_theano_flags(theano_flags)
    device = flags.get("device", device) if device == "auto" else device
    precision = flags.get("precision", precision) if precision == "auto" else precision
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = _device(device)
    if precision == "auto":
        precision = "bfloat16" if _multiplies_bfloat16(chosen) else "float32"
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)  # whose generator is seeded
        # float32 means float32, as on the CPU
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return Compute(chosen, precision)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise CommandError(f"There is no device '{name}'; give auto, cpu, cuda, cuda:0, cuda:1, ….")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise CommandError(
            f"The device '{name}' is not there: PyTorch sees {torch.cuda.device_count()} GPUs; "
            "give --device cpu, or check the driver with nvidia-smi."
        )
    return device


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
