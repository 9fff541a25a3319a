"""A trained network, made of a snapshot alone: to evaluate it, and to predict with it."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.errors import CommandError
from datasets.dataset import Dataset
from training.averages import WeightAverage
from training.batches import network_shape, statistics_fit
from training.chunks import ChunkStream
from training.devices import choose_compute
from training.distributed import ALONE
from training.evaluation import Evaluation, evaluate
from training.experiment import Experiment
from training.host_memory import keep_freed_memory
from training.memory import is_out_of_memory
from training.model import make_network, make_output_layer, make_preparation
from training.snapshots import check_weights, load_snapshot, resume
from training.views import Views, choose_views


class Trained:
    """A snapshot's network with the weights of its best epoch.

    Parameters
    ----------
    path : Path
        The snapshot.
    **options
        Options of `Experiment` in place of the recorded ones, as `device` or `batch_size`, the
        instances that are computed at once; None leaves the recorded one.

    Attributes
    ----------
    experiment : Experiment
        The options of the training, with those.
    labels : list of str
        The names of the network's labels, by index.
    origin : dict
        How its instances were made of files, see `datasets.origin`; empty in older snapshots.
    order : dict
        What the training instances are known by, see `training.order.fingerprint`; empty likewise.
    epoch : int
        The one that the weights are of; 0 where none was whole.
    compute : Compute
        Device and precision.
    at_once : int
        Inputs that are computed at once.

    Raises
    ------
    CommandError
        Where the file is no whole snapshot, its architecture is not there or another one, or an
        option makes no sense.
    """

    def __init__(self, path: Path, **options: Any) -> None:
        given = {name: value for name, value in options.items() if value is not None}
        if given.get("batch_size", 1) < 1:
            raise CommandError(f"--batch-size is {given['batch_size']}; give at least 1.")
        self.path = path
        self.experiment = resume(path, **{"device": "auto", "compile": False} | given)
        self.at_once = self.experiment.batch_size
        if "batch_size" not in given and isinstance(self.experiment.micro_batch_size, int):
            self.at_once = self.experiment.micro_batch_size
        snapshot = load_snapshot(path)
        self.labels: list[str] = snapshot.header["labels"]
        self.origin: dict[str, Any] = snapshot.header["origin"]
        self.order: dict[str, Any] = snapshot.header["order"]
        self.epoch: int = (snapshot.header["best"] or {"epoch": 0})["epoch"]
        self.compute = choose_compute(
            self.experiment.device, self.experiment.precision, os.environ.get("THEANO_FLAGS", "")
        )
        if self.compute.device.type == "cpu":
            keep_freed_memory()
        self.input_shape = tuple(snapshot.header["input_shape"])
        self._output_layer = make_output_layer(self.experiment, self.input_shape, len(self.labels))
        self._network = make_network(self._output_layer, self.compute, self.experiment)
        weights = snapshot.best_weights
        check_weights(path, weights, self._network.state_dict())
        self._network.load_state_dict(weights)
        self._average: WeightAverage | None = None
        if not self.epoch and self.experiment.average_weights:
            self._average = WeightAverage(self._network, self.experiment.average_weights)
            self._average.load_state_dict(snapshot.group("average"))
        held = {name: snapshot.tensors.get(name) for name in ("mean", "std")}
        self._statistics = {name: one.numpy() for name, one in held.items() if one is not None}

    @property
    def sees_the_centre_alone(self) -> bool:
        """Whether it was trained on crops, and only the middle one of a picture is evaluated."""
        experiment = self.experiment
        both = experiment.mirror_crops and not experiment.random_mirror
        alone = ["centre", "as-trained"] if experiment.num_crops == 1 and not both else ["centre"]
        return experiment.crop_shape is not None and experiment.evaluation_crops in alone

    def evaluate(
        self, dataset: Dataset, subset: str, description: str, *, ten_crops: bool = False
    ) -> Evaluation:
        """Evaluates the network on every instance of a subset, with log probabilities.

        Parameters
        ----------
        dataset : Dataset
            Its labels are the network's, see `Dataset.with_labels`, and its values stand for what
            those of the training did.
        subset : str
            Of one instance or more.
        description : str
            Shown while it lasts.
        ten_crops : bool
            Whether four corners, the centre and their mirror images are evaluated, in place of what
            the options say.

        Raises
        ------
        CommandError
            Where the instances have another shape than those trained on, or memory is not enough.
        """
        experiment = self.experiment
        if ten_crops:
            experiment = replace(experiment, evaluation_crops="ten")
        views = self._inputs(dataset, experiment)
        preparation = make_preparation(
            experiment, dataset, views, self._statistics, self._output_layer, self.compute
        )
        stream = ChunkStream(
            dataset.subset(subset), self.experiment.chunk_size, self.compute.device
        )
        parts = preparation, self.compute, ALONE, self.at_once, description
        try:
            with self._average.applied() if self._average else nullcontext():
                return evaluate(self._network, stream, *parts, num_labels=len(self.labels))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise CommandError(
                f"The memory of {self.compute.device} is not enough for {self.at_once} inputs at "
                "once; give a smaller --batch-size, or another --device."
            ) from error

    def _inputs(self, dataset: Dataset, experiment: Experiment) -> Views:
        """Returns what the network sees of an instance."""
        misfit = CommandError(
            f"The snapshot {self.path} is of a network for inputs of shape {self.input_shape}, but "
            f"the instances of {dataset.path} have the shape {dataset.instance_shape}; give a "
            "dataset whose instances have the shape of those trained on."
        )
        try:
            shape = network_shape(dataset, experiment.reshape_to)
        except CommandError as error:
            raise misfit from error
        views = choose_views(experiment, shape)
        if views.input_shape != self.input_shape or not statistics_fit(self._statistics, shape):
            raise misfit
        return views
