import io
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_images

from common.errors import CommandError
from datasets import duplicates, neighbours
from datasets.duplicates import BITS, Fingerprints, find_groups, fingerprints, thumbnail

PHOTOGRAPHS = [Image.fromarray(picture) for picture in load_sample_images().images]


def pieces(count):
    generator = np.random.default_rng(0)
    for index in range(count):
        source = PHOTOGRAPHS[index % 2]
        x, y = generator.integers(0, source.width - 200), generator.integers(0, source.height - 200)
        yield source.crop((x, y, x + 200, y + 200))


def as_jpeg(image, quality):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(io.BytesIO(stream.getvalue())).convert("RGB")


def groups_of(images, distance=4):
    prints = fingerprints(np.stack([thumbnail(image) for image in images]))
    digests = np.arange(2 * len(images), dtype=np.uint64).reshape(-1, 2)
    found = find_groups(prints, digests, distance, np.arange(len(images)))
    return [group.tolist() for group in found]


@pytest.mark.parametrize(
    "again",
    [
        lambda image: as_jpeg(image, 60),
        lambda image: as_jpeg(image.resize((120, 120)), 85),
        lambda image: image.resize((500, 500)),
        lambda image: image.convert("P", palette=Image.Palette.ADAPTIVE).convert("RGB"),
    ],
    ids=["recompressed", "smaller", "larger", "palette"],
)
def test_a_picture_that_was_saved_again_is_found_and_no_other(again):
    images = list(pieces(40))
    found = groups_of(images + [again(image) for image in images])
    assert all(len(group) == 2 and group[1] == group[0] + 40 for group in found)
    assert len(found) >= 37


def test_plain_ground_does_not_make_duplicates():
    images = []
    for index in range(12):
        image = Image.new("RGB", (96, 96))
        x, y = 20 * (index % 4), 24 * (index // 4)
        image.paste((200, 200, 200), (x, y, x + 12, y + 8))
        images.append(image)
    assert groups_of(images, 10) == []
    black = [Image.new("RGB", (50, 50), (shade, 0, 0)) for shade in (0, 1, 30, 60, 61)]
    assert groups_of(black) == [[0, 1], [3, 4]]


def brute_force(prints, digests, distance, rows):
    tops = {row: row for row in rows}
    for one in rows:
        for other in rows:
            apart = int(prints.hashes[one] ^ prints.hashes[other]).bit_count()
            a, b = (prints.thumbnails[row].astype(float) for row in (one, other))
            limit = duplicates.NOISE + duplicates.PART * min(prints.stds[one], prints.stds[other])
            near = apart <= distance and np.sqrt(((a - b) ** 2).mean()) <= limit
            if near or (digests[one] == digests[other]).all():
                old, new = max(tops[one], tops[other]), min(tops[one], tops[other])
                tops = {row: new if top == old else top for row, top in tops.items()}
    found = {}
    for row, top in tops.items():
        found.setdefault(top, []).append(row)
    return [group for group in found.values() if len(group) > 1]


@given(
    seed=st.integers(0, 9999),
    distance=st.sampled_from([0, 1, 4, 7, 10]),
    large=st.sampled_from([2, 3, 9999]),
    count=st.integers(1, 40),
)
def test_the_groups_are_those_of_comparing_all_pairs(seed, distance, large, count):
    generator = np.random.default_rng(seed)
    base = generator.integers(0, 2**63, 4, dtype=np.uint64)[generator.integers(0, 4, count)]
    flips = np.zeros(count, np.uint64)
    for _ in range(6):
        flips |= np.uint64(1) << generator.integers(0, BITS, count).astype(np.uint64)
    hashes = np.where(generator.random(count) < 0.7, base ^ flips, base)
    thumbnails = generator.integers(100, 105, (count, 16, 18, 3)).astype(np.uint8)
    made = fingerprints(thumbnails + generator.integers(0, 3, (count, 1, 1, 1)).astype(np.uint8))
    prints = Fingerprints(made.thumbnails, hashes, made.means, made.stds, made.grey)
    digests = generator.integers(0, 30, (count, 1)).astype(np.uint64).repeat(2, axis=1)
    rows = np.flatnonzero(generator.random(count) < 0.8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "LARGE", large)
        patch.setattr(duplicates, "BLOCK", 7)
        found = find_groups(prints, digests, distance, rows)
    assert [group.tolist() for group in found] == brute_force(prints, digests, distance, rows)


def test_equal_files_only():
    thumbnails = np.zeros((4, 16, 18, 3), np.uint8)
    digests = np.array([[1, 1], [2, 2], [1, 1], [3, 3]], np.uint64)
    found = find_groups(fingerprints(thumbnails), digests, None, np.arange(4))
    assert [group.tolist() for group in found] == [[0, 2]]


STEADY = ["stripes", "colours", "falling", "between two tones", "one tone", "noise"]


def steady(kind, count, generator):
    """Thumbnails that nowhere rise from left to right: all hashes are 0, or nearly all."""
    shapes = {"stripes": (16, 1, 1), "colours": (16, 1, 3), "one tone": (1, 1, 3)}
    if kind in shapes:
        values = generator.integers(0, 256, (count, *shapes[kind]))
    elif kind == "noise":
        values = generator.integers(0, 3, (count, 16, 18, 3))
    else:
        first, second = generator.uniform(0, 256, (2, count, 1, 1, 1))
        down, right = np.linspace(0, 1, 16)[:, None, None], np.linspace(0, 1, 18)[:, None]
        values = first + (second - first) * down
        if kind == "falling":
            values = values * (1 - right * generator.random((count, 1, 1, 3)))
    return np.broadcast_to(values, (count, 16, 18, 3)).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(STEADY), min_size=1, max_size=4),
    seed=st.integers(0, 9999),
    small=st.sampled_from([1, 3, 128]),
    sample=st.sampled_from([4, 256]),
)
def test_steady_pictures_are_grouped_as_by_comparing_all_pairs(kinds, seed, small, sample):
    generator = np.random.default_rng(seed)
    thumbnails = np.concatenate([steady(kind, 8, generator) for kind in kinds])
    again = thumbnails[generator.integers(0, len(thumbnails), 8)].astype(int)
    again += generator.integers(-2, 3, (8, 1, 1, 1)) + generator.integers(-1, 2, again.shape)
    prints = fingerprints(np.concatenate([thumbnails, again.clip(0, 255).astype(np.uint8)]))
    count = len(prints.hashes)
    digests = np.arange(2 * count, dtype=np.uint64).reshape(-1, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "LARGE", 2)
        patch.setattr(duplicates, "TOGETHER", 20)
        patch.setattr(duplicates, "SMALL", small)
        patch.setattr(neighbours, "SMALL", small)
        patch.setattr(neighbours, "SAMPLE", sample)
        found = find_groups(prints, digests, 4, np.arange(count))
    expected = brute_force(prints, digests, 4, np.arange(count))
    assert [group.tolist() for group in found] == expected


