"""Prepared batches against plain NumPy loops over the instances."""

import itertools
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import CommandError
from datasets.dataset import Dataset, Subset
from training import batches
from training.batches import Preparation, network_shape, training_mean, training_statistics
from training.experiment import Experiment
from training.log0m1v import Log0m1v
from training.views import Views, Window, choose_views

CPU = torch.device("cpu")
PICTURES = np.random.default_rng(0).integers(0, 256, (6, 3, 9, 7), dtype=np.uint8)
LAYOUTS = ["nchw", "nhwc", "flat"]
CROPS = {"num_crops": 3, "crop_shape": (5, 4)}
MEAN_AND_STD = [(True, True), (True, False), (False, True), (False, False)]


def dataset(layout: str, pictures: np.ndarray = PICTURES) -> Dataset:
    stored = {
        "nchw": pictures,
        "nhwc": np.ascontiguousarray(pictures.transpose(0, 2, 3, 1)),
        "flat": pictures.reshape(len(pictures), -1),
    }[layout]
    labels = np.zeros(len(pictures), np.int32)
    return Dataset(Path("x"), {"training": Subset(stored, labels)}, {"a": 0}, layout, 255.0, None)


def prepare(
    layout,
    shape=(3, 9, 7),
    scale=1 / 255,
    dtype=torch.float64,
    output_dtype=None,
    pictures=PICTURES,
    **options,
):
    data, experiment = dataset(layout, pictures), Experiment(Path("x"), "m", **options)
    statistics = training_statistics(data, shape, experiment)
    views = choose_views(experiment, shape)
    preparation = Preparation(data, views, scale, statistics, CPU, dtype, output_dtype)
    return preparation, torch.from_numpy(data.subsets["training"].instances)


def trained(preparation, stored, seed=0):
    """Prepares all instances as one batch."""
    generator, everything = torch.Generator().manual_seed(seed), slice(0, len(stored))
    return preparation.for_training(stored, generator, everything, len(stored))


def normal(per="feature", mean=True, std=False, scale=1 / 255, pictures=PICTURES):
    """The pictures as the network is to see them: what crops are then cut from."""
    values = pictures.astype(np.float64)
    axes = 0 if per == "feature" else (0, 2, 3)
    means, deviations = (f(values, axis=axes, keepdims=True) for f in (np.mean, np.std))
    values = (values - means if mean else values) * scale
    return values / np.where(deviations, deviations * scale, 1) if std else values


def cropped(picture, window, height=5, width=4):
    y, x, mirrored = window
    crop = picture[:, y : y + height, x : x + width]
    return crop[:, :, ::-1] if mirrored else crop


def windows_found(view, picture):
    """All windows of the picture that a view may be."""
    height, width = view.shape[1:]
    places = itertools.product(range(10 - height), range(8 - width), (False, True))
    return [
        place
        for place in places
        if np.allclose(view, cropped(picture, place, height, width), atol=1e-12)
    ]


@pytest.fixture(params=["in blocks", "one by one"])
def way(request, monkeypatch):
    monkeypatch.setattr(batches, "LARGE_WINDOW", 1 if request.param == "one by one" else 2**14)
    monkeypatch.setitem(batches.BLOCK_VALUES, "cpu", 250)  # 4 windows of 5 by 4
    return request.param


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_mean_is_exact(layout):
    mean = training_mean(dataset(layout))
    expected = PICTURES.astype(np.float64).mean(axis=0)
    assert np.allclose(mean.reshape(3, 9, 7), expected, rtol=1e-15)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("per", ["feature", "channel"])
def test_mean_and_deviation_per_feature_and_per_channel(layout, per):
    experiment = Experiment(Path("x"), "m", divide_by_std=True, normalise_per=per)
    found = training_statistics(dataset(layout), (3, 9, 7), experiment)
    axes = 0 if per == "feature" else (0, 2, 3)
    for name, function in (("mean", np.mean), ("std", np.std)):
        expected = function(PICTURES.astype(np.float64), axis=axes)
        assert np.allclose(np.squeeze(found[name]), expected, rtol=1e-13)


