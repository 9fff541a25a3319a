"""What a cross-validation's runs come to, by the files that they have written."""

import base64
import html
import json
import re
from pathlib import Path

import pytest

from common.errors import CommandError
from results.cross_validation import summary
from results.cross_validation.fold import FoldRun
from results.cross_validation.folder import CrossValidationFolder
from results.cross_validation.run import CrossValidationRun
from results.cross_validation.summary import summarise
from results.dataset_lines import LEAK
from training.cross_validation import CrossValidation

# of every fold's tries: validation accuracy, validation loss, testing accuracy, testing loss
TRIES = {
    1: [(0.8, 0.5, 0.9, 0.4), (0.9, 0.5, 0.7, 0.4)],
    2: [(0.8, 0.6, 0.6, 0.4), (0.8, 0.5, 0.5, 0.4)],
    3: [None, (0.1, 0.5, 0.2, 0.4)],  # None: diverged
}


@pytest.fixture
def options(digits, tmp_path) -> CrossValidation:
    folder = tmp_path / "cv"
    return CrossValidation(digits, "SingleLayerMlp", folds=3, random_tries=2, out_dir=folder)


def runs_of(folder: CrossValidationFolder, tries: dict) -> list[FoldRun]:
    found = []
    for fold, figures in tries.items():
        for number, figure in enumerate(figures, start=1):
            run = FoldRun(fold, number, folder.run(fold, number, 2))
            results = {"stopped": "diverged"}
            if figure:
                names = ("validation_accuracy", "validation_loss")
                names += ("testing_accuracy", "testing_loss")
                results = dict(zip(names, figure, strict=True))
                results |= {"parameters": 7, "best_epoch": 1, "seconds": 1.0}
                write_predictions(run.run.path, number)
            run.run.write_results(results)
            found.append(run)
    return found


def write_predictions(folder: Path, number: int) -> None:
    lines = ["name,label,prediction,probability,label_probability", f"0,a,{'ab'[number - 1]},0.9,1"]
    (folder / "predictions.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(("by_test", "chosen"), [(False, [2, 2, 2]), (True, [1, 1, 2])])
def test_the_try_with_the_best_accuracy_is_chosen(options, by_test, chosen, capsys):
    options = CrossValidation(**(vars(options) | {"select_by_test": by_test}))
    with CrossValidationFolder(options, {}) as folder:
        results = summarise(runs_of(folder, TRIES), options, folder)
        assert results == json.loads((folder.path / "results.json").read_text())
    assert [one["try"] for one in results["each_fold"]] == chosen
    wanted = [TRIES[fold][number - 1][2] for fold, number in zip((1, 2, 3), chosen, strict=True)]
    assert results["testing_accuracy_mean"] == pytest.approx(sum(wanted) / 3)
    assert results["overall_accuracy"] == pytest.approx(chosen.count(1) / 3)
    assert results["seconds"] == 5
    assert ("flatter" in capsys.readouterr().out) == by_test


@pytest.mark.parametrize(
    ("second_fold", "problem"),
    [([None, None], "Fold 2 diverged in every try"), ([None], ""), ([None, TRIES[2][0]], "")],
)
def test_a_fold_without_any_result_is_named_before_others_run(options, second_fold, problem):
    with CrossValidationFolder(options, {}) as folder:
        runs_of(folder, TRIES | {2: second_fold})
        assert CrossValidationRun(options, folder).problem.partition(",")[0] == problem


def figures_of(report: Path) -> dict[str, str]:
    """What is to be seen at first, by name."""
    boxes = re.findall("<b>(.*?)</b><span>(.*?)</span>", report.read_text(encoding="utf-8"))
    return {name: figure for figure, name in boxes}


def test_the_report(options, monkeypatch, capsys):
    """The accuracies of the folds, the confusion matrix of all, and why to doubt them."""
    options = CrossValidation(**(vars(options) | {"spectrogram_normalisation": "global"}))
    drawn = []
    picture = summary.confusion_picture
    monkeypatch.setattr(
        summary, "confusion_picture", lambda *given: [drawn.append(given), picture(*given)]
    )
    with CrossValidationFolder(options, {}) as folder:
        runs = runs_of(folder, TRIES)
        summarise(runs, options, folder)
        assert LEAK not in capsys.readouterr().out  # these are no recordings
        for run in runs:
            of_recordings = {"testing_recording_accuracy": 0.25, "testing_vote_accuracy": 0.75}
            run.run.write_results(run.run.read_results() | of_recordings)
        summarise(runs, options, folder)
    assert LEAK in capsys.readouterr().out
    page = (folder.path / "report.html").read_text(encoding="utf-8")
    shown = figures_of(folder.path / "report.html")
    assert shown["testing accuracy of patches, mean ± std"] == "46.67% ± 20.55%"  # of 0.7, 0.5, 0.2
    assert shown["of recordings, by majority vote, mean ± std"] == "75.00% ± 0.00%"
    assert shown["parameters"] == "7"
    assert all(f"<td class=number>{accuracy}</td>" in page for accuracy in ("70.00%", "20.00%"))
    assert html.escape(LEAK[1:]) in page
    png = (folder.path / "confusion-matrix.png").read_bytes()
    assert base64.b64encode(png).decode() in page
    assert drawn[-1][0].tolist() == [[0, 3], [0, 0]]  # all three are a, predicted to be b
    assert drawn[-1][1] == ["a", "b"]


def test_one_that_was_killed_while_it_wrote_its_recipe(options):
    options.out_dir.mkdir()
    (options.out_dir / "cross-validation.yaml.1.partial").touch()
    with CrossValidationFolder(options, {}) as folder:
        assert folder.recipe.exists()


def test_two_at_once_in_one_folder(options):
    with (
        CrossValidationFolder(options, {}),
        pytest.raises(CommandError, match="Another run_cross_validation works in"),
    ):
        CrossValidationFolder(options, {})
