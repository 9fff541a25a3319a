"""The zip and .npy level of a dataset file: arrays mapped at their offset, or written aligned.

Formats: PKWARE's APPNOTE.TXT for zip, numpy.lib.format for .npy.
"""

from __future__ import annotations

import io
import math
import mmap
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np

from datasets.unpickle import FormatError

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ALIGNMENT = 64  # bytes; every array starts at a multiple of it in the file
PADDING_ID = 0xD935  # the zip extra field that Android's zipalign pads with
ZIP64_FROM = 2**30  # bytes from which on a member gets 64-bit sizes
ZIP64_BYTES = 20  # what 64-bit sizes add to a local header
DATE = (1980, 1, 1, 0, 0, 0)  # one date for all members, so that equal datasets are equal files
DEFLATE_RATIO = 1032  # deflate never shrinks data more than this
LOCAL_HEADER = struct.Struct("<4s22xHH")
END_RECORD, END_BYTES, COUNT_AT = b"PK\5\6", 22, 10
MANY = 0xFFFF  # members, for which another record has the count
UTF_8 = 0x800  # the flag of a member whose name is in UTF-8, not in code page 437
MAX_SMALL_BYTES = 64 * 2**20  # for members that hold no array
INFLATE_BYTES = 2**20
INFLATE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,  # zipfile's for encryption, and NotImplementedError for what it lacks
    MemoryError,
)


@dataclass(frozen=True)
class Blocks:
    """An array that is written without ever being in memory as a whole.

    Parameters
    ----------
    shape, dtype
        Of the whole array.
    arrays : iterable of np.ndarray
        Parts of it whose rows follow one another.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    arrays: Iterable[np.ndarray]


class Archive:
    """A zip opened for reading; what is wrong with it is raised as FormatError."""

    def __init__(self, file: BinaryIO) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
            raise FormatError(f"it is truncated or no .pkl.zip file ({error})") from error
        self.mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._check_count()

    def __contains__(self, name: str) -> bool:
        return name in self._zip.namelist()

    @property
    def names(self) -> list[str]:
        """The names of all members."""
        return self._zip.namelist()

    def crc(self, name: str) -> int:
        """Returns the checksum (CRC-32) that the zip states for the member `name`."""
        return self._info(name).CRC

    def is_stored(self, name: str) -> bool:
        """Returns whether the member `name` is stored as it is, and so can be mapped."""
        return self._info(name).compress_type == zipfile.ZIP_STORED

    def content(self, name: str) -> memoryview | bytearray:
        """Returns the bytes of the member `name`, mapped where it is stored.

        What was compressed has been held against its checksum; what is mapped has not.
        """
        return self._content(self._info(name))

    def read(self, name: str) -> bytes:
        """Returns the content of the small member `name`."""
        info = self._info(name)
        if info.file_size > MAX_SMALL_BYTES:
            raise FormatError(f"its member '{name}' is too large ({info.file_size:,} bytes)")
        return bytes(self._content(info))

    def array(self, name: str) -> np.ndarray:
        """Returns the array in the member `name`, read-only.

        A stored member is mapped, a compressed one is read into memory.
        """
        info = self._info(name)
        content = self._content(info)
        dtype, shape, order, start = npy_header(f"its member '{name}'", content)
        if start + math.prod(shape) * dtype.itemsize != len(content):
            raise FormatError(
                f"its member '{name}' declares an array of shape {shape} and type {dtype}, "
                f"but holds {len(content) - start:,} bytes of values"
            )
        buffer: mmap.mmap | bytearray = self.mapping
        if isinstance(content, bytearray):
            buffer = content
        else:
            start += self._offset(info)
        array = np.ndarray(shape, dtype, buffer=buffer, offset=start, order=order)
        array.flags.writeable = False
        return array

    def _check_count(self) -> None:
        """Checks that all members are listed; zipfile takes what it finds of them for all."""
        end = self.mapping.rfind(END_RECORD, 0, len(self.mapping) - END_BYTES + len(END_RECORD))
        (stated,) = struct.unpack_from("<H", self.mapping, end + COUNT_AT)
        if stated not in (len(self.names), MANY):
            raise FormatError(f"it is truncated: {len(self.names)} of {stated} members are listed")

    def _info(self, name: str) -> zipfile.ZipInfo:
        if name not in self:
            raise FormatError(f"its member '{name}' is missing")
        info = self._zip.getinfo(name)
        if info.flag_bits & 1 or info.compress_type not in METHODS:
            raise FormatError(f"its member '{name}' is encrypted or compressed in an unknown way")
        return info

    def _offset(self, info: zipfile.ZipInfo) -> int:
        """Returns where the member's content starts, which only its local header tells."""
        start = max(0, info.header_offset)
        header = self.mapping[start : start + LOCAL_HEADER.size]
        if len(header) < LOCAL_HEADER.size or header[:4] != b"PK\3\4":
            raise FormatError(f"its member '{info.filename}' has no header where it should be")
        _, name_bytes, extra_bytes = LOCAL_HEADER.unpack(header)
        start += LOCAL_HEADER.size
        codec = "utf-8" if info.flag_bits & UTF_8 else "cp437"
        if self.mapping[start : start + name_bytes] != info.orig_filename.encode(codec):
            raise FormatError(f"its member '{info.filename}' has another name where it lies")
        return start + name_bytes + extra_bytes

    def _content(self, info: zipfile.ZipInfo) -> memoryview | bytearray:
        if info.compress_type == zipfile.ZIP_STORED:
            start = self._offset(info)
            content = memoryview(self.mapping)[start : start + info.file_size]
            if len(content) < info.file_size or info.file_size != info.compress_size:
                raise FormatError(f"its member '{info.filename}' is truncated")
            return content
        return self._inflate(info)

    def _inflate(self, info: zipfile.ZipInfo) -> bytearray:
        if info.compress_size > len(self.mapping):
            raise FormatError(f"its member '{info.filename}' is truncated")
        if info.file_size > DEFLATE_RATIO * info.compress_size + 64:
            raise FormatError(
                f"its member '{info.filename}' declares {info.file_size:,} bytes, "
                f"more than its {info.compress_size:,} compressed ones can hold"
            )
        size = 0
        try:
            content = bytearray(info.file_size)
            with self._zip.open(info) as member:
                while step := member.read(INFLATE_BYTES):
                    content[size : size + len(step)] = step
                    size += len(step)
        except INFLATE_ERRORS as error:
            raise FormatError(f"its member '{info.filename}' is damaged ({error})") from error
        if size != info.file_size:
            raise FormatError(f"its member '{info.filename}' is truncated")
        return content


