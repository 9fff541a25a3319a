"""The numbers that Lasagne 0.2 on Theano 1.0.5 computed, and how to compare with them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

FOLDER = Path(__file__).parents[1] / "golden"


def cases(folder: str, pattern: str = "*") -> list[Any]:
    """Return one pytest parameter for each file of a folder, named after the file."""
    paths = sorted((FOLDER / folder).glob(f"{pattern}.npz"))
    assert paths, f"no golden files {folder}/{pattern}.npz"
    return [pytest.param(path, id=path.stem) for path in paths]


def load(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """Return a file's specification and its arrays."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    return json.loads(str(arrays.pop("spec"))), arrays


def error(actual: Tensor | np.ndarray, stored: np.ndarray) -> float:
    """Return the largest difference, relative to the largest stored value (absolute if all 0)."""
    values = actual.detach().cpu().numpy() if isinstance(actual, Tensor) else np.asarray(actual)
    assert values.shape == stored.shape
    return float(np.max(np.abs(values - stored)) / (np.max(np.abs(stored)) or 1))
