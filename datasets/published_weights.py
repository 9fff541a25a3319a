"""Weights that were published for ImageNet: torchvision's, Lasagne's and theano_alexnet's."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from common.errors import CommandError, unknown_name
from common.files import cannot_write, new_folders, whole_file
from datasets.checksums import digest, has_checksum
from datasets.download import is_address
from datasets.resumed_download import from_first

TORCHVISION = "https://download.pytorch.org/models"
LASAGNE = "https://s3.amazonaws.com/lasagne/recipes/pretrained/imagenet"
MAX_BYTES = 2**30  # that may be unpacked; the parameters have 244 MB
DAMAGE = (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class Weights:
    """The file that weights were published in.

    Parameters
    ----------
    file : str
        Its name.
    architecture : str
        The network that they are of.
    site : str
        The address that ends in the file's name; "" where only a person can get it.
    page : str
        Where a person finds the file, if there is no address.
    more : str
        What else import_weights is to be given: what the network differs in, and what the file
        lacks.
    checksum : str
        Published, see `has_checksum`; "" where none was.
    """

    file: str
    architecture: str
    site: str = ""
    page: str = ""
    more: str = ""
    checksum: str = ""

    @property
    def address(self) -> str:
        """Where the file is fetched from."""
        return f"{self.site}/{self.file}"

    @property
    def is_archive(self) -> bool:
        """Whether the file is a zip of one .npy file for each parameter."""
        return self.file.endswith(".zip")


def _torchvision(file: str, architecture: str) -> Weights:
    """Returns weights whose file name ends in the first digits of their SHA-256."""
    digits = Path(file).stem.rpartition("-")[2]
    checksum = f"sha256:{digits}"
    return Weights(file, architecture, TORCHVISION, checksum=checksum)


CAFFES_NORM = "--model-params ln0_alpha=2e-5:ln0_k=1:ln1_alpha=2e-5:ln1_k=1"
"""Caffe divides alpha by the five maps that it sums over, and adds 1."""


WEIGHTS: Mapping[str, Weights] = {
    "torchvision-alexnet": _torchvision("alexnet-owt-7be5be79.pth", "TorchvisionAlexNet"),
    "torchvision-vgg16": _torchvision("vgg16-397923af.pth", "TorchvisionVgg16"),
    "torchvision-vgg19": _torchvision("vgg19-dcbb9e9d.pth", "TorchvisionVgg19"),
    "torchvision-resnet18": _torchvision("resnet18-f37072fd.pth", "TorchvisionResNet18"),
    "torchvision-resnet50": _torchvision("resnet50-0676ba61.pth", "TorchvisionResNet50"),
    "torchvision-resnet50-v2": _torchvision("resnet50-11ad3fa6.pth", "TorchvisionResNet50"),
    "lasagne-caffe-reference": Weights(
        "caffe_reference.pkl", "CaffeAlexNet", LASAGNE, more=CAFFES_NORM
    ),
    "lasagne-vgg16": Weights("vgg16.pkl", "TorchvisionVgg16", LASAGNE),
    "lasagne-vgg19": Weights("vgg19.pkl", "TorchvisionVgg19", LASAGNE),
    "theano-alexnet": Weights(
        "parameters_releasing.zip",
        "CaffeAlexNet",
        page="http://hdl.handle.net/10864/10911",
        more="--dataset-path data/imagenet/imagenet.shards",
        checksum="sha1:58950804f50f8d1a76705e1b28d3546e12ea8a81",
    ),
}


@dataclass(frozen=True)
class Fetched:
    """Where weights are, a file or a folder; whether they were there already; and their SHA-256.

    Of a folder there is no SHA-256, but of the archive that it came from.
    """

    path: Path
    was_there: bool
    sha256: str = ""


def find_weights(name: str) -> Weights:
    """Returns the weights of a name; raises CommandError where there are none."""
    if name not in WEIGHTS:
        raise CommandError(unknown_name("weights", name, WEIGHTS))
    return WEIGHTS[name]


def fetch(
    weights: Weights, folder: Path, *, source: str | None = None, timeout: float = 30.0
) -> Fetched:
    """Downloads weights to `folder`, where they are not there already.

    A zip of parameters is unpacked, to a folder of its name. What was downloaded before the
    connection broke is not downloaded again.

    Parameters
    ----------
    weights, folder
        Which, and where they go.
    source : str, optional
        The file, or its http address; by default the public address.
    timeout : float
        Seconds to wait for a server's next sign of life.

    Raises
    ------
    CommandError
        Where they can't be got, have another checksum than was published, or can't be written.
    """
    if not timeout > 0:
        raise CommandError(f"--timeout is {timeout:g}; give a number of seconds above 0.")
    path = folder / weights.file
    unpacked = path.with_suffix("")
    if weights.is_archive and unpacked.is_dir() and any(unpacked.iterdir()):
        return Fetched(unpacked, True)
    try:
        with new_folders(folder):
            was_there = path.is_file() and not _fault(weights, path)
            if not was_there:
                _get(weights, path, source, timeout)
            sha256 = digest(path, "sha256")
            if not weights.is_archive:
                return Fetched(path, was_there, sha256)
            try:
                _unpack(path, unpacked)
            finally:
                if not was_there:
                    path.unlink()
            return Fetched(unpacked, False, sha256)
    except OSError as error:
        raise cannot_write(path, error) from error


def _get(weights: Weights, path: Path, source: str | None, timeout: float) -> None:
    if source is None and not weights.site:
        raise CommandError(
            f"{weights.file} has no address that a program can fetch it from; get it by your "
            f"browser from {weights.page} (Data & Analysis), then give --source {weights.file}."
        )
    source = weights.address if source is None else source
    if is_address(source):
        from_first([source], path, timeout, lambda found: _fault(weights, found))
        return
    if not Path(source).is_file():
        raise CommandError(f"--source {source} is no file; give {weights.file} or an http address.")
    with whole_file(path) as partial:
        shutil.copyfile(source, partial)
        if wrong := _fault(weights, partial):
            raise CommandError(
                f"--source {source} {wrong} of {weights.file}; get it from where it came from "
                "again."
            )


def _fault(weights: Weights, path: Path) -> str:
    right = has_checksum(path, weights.checksum)
    return "" if right else "has another checksum than the published one"


def _unpack(archive: Path, folder: Path) -> None:
    """Writes the .npy members of a zip to a folder, which appears when all of them are there."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    try:
        partial.mkdir()
        _extract(archive, partial)
        partial.replace(folder)
    except DAMAGE as error:
        raise CommandError(
            f"The archive {archive} is damaged or no zip archive ({error}); get it from where it "
            "came from again."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _extract(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as content:
        members = {  # by their last names alone, so that none can lie outside of the folder
            PurePosixPath(member.filename).name: member
            for member in content.infolist()
            if member.filename.endswith(".npy") and not member.filename.startswith("__MACOSX/")
        }
        size = sum(member.file_size for member in members.values())
        if not members or size > MAX_BYTES:
            raise zipfile.BadZipFile(f"it holds {len(members)} .npy files of {size:,} bytes")
        for name, member in members.items():
            with content.open(member) as source, (folder / name).open("wb") as target:
                shutil.copyfileobj(source, target)
