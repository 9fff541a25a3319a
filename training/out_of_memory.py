"""What to change where memory was not enough, in one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from common.errors import CommandError
from common.sizes import size_text
from training.experiment import Experiment
from training.memory import MemoryEstimate, is_out_of_memory, kept_per_weight

WANTED = re.compile(r"allocate ([\d.]+) (bytes|[KMGTPE]iB)")
POWERS = {unit: power for power, unit in enumerate(("bytes", *(f"{one}iB" for one in "KMGTPE")))}
FITS = 0.9  # of the free memory, for what an estimate misses
SHORTER = {"float64": "float32", "float32": "bfloat16"}


@contextmanager
def memory_told(experiment: Experiment, estimate: MemoryEstimate | None = None) -> Iterator[None]:
    """Raises the `out_of_memory` sentence where memory is not enough for what is done within."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(error, experiment, estimate) from error


def out_of_memory(
    error: BaseException, experiment: Experiment, estimate: MemoryEstimate | None
) -> CommandError:
    """Returns the sentence that says what to change, and to what.

    The largest part of the estimate decides. What is proposed fits by the estimate in what was
    free; it is half of what it was where that is not known, or the estimate says that it fitted.

    Parameters
    ----------
    error : BaseException
        One of which `is_out_of_memory` is true.
    experiment : Experiment
        What was trained.
    estimate : MemoryEstimate, optional
        None where memory was not enough to make the network.
    """
    asked = ""
    if match := WANTED.search(str(error)):
        wanted = float(match[1]) * 1024 ** POWERS[match[2]]
        asked = f" ({size_text(wanted)} more were asked for)"
    if estimate is None:
        params = f" with {experiment.model_params}" if experiment.model_params else ""
        return CommandError(
            f"There is not enough memory to make {experiment.model_architecture}{params}{asked}; "
            "give it fewer units or filters by --model-params, or smaller inputs."
        )
    of_gpu = isinstance(error, torch.OutOfMemoryError) or re.search("CUDA|CUBLAS", str(error))
    if estimate.device != "cpu" and not of_gpu:
        chunks = _smaller_chunks(experiment, estimate)
        advice = f"give {chunks}" if chunks else "close other programs"
        return CommandError(f"The computer's own memory is not enough{asked}; {advice}.")
    largest, size = max(estimate.parts.items(), key=lambda part: part[1])
    return CommandError(
        f"The memory of {estimate.device} is not enough{asked}: by estimate the training takes "
        f"{size_text(estimate.total)}, of which {size_text(size)} are {largest}; "
        f"give {_advice(largest, experiment, estimate)}."
    )


def _advice(largest: str, experiment: Experiment, estimate: MemoryEstimate) -> str:
    remedies = {
        "instances": [_smaller_chunks, _smaller_parts, _shorter_numbers],
        "batch": [_smaller_batch, _shorter_numbers],
        "activations": [_smaller_parts, _shorter_numbers],
    }
    if largest == "activations" and not estimate.measured:  # not even of two inputs
        return "a smaller network by --model-params, or smaller inputs"
    for remedy in remedies.get(largest, [_shorter_weights, _simpler_rule]):
        if advice := remedy(experiment, estimate):
            return advice
    return "a smaller network by --model-params"


def _smaller_chunks(experiment: Experiment, estimate: MemoryEstimate) -> str | None:
    """Two chunks are held, so that half of all instances would take as much as all of them."""
    batch = max(1, experiment.batch_size // estimate.views)
    chunked = estimate.chunk > 0
    present = experiment.chunk_size if chunked else estimate.num_instances // 2
    size = 2 * estimate.chunk if chunked else estimate.resident
    number = max(1, _fitting(present, size, estimate) // batch) * batch
    if number >= present:
        return None
    before = str(present) if chunked else f"all {estimate.num_instances}"
    return f"--chunk-size {number} in place of {before}"


def _smaller_parts(experiment: Experiment, estimate: MemoryEstimate) -> str | None:
    number = max(1, _fitting(estimate.inputs, estimate.activations, estimate))
    if number >= estimate.inputs:
        return None
    return f"--micro-batch-size {number} in place of {estimate.inputs} computed at once"


def _smaller_batch(experiment: Experiment, estimate: MemoryEstimate) -> str | None:
    present, views = experiment.batch_size, estimate.views
    number = max(1, _fitting(present, estimate.batch, estimate) // views) * views
    return f"--batch-size {number} in place of {present}" if number < present else None


def _shorter_numbers(experiment: Experiment, estimate: MemoryEstimate) -> str | None:
    shorter = SHORTER.get(estimate.precision)
    return f"--precision {shorter} in place of {estimate.precision}" if shorter else None


def _shorter_weights(experiment: Experiment, estimate: MemoryEstimate) -> str | None:
    """Weights are float32 in all other precisions."""
    is_double = estimate.precision == "float64"
    return _shorter_numbers(experiment, estimate) if is_double else None


def _simpler_rule(experiment: Experiment, estimate: MemoryEstimate) -> str | None:
    rule = experiment.update_func_name
    if not (kept := kept_per_weight(rule)):
        return None
    more = "a number more" if kept == 1 else f"{kept} numbers more"
    return f"--update-func-name sgd in place of {rule}, which keeps {more} for every weight"


def _fitting(present: int, size: int, estimate: MemoryEstimate) -> int:
    """Returns how many fit, where `present` of them take `size` bytes; it may be none."""
    if estimate.free is None or estimate.total <= estimate.free or not size:
        return present // 2
    room = FITS * estimate.free - (estimate.total - size)
    return int(present * room / size)
