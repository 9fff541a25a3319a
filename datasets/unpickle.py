"""Reads the pickle inside a dataset file without letting it do anything but build plain values.

The originals' files, and ours, hold `({subset: (instances, labels)}, label_to_index)`, in which an
array is the persistent id 'ndarray.<member of the zip>'. A pickle is a program that may call any
function, so every global is refused by name, and an array is only a reference until the whole
stream has been read: a stream cannot reach a real array to change it.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any


class FormatError(Exception):
    """What is wrong inside a dataset file, without the file's name."""


class ArrayReference(str):
    """The name of the zip's member that holds an array; immutable, so a stream can't alter it."""

    __slots__ = ()


def load_plain(stream: bytes) -> Any:
    """Builds what a pickle describes, if it is plain.

    Plain are dict, list, tuple, str, bytes, int, float, bool, None and ArrayReference. Byte strings
    of Python 2 come as bytes.

    Raises
    ------
    FormatError
        Where the stream is damaged or asks for anything else.
    """
    try:
        _check_opcodes(stream)
        return _PlainUnpickler(io.BytesIO(stream), encoding="bytes").load()
    except FormatError:
        raise
    except Exception as error:  # a damaged or hostile stream can make the unpickler raise anything
        raise FormatError(f"its pickle is damaged ({error})") from error


def text(value: Any) -> str:
    """Returns a name as text: str as it is, bytes as UTF-8 or else Latin-1, an integer as digits.

    Raises
    ------
    FormatError
        Where it is none of these.
    """
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("latin-1")
    if type(value) is str or type(value) is int:
        return str(value)
    raise FormatError(f"its pickle has a {type(value).__name__} where a name should be")


def _check_opcodes(stream: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in ("PUT", "LONG_BINPUT") and int(argument or 0) > len(stream):
            raise FormatError("its pickle asks for a memo larger than itself")


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise FormatError(
            f"its pickle asks for '{module}.{name}', which a dataset never needs; nothing was run"
        )

    def persistent_load(self, persistent_id: Any) -> ArrayReference:
        kind, _, member = text(persistent_id).partition(".")
        if kind != "ndarray" or not member:
            raise FormatError(f"its pickle refers to '{text(persistent_id)}', which is no array")
        return ArrayReference(member)
