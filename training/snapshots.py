"""Snapshots: safetensors files whose header holds what is needed to resume, evaluate or predict.

The header is read without PyTorch, so that a command line can take its options from it.
"""

from __future__ import annotations

import copy
import errno
import json
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.child import under_torchrun
from common.errors import CommandError, first_names
from common.files import whole_file
from common.options import from_plain
from training.experiment import Experiment

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
KEY = "bandcamp-deep-learning"
ADDED: dict[str, Any] = {"batch": 0, "progress": {}, "order": {}, "stopping": {}, "origin": {}}
"""Entries of the header that older snapshots lack, and what they mean by it."""
TRANSIENT = {"resume": None, "test_only": False, "out_dir": None}
"""Options of one call, which a later one does not take over."""
OF_NETWORK = ["model_architecture", "model_params", "reshape_to", "num_crops", "crop_shape"]
OF_NETWORK += ["mirror_crops", "random_mirror", "evaluation_crops", "input_scale"]
OF_NETWORK += ["subtract_mean", "divide_by_std", "normalise_per", "spectrogram_normalisation"]
OF_NETWORK += ["patch_frames"]
"""The options that say what the network is, and what its inputs are."""
LONGEST_HEADER = 100_000_000  # bytes, safetensors' own limit


@dataclass(frozen=True)
class Snapshot:
    """A training's state between two batches.

    Attributes
    ----------
    header : plain data: `experiment` (all options), `epoch` (the last whole one, 0 before), `batch`
        (batches done of the epoch after it), `progress` (what these have summed up to) and `order`
        (what decides which instances are in which batch), `best`
        (its epoch, loss and accuracy; None before the first epoch's end), `labels`, `input_shape`,
        `origin` (how instances are made of files, see `datasets.origin.origin_of`), `precision`,
        `scale`, `policy`, `stopping`, `scaler` (of float16) and `optimizer` (its groups and
        numbers).
    tensors : "network/…" the weights, "best/…" those of the best epoch where they are others,
        "average/…" the weights' moving average, "optimizer/<i>/…" the update rule's state, "mean"
        and "std" the training subset's mean and standard deviation (float64).
    """

    header: dict[str, Any]
    tensors: dict[str, Tensor]

    def group(self, prefix: str) -> dict[str, Tensor]:
        """Returns the tensors under `prefix`/ by the rest of their names."""
        start = f"{prefix}/"
        return {
            name.removeprefix(start): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(start)
        }

    @property
    def position(self) -> tuple[int, int]:
        """Whole epochs, and batches done of the next."""
        return self.header["epoch"], self.header["batch"]

    @property
    def best_weights(self) -> dict[str, Tensor]:
        """The weights of the epoch with the best validation accuracy."""
        return self.group("best") or self.group("network")


def save_snapshot(snapshot: Snapshot, path: Path) -> None:
    """Writes the snapshot, whole or not at all.

    Raises CommandError where the system refuses.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    metadata = {KEY: json.dumps({"format": FORMAT, **snapshot.header})}
    with whole_file(path) as partial:
        mode = partial.stat().st_mode
        try:
            save_file(snapshot.tensors, partial, metadata)
            partial.chmod(mode)  # safetensors makes its files readable for their owner alone
            _bring_to_disk(partial)
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))
            code = int(number[1]) if number else errno.EIO
            raise OSError(code, os.strerror(code)) from error


def load_snapshot(path: Path) -> Snapshot:
    """Reads a snapshot; its tensors are on the CPU. No code of the file runs.

    Raises CommandError where it is missing, broken or no snapshot.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    header = read_header(path)
    try:
        return Snapshot(header, load_file(path))
    except (SafetensorError, OSError) as error:
        raise CommandError(
            f"The snapshot {path} is broken: {error}; take an earlier one."
        ) from error


def read_header(path: Path) -> dict[str, Any]:
    """Reads a snapshot's header alone; entries that an older snapshot lacks have their default.

    Raises CommandError where the file is missing, broken or no snapshot.
    """
    return _read_start(path)[0]


def check_whole(path: Path) -> None:
    """Checks that a file is a snapshot and has all its bytes, without reading them.

    Raises CommandError where it is missing, cut off or no snapshot.
    """
    _, size, whole = _read_start(path)
    if size != whole:
        raise CommandError(
            f"The snapshot {path} is broken: it has {size:,} bytes of {whole:,}; take another one."
        )


