"""What a network sees of an instance: all of it, or windows of a picture, mirrored or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from common.errors import CommandError
from training.experiment import Experiment

RESHAPE = "give --reshape-to '(channels, height, width)', or the dataset's .rgb.pkl.zip"


class Window(NamedTuple):
    """A window's upper left corner in a picture, and whether it is mirrored left to right."""

    y: int
    x: int
    mirrored: bool = False


@dataclass(frozen=True)
class Views:
    """The inputs that come of an instance.

    Parameters
    ----------
    shape : tuple of int
        Of an instance for the network: (channels, height, width) where there are windows.
    window : tuple of (height, width), optional
        None where instances are taken whole and as they are.
    number : int
        Windows of an instance in training, at random places.
    mirror : "no", "both" or "random"
        In training: a window as it is, followed by its mirror image, or either, each as likely.
    per_batch : bool
        Draw once for all instances of a batch.
    evaluation : tuple of Window
        In evaluation, of every instance.
    """

    shape: tuple[int, ...]
    window: tuple[int, int] | None = None
    number: int = 1
    mirror: Literal["no", "both", "random"] = "no"
    per_batch: bool = False
    evaluation: tuple[Window, ...] = ()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input of the network."""
        return (self.shape[0], *self.window) if self.window else self.shape

    @property
    def training_views(self) -> int:
        """How many inputs come of an instance in training."""
        return self.number * (2 if self.mirror == "both" else 1)

    @property
    def evaluation_views(self) -> int:
        """How many inputs come of an instance in evaluation."""
        return len(self.evaluation) or 1


def choose_views(experiment: Experiment, shape: tuple[int, ...]) -> Views:
    """Returns what the experiment's options ask for, of instances of a shape.

    Raises
    ------
    CommandError
        Where options don't fit each other or the shape.
    """
    _check(experiment, shape)
    per_batch = experiment.crop_mirror_per == "batch"
    number, window = experiment.num_crops, experiment.crop_shape
    if window is None:
        if not experiment.random_mirror:
            return Views(shape)
        height, width = shape[1:]
        return Views(shape, (height, width), 1, "random", per_batch, (Window(0, 0),))
    mirror: Literal["no", "both", "random"] = "both" if experiment.mirror_crops else "no"
    if experiment.random_mirror:
        mirror = "random"
    height, width = window
    places = _evaluation_windows(experiment, shape[1:], (height, width), mirror == "both")
    return Views(shape, (height, width), number, mirror, per_batch, places)


def crop_grid(full: tuple[int, ...], part: tuple[int, ...], count: int) -> list[tuple[int, int]]:
    """Returns `count` upper left corners (y, x): the centre, then an even grid over the picture.

    The grid is the smallest square one with enough windows beside the centre; where it has more,
    they are taken evenly.
    """
    centre = ((full[0] - part[0]) // 2, (full[1] - part[1]) // 2)
    side = 2
    while (windows := side * side - side % 2) < count - 1:
        side += 1
    ys, xs = (
        [round(i * (whole - window) / (side - 1)) for i in range(side)]
        for whole, window in zip(full, part, strict=True)
    )
    middle = (side // 2, side // 2) if side % 2 else None
    grid = [(ys[i], xs[j]) for i in range(side) for j in range(side) if (i, j) != middle]
    return [centre] + [grid[i * windows // (count - 1)] for i in range(count - 1)]


def _evaluation_windows(
    experiment: Experiment, full: tuple[int, ...], part: tuple[int, int], mirrored: bool
) -> tuple[Window, ...]:
    """Returns the windows; `ten` are those of Krizhevsky et al. (2012), section 4.1."""
    counts = {"as-trained": experiment.num_crops, "centre": 1, "ten": 5}
    corners = crop_grid(full, part, counts[experiment.evaluation_crops])
    both = {"as-trained": mirrored, "centre": False, "ten": True}[experiment.evaluation_crops]
    sides = (False, True) if both else (False,)
    return tuple(Window(*corner, side) for corner in corners for side in sides)


def _check(experiment: Experiment, shape: tuple[int, ...]) -> None:
    number, crop = experiment.num_crops, experiment.crop_shape
    if number < 0:
        raise CommandError(f"--num-crops is {number}; give 0 for none, or how many.")
    if bool(number) != (crop is not None):
        raise CommandError(
            "--num-crops and --crop-shape go together; give both, as in "
            "--num-crops 5 --crop-shape '(224, 224)'."
        )
    if crop is None:
        _check_without_crops(experiment, shape)
        return
    if len(shape) != 3:
        raise CommandError(
            f"--crop-shape needs pictures, but the instances' shape is {shape}; {RESHAPE}."
        )
    if len(crop) != 2 or min(crop) < 1:
        raise CommandError(f"--crop-shape is {crop}; give a height and a width of at least 1.")
    if crop[0] > shape[1] or crop[1] > shape[2]:
        raise CommandError(
            f"--crop-shape {crop} is larger than the pictures, which are {shape[1]} high and "
            f"{shape[2]} wide; give at most ({shape[1]}, {shape[2]})."
        )


def _check_without_crops(experiment: Experiment, shape: tuple[int, ...]) -> None:
    if experiment.evaluation_crops != "as-trained":
        raise CommandError(
            f"--evaluation-crops {experiment.evaluation_crops} needs crops; give their number in "
            "training and their size, as in --num-crops 1 --crop-shape '(224, 224)'."
        )
    if experiment.random_mirror and len(shape) != 3:
        raise CommandError(
            f"--random-mirror needs pictures, but the instances' shape is {shape}; {RESHAPE}."
        )
    if experiment.crop_mirror_per == "batch" and not experiment.random_mirror:
        raise CommandError(
            "--crop-mirror-per batch draws a crop or a mirror image for a whole batch; give "
            "--num-crops and --crop-shape, or --random-mirror, or leave it out."
        )