@pytest.mark.parametrize(("mean", "std"), MEAN_AND_STD)
def test_only_what_is_asked_for_is_computed(mean, std):
    experiment = Experiment(Path("x"), "m", subtract_mean=mean, divide_by_std=std)
    found = training_statistics(dataset("nhwc"), (3, 9, 7), experiment)
    assert set(found) == {name for name, wanted in (("mean", mean), ("std", std)) if wanted}


def test_channels_need_pictures():
    experiment = Experiment(Path("x"), "m", normalise_per="channel")
    with pytest.raises(CommandError, match=r"--normalise-per channel needs pictures.*\(189,\)"):
        training_statistics(dataset("flat"), (189,), experiment)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("per", ["feature", "channel"])
@pytest.mark.parametrize(("mean", "std"), MEAN_AND_STD)
@pytest.mark.parametrize("scale", [1 / 255, 1.0])
def test_whole_pictures_are_normalised(layout, per, mean, std, scale):
    options = {"subtract_mean": mean, "divide_by_std": std, "normalise_per": per}
    preparation, stored = prepare(layout, scale=scale, **options)
    for ready in (trained(preparation, stored), preparation.for_evaluation(stored)):
        assert ready.shape == (6, 3, 9, 7)
        assert np.allclose(ready.numpy(), normal(per, mean, std, scale), atol=1e-12)


@pytest.mark.parametrize("per", ["feature", "channel"])
def test_a_deviation_of_zero_divides_by_one(per):
    flat = PICTURES.copy()
    flat[:, 1] = 7
    preparation, stored = prepare("nhwc", pictures=flat, divide_by_std=True, normalise_per=per)
    ready = preparation.for_evaluation(stored + (stored == 7).to(torch.uint8)).numpy()
    assert np.allclose(ready[:, 1], 1 / 255)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mirror", ["no", "both", "random"])