def _read_start(path: Path) -> tuple[dict[str, Any], int, int]:
    """Returns the header, the file's size in bytes, and what it is to be by safetensors' entries.

    Source of the format: https://huggingface.co/docs/safetensors/index#format.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            (length,) = struct.unpack("<Q", file.read(8))
            entries = json.loads(file.read(length)) if length <= LONGEST_HEADER else {}
        header = dict(json.loads(entries.pop("__metadata__")[KEY]))
        whole = (
            8 + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        )
    except IsADirectoryError as error:
        files = sorted(file.name for file in path.glob("*.safetensors"))
        advice = f"give a file in it: {', '.join(files)}" if files else "it holds no snapshots"
        raise CommandError(f"The snapshot {path} is a folder; {advice}.") from error
    except OSError as error:
        raise CommandError(
            f"The snapshot {path} can't be read: {error.strerror}; check its path."
        ) from error
    except (struct.error, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CommandError(
            f"{path} is no snapshot of this program, or it is broken; "
            "give a file that run_experiment wrote, PREFIX.snapshot-EPOCH.safetensors."
        ) from error
    if header.get("format") != FORMAT:
        raise CommandError(
            f"The snapshot {path} has format {header.get('format')}; "
            f"this version reads format {FORMAT}."
        )
    return copy.deepcopy(ADDED) | header, size, whole


def _bring_to_disk(path: Path) -> None:
    """Waits until a file is on the disk: older snapshots may go once this one has its name."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def recorded_options(path: Path) -> dict[str, Any]:
    """Returns the options to go on with from a snapshot, by name, in the types of Experiment.

    They are those of its run, with what that run had come to: its policy's rate, and the precision
    and scale that "auto" and None had stood for; but `TRANSIENT` ones have their default, and under
    torchrun, which starts the processes itself, so has `num_devices`.

    Raises CommandError where the file is no snapshot.
    """
    header = read_header(path)
    recorded = from_plain(Experiment, header["experiment"], path)
    present = header["optimizer"]["groups"][0]["lr"]
    recorded["learning_rate"] = header["policy"].get("rate", present)
    recorded["precision"] = header["precision"]
    recorded["input_scale"] = header["scale"]
    if under_torchrun():
        recorded["num_devices"] = 1
    return recorded | TRANSIENT | {"start_from_snapshot": path}


def resume(snapshot: Path, **options: Any) -> Experiment:
    """Returns the experiment that goes on from a snapshot; `options` replace the recorded ones.

    Raises CommandError where the file is no snapshot.
    """
    return Experiment(**(recorded_options(snapshot) | options))


def options_to_start_with(path: Path) -> dict[str, Any]:
    """Returns the options that a training takes over from a snapshot whose weights it starts with.

    Raises CommandError where the file is no snapshot.
    """
    header = read_header(path)
    recorded = from_plain(Experiment, header["experiment"], path)
    taken = {name: recorded[name] for name in OF_NETWORK if name in recorded}
    return taken | {"input_scale": header["scale"], "start_weights": path}


def check_fits(path: Path, header: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Checks that a snapshot belongs to the network that is wanted.

    Parameters
    ----------
    path : the snapshot's, for the message.
    header : the snapshot's.
    wanted : `architecture`, `labels` and `input_shape` of the experiment at hand.

    Raises
    ------
    CommandError
        that names the first difference.
    """
    labels = wanted["labels"]
    held = {"labels": header["labels"], "input_shape": header["input_shape"]}
    check_architecture(path, header, *wanted["architecture"])
    if held["labels"] != labels:
        raise CommandError(
            f"The snapshot {path} knows {len(held['labels'])} labels "
            f"({first_names(held['labels'])}), the dataset has {len(labels)} "
            f"({first_names(labels)}); give the dataset that it was trained on, or the same "
            "--labels-to-keep. To train its network on other labels, give it to --start-weights."
        )
    if held["input_shape"] != wanted["input_shape"]:
        raise CommandError(
            f"The snapshot {path} takes inputs of shape {tuple(held['input_shape'])}, but these "
            f"are {tuple(wanted['input_shape'])}; give the same --reshape-to and --crop-shape."
        )


def check_architecture(path: Path, header: Mapping[str, Any], name: str, params: str) -> None:
    """Checks that a snapshot's network is of this architecture with these parameters.

    Raises CommandError where it is not.
    """
    options = header["experiment"]
    held = options["model_architecture"], options["model_params"]
    if held != (name, params):
        raise CommandError(
            f"The snapshot {path} holds {_network(*held)}, not {_network(name, params)}; leave out "
            "--model-architecture and --model-params, or start without the snapshot."
        )


def check_weights(path: Path, held: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Checks that a snapshot's weights have the names and shapes of a network's.

    Raises CommandError that names the first that differs.
    """
    for name in [*wanted, *held]:
        shapes = [tuple(one[name].shape) if name in one else None for one in (held, wanted)]
        if shapes[0] != shapes[1]:
            texts = ["is missing" if shape is None else f"has shape {shape}" for shape in shapes]
            raise CommandError(
                f"The snapshot {path} is of another network of the same name: {name} {texts[0]} in "
                f"it and {texts[1]} in the network; take the architecture that it was trained with."
            )


def _network(name: str, params: str) -> str:
    return f"{name} with {params}" if params else f"{name} without parameters"
