"""The public collections of music that MIRdl was tried on: Ballroom and GTZAN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import CommandError
from datasets.checksums import has_checksum
from datasets.download import is_address
from datasets.resumed_download import from_first
from datasets.unpack import unpack


@dataclass(frozen=True)
class Collection:
    """A collection of recordings.

    Parameters
    ----------
    name : str
        The folder that it is unpacked to.
    mirrors : mapping of str to str
        The checksum, '<algorithm>:<hex digits>', of the archive at every address.
    folders : mapping of str to str
        Where, below the folder, the recordings of some of the archive's folders go.
    """

    name: str
    mirrors: Mapping[str, str]
    folders: Mapping[str, str] = field(default_factory=dict)


BALLROOM = Collection(
    "ballroom",
    {
        "https://mtg.upf.edu/ismir2004/contest/tempoContest/data1.tar.gz": (
            "md5:2872a3e52070bc342a4510a95e2fa0b8"
        ),
    },
    {  # 98 Rumbas in three folders are one of the eight dances
        f"Rumba-{kind}": f"Rumba/Rumba-{kind}" for kind in ("American", "International", "Misc")
    },
)
GTZAN = Collection(
    "gtzan",
    {  # the second is where it was published, which has not answered for years
        "https://huggingface.co/datasets/marsyas/gtzan/resolve/main/data/genres.tar.gz": (
            "sha256:b28cc067ff6199bd826f5d1a6931458586d64acae7f44b2e882b7a97af057531"
        ),
        "http://opihi.cs.uvic.ca/sound/genres.tar.gz": "md5:5b3d6dddb579ab49814ab86dba69e7c7",
    },
)


@dataclass(frozen=True)
class Fetched:
    """Where a collection is, and how many recordings were unpacked; 0 where it was there."""

    folder: Path
    count: int


def fetch(
    collection: Collection,
    data_dir: Path,
    *,
    source: str | None = None,
    keep_archive: bool = False,
    timeout: float = 30.0,
) -> Fetched:
    """Downloads a collection and unpacks it to `data_dir/<name>/<label>/`.

    What was downloaded before the connection broke is not downloaded again; the folder appears when
    it is whole.

    Parameters
    ----------
    collection
        Which one.
    data_dir : Path
        Where it goes.
    source : str, optional
        The archive, a file or an http address; by default the public addresses, whose archives'
        checksums are known and checked.
    keep_archive : bool
        Whether what was downloaded stays, as `data_dir/<name>.tar.gz`; an archive that was there
        is taken if it is the published one, and stays.
    timeout : float
        Seconds to wait for a server's next sign of life.

    Raises
    ------
    CommandError
        Where it can't be got, unpacked or written.
    """
    if not timeout > 0:
        raise CommandError(f"--timeout is {timeout:g}; give a number of seconds above 0.")
    folder = data_dir / collection.name
    if folder.is_dir() and any(folder.iterdir()):
        return Fetched(folder, 0)
    if source is not None and not is_address(source):
        if not Path(source).is_file():
            raise CommandError(
                f"--source {source} is no file; give the collection's archive (.tar.gz), or its "
                "http address."
            )
        return Fetched(folder, _unpacked(collection, Path(source), folder))
    archive = data_dir / f"{collection.name}.tar.gz"
    mirrors = dict(collection.mirrors) if source is None else {source: ""}
    # Of a source of one's own no checksum tells whether an archive that is there came from it.
    missing = source is not None or not archive.is_file() or _fault(archive, *mirrors.values())
    if missing:
        _download(mirrors, archive, timeout)
    count = _unpacked(collection, archive, folder)
    if missing and not keep_archive:
        archive.unlink(missing_ok=True)
    return Fetched(folder, count)


def _download(mirrors: Mapping[str, str], archive: Path, timeout: float) -> None:
    checksums = list(mirrors.values())
    from_first(list(mirrors), archive, timeout, lambda path: _fault(path, *checksums))


def _unpacked(collection: Collection, archive: Path, folder: Path) -> int:
    return unpack(archive, folder, lambda label: collection.folders.get(label, label))


def _fault(archive: Path, *checksums: str) -> str:
    """Returns what is wrong with an archive that should have one of the checksums."""
    right = any(has_checksum(archive, checksum) for checksum in checksums)
    return "" if right else "has another checksum than the collection's"
