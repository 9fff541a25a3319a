"""What preprocess_imagenet writes: the names, and the lists beside the folder of shards."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import CommandError
from common.files import whole_file
from datasets.imagenet.shard import Finished, Plan
from datasets.left_out import text_of
from datasets.shard_folder import new_folder, remove_others
from datasets.shards import INDEX, read_index
from datasets.unpickle import FormatError

SUFFIX = "-toy"
LISTS = {"training": "train", "validation": "val"}


@dataclass(frozen=True)
class Outputs:
    """The names of what is written.

    Parameters
    ----------
    out_dir : Path
        The folder of all of it.
    toy : bool
        Whether it is the small dataset, which has names of its own.
    """

    out_dir: Path
    toy: bool

    @property
    def shards(self) -> Path:
        """The dataset, a folder of shards."""
        return self.out_dir / f"imagenet{SUFFIX * self.toy}.shards"

    @property
    def _partial(self) -> Path:
        return self.shards.with_name(f"{self.shards.name}.partial")

    def list_of(self, name: str) -> Path:
        """Returns the name of a list: 'labels', 'train', 'val' or 'unreadable'."""
        return self.out_dir / f"{name}{SUFFIX * self.toy}.txt"

    @property
    def lists(self) -> list[Path]:
        """All lists."""
        return [self.list_of(name) for name in ("labels", *LISTS.values(), "unreadable")]

    def is_there(
        self, created_by: Mapping[str, Any], written_by: Mapping[str, Any], *, strict: bool = False
    ) -> bool:
        """Tells whether the same command has written the dataset; no picture is looked at.

        A dataset that lacks only its name, of a run that was broken off at its very end, gets it.

        Raises
        ------
        CommandError
            Where it was written with other options, or lists that may be somebody else's are there;
            if strict, where pictures were left out.
        """
        self._give_name(created_by, written_by)
        if not (self.shards / INDEX).is_file():
            self._check_lists()
            return False
        try:
            metadata = read_index(self.shards).metadata
        except FormatError as error:
            raise CommandError(
                f"{self.shards} is no dataset that can be used: {error}; remove that folder and "
                "the lists beside it, or choose another --out-dir."
            ) from error
        differing = _differing(metadata, {"created_by": created_by, "written_by": written_by})
        if differing:
            raise CommandError(
                f"{self.shards} was made with {', '.join(differing)}; remove that folder and the "
                "lists beside it to make it anew, or choose another --out-dir."
            )
        if strict and self.list_of("unreadable").exists():
            raise CommandError(
                f"{self.shards} is there, without the pictures in {self.list_of('unreadable')}; "
                "repair or remove these and that folder, or leave out --strict."
            )
        return True

    def _give_name(self, created_by: Mapping[str, Any], written_by: Mapping[str, Any]) -> None:
        if self.shards.exists() or not (self._partial / INDEX).is_file():
            return
        with suppress(FormatError):
            index = read_index(self._partial)
            if _differing(index.metadata, {"created_by": created_by, "written_by": written_by}):
                return
            with new_folder(self.shards) as folder:
                remove_others(folder, index.files)

    def _check_lists(self) -> None:
        if self._partial.exists():
            return  # a run was killed that had found none
        for file in self.lists:
            if os.path.lexists(file):
                raise CommandError(
                    f"{file} is there, but {self.shards} is not, and this command writes lists of "
                    "these names; move it away, or choose another --out-dir."
                )

    def write_lists(
        self,
        label_lines: Sequence[str],
        finished: Mapping[str, Sequence[tuple[Plan, Finished]]],
        unreadable: Mapping[str, str],
    ) -> list[Path]:
        """Writes all lists and returns those that there are.

        Parameters
        ----------
        label_lines : sequence of str
            Of the labels, in order.
        finished : mapping of subset to sequence
            Its shards in order.
        unreadable : mapping of str to str
            The reasons, by path; without any there is no list of them.
        """
        _write(self.list_of("labels"), (f"{line}\n" for line in label_lines))
        for subset, name in LISTS.items():
            _write(self.list_of(name), _lines(finished[subset]))
        if not unreadable:
            with suppress(FileNotFoundError):
                self.list_of("unreadable").unlink()
            return self.lists[:-1]
        _write(self.list_of("unreadable"), [text_of(unreadable)])
        return self.lists


def _differing(metadata: Mapping[str, Any], wanted: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns what an index says of its making where it is not what is wanted, option by option."""
    there: dict[str, Any] = {}
    here: dict[str, Any] = {}
    for name, one in wanted.items():
        for options, source in ((there, metadata.get(name)), (here, one)):
            source = source if isinstance(source, dict) else {}
            options |= {key: value for key, value in source.items() if key != "options"}
            options |= source.get("options") or {}
    return [
        f"{name} {there.get(name)} instead of {here.get(name)}"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    ]


def _lines(finished: Sequence[tuple[Plan, Finished]]) -> Iterable[str]:
    """Yields the lines that Caffe reads, picture by picture in the order of the shards' rows."""
    for plan, (_, unreadable) in finished:
        for position, (name, label) in enumerate(
            zip(plan.names, plan.labels.tolist(), strict=True)
        ):
            if position not in unreadable:
                yield f"{name} {label}\n"


def _write(file: Path, lines: Iterable[str]) -> None:
    with whole_file(file) as partial, partial.open("w", encoding="utf-8") as stream:
        stream.writelines(lines)
