"""Windows cut out of pictures in memory, all of them at once or one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor


class Places(NamedTuple):
    """Where windows are, each of n in an int64 tensor; mirrored is bool, or None where none is."""

    picture: Tensor
    y: Tensor
    x: Tensor
    mirrored: Tensor | None

    def in_blocks(self, size: int) -> Iterator[tuple[slice, Places]]:
        """Yields the places `size` at a time, and which these are."""
        for start in range(0, len(self.y), size):
            block = slice(start, start + size)
            mirrored = None if self.mirrored is None else self.mirrored[block]
            yield block, Places(self.picture[block], self.y[block], self.x[block], mirrored)

    def one_by_one(self) -> Iterator[tuple[int, tuple[int, int, int, bool]]]:
        """Yields every place as numbers, and which it is; makes a GPU wait."""
        mirrored = [False] * len(self.y) if self.mirrored is None else self.mirrored.tolist()
        picture, y, x = (part.tolist() for part in self[:3])
        yield from enumerate(zip(picture, y, x, mirrored, strict=True))

    def in_mirror_images(self, width: int, window_width: int) -> Places:
        """Returns where the same windows are in two pictures: one, and its mirror image.

        Both are `width` wide; no window of the second has to be mirrored any more.
        """
        if self.mirrored is None:
            return self._replace(picture=torch.zeros_like(self.picture))
        x = torch.where(self.mirrored, width - window_width - self.x, self.x)
        return Places(self.mirrored.long(), self.y, x, None)


def cut_all(pictures: Tensor, places: Places, height: int, width: int) -> Tensor:
    """Copies windows, all rows of all of them in one gather.

    Parameters
    ----------
    pictures : Tensor of shape (pictures, planes, height, width, run), contiguous
        A row of a window is so one run of memory: planes are the channels and run is 1 where those
        come first; planes is 1 and run the number of channels where they come last.
    height, width : int
        Of a window.

    Returns
    -------
    Tensor of shape (windows, planes, height, width, run)
    """
    _, planes, full_height, full_width, run = pictures.shape
    memory = pictures.view(-1)
    rows = memory.as_strided((len(memory) // run - width + 1, width * run), (run, 1))
    plane = torch.arange(planes, device=memory.device)[:, None]
    row = torch.arange(height, device=memory.device)
    line = (places.picture[:, None, None] * planes + plane) * full_height
    line = line + places.y[:, None, None] + row
    first = line * full_width + places.x[:, None, None]
    windows = rows.index_select(0, first.view(-1)).view(-1, planes, height, width, run)
    if places.mirrored is None:
        return windows
    both = torch.cat([windows, windows.flip(-2)])
    which = torch.arange(len(windows), device=memory.device)
    return both.index_select(0, which + len(windows) * places.mirrored)


def cut_one(pictures: Tensor, place: tuple[int, int, int, bool], height: int, width: int) -> Tensor:
    """Returns one window (planes, height, width, run), which is a copy only where it is mirrored.

    Parameters
    ----------
    pictures : Tensor of shape (pictures, planes, height, width, run)
    place : tuple
        Picture, y, x, and whether the window is mirrored.
    height, width : int
        Of the window.
    """
    picture, y, x, mirrored = place
    window = pictures[picture, :, y : y + height, x : x + width]
    return window.flip(-2) if mirrored else window
