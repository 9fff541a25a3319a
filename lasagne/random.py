"""The generator that initial parameters are drawn from."""

import numpy as np

__all__ = ["get_rng", "set_rng"]

_rng: np.random.RandomState | np.random.Generator = np.random.mtrand._rand


def get_rng() -> np.random.RandomState | np.random.Generator:
    """Return the generator that :mod:`lasagne.init` draws from.

    Returns
    -------
    numpy.random.RandomState or numpy.random.Generator
        The one given to :func:`set_rng`; by default NumPy's global one, which
        ``numpy.random.seed`` seeds.
    """
    return _rng


def set_rng(new_rng: np.random.RandomState | np.random.Generator) -> None:
    """Set the generator that :mod:`lasagne.init` draws from.

    Parameters
    ----------
    new_rng : numpy.random.RandomState or numpy.random.Generator
        For instance ``numpy.random.default_rng(seed)``.

    Raises
    ------
    TypeError
        If `new_rng` is neither.
    """
    global _rng
    if not isinstance(new_rng, np.random.RandomState | np.random.Generator):
        raise TypeError(
            f"new_rng must be a numpy.random.RandomState or numpy.random.Generator, got {new_rng!r}"
        )
    _rng = new_rng
