from commands.create_demo_recordings import Options, run
from datasets.recordings import open_recordings
from datasets.spectrograms import create_spectrograms


def test_recordings_that_spectrograms_can_be_made_of(tmp_path, capsys):
    out = tmp_path / "dances"
    files = run(Options(out, recordings_per_label=1, seconds=2))
    assert len(files) == 8 and all(file.is_file() for file in files)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"Wrote 8 recordings of 2 s in {out}, 1 of each of 8 dances (")
    assert lines[1:] == [f"For their spectrograms: create_spectrograms {out} NAME.pkl.zip."]
    created = create_spectrograms(out, tmp_path / "x.pkl.zip")
    assert not created.others and not created.unreadable
    recordings = open_recordings(tmp_path / "x.pkl.zip")
    assert len(recordings.label_names) == 8
    assert recordings.num_frames.tolist() == [88] * 8  # of 88,200 samples, by 1024
