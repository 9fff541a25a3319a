"""A search as a picture: error over evaluations, and the effect of each hyperparameter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    StrMethodFormatter,
)

from results.plots import BEST, TRAINING, VALIDATION, finish
from results.search.table import Row, best_of
from training.search.parameters import Parameter

PER_LINE = 4  # panels
EARLY_TO_LATE = LinearSegmentedColormap.from_list("early to late", ["#c6d8ea", "#12395f"])
QUIET = "#80868b"
SPREAD = 0.16  # of a strip's points to both sides
LOG_FROM = 4.0  # ratio of the highest and the lowest error that a logarithmic axis shows better
FEWEST = 3  # evaluations with an option that have a median worth a line
WIDE = 26  # letters that fit below a panel


def search_picture(
    rows: Sequence[Row], parameters: Mapping[str, Parameter], title: str, path: Path
) -> None:
    """Draws a search into the PNG file `path`.

    Above, the error of each evaluation and the best so far; below, a panel for each hyperparameter:
    its values (a strip of points for each of several options) and the error. Later evaluations are
    darker; those that failed are crosses along the top.

    Parameters
    ----------
    rows : sequence of Row
        The evaluations, by their numbers; at least one has not failed.
    parameters : mapping
        The hyperparameters by name.
    title : str
        What was searched.
    """
    shown = [one for one in parameters.values() if any(one.name in row.point for row in rows)]
    lines = math.ceil(len(shown) / PER_LINE)
    figure = Figure(figsize=(12, 3.8 + 2.4 * lines), dpi=110, layout="constrained")
    grid = GridSpec(1 + lines, PER_LINE, figure, height_ratios=[1.4] + [1] * lines)
    top = figure.add_subplot(grid[0, :])
    _over_evaluations(top, rows)
    _legend(top, rows, medians=any(one.options for one in shown))
    for index, parameter in enumerate(shown):
        place = grid[1 + index // PER_LINE, index % PER_LINE]
        axes = figure.add_subplot(place, sharey=top)
        _effect(axes, rows, parameter)
        if index % PER_LINE:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel("validation error")
    finish(figure, title, path)


def _over_evaluations(axes: Axes, rows: Sequence[Row]) -> None:
    good = [row for row in rows if not row.failed]
    best = best_of(rows)
    assert best is not None
    _error_axis(axes, [row.error for row in good])
    numbers = [row.number for row in good]
    lowest = np.minimum.accumulate([row.error for row in good])
    last = max(row.number for row in rows)
    axes.step([*numbers, last + 0.5], [*lowest, lowest[-1]], where="post", color=BEST)
    _points(axes, good, numbers, rows)
    _failures(axes, [row.number for row in rows if row.failed])
    axes.annotate(
        f"best: {best.error:.2%}, evaluation {best.number}",
        (best.number, best.error),
        (0, -8),
        textcoords="offset points",
        ha="right" if best.number > last / 2 else "left",
        va="top",
        color=BEST,
    )
    axes.set_xlim(0.5 - last / 150, last + 0.5 + last / 150)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("evaluation")
    axes.set_ylabel("validation error")


def _legend(axes: Axes, rows: Sequence[Row], *, medians: bool) -> None:
    last = EARLY_TO_LATE(1.0)
    handles = axes.plot([], [], color=BEST, label="best so far")
    handles += axes.plot([], [], "o", color=last, label="evaluation (the later, the darker)")
    if any(row.outcome == "stopped early" for row in rows):
        handles += axes.plot([], [], "o", mfc="white", mec=TRAINING, label="stopped early")
    if any(row.failed for row in rows):
        handles += axes.plot([], [], "x", color=VALIDATION, label="failed")
    if medians:
        handles += axes.plot([], [], color=QUIET, label="median of an option")
    axes.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        borderaxespad=0.2,
        ncols=len(handles),
        fontsize="small",
        frameon=False,
    )


def _effect(axes: Axes, rows: Sequence[Row], parameter: Parameter) -> None:
    given = [row for row in rows if parameter.name in row.point]
    if parameter.options:
        places = _strips(axes, parameter, given)
    else:
        places = [float(row.point[parameter.name]) for row in given]
        _number_axis(axes, parameter, places)
    good = [index for index, row in enumerate(given) if not row.failed]
    _points(axes, [given[i] for i in good], [places[i] for i in good], rows)
    _failures(axes, [places[i] for i, row in enumerate(given) if row.failed])
    axes.set_xlabel(parameter.name)


def _strips(axes: Axes, parameter: Parameter, given: Sequence[Row]) -> list[float]:
    """Makes an axis of options; returns the points' places, spread a little, by their numbers."""
    names = [str(option) for option in parameter.options]
    if max(map(len, names)) * len(names) > WIDE:
        names = [name.replace("_", "_\n") for name in names]
    axes.xaxis.set_major_locator(FixedLocator(list(range(len(names)))))
    axes.set_xticklabels(names, fontsize="small")
    axes.set_xlim(-0.5, len(names) - 0.5)
    for index, option in enumerate(parameter.options):
        of_it = [row for row in given if row.point[parameter.name] == option and not row.failed]
        if len(of_it) >= FEWEST:
            median = float(np.median([row.error for row in of_it]))
            axes.plot([index - 0.3, index + 0.3], [median] * 2, color=QUIET, zorder=1)
    golden = (math.sqrt(5) - 1) / 2  # an even spread without chance
    return [
        parameter.options.index(row.point[parameter.name])
        + SPREAD * (2 * (row.number * golden % 1) - 1)
        for row in given
    ]


