import json

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import LinearSVC

from commands import main
from commands.run_baseline import Options, run
from common.errors import CommandError
from datasets.container import open_dataset


def flat(digits, *names):
    subsets = [open_dataset(digits).subset(name) for name in names]
    instances = np.concatenate([subset.read(slice(None)) for subset in subsets])
    return instances.reshape(len(instances), -1), np.concatenate([one.labels for one in subsets])


def test_forests_equal_those_that_scikit_learn_fits_in_one_go(digits, capsys):
    results = run(Options(digits, "random_forest", rf_n_estimators=25, rf_num_iter=2))
    x, y = flat(digits, "training")
    direct = [
        RandomForestClassifier(25, random_state=seed).fit(x, y).score(*flat(digits, "validation"))
        for seed in (0, 1)
    ]
    assert results["accuracies"] == direct
    shown = capsys.readouterr().out
    assert f"validation accuracy {np.mean(direct):.2%} ± {np.std(direct):.2%}" in shown


def test_testing_trains_on_the_validation_subset_as_well(digits):
    results = run(Options(digits, "linear", test_subset="testing"))
    x, y = flat(digits, "training", "validation")
    scaler = MinMaxScaler().fit(x)
    model = LinearSVC(random_state=0).fit(scaler.transform(x), y)
    testing, labels = flat(digits, "testing")
    assert results["accuracy"] == model.score(scaler.transform(testing), labels)


def test_the_result_is_in_a_file(digits, tmp_path):
    options = Options(digits, "random_forest", rf_n_estimators=3, rf_num_iter=2,
                      labels_to_keep="3, 7", out_dir=tmp_path / "out")  # fmt: skip
    results = run(options)
    stored = json.loads((tmp_path / "out" / "results.json").read_text())
    assert stored["accuracies"] == results["accuracies"]
    assert stored["options"]["labels_to_keep"] == "3, 7"
    assert results["accuracy"] > 0.9


def test_bad_input(digits, tmp_path, capsys):
    with pytest.raises(CommandError, match="must be at least 1"):
        run(Options(digits, "random_forest", rf_num_iter=0))
    with pytest.raises(CommandError, match="Unknown label 'x'"):
        run(Options(digits, "linear", labels_to_keep="x,3"))
    assert main(["run_baseline", str(tmp_path / "none"), "linear"]) == 1
    assert not (tmp_path / "runs").exists()
    assert main(["run_baseline", str(digits), "forest"]) == 2
    for seed in ("-1", "99999999999"):
        assert main(["run_baseline", str(digits), "linear", "--random-state", seed]) == 1
    with pytest.raises(CommandError, match="tells at least two labels apart"):
        run(Options(digits, "linear", labels_to_keep="3"))
    assert not (tmp_path / "runs").exists()
    capsys.readouterr()


def test_the_results_of_a_run_are_not_overwritten(digits, tmp_path):
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(CommandError, match="holds a run already"):
        run(Options(digits, "linear", out_dir=tmp_path))
