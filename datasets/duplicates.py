"""Finds pictures that a data set holds more than once: the same file, or nearly the same picture.

A picture is reduced to a thumbnail of 18x16 pixels in colour. Of its luma, averaged to 9x8, come
the 64 bits of a difference hash (N. Krawetz, Kind of Like That, 2013): whether each point is darker
than its right neighbour, by a margin that keeps the noise of a flat area out. Two pictures are near
duplicates where

- their hashes differ in no more than a stated number of bits, and
- their thumbnails differ, as a root mean square over all values, by no more than `NOISE` levels and
  `PART` of the smaller of the two standard deviations.

The second condition is what a hash alone lacks: pictures with much plain ground (digits, clothes,
spectrograms, covers with a name on black) have few distinct hashes.

Hashes within d bits agree in at least one of d + 1 bands of the 64 bits, so only pictures that
agree in a band are compared: for 100,000 pictures and 4 bits some millions of pairs, not 5 billion.

Of steady tones, stripes across and whatever else does not rise from left to right, all hashes are
0. Where very many agree, they are divided once more by how their thumbnails differ most
(`datasets.neighbours`). Where those are alike as well, groups grow from one picture to the next,
and what has joined a group is not compared again, so that thousands of pictures of one plain colour
are no worse. Whichever way, the groups are those of comparing all pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from common.errors import CommandError
from common.progress import progress
from datasets.neighbours import SMALL, coordinates, divided

THUMBNAIL = (16, 18, 3)  # height, width, channels
LUMA = np.array([299, 587, 114], np.float32)  # thousandths, ITU-R 601
MARGIN = 1  # level by which a point must be darker than its neighbour to count as darker
NOISE = 1.5  # levels of 255
PART = 0.06
BITS = 64
DISTANCE = 4  # bits in which the hashes of near duplicates may differ, unless another is stated
MAX_DISTANCE = 10  # bits; the bands of a larger distance are too short to tell pictures apart
SLACK = 1e-3  # levels, for the rounding of means
LARGE = 2048  # pictures in a bucket, beyond which they are divided once more
TOGETHER = 2**16  # pictures in small sets that are compared at a time
BLOCK = 1024  # thumbnails that are in memory at a time


def thumbnail(image: Image.Image) -> np.ndarray:
    """Returns the picture, RGB, averaged to `THUMBNAIL`, uint8."""
    height, width, _ = THUMBNAIL
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def check_distance(distance: int | None) -> None:
    """Checks that `find_groups` takes this distance.

    Raises
    ------
    CommandError
        Where it is not between 0 and `MAX_DISTANCE`.
    """
    if distance is not None and not 0 <= distance <= MAX_DISTANCE:
        raise CommandError(
            f"--duplicate-distance is {distance}; give a number of bits from 0 to {MAX_DISTANCE}, "
            "or None to look for equal files only."
        )


@dataclass(frozen=True)
class Fingerprints:
    """What pictures are compared by.

    Parameters
    ----------
    thumbnails : np.ndarray of shape (n, 16, 18, 3), uint8
        May be mapped from a file.
    hashes : np.ndarray of shape (n,), uint64
        The difference hashes.
    means : np.ndarray of shape (n, 3), float32
        Of the thumbnails, by channel, in levels of 255.
    stds : np.ndarray of shape (n,), float32
        Of the thumbnails about these means, in levels of 255.
    grey : np.ndarray of shape (n,), bool
        Whether the thumbnail has no colour.
    """

    thumbnails: np.ndarray
    hashes: np.ndarray
    means: np.ndarray
    stds: np.ndarray
    grey: np.ndarray


GREY_WITHIN = 8  # levels that the channels of a grey thumbnail may lie apart, for a JPEG's sake


def fingerprints(
    thumbnails: np.ndarray, after_block: Callable[[], object] | None = None
) -> Fingerprints:
    """Computes what is compared, a thousand pictures at a time, and calls `after_block` after each.

    Parameters
    ----------
    thumbnails : np.ndarray of shape (n, 16, 18, 3), uint8
    after_block : callable, optional
        May give the memory of thumbnails that are mapped from a file back to the system.
    """
    count = len(thumbnails)
    result = Fingerprints(
        thumbnails,
        np.zeros(count, np.uint64),
        np.zeros((count, 3), np.float32),
        np.zeros(count, np.float32),
        np.zeros(count, bool),
    )
    for start in range(0, count, BLOCK):
        rows = slice(start, start + BLOCK)
        block = np.asarray(thumbnails[rows])
        values = block.astype(np.float32)
        result.hashes[rows] = _hashes(block)
        result.means[rows] = values.mean(axis=(1, 2))
        result.stds[rows] = np.sqrt(values.var(axis=(1, 2)).mean(axis=1))
        spread = block.max(axis=3).astype(np.int16) - block.min(axis=3)
        result.grey[rows] = spread.max(axis=(1, 2)) <= GREY_WITHIN
        if after_block is not None:
            after_block()
    return result


def _hashes(thumbnails: np.ndarray) -> np.ndarray:
    luma = thumbnails.astype(np.float32) @ LUMA  # exact: the sums are whole and below 2**24
    cells = luma.reshape(len(luma), 8, 2, 9, 2).sum(axis=(2, 4))
    bits = cells[:, :, 1:] - cells[:, :, :-1] > MARGIN * 4000
    return np.packbits(bits.reshape(len(bits), BITS), axis=1).view(">u8")[:, 0].astype(np.uint64)


def find_groups(
    prints: Fingerprints, digests: np.ndarray, distance: int | None, rows: np.ndarray
) -> list[np.ndarray]:
    """Returns the groups of pictures that are the same, or near to another one of the group.

    Parameters
    ----------
    prints : Fingerprints
        Of n pictures.
    digests : np.ndarray of shape (n, 2), uint64
        Equal for equal pictures.
    distance : int, optional
        In how many of 64 bits the hashes of near duplicates may differ; None: only equal pictures
        are found.
    rows : np.ndarray of shape (m,), int64
        The pictures to look at, in ascending order.

    Returns
    -------
    list of np.ndarray
        The rows of every group of two or more, in order; the groups in the order of their first.
    """
    check_distance(distance)
    groups = Groups(len(digests))
    firsts, which = np.unique(digests[rows], axis=0, return_index=True, return_inverse=True)[1:]
    groups.join_all(rows[firsts][which.ravel()], rows)
    if distance is not None:
        many = np.zeros(len(digests), bool)  # what is in a large bucket of any band
        for members, starts in _bands(prints.hashes, np.sort(rows[firsts]), distance):
            is_large = np.repeat(np.diff(starts) > LARGE, np.diff(starts))
            many[members[is_large]] = True
            _join_pairs(members, starts, ~is_large, partial(_are_near, prints, distance), groups)
        if many.any():
            _join_many(np.flatnonzero(many), prints, distance, groups)
    return groups.listed()


class Groups:
    """Disjoint sets of rows; the smallest row stands for a set."""

    def __init__(self, count: int) -> None:
        self._above = np.arange(count)

    def top(self, row: int) -> int:
        """Returns the smallest row of the set that this row is in."""
        path = []
        while self._above[row] != row:
            path.append(row)
            row = int(self._above[row])
        self._above[path] = row
        return row

    def join_all(self, ones: np.ndarray, others: np.ndarray) -> None:
        """Joins the sets of ones[i] and others[i] for every i."""
        for index in np.flatnonzero(self._above[ones] != self._above[others]):
            self.join(int(ones[index]), int(others[index]))

    def join(self, one: int, other: int) -> None:
        """Makes one set of the sets that two rows are in."""
        one, other = self.top(one), self.top(other)
        self._above[max(one, other)] = min(one, other)

    def listed(self) -> list[np.ndarray]:
        """Returns the sets of two or more, each in order, in the order of their smallest rows."""
        tops = np.array([self.top(row) for row in range(len(self._above))], np.int64)
        order = np.argsort(tops, kind="stable")
        cuts = np.flatnonzero(np.diff(tops[order])) + 1
        return [rows for rows in np.split(order, cuts) if len(rows) > 1]


def _bands(
    hashes: np.ndarray, rows: np.ndarray, distance: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields for each of the bands the rows, sorted by their bits in it, and the buckets.

    The second array has the position of the first row of every bucket, and last their number.
    """
    for first in range(distance + 1):
        # Every (distance + 1)th bit: neighbours are alike, and in a corner all pictures may be.
        band = np.zeros(len(rows), np.uint64)
        for bit in range(first, BITS, distance + 1):
            band = (band << np.uint64(1)) | ((hashes[rows] >> np.uint64(bit)) & np.uint64(1))
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.diff(band[order])) + 1
        yield rows[order], np.concatenate([[0], starts, [len(rows)]])


