import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets import neighbours
from datasets.neighbours import coordinates, divided


@given(
    seed=st.integers(0, 9999),
    count=st.integers(1, 60),
    axes=st.integers(1, 4),
    spread=st.sampled_from([0, 1, 20, 300]),
    small=st.sampled_from([1, 4, 1000]),
    sample=st.sampled_from([2, 7, 256]),
)
def test_near_points_are_together_in_a_set(seed, count, axes, spread, small, sample):
    generator = np.random.default_rng(seed)
    points = generator.uniform(0, spread, (count, axes)).round(generator.integers(0, 3))
    points = points.astype(np.float32)
    reaches = generator.uniform(0.5, 5, count).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "SMALL", small)
        patch.setattr(neighbours, "SAMPLE", sample)
        sets = divided(points, reaches)
    together = np.zeros((count, count), bool)
    for positions in sets:
        together[np.ix_(positions, positions)] = True
    apart = np.abs(points[:, None] - points).max(axis=2)
    assert together[apart <= np.minimum(reaches, reaches[:, None])].all()


def test_sets_are_small_and_few_where_points_are_apart():
    points = np.random.default_rng(0).uniform(0, 255, (20_000, 3)).astype(np.float32)
    sets = divided(points, np.full(len(points), 2, np.float32))
    assert max(map(len, sets)) <= neighbours.SMALL
    assert sum(map(len, sets)) < 3 * len(points)
    assert len(divided(np.zeros((500, 3), np.float32), np.ones(500, np.float32))) == 1


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 9999),
    count=st.integers(1, 40),
    levels=st.sampled_from([1, 3, 256]),
    sample=st.sampled_from([1, 5, 256]),
)
def test_coordinates_never_lie_further_apart_than_thumbnails(seed, count, levels, sample):
    generator = np.random.default_rng(seed)
    thumbnails = generator.integers(0, levels, (count + 5, 4, 6, 3)).astype(np.uint8)
    rows = np.sort(generator.permutation(count + 5)[:count])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "SAMPLE", sample)
        patch.setattr(neighbours, "BLOCK", 7)
        points = coordinates(thumbnails, rows)
    values = thumbnails[rows].reshape(count, -1).astype(float)
    rms = np.sqrt(((values[:, None] - values) ** 2).mean(axis=2))
    found = np.sqrt(((points[:, None].astype(float) - points) ** 2).sum(axis=2))
    assert (found <= rms + 1e-4).all()
    if count > 1 and sample == 256 and count <= neighbours.DIRECTIONS:
        np.testing.assert_allclose(found, rms, atol=1e-3)
