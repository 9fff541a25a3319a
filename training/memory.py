"""What a training takes of its device's memory, estimated before it takes it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from common.sizes import size_text
from datasets.dataset import Dataset, Subset
from lasagne import updates
from lasagne.layers import Layer, Network, get_all_layers
from lasagne.layers.base import Shape
from training.chunks import shared_memory
from training.devices import Compute
from training.experiment import Experiment
from training.loss import instance_losses
from training.order import chunk_instances
from training.unchanged import unchanged

LABEL = 8  # bytes of a label on the device
FLOWING = 2  # gradients of the largest activations that are there at once in a backward pass
BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
OUT_OF_MEMORY = re.compile(
    "can't allocate memory"  # PyTorch's allocator on a CPU
    "|not enough memory"  # the same on Windows
    "|out of memory"  # CUDA
    "|ALLOC_FAILED"  # cuBLAS and cuDNN
    "|Storage size calculation overflowed"  # more bytes than an int64 counts
)


def is_out_of_memory(error: BaseException) -> bool:
    """Tells whether an error of PyTorch, CUDA, NumPy or Python says that memory was not enough."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and bool(OUT_OF_MEMORY.search(str(error)))


@dataclass(frozen=True)
class MemoryEstimate:
    """The memory of one process's device, in bytes.

    Parameters
    ----------
    device, precision : str
        As of `Compute`.
    resident : int
        Subsets that stay there from epoch to epoch.
    chunk : int
        One of the two chunks, 0 where all subsets stay.
    batch : int
        A batch as it is stored and as it is prepared.
    activations : int
        What a forward pass keeps for the backward pass, and the gradients on their way down.
    weights : int
        Weights, gradients, what the update rule keeps of each, and the moving average.
    copies : int
        What the next snapshot will hold, and the best weights, which are in the CPU's memory: 0
        where the network is elsewhere.
    num_instances : int
        Instances of the training subset.
    views, inputs : int
        Inputs per instance, and those that are computed at once.
    free : int, optional
        What the training can have of a GPU.
    measured : bool
        Whether there was memory for two inputs, so that activations are more than a guess.
    """

    device: str
    precision: str
    resident: int
    chunk: int
    batch: int
    activations: int
    weights: int
    copies: int
    num_instances: int
    views: int
    inputs: int
    free: int | None = None
    measured: bool = True

    @property
    def parts(self) -> dict[str, int]:
        """Bytes by what they are for."""
        return {
            "instances": self.resident + 2 * self.chunk,
            "batch": self.batch,
            "activations": self.activations,
            "weights and update rule": self.weights,
            "copies for snapshots": self.copies,
        }

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        """Returns a line for the screen: "memory: chunks 2 × 49 MB, …; 2.0 GB in all"."""
        parts = self.parts | {"instances": self.resident}
        texts = [f"chunks 2 × {size_text(self.chunk)}"] if self.chunk else []
        texts += [f"{name} {size_text(size)}" for name, size in parts.items() if size]
        free = "" if self.free is None else f" of {size_text(self.free)} that are free"
        return f"memory: {', '.join(texts)}; {size_text(self.total)} in all{free}"


