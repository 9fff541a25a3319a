"""Divides very many pictures into small sets, so that any two that are near are together in one."""

from __future__ import annotations

import numpy as np

DIRECTIONS = 16
SAMPLE = 256  # pictures that the directions, and points that a cut, are taken from
SMALL = 128  # points in a set that is not divided any more
WORTH = 0.8  # of the points a part may have at most where a cut is worth while
BLOCK = 1024  # thumbnails that are in memory at a time


def coordinates(thumbnails: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns where thumbnails lie along the directions in which a sample of them differs most.

    The directions are orthogonal and the unit is a level, as a root mean square over all values: no
    two points are further apart than their thumbnails.

    Parameters
    ----------
    thumbnails : np.ndarray of shape (n, ...)
        May be mapped from a file.
    rows : np.ndarray of shape (m,), int64
        Which of them.

    Returns
    -------
    np.ndarray of shape (m, up to `DIRECTIONS`), float32
    """

    def values(some: np.ndarray) -> np.ndarray:
        return thumbnails[some].reshape(len(some), -1).astype(np.float64)

    sample = values(rows[:: -(-len(rows) // SAMPLE)])
    centre = sample.mean(axis=0)
    _, _, directions = np.linalg.svd(sample - centre, full_matrices=False)
    directions = directions[:DIRECTIONS] / np.sqrt(len(centre))
    points = np.empty((len(rows), len(directions)), np.float32)
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        points[block] = (values(rows[block]) - centre) @ directions.T
    return points


def divided(points: np.ndarray, reaches: np.ndarray) -> list[np.ndarray]:
    """Divides points into sets that overlap as much as they must.

    Two points are together in a set where they are no further apart, along every axis, than the
    reach of each. A set has more than `SMALL` points only where they lie so close together that no
    cut is worth while.

    Parameters
    ----------
    points : np.ndarray of shape (n, axes)
    reaches : np.ndarray of shape (n,)

    Returns
    -------
    list of np.ndarray
        The positions in every set.
    """
    sets, waiting = [], [np.arange(len(points))]
    while waiting:
        positions = waiting.pop()
        parts = _parts(points, reaches, positions) if len(positions) > SMALL else []
        if parts and max(map(len, parts)) <= WORTH * len(positions):
            waiting += parts
        else:
            sets.append(positions)
    return sets


def _parts(points: np.ndarray, reaches: np.ndarray, positions: np.ndarray) -> list[np.ndarray]:
    """Cuts along the axis, and there, where the larger part of a sample is smallest.

    A point below the cut is in the upper part as well where it reaches it.
    """
    sample = positions[:: -(-len(positions) // SAMPLE)]
    cuts = np.sort(points[sample], axis=0)
    reached = np.sort(points[sample] + reaches[sample, None], axis=0)
    larger = np.empty(cuts.shape, np.int64)
    for axis in range(points.shape[1]):
        below = np.searchsorted(cuts[:, axis], cuts[:, axis], "left")
        above = len(sample) - np.searchsorted(reached[:, axis], cuts[:, axis], "left")
        larger[:, axis] = np.maximum(below, above)
    place, axis = divmod(int(larger.argmin()), points.shape[1])
    cut, values = cuts[place, axis], points[positions, axis]
    return [positions[values < cut], positions[values + reaches[positions] >= cut]]
