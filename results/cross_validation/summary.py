"""What a cross-validation came to: printed, and written into its folder."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.columns import aligned
from common.files import write_whole
from common.options import to_plain
from results.confusion import confusion_matrix, confusion_picture
from results.cross_validation.fold import FoldRun, predictions_of
from results.cross_validation.folder import CrossValidationFolder
from results.dataset_lines import LEAK
from results.report import confusion_section, figures, table, write_page
from results.testing import PICTURE, PREDICTIONS, title_of
from training.cross_validation import CrossValidation

ACCURACIES = {
    "validation_accuracy": "validation",
    "testing_accuracy": "testing",
    "testing_recording_accuracy": "recordings",
    "testing_vote_accuracy": "vote",
}
"""The accuracies of a run that are averaged over the folds, and their heads in the table."""
LONG = {
    "testing_accuracy": "testing accuracy",
    "testing_recording_accuracy": "of recordings, by mean probability",
    "testing_vote_accuracy": "of recordings, by majority vote",
    "validation_accuracy": "validation accuracy",
}
"""What they are on a page, in its order."""
REPORT = "report.html"
FLATTERY = (
    "each fold's try was chosen by its testing accuracy, as MIRdl did: these accuracies flatter, "
    "as what was tested on took part in the choice"
)


def summarise(
    runs: Sequence[FoldRun], options: CrossValidation, folder: CrossValidationFolder
) -> dict[str, Any]:
    """Writes the files of all folds, and prints what they say.

    These are results.json, folds.csv, predictions.csv, confusion-matrix.png and report.html.

    Returns
    -------
    dict
        What results.json holds: the number of `folds`, of `random_tries`, `parameters` and
        `seconds` of training; of every accuracy its `…_mean` and `…_std` over the folds (the
        population's, as MIRdl's) and, of recordings or instances, `overall_accuracy`; and for each
        fold its `try`, its folder as `run`, `best_epoch` and accuracies.
    """
    chosen = _chosen(runs, options)
    found = [run.results or {} for run in chosen]
    names = [name for name in ACCURACIES if all(name in one for one in found)]
    results: dict[str, Any] = {
        "folds": options.folds,
        "random_tries": options.random_tries,
        "parameters": found[0]["parameters"],
        "seconds": sum((run.results or {}).get("seconds", 0.0) for run in runs),
    }
    for name in names:
        values = [one[name] for one in found]
        results |= {f"{name}_mean": float(np.mean(values)), f"{name}_std": float(np.std(values))}
    results["overall_accuracy"] = _predictions(chosen, options, folder.path)
    results["each_fold"] = [
        {"fold": run.fold, "try": run.number, "run": run.name, "best_epoch": one["best_epoch"]}
        | {name: one[name] for name in names}
        for run, one in zip(chosen, found, strict=True)
    ]
    write_whole(folder.path / "results.json", json.dumps(results, indent=2) + "\n")
    _write_csv(results["each_fold"], folder.path / "folds.csv")
    _write_report(results, options, names, folder.path)
    if options.mirdl_files:
        from results.cross_validation.mirdl_files import write_mirdl_files

        write_mirdl_files(runs, results, options, folder.path)
    _tell(results, options, names, folder.path)
    return results


def _chosen(runs: Sequence[FoldRun], options: CrossValidation) -> list[FoldRun]:
    """Returns each fold's try: that with the best validation accuracy, of equals the lower loss."""
    chosen: dict[int, tuple[tuple[float, float], FoldRun]] = {}
    for run in runs:
        if (results := run.results) is None:
            continue
        rank = results["validation_accuracy"], -results["validation_loss"]
        if options.select_by_test:
            rank = results["testing_accuracy"], -results["testing_loss"]
        if run.fold not in chosen or rank > chosen[run.fold][0]:
            chosen[run.fold] = rank, run
    return [chosen[fold][1] for fold in sorted(chosen)]


