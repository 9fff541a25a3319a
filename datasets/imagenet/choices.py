"""How ImageNet's pictures become a dataset, as a person chooses."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import PIL

from common.errors import CommandError

VERSION = 1  # of how pictures are decoded: shards of another are not used
MAX_IMAGE_SIZE = 16_384  # pixels; a larger picture has 800 MB and more


@dataclass(frozen=True)
class Choices:
    """How the pictures become a dataset.

    Parameters
    ----------
    image_size : int
        Height and width in pixels.
    resize_mode : 'stretch' or 'crop'
        See `datasets.pictures.resized`.
    shard_size : int
        Pictures in a shard.
    toy : bool
        Whether only the first `TOY` pictures of each subset are taken.
    seed : int
        Of the order of the pictures.
    strict : bool
        Whether an unreadable picture is an error.
    num_workers : int, optional
        Processes that decode; by default as many as there are cores.
    """

    image_size: int = 256
    resize_mode: Literal["stretch", "crop"] = "stretch"
    shard_size: int = 2048
    toy: bool = False
    seed: int = 0
    strict: bool = False
    num_workers: int | None = None

    def check(self) -> None:
        """Raises CommandError where a choice is wrong."""
        for option, number, least, what in (
            ("--image-size", self.image_size, 1, " of pixels"),
            ("--shard-size", self.shard_size, 1, " of pictures"),
            ("--num-workers", self.num_workers, 1, " of processes"),
            ("--seed", self.seed, 0, ""),
        ):
            if number is not None and number < least:
                raise CommandError(f"{option} is {number}; give a number{what} from {least}.")
        if self.image_size > MAX_IMAGE_SIZE:
            raise CommandError(
                f"--image-size is {self.image_size}; give {MAX_IMAGE_SIZE:,} pixels at most, as "
                "each picture is brought to that size in memory."
            )

    @property
    def settings(self) -> bytes:
        """A digest of all that decides how a picture becomes pixels."""
        names = VERSION, PIL.__version__, self.image_size, self.resize_mode
        return hashlib.blake2b(repr(names).encode(), digest_size=16).digest()
