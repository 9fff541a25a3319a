from commands.create_demo_dataset import Options, run
from datasets.container import open_dataset


def test_writes_the_digits(tmp_path, capsys):
    path = run(Options(out_dir=tmp_path / "data"))
    assert path == tmp_path / "data" / "digits.pkl.zip"
    assert capsys.readouterr().out.startswith(f"Wrote {path}: 1,797 pictures")
    dataset = open_dataset(path)
    assert {name: len(subset) for name, subset in dataset.subsets.items()} == {
        "training": 1433,
        "validation": 179,
        "testing": 185,
    }
    assert dataset.created_by["command"] == "create_demo_dataset"
    assert dataset.created_by["options"]["seed"] == 0


def test_another_seed_is_another_split(tmp_path):
    first = run(Options(tmp_path / "a")).read_bytes()
    assert first == run(Options(tmp_path / "a")).read_bytes()
    assert first != run(Options(tmp_path / "a", seed=1)).read_bytes()