@pytest.mark.parametrize("per", ["feature", "channel"])
@pytest.mark.parametrize("std", [True, False])
@pytest.mark.usefixtures("way")
def test_random_crops_are_windows_of_their_own_picture(layout, mirror, per, std):
    mirrors = {"mirror_crops": mirror != "no", "random_mirror": mirror == "random"}
    statistics = {"divide_by_std": std, "normalise_per": per}
    preparation, stored = prepare(layout, **CROPS, **mirrors, **statistics)
    ready = trained(preparation, stored).numpy()
    per_instance = preparation.training_views
    assert ready.shape == (6 * per_instance, 3, 5, 4)
    assert per_instance == (6 if mirror == "both" else 3)
    pictures = normal(per, std=std)
    found = [windows_found(view, pictures[i // per_instance]) for i, view in enumerate(ready)]
    assert all(len(windows) == 1 for windows in found)
    found = [Window(*windows[0]) for windows in found]
    if mirror == "both":
        assert found[1::2] == [window._replace(mirrored=True) for window in found[::2]]
        assert not any(window.mirrored for window in found[::2])
    else:
        assert any(window.mirrored for window in found) == (mirror == "random")
        assert not all(window.mirrored for window in found)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.usefixtures("way")
def test_whole_pictures_are_mirrored_at_random(layout):
    preparation, stored = prepare(layout, random_mirror=True)
    assert preparation.training_views == preparation.evaluation_views == 1
    pictures, mirrored = normal(), []
    for seed in range(20):
        for view, picture in zip(trained(preparation, stored, seed).numpy(), pictures, strict=True):
            ((_, _, mirror),) = windows_found(view, picture)
            mirrored.append(mirror)
    assert 40 <= sum(mirrored) <= 80
    assert np.allclose(preparation.for_evaluation(stored).numpy(), pictures, atol=1e-12)


@pytest.mark.parametrize("mirrors", [{"random_mirror": True}, {"mirror_crops": True}])
@pytest.mark.usefixtures("way")
def test_a_batch_may_share_its_windows(mirrors):
    preparation, stored = prepare("nhwc", **CROPS, **mirrors, crop_mirror_per="batch")
    pictures, drawn = normal(), set()
    for seed in range(20):
        views = trained(preparation, stored, seed).numpy().reshape(6, -1, 3, 5, 4)
        found = [
            [windows_found(view, picture)[0] for view in own]
            for own, picture in zip(views, pictures, strict=True)
        ]
        assert all(windows == found[0] for windows in found)
        drawn.update(found[0])
    assert len(drawn) > 20


@pytest.mark.parametrize(
    "options", [CROPS, {"random_mirror": True}, CROPS | {"random_mirror": True}]
)
@pytest.mark.parametrize("per", ["instance", "batch"])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.usefixtures("way")
def test_any_number_of_processes_prepares_the_same(options, per, count, dtype):
    preparation, stored = prepare(
        "nhwc", dtype=torch.float32, output_dtype=dtype, **options, crop_mirror_per=per
    )
    parts = []
    for rank in range(count):
        rows = slice(6 * rank // count, 6 * (rank + 1) // count)
        generator = torch.Generator().manual_seed(5)
        parts.append(preparation.for_training(stored[rows], generator, rows, 6))
    assert torch.equal(torch.cat(parts), trained(preparation, stored, 5))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("evaluation", ["as-trained", "centre", "ten"])
@pytest.mark.parametrize("std", [True, False])
@pytest.mark.usefixtures("way")
def test_evaluation_crops(layout, mirror, evaluation, std):
    options = {"mirror_crops": mirror, "evaluation_crops": evaluation, "divide_by_std": std}
    preparation, stored = prepare(layout, **CROPS | {"num_crops": 2}, **options)
    windows = {
        "as-trained": [(2, 1, m) for m in ([0, 1] if mirror else [0])]
        + [(0, 0, m) for m in ([0, 1] if mirror else [0])],
        "centre": [(2, 1, 0)],
        "ten": [(y, x, m) for y, x in ((2, 1), (0, 0), (0, 3), (4, 0), (4, 3)) for m in (0, 1)],
    }[evaluation]
    assert preparation.evaluation_views == len(windows)
    expected = [cropped(picture, window) for picture in normal(std=std) for window in windows]
    ready = preparation.for_evaluation(stored).numpy()
    assert np.allclose(ready, np.array(expected), atol=1e-12)


@pytest.mark.usefixtures("way")
def test_random_crops_reach_every_place_and_follow_their_generator():
    crops = {"num_crops": 200, "crop_shape": (8, 6), "mirror_crops": False, "subtract_mean": False}
    preparation, stored = prepare("nhwc", scale=1.0, **crops)
    first, again, other = (trained(preparation, stored, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(torch.unique(first[:200].flatten(1), dim=0)) == 4


@pytest.mark.parametrize("options", [{}, CROPS, CROPS | {"random_mirror": True}])
@pytest.mark.parametrize("std", [True, False])
@pytest.mark.parametrize("output", [torch.bfloat16, torch.float16])
@pytest.mark.usefixtures("way")
def test_half_precision_rounds_once_and_never_the_mean(options, std, output):
    statistics = {"divide_by_std": std, "dtype": torch.float32}
    exact = trained(*prepare("nhwc", **options, divide_by_std=std))
    single = trained(*prepare("nhwc", **options, **statistics))
    half = trained(*prepare("nhwc", **options, **statistics, output_dtype=output))
    assert half.dtype == output
    assert torch.equal(half, single.to(output))
    error = (half.double() - exact).abs()
    assert (error <= exact.abs() * torch.finfo(output).eps / 2 + 1e-6).all()


@pytest.mark.parametrize("options", [{}, CROPS])
def test_sizes_of_blocks_change_no_bit(options, monkeypatch):
    ready = []
    for block, large in ((1, 2**14), (300, 2**14), (2**19, 2**14), (1, 1)):
        monkeypatch.setitem(batches.BLOCK_VALUES, "cpu", block)
        monkeypatch.setattr(batches, "LARGE_WINDOW", large)
        for std in (False, True):
            prepared = prepare("nhwc", dtype=torch.float32, divide_by_std=std, **options)
            ready.append(trained(*prepared))
    assert all(torch.equal(one, ready[i % 2]) for i, one in enumerate(ready))


@pytest.mark.parametrize("options", [{}, CROPS, {"random_mirror": True}])
def test_pictures_stored_channels_last_stay_so_in_memory(options):
    preparation, stored = prepare("nhwc", dtype=torch.float32, **options)
    for ready in (trained(preparation, stored), preparation.for_evaluation(stored)):
        assert ready.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("options", [{}, CROPS, {"random_mirror": True}])
@pytest.mark.parametrize(("layout", "strides"), [("nhwc", (1, "w", 1)), ("nchw", ("hw", "w", 1))])
def test_one_channel_has_the_strides_of_its_layout(options, layout, strides):
    """Other strides of the same memory choose another convolution, which rounds otherwise."""
    preparation, stored = prepare(layout, (1, 9, 7), pictures=PICTURES[:, :1], **options)
    for ready in (trained(preparation, stored), preparation.for_evaluation(stored)):
        height, width = ready.shape[2:]
        sizes = {"hw": height * width, "w": width, 1: 1}
        assert ready.stride() == (height * width, *(sizes[step] for step in strides))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(189,), (1, 27, 7), (3, 7, 9), (3, 9, 7), (21, 9)])
@pytest.mark.parametrize("mean", [True, False])
def test_reshaped_pictures_keep_the_order_of_channels_rows_columns(layout, shape, mean):
    preparation, stored = prepare(layout, shape, 1.0, subtract_mean=mean)
    ready = preparation.for_evaluation(stored)
    expected = normal(mean=mean, scale=1.0).reshape(6, *shape)
    assert np.allclose(ready.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", ["u2", "i2", "u4", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("options", [{}, CROPS | {"random_mirror": True}])
@pytest.mark.usefixtures("way")
def test_values_of_any_type(dtype, options):
    expected = trained(*prepare("nhwc", **options))
    ready = trained(*prepare("nhwc", pictures=PICTURES.astype(dtype), **options))
    assert torch.allclose(ready, expected, atol=1e-12)


@pytest.mark.parametrize("options", [{}, CROPS, {"random_mirror": True}])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.usefixtures("way")
def test_a_process_may_have_no_part_of_a_batch(options, layout):
    preparation, stored = prepare(layout, **options)
    ready = preparation.for_training(stored[:0], torch.Generator(), slice(0, 0), 2)
    assert ready.shape == (0, *preparation.input_shape)
    assert preparation.for_evaluation(stored[:0]).shape == (0, *preparation.input_shape)


def test_prepared_instances_are_a_copy():
    pictures = PICTURES.astype("f4")
    pictures.flags.writeable = False
    data, views = dataset("nchw", pictures), Views((3, 9, 7))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is not writable, once in a process
        stored = torch.from_numpy(pictures)
    ready = Preparation(data, views, 1.0, {}, CPU, torch.float32).for_evaluation(stored)
    assert torch.equal(ready, stored)
    assert ready.data_ptr() != stored.data_ptr()


SPECTRA = (np.random.default_rng(4).random((6, 1, 9, 7)) ** 4 * 100).astype("f4")
NUMBERS = np.array([2, 0, 0, 1, 2, 2])  # of the recordings
MOMENTS = {"mean": np.array([1.0, 2.0, 0.5]), "std": np.array([0.5, 0.0, 3.0])}


def prepare_spectra(local=None, statistics=None, scale=1.0, output=None, **options):
    """A deviation of 0 divides by 1."""
    experiment, shape = Experiment(Path("x"), "m", **options), (1, 9, 7)
    data = dataset("nchw", SPECTRA)
    views = choose_views(experiment, shape)
    compression = Log0m1v(local, CPU, torch.float64)
    return Preparation(
        data, views, scale, statistics or {}, CPU, torch.float64, output, compression
    )


def normal_spectra(local=False, mean=0.0, std=1.0):
    values = np.log10(SPECTRA.astype("f8") * 10_000 + 1)
    if local:
        own = {name: one[NUMBERS][:, None, None, None] for name, one in MOMENTS.items()}
        values = (values - own["mean"]) / np.where(own["std"], own["std"], 1)
    return (values - mean) / std


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("statistics", [{}, {"mean": np.array(2.5), "std": np.array(0.5)}])
@pytest.mark.parametrize("options", [{}, CROPS, CROPS | {"random_mirror": True}])
@pytest.mark.usefixtures("way")
def test_spectra_are_compressed_before_all_else(local, statistics, options):
    preparation = prepare_spectra(MOMENTS if local else None, statistics, **options)
    stored, numbers = torch.from_numpy(SPECTRA), torch.from_numpy(NUMBERS)
    expected = normal_spectra(local, **{name: float(one) for name, one in statistics.items()})
    generator = torch.Generator().manual_seed(0)
    trained_on = preparation.for_training(stored, generator, slice(0, 6), 6, numbers).numpy()
    evaluated = preparation.for_evaluation(stored, numbers).numpy()
    if not options:
        assert np.allclose(trained_on, expected, atol=1e-12)
        assert np.allclose(evaluated, expected, atol=1e-12)
        return
    for ready, views in (
        (trained_on, preparation.training_views),
        (evaluated, preparation.evaluation_views),
    ):
        for i, view in enumerate(ready):
            assert windows_found(view, expected[i // views])


def test_a_scale_multiplies_compressed_values():
    stored, numbers = torch.from_numpy(SPECTRA), torch.from_numpy(NUMBERS)
    ready = prepare_spectra(MOMENTS, scale=3.0).for_evaluation(stored, numbers)
    assert np.allclose(ready.numpy(), 3 * normal_spectra(local=True), atol=1e-12)


def test_any_part_of_a_batch_of_patches_is_normalised_alike():
    stored, numbers = torch.from_numpy(SPECTRA), torch.from_numpy(NUMBERS)
    preparation, parts = prepare_spectra(MOMENTS, output=torch.bfloat16, **CROPS), []
    for rows in (slice(0, 6), slice(0, 2), slice(2, 2), slice(2, 6)):
        generator = torch.Generator().manual_seed(5)
        part = preparation.for_training(stored[rows], generator, rows, 6, numbers[rows])
        assert part.dtype == torch.bfloat16
        parts.append(part)
    assert torch.equal(torch.cat(parts[1:]), parts[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("local", [None, MOMENTS])
def test_a_gpu_prepares_the_same_of_spectra(local):
    ready = []
    for device in (CPU, torch.device("cuda")):
        data, views = dataset("nchw", SPECTRA), choose_views(Experiment(Path("x"), "m"), (1, 9, 7))
        compression = Log0m1v(local, device, torch.float32)
        preparation = Preparation(
            data, views, 1.0, {}, device, torch.float32, compression=compression
        )
        stored, numbers = torch.from_numpy(SPECTRA), torch.from_numpy(NUMBERS)
        ready.append(preparation.for_evaluation(stored.to(device), numbers.to(device)).cpu())
    assert torch.allclose(*ready, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("options", [{}, CROPS, CROPS | {"random_mirror": True}])
@pytest.mark.parametrize("std", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_gpu_prepares_the_same(options, std, layout):
    data, shape = dataset(layout), (3, 9, 7)
    experiment = Experiment(Path("x"), "m", divide_by_std=std, **options)
    statistics = training_statistics(data, shape, experiment)
    views, gpu = choose_views(experiment, shape), torch.device("cuda")
    stored = torch.from_numpy(data.subsets["training"].instances)
    for output in (torch.float32, torch.bfloat16):
        ready = [
            Preparation(
                data, views, 1 / 255, statistics, device, torch.float32, output
            ).for_evaluation(stored.to(device))
            for device in (CPU, gpu)
        ]
        tolerance = 1e-6 if output == torch.float32 else 1e-2
        assert torch.allclose(ready[0].float(), ready[1].cpu().float(), atol=tolerance)
        assert ready[0].stride() == ready[1].stride()
    preparation = Preparation(data, views, 1 / 255, statistics, gpu, torch.float32)
    generator = torch.Generator(gpu).manual_seed(1)
    drawn = preparation.for_training(stored.to(gpu), generator, slice(0, 6), 6).cpu().numpy()
    if options:
        pictures, per_instance = normal(std=std).astype(np.float32), preparation.training_views
        for i, view in enumerate(drawn):
            picture = pictures[i // per_instance]
            places = itertools.product(range(5), range(4), (False, True))
            assert any(np.allclose(view, cropped(picture, p), atol=1e-5) for p in places)


@pytest.mark.parametrize(
    ("reshape_to", "shape"), [(None, (3, 9, 7)), ((-1,), (189,)), ((1, 27, -1), (1, 27, 7))]
)
def test_reshaping(reshape_to, shape):
    assert network_shape(dataset("nhwc"), reshape_to) == shape


@pytest.mark.parametrize("reshape_to", [(3, 9, 8), (-1, -1), (0,), (-1, 5), (-2, 3)])
def test_reshaping_to_another_number_of_values(reshape_to):
    with pytest.raises(CommandError, match="does not hold the instances' 189 values"):
        network_shape(dataset("nchw"), reshape_to)
