"""One shard of pictures: what it is made of, how it is closed, and whether it is there already."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.crc32 import joined_crc
from common.files import whole_file, write_at
from datasets.imagenet.blocks import PICTURES, Block, Decoded, stamp_of
from datasets.shards import LABEL_TYPE, ShardFile, header_of

PIXEL_TYPE = np.dtype("u1")


@dataclass(frozen=True)
class Plan:
    """A shard that is to be there.

    Its file grows beside its name. A record of what it was made of is written when it is whole, so
    that the next run knows it.

    Parameters
    ----------
    folder : Path
        Of the shards.
    stem : str
        What its files' names begin with, as 'training-00000'.
    source : Path
        The folder of the pictures.
    names : list of str
        Their paths below it.
    labels : np.ndarray of shape (n,)
    size : int
        Height and width in pixels.
    settings : bytes
        A digest of all else that decides the pixels.
    """

    folder: Path
    stem: str
    source: Path
    names: list[str]
    labels: np.ndarray
    size: int
    settings: bytes

    @property
    def record(self) -> Path:
        """The file that says what the shard was made of."""
        return self.folder / f"{self.stem}.json"

    @property
    def growing(self) -> Path:
        """The file that this process writes pictures to."""
        return self.folder / f"{self.stem}.npy.{os.getpid()}.partial"

    @property
    def row_bytes(self) -> int:
        """The size of a picture in the shard."""
        return self.size * self.size * 3

    @property
    def num_blocks(self) -> int:
        """How many blocks its pictures make."""
        return -(-len(self.names) // PICTURES)

    def instances(self, count: int) -> ShardFile:
        """Returns what the index says of the file of `count` pictures, but for the checksum."""
        return ShardFile(f"{self.stem}.npy", (count, self.size, self.size, 3), PIXEL_TYPE, "")

    def block(self, number: int) -> Block:
        """Returns the pictures of a block, to be decoded into the growing file."""
        names = self.names[number * PICTURES :][:PICTURES]
        offset = self.start + number * PICTURES * self.row_bytes
        return Block(str(self.growing), offset, str(self.source), names)

    @property
    def start(self) -> int:
        """The bytes before the first picture; numpy leaves room for any number of them."""
        return len(header_of(self.instances(len(self.names))))

    def made_of(self, stamps: Sequence[bytes]) -> str:
        """Returns a digest of all that decides the shard's bytes; `stamps` are of its blocks."""
        digest = hashlib.blake2b(self.settings, digest_size=16)
        digest.update(self.labels.astype(LABEL_TYPE).tobytes())
        digest.update(b"".join(stamps))
        return digest.hexdigest()

    def stamps(self) -> Iterator[bytes]:
        """Yields the stamp of every block as the files are now."""
        for number in range(self.num_blocks):
            _, _, folder, names = self.block(number)
            yield stamp_of(folder, names)


class Finished(NamedTuple):
    """A shard that is whole.

    Parameters
    ----------
    files : (ShardFile, ShardFile), optional
        Of its pictures and labels; None where no picture was readable.
    unreadable : dict of int to str
        The reason, by position in the plan, of every picture that was left out.
    """

    files: tuple[ShardFile, ShardFile] | None
    unreadable: dict[int, str]


class Found(NamedTuple):
    """A shard that was there; `sums` are of its pictures, int64."""

    finished: Finished
    sums: np.ndarray


def close(plan: Plan, decoded: Sequence[Decoded]) -> Finished:
    """Gives the growing file its name, once all blocks are in it, and writes labels and record.

    Raises
    ------
    OSError, CommandError
        Where the system refuses to write.
    """
    unreadable = {
        number * PICTURES + position: reason
        for number, block in enumerate(decoded)
        for position, reason in block.unreadable.items()
    }
    if not (count := sum(block.num_written for block in decoded)):
        plan.growing.unlink()
        return Finished(None, unreadable)
    instances = plan.instances(count)
    header = header_of(instances)
    crc = zlib.crc32(header)
    file = os.open(plan.growing, os.O_RDWR)
    try:
        write_at(file, header, 0)
        place = len(header)
        for number, block in enumerate(decoded):
            _move(file, plan.block(number).offset, place, block.num_written * plan.row_bytes)
            crc = joined_crc(crc, block.crc, block.num_written * plan.row_bytes)
            place += block.num_written * plan.row_bytes
        os.truncate(file, place)
    finally:
        os.close(file)
    plan.growing.replace(plan.folder / instances.name)
    files = replace(instances, crc=f"{crc:08x}"), _write_labels(plan, unreadable)
    record = {
        "made_of": plan.made_of([block.stamp for block in decoded]),
        "count": count,
        "crc32": f"{crc:08x}",
        "unreadable": unreadable,
    }
    with whole_file(plan.record) as partial:
        partial.write_text(json.dumps(record), encoding="utf-8")
    return Finished(files, unreadable)


def _move(file: int, source: int, target: int, length: int) -> None:
    """Moves bytes of a file towards its beginning."""
    while source != target and length:
        content = os.pread(file, min(length, 2**20), source)
        write_at(file, content, target)
        source, target, length = (
            source + len(content),
            target + len(content),
            length - len(content),
        )


def _write_labels(plan: Plan, unreadable: dict[int, str]) -> ShardFile:
    labels = np.delete(plan.labels, list(unreadable)).astype(LABEL_TYPE)
    return write_array(plan.folder, f"{plan.stem}.labels.npy", labels)


def write_array(folder: Path, name: str, array: np.ndarray) -> ShardFile:
    """Writes a small array as a file of the folder; returns what the index says of it."""
    file = ShardFile(name, array.shape, array.dtype, "")
    content = header_of(file) + array.tobytes()
    with whole_file(folder / name) as partial:
        partial.write_bytes(content)
    return replace(file, crc=f"{zlib.crc32(content):08x}")


def find(plan: Plan) -> Found | None:
    """Returns a shard that an earlier run has finished, if it is what this one would make.

    Its pictures' files are looked at, not read; the shard itself is read and held against the
    record.
    """
    try:
        record = json.loads(plan.record.read_text(encoding="utf-8"))
        if record["made_of"] != plan.made_of(list(plan.stamps())):
            return None
        crc, sums = _read(plan, record["count"])
        unreadable = {int(position): reason for position, reason in record["unreadable"].items()}
        if f"{crc:08x}" != record["crc32"] or len(plan.names) - len(unreadable) != record["count"]:
            return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None  # of a machine that went down, or not of this program
    instances = replace(plan.instances(record["count"]), crc=record["crc32"])
    return Found(Finished((instances, _write_labels(plan, unreadable)), unreadable), sums)


def _read(plan: Plan, count: Any) -> tuple[int, np.ndarray]:
    """Returns the checksum of a shard's file and the sum of its pictures."""
    instances = plan.instances(count)
    header = header_of(instances)
    sums = np.zeros(instances.shape[1:], np.int64)
    with (plan.folder / instances.name).open("rb") as stream:
        if stream.read(len(header)) != header:
            raise ValueError("another header")
        crc = zlib.crc32(header)
        while content := stream.read(PICTURES * plan.row_bytes):
            crc = zlib.crc32(content, crc)
            rows = np.frombuffer(content, PIXEL_TYPE).reshape(-1, *sums.shape)
            sums += rows.sum(axis=0, dtype=np.uint32)
    return crc, sums
