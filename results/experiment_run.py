"""Runs an experiment from its options to its folder, telling a person what happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.options import to_plain
from lasagne.layers import count_params
from results.plots import learning_curve
from results.report import write_report
from results.run_folder import RunFolder, folder_of
from results.tables import layer_rows, network_table
from training.experiment import Experiment
from training.setup import prepare
from training.trainer import Diverged, EpochRecord, Evaluation, Trainer


def run_experiment(experiment: Experiment) -> dict[str, Any]:
    """Trains, tests where asked, and returns what results.json holds, and the folder as `run`.

    Raises CommandError for a user's mistake, Diverged and KeyboardInterrupt after what the run has
    reached is written.
    """
    trainer = prepare(experiment)
    folder = RunFolder(folder_of(experiment))
    _introduce(trainer, folder.path)
    if experiment.test_only:
        return _test_only(trainer, folder)
    folder.begin(experiment, trainer.epoch)
    try:
        _train(trainer, folder)
    except (KeyboardInterrupt, Diverged) as ending:
        stopped = "diverged" if isinstance(ending, Diverged) else "interrupted"
        _conclude(trainer, folder, stopped)
        raise
    return _conclude(trainer, folder, trainer.stopped)


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
    every = trainer.experiment.snapshot_every
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
    """Writes snapshot, testing accuracy, plots, results and report of what the run has reached."""
    experiment = trainer.experiment
    records = folder.records()
    results: dict[str, Any] = {
        "parameters": count_params(trainer.output_layer),
        "epochs": trainer.epoch,
        "seconds": sum(record.seconds for record in records),
        "stopped": stopped,
    }
    if trainer.best:
        results |= {
            "best_epoch": trainer.best.epoch,
            "validation_loss": trainer.best.loss,
            "validation_accuracy": trainer.best.accuracy,
        }
    ended = stopped in ("finished", "converged")
    snapshot = trainer.save(folder.path) if experiment.snapshot_final_model else None
    if ended and experiment.test_at_end:
        results |= _testing(trainer.evaluate("testing"))
    architecture = experiment.model_architecture
    picture = folder.path / "learning-curve.png"
    learning_curve(records, f"{architecture} on {experiment.dataset_path.name}", picture)
    folder.write_results(results)
    rows = layer_rows(trainer.output_layer, experiment.batch_size, trainer.compute.precision)
    write_report(
        folder.path / "report.html",
        architecture,
        results,
        records,
        rows,
        to_plain(experiment),
        picture,
    )
    _tell_end(results, folder.path, snapshot)
    return results | {"run": str(folder.path)}


def _tell_end(results: dict[str, Any], folder: Path, snapshot: Path | None) -> None:
    print(f"\n{results['stopped']} after {results['epochs']} epochs, {results['seconds']:.1f} s")
    if "best_epoch" in results:
        print(
            f"best validation accuracy {results['validation_accuracy']:.2%} "
            f"in epoch {results['best_epoch']} (*)"
        )
    if "testing_accuracy" in results:
        print(_testing_line(results))
    print(f"run             {folder}")
    if snapshot:
        print(f"snapshot        {snapshot}")
    print(f"learning curve  {folder / 'learning-curve.png'}")
    print(f"report          {folder / 'report.html'}")


def _test_only(trainer: Trainer, folder: RunFolder) -> dict[str, Any]:
    results = folder.read_results() | _testing(trainer.evaluate("testing"))
    folder.write_results(results)
    print(_testing_line(results))
    return results | {"run": str(folder.path)}


def _testing(evaluation: Evaluation) -> dict[str, float]:
    return {"testing_loss": evaluation.loss, "testing_accuracy": evaluation.accuracy}


def _testing_line(results: dict[str, Any]) -> str:
    return (
        f"testing accuracy {results['testing_accuracy']:.2%}, "
        f"testing loss {results['testing_loss']:.4f}"
    )