def estimate(
    experiment: Experiment,
    dataset: Dataset,
    network: Network,
    compute: Compute,
    views: int = 1,
    devices: int = 1,
) -> MemoryEstimate:
    """Estimates what a training will take of each device.

    The network, which may be on its device already, computes two and three instances, and what it
    keeps of them for a backward pass is extrapolated to a batch; it stays as it was.

    Parameters
    ----------
    experiment, dataset, network, compute
        What is trained on what, where.
    views : int
        Inputs that come of a training instance.
    devices : int
        Devices that share a batch.
    """
    rows = -(-experiment.batch_size // views // devices)
    part = experiment.micro_batch_size
    inputs = min(rows * views, part) if isinstance(part, int) else rows * views
    resident, chunk = _instances(experiment, dataset, compute, views, devices)
    weights, copies = _weights(experiment, network, compute)
    activations, measured = _activations(network, compute, inputs)
    values = _values(network.input_layers[0].output_shape)
    prepared = rows * views * values * compute.dtype.itemsize
    crops = 1 if views == 1 and experiment.crop_shape is None else 2  # gathered, then prepared
    return MemoryEstimate(
        str(compute.device),
        compute.precision,
        resident,
        chunk,
        rows * _instance_bytes(dataset.subset("training")) + crops * prepared,
        activations,
        weights,
        copies,
        len(dataset.subset("training")),
        views,
        inputs,
        _free(compute.device),
        measured,
    )


def _instances(
    experiment: Experiment, dataset: Dataset, compute: Compute, views: int, devices: int
) -> tuple[int, int]:
    """Returns the bytes of subsets that stay on the device, and of one chunk of the others.

    On the CPU those that stay are the file itself, whose pages the system can take back.
    """
    batch = max(1, experiment.batch_size // views)
    resident = chunk = 0
    for name in ("training", "validation"):
        subset = dataset.subsets.get(name)
        if subset is None or not len(subset):
            continue
        held = chunk_instances(experiment.chunk_size, batch, len(subset))
        if held < len(subset):
            chunk = max(chunk, -(-held // devices) * _instance_bytes(subset))
        elif compute.device.type != "cpu":
            memory = shared_memory(subset) or subset
            resident += len(memory) * _stored_bytes(memory) + len(subset) * LABEL
    return resident, chunk


def _instance_bytes(subset: Subset) -> int:
    return _stored_bytes(subset) + LABEL


def _stored_bytes(subset: Subset) -> int:
    return math.prod(subset.instances.shape[1:]) * subset.instances.dtype.itemsize


def _weights(experiment: Experiment, network: Network, compute: Compute) -> tuple[int, int]:
    """Returns the bytes of weights with all that is kept beside them, and of their copies."""
    trained = _size(list(network.parameters()))
    all_ = trained + _size(list(network.buffers()))
    kept = all_ + kept_per_weight(experiment.update_func_name) * trained
    kept += all_ if experiment.average_weights else 0
    copies = kept + all_ if compute.device.type == "cpu" else 0
    return kept + trained, copies


def _size(tensors: list[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def kept_per_weight(rule: str) -> int:
    """Returns how many numbers an update rule keeps for every weight, as 2 for adam."""
    anything = [nn.Parameter(torch.zeros(1))]
    return len(getattr(updates, rule)(None, anything, learning_rate=1.0).buffers)


def _activations(network: Network, compute: Compute, inputs: int) -> tuple[int, bool]:
    """Returns the bytes of what a forward pass keeps, by those of two inputs and of three.

    Where there is no memory for these, they are those of all layers' outputs, and not measured.
    """
    try:
        few, more = (_kept(network, compute, count) for count in (2, 3))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        assert isinstance(network.output_layer, Layer)
        values = sum(_values(layer.output_shape) for layer in get_all_layers(network.output_layer))
        return inputs * values * BYTES[compute.precision], False
    each = sum(more) - sum(few)
    largest = max((b - a for a, b in zip(few, more, strict=False)), default=0)
    fixed = max(0, sum(few) - 2 * each)  # as weights in a short precision
    return fixed + inputs * (each + FLOWING * largest), True


def _values(shape: Shape) -> int:
    """Returns how many numbers one instance has in a batch of a shape."""
    return math.prod(size or 1 for size in shape[1:])


def _kept(network: Network, compute: Compute, count: int) -> list[int]:
    """Returns the bytes of each piece of memory that a forward pass of `count` inputs keeps."""
    shape = [size or 1 for size in network.input_layers[0].output_shape[1:]]
    inputs = torch.zeros(count, *shape, dtype=compute.dtype, device=compute.device)
    labels = torch.zeros(count, dtype=torch.int64, device=compute.device)
    own = [inputs, labels, *network.parameters(), *network.buffers()]
    known = {tensor.untyped_storage().data_ptr() for tensor in own}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with unchanged(network), torch.enable_grad(), compute.autocast(), hooks:
        instance_losses(network.forward(inputs), labels)
    return [one.untyped_storage().nbytes() for key, one in kept.items() if key not in known]


def _free(device: torch.device) -> int | None:
    """Returns what PyTorch has of a GPU and could have."""
    if device.type != "cuda":
        return None
    return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
