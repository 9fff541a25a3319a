import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forking import Zygote
from tests.paths import FASHION_MNIST

if "PYTEST_XDIST_WORKER" in os.environ:  # tests run beside one another, with a core for each
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _signals_end_a_process() -> None:
    """Under nohup or in a shell's background they would be ignored, also by what tests start."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from commands.create_demo_dataset import Options, run

    folder = tmp_path_factory.mktemp("digits")
    run(Options(folder))
    return folder / "digits.pkl.zip"


@pytest.fixture(scope="session")
def fashion_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from commands.download_mnist import Options, run

    if not FASHION_MNIST.is_dir():
        pytest.skip(f"Debian's package dataset-fashion-mnist is not installed: no {FASHION_MNIST}")
    folder = tmp_path_factory.mktemp("fashion-mnist")
    run(Options(folder, source=str(FASHION_MNIST), name="fashion-mnist"))
    return folder / "fashion-mnist.pkl.zip"


@pytest.fixture(scope="session")
def picture_network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A snapshot of a network on coloured pictures, and the folder of these and their datasets."""
    from tests.small_networks import picture_datasets, train

    folder = tmp_path_factory.mktemp("pictures")
    dataset = picture_datasets(folder, resize_mode="crop") / "full.rgb.pkl.zip"
    return train(dataset, folder / "run"), folder


@pytest.fixture(scope="session")
def recording_network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A snapshot of a network on spectrograms, and the folder of the recordings and dataset."""
    from tests.small_networks import PATCHES, spectrogram_dataset, train

    folder = tmp_path_factory.mktemp("recordings")
    return train(spectrogram_dataset(folder), folder / "run", **PATCHES), folder


@pytest.fixture(autouse=True)
def _in_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test writes by a relative name (runs/) goes into its own folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("THEANO_FLAGS", raising=False)


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    started = Zygote()
    yield started
    started.close()
