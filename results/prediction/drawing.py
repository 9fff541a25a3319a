"""The picture of a recording's prediction: its spectrogram above the probabilities over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from datasets.recordings import Recordings
from results.plots import shorten, write_figure
from results.prediction.outcome import Predicted

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee")  # of the strongest labels
OTHERS = "#c8c8c8"
MOST_CURVES = 40  # labels up to which those beside the strongest are drawn as well, in grey
MOST_DOTS = 40  # points up to which a curve shows them
MOST_COLUMNS = 2000  # of a spectrogram; frames of a longer one are averaged
RANGE = 70  # dB that a spectrogram's colours reach down
LOWEST = 1e-12  # of the loudest, so that silence has a logarithm
LONGEST_TITLE, LONGEST_LABEL = 90, 28  # characters


def prediction_picture(
    recording: Recordings,
    predicted: Predicted,
    curve: tuple[np.ndarray, np.ndarray],
    label_names: Sequence[str],
    path: Path,
) -> None:
    """Draws a recording's spectrogram and the labels' probabilities into the PNG file `path`.

    Parameters
    ----------
    recording : Recordings
        A single one.
    predicted : Predicted
        Its strongest labels have a colour, and stand in the legend.
    curve : tuple of np.ndarray of shape (n,) and np.ndarray of shape (n, labels)
        Seconds, and the probabilities there.
    """
    figure = Figure(figsize=(11, 6.2), dpi=120, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _draw_spectrogram(above, recording)
    _draw_curves(below, predicted, curve, label_names)
    below.set_xlim(0, len(recording.frames) / recording.frames_per_second)
    below.set_xlabel("seconds")
    title = shorten(predicted.file.name, LONGEST_TITLE)
    figure.suptitle(title, fontsize=11, parse_math=False)
    write_figure(figure, path)


def _draw_spectrogram(axes: Axes, recording: Recordings) -> None:
    frames, rate = recording.frames, recording.frames_per_second
    starts = np.arange(0, len(frames), -(-len(frames) // MOST_COLUMNS))
    counts = np.diff(np.append(starts, len(frames)))[:, np.newaxis]
    values = np.add.reduceat(frames, starts) / counts
    of_bins = recording.parameters.get("transform") == "magnitude"  # else of power
    loudest = values.max() if values.any() else 1
    levels = (20 if of_bins else 10) * np.log10(np.maximum(values / loudest, LOWEST))
    top = recording.parameters["sample_rate"] / 2000 if of_bins else recording.num_bands
    extent = (-0.5 / rate, (len(frames) - 0.5) / rate, 0, top)
    style: dict[str, Any] = {"origin": "lower", "aspect": "auto", "cmap": "magma"}
    image = axes.imshow(levels.T, vmin=-RANGE, vmax=0, extent=extent, **style)
    scale = axes.inset_axes((1.015, 0, 0.015, 1))
    axes.figure.colorbar(image, cax=scale, label="dB, of the loudest")
    axes.set_ylabel("frequency in kHz" if of_bins else "mel band")


def _draw_curves(
    axes: Axes,
    predicted: Predicted,
    curve: tuple[np.ndarray, np.ndarray],
    label_names: Sequence[str],
) -> None:
    seconds, probabilities = curve
    ranked = np.argsort(-predicted.probabilities, kind="stable").tolist()
    strongest, others = ranked[: len(COLOURS)], ranked[len(COLOURS) :]
    marker = "o" if len(seconds) <= MOST_DOTS else ""
    style: dict[str, Any] = {"marker": marker, "markersize": 3, "clip_on": False}
    lines: list[Line2D] = []
    texts: list[str] = []
    if 0 < len(others) <= MOST_CURVES - len(COLOURS):
        grey = {**style, "color": OTHERS, "linewidth": 1, "zorder": 2}
        lines = axes.plot(seconds, probabilities[:, others], **grey)[:1]
        texts = ["others"]
    coloured = list(zip(strongest, COLOURS, strict=False))
    for label, colour in reversed(coloured):  # the strongest above all
        share, top = predicted.probabilities[label], {**style, "color": colour, "zorder": 3}
        lines += axes.plot(seconds, probabilities[:, label], linewidth=1.8, **top)
        texts.append(f"{share:.1%} {shorten(label_names[label], LONGEST_LABEL)}")
    place: dict[str, Any] = {"bbox_to_anchor": (1.01, 1.02), "borderaxespad": 0}
    place |= {"loc": "upper left", "frameon": False, "title": "mean probability"}
    legend = axes.legend(lines[::-1], texts[::-1], **place)
    for text in legend.get_texts():
        text.set_parse_math(False)
    axes.set_ylim(0, 1)
    axes.set_ylabel("probability")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
