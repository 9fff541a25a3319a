"""One evaluation of a search."""

from __future__ import annotations

from pathlib import Path

from results.child_run import ChildRun
from results.search.outcome import Result


class Evaluation(ChildRun):
    """A run that a search may stop early.

    Attributes
    ----------
    halved : its result where it was stopped early, else None.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.halved: Result | None = None
