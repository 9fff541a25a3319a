"""Runs an experiment from its options to its folder, telling a person what happens."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from common.errors import CommandError
from common.options import checked, to_plain
from lasagne.layers import count_params
from results.dataset_lines import dataset_lines
from results.launch import launch, needs_launch
from results.plots import learning_curve
from results.report import write_report
from results.run_folder import RunFolder, folder_of, refuse_results
from results.tables import layer_rows, loss_text, network_table
from results.testing import PICTURE, evaluated, testing_line, title_of
from training.distributed import joined
from training.endings import Diverged, Stopped, Terminated
from training.experiment import Experiment
from training.out_of_memory import memory_told
from training.peers import PeerLost
from training.records import EpochRecord
from training.setup import prepare
from training.snapshot_folder import holds_snapshot, set_aside, thin
from training.snapshots import read_header
from training.stop_signals import StopSignals, stop_signals
from training.trainer import Trainer
from training.watch import RunWatch


def run_experiment(experiment: Experiment) -> dict[str, Any]:
    """Trains, tests where asked, and returns what results.json holds, and the folder as `run`.

    With `num_devices`, or under torchrun, several processes do it together; only the first prints
    and writes.

    Raises CommandError for a user's mistake; Diverged, PeerLost, Terminated and KeyboardInterrupt
    after what the run has reached is written.
    """
    experiment = checked(experiment)
    if needs_launch(experiment):
        _check_folder(experiment)
        return launch(experiment)
    with joined(experiment.device) as group:
        _check_folder(experiment)
        trainer = prepare(experiment, group)
        if group.peers:
            group.peers.run = experiment.resume or experiment.out_dir
        with memory_told(trainer.experiment, trainer.estimate):
            return (_lead if group.is_first else _follow)(trainer)


def _lead(trainer: Trainer) -> dict[str, Any]:
    experiment = trainer.experiment
    folder = RunFolder(folder_of(experiment))
    if trainer.group.peers:
        trainer.group.peers.run = folder.path
    _introduce(trainer, folder.path)
    if experiment.test_only:
        return _test_only(trainer, folder)
    if experiment.start_from_snapshot:
        set_aside(folder.path, experiment.snapshot_prefix, trainer.epoch, trainer.batch)
    folder.begin(experiment, trainer.epoch)
    stopped = _train_to_an_end(trainer, folder)
    results = _conclude(trainer, folder, stopped)
    if experiment.test_at_end:
        results |= _testing(trainer, folder)
        _write(trainer, folder, results)
    _tell_end(results, folder.path)
    return results | {"run": str(folder.path)}


def _follow(trainer: Trainer) -> dict[str, Any]:
    """Does what `_lead` does on the first process, and writes nothing."""
    if trainer.experiment.test_only:
        evaluated(trainer)
        return {}
    try:
        with trainer.group.watched(), stop_signals(told=False) as signals:
            for _ in trainer.epochs(RunWatch(signals, 0, 0, save=lambda: None)):
                pass
    except Stopped as stopped:
        if stopped.reason == "interrupted":
            return {}
    if trainer.experiment.test_at_end:
        evaluated(trainer)
    return {}


def _check_folder(experiment: Experiment) -> None:
    """Raises CommandError where the run would go into a folder that holds another one."""
    folder, snapshot = experiment.out_dir, experiment.start_from_snapshot
    if folder is None:
        return
    if experiment.resume is not None:
        raise CommandError(
            f"--resume {experiment.resume} goes on in that folder, not in --out-dir {folder}; "
            "leave --out-dir out, or give one of its snapshots to --start-from-snapshot."
        )
    if snapshot is None or folder.resolve() not in snapshot.resolve().parents:
        refuse_results(folder)


def _introduce(trainer: Trainer, folder: Path) -> None:
    experiment = trainer.experiment
    print("\n".join(dataset_lines(trainer.dataset, experiment)))
    processes = f", {trainer.group.size} processes" if trainer.group.size > 1 else ""
    print(f"device {trainer.compute}{processes}")
    if experiment.start_from_snapshot:
        batch = f", batch {trainer.batch}" if trainer.batch else ""
        print(f"going on from {experiment.start_from_snapshot}, epoch {trainer.epoch}{batch}")
    elif experiment.start_weights:
        others = read_header(experiment.start_weights)["labels"] != trainer.dataset.label_names
        without = " but for the last layer, as the labels are others" if others else ""
        print(f"starting with the weights of {experiment.start_weights}{without}")
    if trainer.begins_anew:
        print("the unfinished epoch begins anew, as its batches would be others")
    print(f"run {folder}\n")
    table = network_table(
        trainer.output_layer, experiment.batch_size, trainer.compute.precision, trainer.estimate
    )
    print(table + "\n", flush=True)


def _train_to_an_end(trainer: Trainer, folder: RunFolder) -> str:
    """Trains; returns how it ended, or raises after what was reached is written."""
    try:
        with trainer.group.watched(), stop_signals() as signals:
            stopped = _train(trainer, folder, signals)
            if stopped == "interrupted":
                results = _conclude(trainer, folder, stopped)
    except (KeyboardInterrupt, Diverged, PeerLost) as ending:
        stopped = "diverged" if isinstance(ending, Diverged) else "interrupted"
        between = isinstance(ending, PeerLost) and trainer.is_between_batches
        if between:
            trainer.settle_alone()
        _tell_end(_conclude(trainer, folder, stopped, last_good=not between), folder.path)
        if isinstance(ending, KeyboardInterrupt):
            raise _interruption(folder.path) from None
        raise
    except (RuntimeError, MemoryError):
        _conclude(trainer, folder, "failed", last_good=True)
        raise
    if stopped == "interrupted":
        _tell_end(results, folder.path)
        raise _ending(signals, folder.path)
    return stopped


def _train(trainer: Trainer, folder: RunFolder, signals: StopSignals) -> str:
    experiment = trainer.experiment
    every, last = experiment.snapshot_every, experiment.num_epochs

    def save() -> None:
        trainer.save(folder.path)
        _thin(trainer, folder)

    if trainer.epoch >= last > 0:
        print(f"epoch {trainer.epoch} is done already; give --num-epochs above {trainer.epoch}")
    watch = RunWatch(signals, experiment.max_minutes, experiment.snapshot_minutes, save)
    try:
        for record in trainer.epochs(watch):
            folder.append(record)
            print(_epoch_line(trainer, record), flush=True)
            if every and record.epoch % every == 0:
                save()
    except Stopped as stopped:
        return stopped.reason
    return trainer.stopped


def _ending(signals: StopSignals, folder: Path) -> BaseException:
    if signals.received in (None, signal.SIGINT):  # None: another process's signal
        return _interruption(folder)
    name = signal.Signals(signals.received).name
    sentence = f"The training was asked to end by {name}"
    ending = Terminated(f"{'; '.join([sentence, *_how_to_go_on(folder)])}.")
    ending.status = 128 + signals.received
    return ending


def _interruption(folder: Path) -> KeyboardInterrupt:
    return KeyboardInterrupt(*_how_to_go_on(folder))


def _how_to_go_on(folder: Path) -> list[str]:
    return [f"go on with --resume {folder}"] if holds_snapshot(folder) else []


def _thin(trainer: Trainer, folder: RunFolder) -> None:
    experiment = trainer.experiment
    thin(folder.path, experiment.snapshot_prefix, experiment.keep_snapshots)


def _epoch_line(trainer: Trainer, record: EpochRecord) -> str:
    best = trainer.best
    mark = " *" if best and best.epoch == record.epoch else ""
    unit = trainer.dataset.subset("training").unit
    return (
        f"epoch {record.epoch} of {trainer.experiment.num_epochs}: "
        f"training loss {loss_text(record.training_loss)}, "
        f"validation loss {loss_text(record.validation_loss)}, "
        f"validation accuracy {record.validation_accuracy:.2%}{mark}, "
        f"rate {record.learning_rate:g}, {record.seconds:.1f} s, "
        f"{record.images_per_second:,.0f} {unit}/s ({_where_time_went(record)})"
    )


def _where_time_went(record: EpochRecord) -> str:
    """Returns what the seconds were spent on, so that a person sees the bottleneck."""
    computing = record.seconds - record.waiting_seconds - record.copying_seconds
    parts = (
        ("waiting", record.waiting_seconds),
        ("copying", record.copying_seconds),
        ("computing", computing),
    )
    return ", ".join(f"{name} {max(0.0, seconds) / record.seconds:.0%}" for name, seconds in parts)


def _conclude(
    trainer: Trainer, folder: RunFolder, stopped: str, *, last_good: bool = False
) -> dict[str, Any]:
    """Writes the snapshot and what the run has reached; returns its results."""
    results: dict[str, Any] = {
        "parameters": count_params(trainer.output_layer),
        "epochs": trainer.epoch,
        "seconds": sum(record.seconds for record in folder.records()),
        "stopped": stopped,
    }
    if trainer.reason:
        results["reason"] = trainer.reason
    if trainer.best:
        results |= {
            "best_epoch": trainer.best.epoch,
            "validation_loss": trainer.best.loss,
            "validation_accuracy": trainer.best.accuracy,
        }
    if trainer.experiment.snapshot_final_model:
        save = trainer.save_last if last_good else trainer.save
        snapshot = save(folder.path)
        print(f"\nsnapshot        {snapshot or 'none, as nothing was trained yet'}")
        _thin(trainer, folder)
    _write(trainer, folder, results)
    return results


def _write(trainer: Trainer, folder: RunFolder, results: dict[str, Any]) -> None:
    """Writes results.json, the learning curve and the report."""
    experiment, records = trainer.experiment, folder.records()
    architecture = experiment.model_architecture
    picture = folder.path / "learning-curve.png"
    folder.write_results(results)
    if records:
        learning_curve(records, title_of(experiment), picture)
    else:
        picture.unlink(missing_ok=True)  # of another leg
    rows = layer_rows(trainer.output_layer, experiment.batch_size, trainer.compute.precision)
    options = to_plain(experiment)
    report = folder.path / "report.html"
    pictures = picture, folder.path / PICTURE
    write_report(report, architecture, results, records, rows, options, *pictures)


def _tell_end(results: dict[str, Any], folder: Path) -> None:
    print(f"run             {folder}")
    if (picture := folder / "learning-curve.png").exists():
        print(f"learning curve  {picture}")
    print(f"report          {folder / 'report.html'}")
    epochs = "1 epoch" if results["epochs"] == 1 else f"{results['epochs']} epochs"
    reason = f": {results['reason']}" if "reason" in results else ""
    print(f"\n{results['stopped']} after {epochs}, {results['seconds']:.1f} s of training{reason}")
    if "best_epoch" in results:
        print(
            f"best validation accuracy {results['validation_accuracy']:.2%} "
            f"in epoch {results['best_epoch']} (*)"
        )
    if "testing_accuracy" in results:
        print(testing_line("testing", results))


def _test_only(trainer: Trainer, folder: RunFolder) -> dict[str, Any]:
    """Tests a snapshot; the figures join its run's, or go into a folder without results."""
    results = folder.read_results() | _testing(trainer, folder)
    _write(trainer, folder, results)
    print(testing_line("testing", results))
    return results | {"run": str(folder.path)}


def _testing(trainer: Trainer, folder: RunFolder) -> dict[str, Any]:
    tested = evaluated(trainer)
    tested.write(folder.path, title_of(trainer.experiment))
    return tested.results