@pytest.fixture
def compared(monkeypatch):
    """How many pairs were looked at."""
    counts = []
    join_pairs, are_near = duplicates._join_pairs, duplicates._are_near

    def counting(test, ones, others):
        counts.append(len(ones))
        return test(ones, others)

    monkeypatch.setattr(
        duplicates,
        "_join_pairs",
        lambda rows, starts, wanted, test, groups: join_pairs(
            rows, starts, wanted, partial(counting, test), groups
        ),
    )
    monkeypatch.setattr(
        duplicates,
        "_are_near",
        lambda prints, distance, *pair: counting(partial(are_near, prints, distance), *pair),
    )
    return counts


@pytest.mark.parametrize("kind", STEADY)
def test_steady_pictures_take_seconds(kind, compared):
    """To compare all that are as bright takes thousands of pairs a picture, of 8,000 pictures."""
    count = 8000
    prints = fingerprints(steady(kind, count, np.random.default_rng(0)))
    assert (prints.hashes == 0).mean() > 0.7
    digests = np.arange(2 * count, dtype=np.uint64).reshape(-1, 2)
    find_groups(prints, digests, 4, np.arange(count))
    assert sum(compared) < 300 * count


def test_a_hundred_thousand_pictures_take_seconds(compared):
    generator = np.random.default_rng(1)
    count, num_steady = 100_000, 20_000
    hashes = generator.integers(0, 2**64, count, dtype=np.uint64, endpoint=False)
    thumbnails = np.zeros((count, 16, 18, 3), np.uint8)
    thumbnails[: num_steady // 2] = 5  # a tenth are of one colour
    thumbnails[num_steady // 2 : num_steady] = steady("stripes", num_steady // 2, generator)
    made = fingerprints(thumbnails[:num_steady])
    hashes[:num_steady] = made.hashes
    means = generator.uniform(0, 255, (count, 3)).astype(np.float32)
    means[:num_steady] = made.means
    stds = np.zeros(count, np.float32)
    stds[:num_steady] = made.stds
    prints = Fingerprints(thumbnails, hashes, means, stds, np.zeros(count, bool))
    digests = np.arange(2 * count, dtype=np.uint64).reshape(-1, 2)
    found = find_groups(prints, digests, 4, np.arange(count))
    assert max(map(len, found)) == num_steady // 2
    assert sum(compared) < 100 * count


def test_grey():
    images = [Image.new("RGB", (40, 40), colour) for colour in ((90, 90, 90), (90, 90, 110))]
    images.append(as_jpeg(next(pieces(1)).convert("L").convert("RGB"), 60))
    images.append(next(pieces(1)))
    prints = fingerprints(np.stack([thumbnail(image) for image in images]))
    assert prints.grey.tolist() == [True, False, True, False]


@pytest.mark.parametrize("distance", [-1, 11])
def test_bad_distances(distance):
    with pytest.raises(CommandError, match=f"--duplicate-distance is {distance}; give"):
        duplicates.check_distance(distance)
