"""Everything that a person chooses for a cross-validation, in one place."""

from __future__ import annotations

from dataclasses import dataclass, fields

from common.errors import CommandError
from training.experiment import Experiment

OWN = ("random_tries", "num_parallel", "select_by_test", "mirdl_files")
LOWEST = {"num_epochs": 1, "random_tries": 1, "num_parallel": 1}
SET_BY_FOLDS = {"fold": None, "test_only": False, "start_from_snapshot": None}


@dataclass(frozen=True)
class CrossValidation(Experiment):
    """Trains and tests a network once for every fold of a dataset."""

    random_tries: int = 1
    """Runs of each fold, each from other start weights; the one with the best validation accuracy
    is tested."""
    num_parallel: int = 1
    """Runs at once, on different devices where there are several."""
    select_by_test: bool = False
    """Choose a fold's try by its testing accuracy, as MIRdl did. That flatters: what is tested on
    takes part in the choice."""
    mirdl_files: bool = False
    """Write MIRdl's files as well: .result, .training, .param and .npz."""

    def of_fold(self) -> Experiment:
        """Returns what the runs have in common."""
        own = {field.name: getattr(self, field.name) for field in fields(Experiment)}
        return Experiment(**(own | {"out_dir": None, "resume": None, "test_at_end": True}))

    def seed_of(self, number: int) -> int:
        """Returns the seed of a fold's try, which are numbered from 1."""
        return self.seed + number - 1

    def check(self) -> None:
        """Raises CommandError where options make no sense together, or are for single runs."""
        for name, lowest in LOWEST.items():
            if (value := getattr(self, name)) < lowest:
                option = name.replace("_", "-")
                raise CommandError(f"--{option} is {value}; give at least {lowest}.")
        for name, unset in SET_BY_FOLDS.items():
            if getattr(self, name) != unset:
                option = name.replace("_", "-")
                raise CommandError(
                    f"--{option} is for a single run, and a cross-validation makes one for every "
                    "fold; leave it out, or give it to run_experiment."
                )
        if self.resume is not None and self.out_dir is not None:
            raise CommandError(
                f"--resume {self.resume} goes on in that folder, not in --out-dir {self.out_dir}; "
                "give one of them."
            )
        if self.mirdl_files and not self.snapshot_final_model:
            raise CommandError(
                "--mirdl-files takes the weights from the runs' snapshots, and there are none with "
                "--no-snapshot-final-model; leave out one of them."
            )