def npy_header(
    what: str, content: bytes | memoryview | bytearray
) -> tuple[np.dtype, tuple[int, ...], Literal["C", "F"], int]:
    """Returns type, shape, order ('C' or 'F') and where the values start.

    Raises FormatError, about `what`, where it is no header, or its array holds no numbers.
    """
    stream = io.BytesIO(content[:65536])
    try:
        with warnings.catch_warnings():  # a header that Python 2 wrote has long integers
            warnings.simplefilter("ignore", UserWarning)
            if np.lib.format.read_magic(stream) == (1, 0):
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
            else:
                shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    except Exception as error:  # numpy reads it as a Python literal
        raise FormatError(f"{what} is no .npy array ({error})") from error
    if dtype.kind not in "iuf" or dtype.hasobject or dtype.itemsize > 8:
        raise FormatError(f"{what} holds values of type {dtype}, not numbers")
    if min(shape, default=0) < 0:
        raise FormatError(f"{what} declares the impossible shape {shape}")
    return dtype, shape, "F" if fortran else "C", stream.tell()


class ArchiveWriter:
    """Writes members uncompressed; the values of arrays start at multiples of 64 bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def write(self, name: str, content: bytes) -> None:
        """Writes a small member."""
        self._zip.writestr(_member(name), content)

    def write_array(self, name: str, array: Blocks | np.ndarray) -> None:
        """Writes an array as a .npy member, block by block where it comes in Blocks.

        Raises
        ------
        ValueError
            Where the blocks don't add up to the array that was announced.
        """
        blocks = array if isinstance(array, Blocks) else Blocks(array.shape, array.dtype, [array])
        header = io.BytesIO()
        descr = np.lib.format.dtype_to_descr(np.dtype(blocks.dtype))
        fields = {"descr": descr, "fortran_order": False, "shape": tuple(blocks.shape)}
        np.lib.format.write_array_header_1_0(header, fields)
        size = header.tell() + math.prod(blocks.shape) * np.dtype(blocks.dtype).itemsize
        info = _member(name)
        info.file_size = size
        zip64 = size >= ZIP64_FROM
        info.extra = _padding(self._file.tell() + 30 + len(name) + ZIP64_BYTES * zip64)
        rows = 0
        with self._zip.open(info, "w", force_zip64=zip64) as member:
            member.write(header.getvalue())
            for block in blocks.arrays:
                if block.shape[1:] != tuple(blocks.shape[1:]) or block.dtype != blocks.dtype:
                    raise ValueError(f"a block of {block.shape}, {block.dtype} for {blocks.shape}")
                rows += len(block)
                if block.size:
                    member.write(np.ascontiguousarray(block).data)
        if rows != blocks.shape[0]:
            raise ValueError(f"{rows} rows for an array of shape {blocks.shape}")


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, DATE)
    info.create_system = 3
    info.external_attr = 0o644 << 16
    return info


def _padding(offset: int) -> bytes:
    """Returns an extra field that moves content which would start at `offset` to alignment."""
    zeros = -(offset + 4) % ALIGNMENT
    return struct.pack("<HH", PADDING_ID, zeros) + bytes(zeros)
