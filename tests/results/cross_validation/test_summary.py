"""What a cross-validation's runs come to, by the files that they have written."""

import json
from pathlib import Path

import pytest

from common.errors import CommandError
from results.cross_validation.fold import FoldRun
from results.cross_validation.folder import CrossValidationFolder
from results.cross_validation.summary import summarise
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
    with CrossValidationFolder(options) as folder:
        results = summarise(runs_of(folder, TRIES), options, folder)
        assert results == json.loads((folder.path / "results.json").read_text())
    assert [one["try"] for one in results["each_fold"]] == chosen
    wanted = [TRIES[fold][number - 1][2] for fold, number in zip((1, 2, 3), chosen, strict=True)]
    assert results["testing_accuracy_mean"] == pytest.approx(sum(wanted) / 3)
    assert results["overall_accuracy"] == pytest.approx(chosen.count(1) / 3)
    assert results["seconds"] == 5
    assert ("flatter" in capsys.readouterr().out) == by_test


def test_a_fold_without_a_result_is_named(options):
    with CrossValidationFolder(options) as folder:
        runs = runs_of(folder, TRIES | {2: [None, None]})
        with pytest.raises(CommandError, match="Every try of fold 2 diverged"):
            summarise(runs, options, folder)


def test_two_at_once_in_one_folder(options):
    with (
        CrossValidationFolder(options),
        pytest.raises(CommandError, match="Another run_cross_validation works in"),
    ):
        CrossValidationFolder(options)
