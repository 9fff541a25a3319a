"""hyperopt's own file of trials, read without letting it run code."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import CommandError
from common.files import whole_file

if TYPE_CHECKING:
    from hyperopt import Trials

ALLOWED = {
    ("hyperopt.base", "Trials"),
    ("datetime", "datetime"),
    ("numpy", "dtype"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.multiarray", "scalar"),
}
"""What a Trials object consists of, beside plain values; hyperopt.fmin leaves NumPy's numbers."""


def load_trials(path: Path) -> Trials:
    """Reads a pickled hyperopt.Trials, as hyperopt.fmin's `trials_save_file` writes it.

    Raises
    ------
    CommandError
        Where the file is damaged or asks for anything but trials; nothing of it is run then.
    """
    from hyperopt import Trials

    try:
        with path.open("rb") as file:
            trials = _TrialsUnpickler(file).load()
        trials.refresh()
    except Exception as error:  # a damaged or hostile stream can make the unpickler raise anything
        raise CommandError(
            f"{path} can't be read as hyperopt's trials: {error}; remove it to let the search find "
            "its evaluations by their folders."
        ) from error
    assert isinstance(trials, Trials)
    return trials


def save_trials(trials: Trials, path: Path) -> None:
    """Writes a hyperopt.Trials, whole or not at all.

    Raises CommandError where the system refuses.
    """
    with whole_file(path) as partial, partial.open("wb") as file:
        pickle.dump(trials, file)


class _TrialsUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for '{module}.{name}', which no trial needs")
        return super().find_class(module, name)