def _predictions(runs: Sequence[FoldRun], options: CrossValidation, folder: Path) -> float:
    """Writes all folds' predictions and their confusion matrix; returns their accuracy."""
    lines = [(run, one) for run in runs for one in predictions_of(run.run)]
    labels = sorted({one.label for _, one in lines} | {one.prediction for _, one in lines})
    index = {label: number for number, label in enumerate(labels)}
    true = np.array([index[one.label] for _, one in lines])
    predicted = np.array([index[one.prediction] for _, one in lines])
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["fold", *vars(lines[0][1])])
    writer.writerows([run.fold, *vars(one).values()] for run, one in lines)
    write_whole(folder / PREDICTIONS, stream.getvalue())
    title = f"{title_of(options)}: {options.folds} folds"
    matrix = confusion_matrix(true, predicted, len(labels))
    confusion_picture(matrix, labels, title, folder / PICTURE)
    return float((true == predicted).mean())


def _write_csv(folds: Sequence[dict[str, Any]], path: Path) -> None:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(folds[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(folds)
    write_whole(path, stream.getvalue())


def _write_report(
    results: dict[str, Any], options: CrossValidation, names: Sequence[str], folder: Path
) -> None:
    patches = {"testing_accuracy": "testing accuracy of patches"}
    texts = LONG | (patches if "testing_vote_accuracy" in names else {})
    shown = []
    for name in filter(names.__contains__, texts):
        mean, std = results[f"{name}_mean"], results[f"{name}_std"]
        shown.append((f"{texts[name]}, mean ± std", f"{mean:.2%} ± {std:.2%}"))
    shown += [("parameters", f"{results['parameters']:,}")]
    shown += [("training time", f"{results['seconds']:,.1f} s")]
    heads, *rows = _table(results, options, names)
    sections = [
        figures(shown),
        *(f"<p>{html.escape(one[0].upper() + one[1:])}.</p>" for one in _cautions(options, names)),
        "<h2>Folds</h2>",
        table(heads, rows, first_number=0),
        confusion_section(folder / PICTURE),
    ]
    title = f"{options.model_architecture}, {options.folds} folds"
    write_page(folder / REPORT, title, sections, to_plain(options))


def _cautions(options: CrossValidation, names: Sequence[str]) -> list[str]:
    """Returns why the accuracies are to be taken with care."""
    leaks = "testing_vote_accuracy" in names and options.spectrogram_normalisation == "global"
    return [FLATTERY] * options.select_by_test + [LEAK] * leaks


def _table(
    results: dict[str, Any], options: CrossValidation, names: Sequence[str]
) -> list[list[str]]:
    """Returns the heads, a row for each fold, and those of the mean and the deviation."""
    heads = ["fold", *(["try"] if options.random_tries > 1 else []), "best epoch"]
    rows = [[*heads, *(ACCURACIES[name] for name in names)]]
    for one in results["each_fold"]:
        numbers = [one["fold"], *([one["try"]] if options.random_tries > 1 else [])]
        shares = [f"{one[name]:.2%}" for name in names]
        rows.append([*map(str, numbers), str(one["best_epoch"]), *shares])
    for what in ("mean", "std"):
        shares = [f"{results[f'{name}_{what}']:.2%}" for name in names]
        rows.append([what, *[""] * (len(heads) - 1), *shares])
    return rows


def _tell(
    results: dict[str, Any], options: CrossValidation, names: Sequence[str], folder: Path
) -> None:
    lines = aligned(_table(results, options, names), left=())
    rule = "-" * max(map(len, lines))
    print("\n" + "\n".join([lines[0], rule, *lines[1:-2], rule, *lines[-2:]]))
    if "testing_vote_accuracy" in names:
        print("testing: of patches; recordings: by mean probability; vote: by majority vote")
    print(f"\n{results['parameters']:,} parameters, {results['seconds']:,.1f} s of training")
    for sentence in _cautions(options, names):
        print(sentence)
    for what, file in {
        "folds": "folds.csv",
        "predictions": PREDICTIONS,
        "confusion matrix": PICTURE,
        "results": "results.json",
        "report": REPORT,
    }.items():
        print(f"{what:<17} {folder / file}")
