"""Weights of the past: the files in which programs of Lasagne's and Theano's days kept parameters.

>>> from lasagne.layers import set_all_param_values
>>> from lasagne.weights import load_param_values
>>> set_all_param_values(network, load_param_values("vgg16.pkl"))  # doctest: +SKIP
"""

import pickle
import pickletools
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

__all__ = ["load_model", "load_param_values"]

Values = list[NDArray[Any]]

#: Where the model zoo's dictionaries have the list.
_KEYS = ("param values", "values")

_ALEXNET_FILE = re.compile(r"(W|b)([01]?)_(\d+)_(\d+)\.npy")


def load_param_values(path: str | PathLike[str]) -> Values:
    """Read the values of a network's parameters, in the order in which they were saved.

    Parameters
    ----------
    path : str or path
        One of

        * an ``.npz`` file of ``numpy.savez(file, *get_all_param_values(network))``, as MIRdl and
          Lasagne's examples wrote it;
        * a pickle of Lasagne's model zoo (a dictionary with 'param values' or 'values', or a list
          of arrays), of Python 2 or 3. No code in it is run: only numbers, text, containers and
          numeric arrays are built;
        * a folder of theano_alexnet's ``.npy`` files, like ``W_0_65.npy``, of which the latest
          epoch is taken. Filters are turned from (channels, height, width, filters) to Lasagne's
          (filters, channels, height, width), and the halves of a layer with two groups joined: they
          fit layers with ``num_groups=2``.

    Returns
    -------
    list of numpy.ndarray
        For :func:`lasagne.layers.set_all_param_values`.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged, holds anything but arrays, or has none.
    """
    path = Path(path)
    if path.is_dir():
        return _read_alexnet(path)
    with path.open("rb") as file:
        is_zip = zipfile.is_zipfile(file)
    return _read_npz(path) if is_zip else _read_pickle(path)


def load_model(path: str | PathLike[str]) -> dict[str, Any]:
    """Read all that a pickle of Lasagne's model zoo holds.

    Parameters
    ----------
    path : str or path
        A pickle of a dictionary or of a list of arrays, of Python 2 or 3; no code in it is run.

    Returns
    -------
    dict
        'param values', a list of numpy.ndarray, and what else a dictionary has, often 'mean value'
        or 'mean image' (numpy.ndarray), 'synset words' (list of str) and 'model type'.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged, or holds anything but arrays, numbers, text and containers of these.
    """
    path = Path(path)
    with _refusal(path):
        content = _unpickle(path)
        values = _listed(content)
        rest = content if isinstance(content, dict) else {}
        return {str(key): _plain(value) for key, value in rest.items()} | {"param values": values}


def _read_npz(path: Path) -> Values:
    """Read arr_0, arr_1 and so on."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            names = [f"arr_{i}" for i in range(len(stored.files))]
            if set(names) != set(stored.files):
                raise ValueError(
                    "its arrays must be named arr_0, arr_1 and so on, as "
                    f"numpy.savez(file, *values) names them, got {', '.join(stored.files)}"
                )
            return [stored[name] for name in names]
    except (ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"'{path}' holds no parameter values: {error}") from None


def _read_alexnet(folder: Path) -> Values:
    """Read the latest epoch's files, layer by layer."""
    found = {f.name: m for f in folder.iterdir() if (m := _ALEXNET_FILE.fullmatch(f.name))}
    if not found:
        raise ValueError(
            f"'{folder}' holds no parameter values: a folder must have files like W_0_65.npy "
            "(theano_alexnet's parameter W of layer 0 at epoch 65)"
        )
    epoch = max(int(match[4]) for match in found.values())
    parts: dict[tuple[int, str], Values] = {}
    for name, match in sorted(found.items()):
        if int(match[4]) == epoch:
            parts.setdefault((int(match[3]), match[1]), []).append(_read_npy(folder / name))
    for layer, name in parts:
        halves = [f"{name}{half}_{layer}_{epoch}.npy" for half in "01"]
        there = [half for half in halves if half in found]
        if len(there) == 1:
            missing = halves[1 - halves.index(there[0])]
            raise ValueError(f"'{folder}' has {there[0]}, but its other half {missing} is missing")
    try:
        return [np.concatenate([_oriented(part) for part in parts[key]]) for key in sorted(parts)]
    except ValueError as error:
        raise ValueError(f"'{folder}' holds parts that do not fit together: {error}") from None


def _read_npy(path: Path) -> NDArray[Any]:
    """Read one array."""
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"'{path}' holds no array: {error}") from None
    return array


