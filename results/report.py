"""report.html: a run, or a cross-validation, on one page that needs no other file."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.files import write_whole
from common.sizes import size_text
from results.tables import LayerRow, loss_text, shape_text
from training.records import EpochRecord

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.subtitle { color: #666; margin-top: .2rem; overflow-wrap: anywhere; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.5rem 0; }
.figure { background: #f4f6f8; border-radius: .5rem; padding: .7rem 1.1rem; }
.figure b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.figure span { color: #666; font-size: .85rem; }
img { width: 100%; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem .25rem 0; text-align: left; border-bottom: 1px solid #e4e7ea; }
td { overflow-wrap: anywhere; } td.number { overflow-wrap: normal; }
th.number, td.number { text-align: right; }
"""


def write_report(
    path: Path,
    title: str,
    results: Mapping[str, Any],
    records: Sequence[EpochRecord],
    layers: Sequence[LayerRow],
    options: Mapping[str, Any],
    learning_curve: Path,
    confusion_matrix: Path,
) -> None:
    """Writes the page of a run.

    It has the results, the learning curve, the confusion matrix, the network, the epochs and the
    options. Without epochs it has no learning curve, and without a testing accuracy no confusion
    matrix, whose files are not read then.
    """
    curve = "Loss and validation accuracy by epoch"
    sections = [
        _figures(results),
        *([picture(learning_curve, curve)] if records else []),
        *([confusion_section(confusion_matrix)] if "testing_accuracy" in results else []),
        "<h2>Network</h2>",
        _network(layers),
        *(["<h2>Epochs</h2>", _epochs(records)] if records else []),
    ]
    write_page(path, title, sections, options)


def write_page(path: Path, title: str, sections: Sequence[str], options: Mapping[str, Any]) -> None:
    """Writes a page of HTML: the title, what was trained on what, the sections, all options."""
    rows = [(key, str(value)) for key, value in options.items()]
    sections = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="subtitle">{html.escape(str(options["model_params"]))}</p>',
        f'<p class="subtitle">{html.escape(str(options["dataset_path"]))}</p>',
        *sections,
        "<h2>Options</h2>",
        table(("option", "value"), rows, first_number=2),
    ]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body></html>\n"
    )
    write_whole(path, page)


def picture(file: Path, shows: str) -> str:
    """Returns the HTML of a PNG file, which is within it, and says what it shows."""
    data = base64.b64encode(file.read_bytes()).decode()
    return f'<img alt="{html.escape(shows)}" src="data:image/png;base64,{data}">'


def confusion_section(file: Path) -> str:
    """Returns the HTML of a confusion matrix."""
    shown = picture(file, "How many instances of each label are predicted to be of each label")
    return f"<h2>Confusion matrix</h2>\n{shown}"


def figures(shown: Sequence[tuple[str, str]]) -> str:
    """Returns the HTML of what is to be seen at first: pairs of a name and a figure."""
    boxes = [
        f'<div class="figure"><b>{html.escape(text)}</b><span>{name}</span></div>'
        for name, text in shown
    ]
    return f'<div class="figures">{"".join(boxes)}</div>'


def _figures(results: Mapping[str, Any]) -> str:
    tested, best = results.get("testing_epoch"), results.get("best_epoch")
    of_epoch = f", epoch {tested}" if tested not in (None, best) else ""
    of_recordings = "testing_recording_accuracy"
    patches = " of patches" if of_recordings in results else ""
    shown = [
        (f"testing accuracy{patches}{of_epoch}", results.get("testing_accuracy"), "{:.2%}"),
        ("of recordings, by mean probability", results.get(of_recordings), "{:.2%}"),
        ("of recordings, by majority vote", results.get("testing_vote_accuracy"), "{:.2%}"),
        ("validation accuracy", results.get("validation_accuracy"), "{:.2%}"),
        ("best epoch", results.get("best_epoch"), "{}"),
        ("parameters", results.get("parameters"), "{:,}"),
        ("training time", results.get("seconds"), "{:,.1f} s"),
        ("ended", results.get("stopped"), "{}"),
    ]
    return figures([(name, form.format(value)) for name, value, form in shown if value is not None])


def _network(layers: Sequence[LayerRow]) -> str:
    heads = ("layer", "kind", "output", "parameters", "memory of a batch")
    rows = [
        (
            row.name,
            row.kind,
            shape_text(row.output_shape),
            f"{row.parameters:,}",
            size_text(row.memory),
        )
        for row in layers
    ]
    return table(heads, rows, first_number=3)


def _epochs(records: Sequence[EpochRecord]) -> str:
    heads = (
        *("epoch", "training loss", "validation loss", "validation accuracy"),
        *("learning rate", "seconds", "images/s"),
    )
    rows = [
        (
            str(record.epoch),
            loss_text(record.training_loss),
            loss_text(record.validation_loss),
            f"{record.validation_accuracy:.2%}",
            f"{record.learning_rate:g}",
            f"{record.seconds:.1f}",
            f"{record.images_per_second:,.0f}",
        )
        for record in records
    ]
    return table(heads, rows, first_number=0)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], first_number: int) -> str:
    """Returns the HTML of a table, whose columns are numbers from `first_number` on."""

    def line(cells: Sequence[str], tag: str) -> str:
        kinds = ["" if column < first_number else " class=number" for column in range(len(cells))]
        return "".join(
            f"<{tag}{kind}>{html.escape(cell)}</{tag}>"
            for cell, kind in zip(cells, kinds, strict=True)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{line(heads, "th")}</tr>{body}</table></div>'