def _join_pairs(
    rows: np.ndarray,
    starts: np.ndarray,
    wanted: np.ndarray,
    are_near: Callable[[np.ndarray, np.ndarray], np.ndarray],
    groups: Groups,
) -> None:
    """Compares all pairs within every bucket, many buckets at a time.

    Parameters
    ----------
    rows, starts
        As `_bands` yields them.
    wanted : np.ndarray of bool
        The rows of buckets to look at.
    are_near : callable
        Returns which of two rows of pictures are near.
    groups : Groups
    """
    ends = np.repeat(starts[1:], np.diff(starts))
    live, step = np.flatnonzero(wanted), 1
    while len(live := live[live + step < ends[live]]):
        ones, others = rows[live], rows[live + step]
        near = are_near(ones, others)
        groups.join_all(ones[near], others[near])
        step += 1


def _join_many(rows: np.ndarray, prints: Fingerprints, distance: int, groups: Groups) -> None:
    """Compares pictures whose hashes tell very many of them not apart."""
    points = coordinates(prints.thumbnails, rows)
    reaches = (NOISE + PART * prints.stds[rows] + SLACK).astype(np.float32)
    place = np.zeros(len(prints.hashes), np.int64)
    place[rows] = np.arange(len(rows))

    def are_near(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
        apart = ((points[place[ones]] - points[place[others]]) ** 2).sum(axis=1)
        near = apart <= np.minimum(reaches[place[ones]], reaches[place[others]]) ** 2
        chosen = np.flatnonzero(near)
        near[chosen] = _are_near(prints, distance, ones[chosen], others[chosen])
        return near

    # The distance from the mean, too, differs by no more than thumbnails do.
    sets = divided(np.column_stack([points, prints.stds[rows]]), reaches)
    with progress("Comparing pictures", sum(map(len, sets)), "pictures") as advance:
        small: list[np.ndarray] = []
        for positions in sets:
            if len(positions) > SMALL:
                _grow(rows[positions], prints, distance, groups, advance)
                continue
            small.append(rows[positions])
            if sum(map(len, small)) > TOGETHER:
                _join_sets(small, are_near, groups, advance)
                small = []
        _join_sets(small, are_near, groups, advance)


def _join_sets(
    sets: list[np.ndarray],
    are_near: Callable[[np.ndarray, np.ndarray], np.ndarray],
    groups: Groups,
    advance: Callable[[int], None],
) -> None:
    rows = np.concatenate([np.empty(0, np.int64), *sets])
    starts = np.cumsum([0, *map(len, sets)])
    _join_pairs(rows, starts, np.ones(len(rows), bool), are_near, groups)
    advance(len(rows))


def _grow(
    rows: np.ndarray,
    prints: Fingerprints,
    distance: int,
    groups: Groups,
    advance: Callable[[int], None],
) -> None:
    """Grows groups from one picture to the next; what has joined one is not compared again.

    Thumbnails differ by no less than their means do, so only what is as bright is looked at.
    """
    brightness = prints.means[rows].mean(axis=1)
    order = np.argsort(brightness, kind="stable")
    rows, brightness = rows[order], brightness[order]
    limits = NOISE + PART * prints.stds[rows] + SLACK
    waits = np.ones(len(rows), bool)  # in no group yet
    left, left_brightness, num_gone = np.arange(len(rows)), brightness, 0
    for first in range(len(rows)):
        reached = [first] if waits[first] else []
        num_gone += len(reached)
        waits[first] = False
        while reached:
            at = reached.pop()
            advance(1)
            if 2 * num_gone > len(left):  # so that few are looked at in vain
                left = left[waits[left]]
                left_brightness, num_gone = brightness[left], 0
            bounds = brightness[at] - limits[at], brightness[at] + limits[at]
            window = left[slice(*left_brightness.searchsorted(bounds))]
            window = window[waits[window]]
            if not len(window):
                continue
            ones, others = np.broadcast_to(rows[at], len(window)), rows[window]
            near = _are_near(prints, distance, ones, others)
            groups.join_all(ones[near], others[near])
            waits[window[near]] = False
            num_gone += int(near.sum())
            reached += window[near].tolist()


def _are_near(
    prints: Fingerprints, distance: int, ones: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """Returns which pairs are near duplicates; the costly condition comes last."""
    near = np.bitwise_count(prints.hashes[ones] ^ prints.hashes[others]) <= distance
    chosen = np.flatnonzero(near)
    if not len(chosen):
        return near
    ones, others = ones[chosen], others[chosen]
    limits = NOISE + PART * np.minimum(prints.stds[ones], prints.stds[others])
    apart = np.sqrt(((prints.means[ones] - prints.means[others]) ** 2).mean(axis=1))
    within = apart <= limits + SLACK  # as for _grow
    near[chosen] = within
    chosen, ones, others, limits = chosen[within], ones[within], others[within], limits[within]
    for start in range(0, len(chosen), BLOCK):
        block = slice(start, start + BLOCK)
        difference = prints.thumbnails[ones[block]].astype(np.float32)
        difference -= prints.thumbnails[others[block]]
        rms = np.sqrt((difference**2).mean(axis=(1, 2, 3)))
        near[chosen[block]] = rms <= limits[block]
    return near