def _oriented(array: NDArray[Any]) -> NDArray[Any]:
    """Return filters (channels, height, width, filters) in Lasagne's order, other arrays as is."""
    return array.transpose(3, 0, 1, 2) if array.ndim == 4 else array


def _read_pickle(path: Path) -> Values:
    """Read the arrays of a pickle's list, or of its entry 'param values'."""
    with _refusal(path):
        return _listed(_unpickle(path))


def _unpickle(path: Path) -> Any:
    with path.open("rb") as file:
        _check_memo(file, path.stat().st_size)
        file.seek(0)
        return _ArrayUnpickler(file, encoding="latin1").load()


def _listed(content: Any) -> Values:
    """Return the arrays of a list, or of a dictionary's entry 'param values'."""
    if isinstance(content, dict):
        if not any(key in content for key in _KEYS):
            raise ValueError(f"it has no 'param values', only {', '.join(map(repr, content))}")
        content = next(content[key] for key in _KEYS if key in content)
    if not isinstance(content, list | tuple) or not content:
        raise ValueError(f"a list of arrays was expected, got {type(content).__name__}")
    return [_as_array(item) for item in content]


def _plain(item: Any) -> Any:
    """Return arrays as such, in containers too."""
    if isinstance(item, _Array):
        return item.value()
    if isinstance(item, dict):
        return {key: _plain(value) for key, value in item.items()}
    if isinstance(item, list | tuple):
        return [_plain(value) for value in item]
    return item


@contextmanager
def _refusal(path: Path) -> Iterator[None]:
    """Turn whatever a damaged or hostile stream makes the unpickler raise into one sentence."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise ValueError(
            f"'{path}' holds no parameter values: it is no .npz file and no folder, and cannot be "
            f"read as a pickle ({error})"
        ) from None


def _check_memo(file: BinaryIO, size: int) -> None:
    """Raise ValueError for a memo index which would make the unpickler take all memory."""
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ("PUT", "LONG_BINPUT") and int(argument or 0) > size:
            raise ValueError("its memo is larger than itself")


def _as_array(item: Any) -> NDArray[Any]:
    if isinstance(item, _Array):
        return item.value()
    if isinstance(item, int | float):
        return np.asarray(item)
    raise ValueError(f"a list of arrays was expected, got {type(item).__name__} in it")


class _Dtype:
    """What a pickle says of a dtype."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.name = str(name)
        self.byte_order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.byte_order = state[1] if state[1] in ("<", ">") else "="

    def dtype(self) -> np.dtype[Any]:
        if not re.fullmatch(r"[biufc]\d+", self.name):
            raise ValueError(f"arrays must be of numbers, got one of dtype {self.name!r}")
        return np.dtype(self.byte_order + self.name)


class _Array:
    """What a pickle says of an array, until all of it has been read."""

    def __init__(self, *_: Any) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def value(self) -> NDArray[Any]:
        _, shape, dtype, is_fortran, data = self.state
        data = data.encode("latin1") if isinstance(data, str) else data
        return np.frombuffer(data, dtype.dtype()).reshape(shape, order="F" if is_fortran else "C")


def _from_buffer(data: Any, dtype: _Dtype, shape: Any, order: Any) -> _Array:
    """Stand in for NumPy's function in pickles of protocol 5."""
    array = _Array()
    array.state = (1, shape, dtype, order == "F", bytes(data))
    return array


def _scalar(dtype: _Dtype, data: Any = b"") -> Any:
    """Stand in for NumPy's function that makes a scalar."""
    data = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(data, dtype.dtype())[0].item()


def _encode(text: str, encoding: str) -> bytes:
    """Stand in for the function by which Python 3 writes bytes in protocol 2."""
    if encoding != "latin1":
        raise ValueError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")


class _Function:
    """A function which a pickle can call, but not change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise ValueError("it tries to change a function")


_STANDINS: dict[str, _Function] = {
    "numpy.ndarray": _Function(_Array),
    "numpy.dtype": _Function(_Dtype),
    "_codecs.encode": _Function(_encode),
    "collections.OrderedDict": _Function(dict),
} | {
    f"numpy.{core}.{name}": _Function(standin)
    for core in ("core", "_core")
    for name, standin in (
        ("multiarray._reconstruct", _Array),
        ("multiarray.scalar", _scalar),
        ("numeric._frombuffer", _from_buffer),
    )
}


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that knows stand-ins for what an array is made of, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _STANDINS[f"{module}.{name}"]
        except KeyError:
            raise ValueError(
                f"it asks for '{module}.{name}', which parameter values never need; nothing was run"
            ) from None
