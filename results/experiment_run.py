"""Runs an experiment from its options to its folder, telling a person what happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.options import checked, to_plain
from lasagne.layers import count_params
from results.plots import learning_curve
from results.report import write_report
from results.run_folder import RunFolder, folder_of, refuse_results
from results.tables import layer_rows, network_table
from training.experiment import Experiment
from training.records import EpochRecord
from training.setup import prepare
from training.trainer import Diverged, Trainer


def run_experiment(experiment: Experiment) -> dict[str, Any]:
    """Trains, tests where asked, and returns what results.json holds, and the folder as `run`.

    Raises CommandError for a user's mistake, Diverged and KeyboardInterrupt after what the run has
    reached is written.
    """
    experiment = checked(experiment)
    if experiment.out_dir and not _goes_on_in(experiment.out_dir, experiment.start_from_snapshot):
        refuse_results(experiment.out_dir)
    trainer = prepare(experiment)
    folder = RunFolder(folder_of(trainer.experiment))
    _introduce(trainer, folder.path)
    if experiment.test_only:
        return _test_only(trainer, folder)
    folder.begin(trainer.experiment, trainer.epoch)
    try:
        _train(trainer, folder)
    except (KeyboardInterrupt, Diverged) as ending:
        stopped = "diverged" if isinstance(ending, Diverged) else "interrupted"
        _tell_end(_conclude(trainer, folder, stopped), folder.path)
        raise
    results = _conclude(trainer, folder, trainer.stopped)
    if experiment.test_at_end:
        results |= _testing(trainer)
        _write(trainer, folder, results)
    _tell_end(results, folder.path)
    return results | {"run": str(folder.path)}


def _goes_on_in(folder: Path, snapshot: Path | None) -> bool:
    return snapshot is not None and folder.resolve() in snapshot.resolve().parents


def _introduce(trainer: Trainer, folder: Path) -> None:
    experiment = trainer.experiment
    sizes = ", ".join(f"{len(part):,} {name}" for name, part in trainer.dataset.subsets.items())
    print(f"dataset {trainer.dataset.path}: {sizes}; {len(trainer.dataset.label_names)} labels")
    print(f"device {trainer.compute}")
    if experiment.start_from_snapshot:
        print(f"going on from {experiment.start_from_snapshot}, epoch {trainer.epoch}")
    print(f"run {folder}\n")
    table = network_table(trainer.output_layer, experiment.batch_size, trainer.compute.precision)
    print(table + "\n", flush=True)


def _train(trainer: Trainer, folder: RunFolder) -> None:
    every, last = trainer.experiment.snapshot_every, trainer.experiment.num_epochs
    if trainer.epoch and trainer.epoch >= last:
        print(f"epoch {trainer.epoch} is done already; give --num-epochs above {trainer.epoch}")
    for record in trainer.epochs():
        folder.append(record)
        print(_epoch_line(trainer, record), flush=True)
        if every and record.epoch % every == 0:
            trainer.save(folder.path)


def _epoch_line(trainer: Trainer, record: EpochRecord) -> str:
    best = trainer.best
    mark = " *" if best and best.epoch == record.epoch else ""
    return (
        f"epoch {record.epoch} of {trainer.experiment.num_epochs}: "
        f"training loss {record.training_loss:.4f}, "
        f"validation loss {record.validation_loss:.4f}, "
        f"validation accuracy {record.validation_accuracy:.2%}{mark}, "
        f"rate {record.learning_rate:g}, {record.seconds:.1f} s, "
        f"{record.images_per_second:,.0f} images/s"
    )


def _conclude(trainer: Trainer, folder: RunFolder, stopped: str) -> dict[str, Any]:
    """Writes the snapshot and what the run has reached; returns its results."""
    results: dict[str, Any] = {
        "parameters": count_params(trainer.output_layer),
        "epochs": trainer.epoch,
        "seconds": sum(record.seconds for record in folder.records()),
        "stopped": stopped,
    }
    if trainer.best:
        results |= {
            "best_epoch": trainer.best.epoch,
            "validation_loss": trainer.best.loss,
            "validation_accuracy": trainer.best.accuracy,
        }
    if trainer.experiment.snapshot_final_model and (snapshot := trainer.save(folder.path)):
        print(f"\nsnapshot        {snapshot}")
    elif not trainer.epoch:
        print("\nno whole epoch yet, so there is no snapshot")
    _write(trainer, folder, results)
    return results


def _write(trainer: Trainer, folder: RunFolder, results: dict[str, Any]) -> None:
    """Writes results.json, the learning curve and the report."""
    experiment, records = trainer.experiment, folder.records()
    architecture = experiment.model_architecture
    picture = folder.path / "learning-curve.png"
    folder.write_results(results)
    learning_curve(records, f"{architecture} on {experiment.dataset_path.name}", picture)
    rows = layer_rows(trainer.output_layer, experiment.batch_size, trainer.compute.precision)
    options = to_plain(experiment)
    report = folder.path / "report.html"
    write_report(report, architecture, results, records, rows, options, picture)


def _tell_end(results: dict[str, Any], folder: Path) -> None:
    print(f"run             {folder}")
    print(f"learning curve  {folder / 'learning-curve.png'}")
    print(f"report          {folder / 'report.html'}")
    epochs = "1 epoch" if results["epochs"] == 1 else f"{results['epochs']} epochs"
    print(f"\n{results['stopped']} after {epochs}, {results['seconds']:.1f} s of training")
    if "best_epoch" in results:
        print(
            f"best validation accuracy {results['validation_accuracy']:.2%} "
            f"in epoch {results['best_epoch']} (*)"
        )
    if "testing_accuracy" in results:
        print(_testing_line(results))


def _test_only(trainer: Trainer, folder: RunFolder) -> dict[str, Any]:
    """Tests a snapshot; the figures join its run's, or go into a folder without results."""
    results = folder.read_results() | _testing(trainer)
    _write(trainer, folder, results)
    print(_testing_line(results))
    return results | {"run": str(folder.path)}


def _testing(trainer: Trainer) -> dict[str, Any]:
    evaluation = trainer.evaluate("testing")
    return {
        "testing_loss": evaluation.loss,
        "testing_accuracy": evaluation.accuracy,
        "testing_epoch": trainer.best.epoch if trainer.best else 0,
    }


def _testing_line(results: dict[str, Any]) -> str:
    return (
        f"testing accuracy {results['testing_accuracy']:.2%}, "
        f"testing loss {results['testing_loss']:.4f} (weights of epoch {results['testing_epoch']})"
    )