def _number_axis(axes: Axes, parameter: Parameter, places: Sequence[float]) -> None:
    """Makes an axis as wide as the range that was searched, where it is a range."""
    low, high = parameter.bounds or (min(places), max(places))
    if parameter.is_logarithmic and low > 0:
        axes.set_xscale("log")
        room = (high / low) ** 0.05
        axes.set_xlim(low / room, high * room)
        if high / low < 100:
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))  # as the table writes them
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        room = 0.05 * (high - low) or 0.5
        axes.set_xlim(low - room, high + room)
        whole = all(place.is_integer() for place in places)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=whole))


def _points(axes: Axes, good: Sequence[Row], places: Sequence[float], rows: Sequence[Row]) -> None:
    last = max(row.number for row in rows)
    colors = [to_hex(EARLY_TO_LATE(row.number / last)) for row in good]
    faces = [
        "white" if row.outcome == "stopped early" else color
        for row, color in zip(good, colors, strict=True)
    ]
    errors = [row.error for row in good]
    axes.scatter(places, errors, s=26, c=faces, edgecolors=colors, linewidths=1.2, zorder=3)
    best = best_of(rows)
    for place, row in zip(places, good, strict=True):
        if row is best:
            axes.scatter([place], [row.error], s=110, facecolors="none", edgecolors=BEST, zorder=4)


def _failures(axes: Axes, places: Sequence[float]) -> None:
    """Marks failures along the top, above all errors."""
    if places:
        heights = [0.97] * len(places)
        along_top = axes.get_xaxis_transform()
        axes.plot(places, heights, "x", color=VALIDATION, transform=along_top, zorder=3)


def _error_axis(axes: Axes, errors: Sequence[float]) -> None:
    low, high = min(errors), max(errors)
    if low > 0 and high / low > LOG_FROM:
        axes.set_yscale("log")
        room = (high / low) ** 0.15
        axes.set_ylim(low / room, high * room)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        room = max(high - low, 0.01)
        axes.set_ylim(max(0.0, low - 0.25 * room), high + 0.2 * room)
    axes.yaxis.set_major_formatter(FuncFormatter(_percent))


def _percent(error: float, _: int | None = None) -> str:
    """Labels the error axis, which has room for failures above 100 %."""
    return f"{100 * error:g}%" if error < 1.001 else ""
