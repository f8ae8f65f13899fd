"""Reads, validates and splits the job's data sets. All unusable rows are reported together, by file and line.

Promises datasets in the task's shape (see `formats`) plus `source`, the row's place as `file:line`.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.trainer_config import DataFile
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.own_file import UnusableFileError, folder_of, sha256
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.files import read_rows
from tunewright_trainer.data.formats import normalise, recognise
from tunewright_trainer.data.rows import SHARE, Budget, Located, Row, RowProblem
from tunewright_trainer.data.values import BadRow

if TYPE_CHECKING:
    from datasets import Dataset

_SHOWN = 5  # problems named one by one; a termination message has 4 KiB


@dataclass(frozen=True)
class Splits:
    """The three sets. `validation` is None if there is neither a file nor a share for it; `test` is None without files."""

    train: "Dataset"
    validation: "Dataset | None"
    test: "Dataset | None"

    def named(self) -> "list[tuple[str, Dataset]]":
        """Return the existing sets, by the names of their fields."""
        every = (("train", self.train), ("validation", self.validation), ("test", self.test))
        return [(name, split) for name, split in every if split is not None]


def read_splits(settings: Settings) -> Splits:
    """Read every set, taking `valSetSize` of train for validation when no validation file is given. Raises `StageError`."""
    data = settings.config.data
    train = read_split(data.train, settings)
    validation = read_split(data.validation, settings) if data.validation else None
    if validation is None and data.val_set_size > 0:
        if len(train) < 2:
            raise _refuse("data.valSetSize takes a share of train, which has only one example", "Add examples, or add a validation file.")
        parts = train.train_test_split(test_size=data.val_set_size, seed=data.shuffle_seed)
        train, validation = parts["train"], parts["test"]
    if len(train) < data.min_samples:
        raise _refuse(
            f"{len(train)} training example(s), fewer than data.minSamples={data.min_samples}", "Add examples, or lower minSamples."
        )
    return Splits(train, validation, read_split(data.test, settings) if data.test else None)


def read_split(files: Sequence[DataFile], settings: Settings) -> "Dataset":
    """The examples of one set, in file order. Raises `StageError` (DATA) naming every bad row's file and line."""
    from datasets import Dataset

    rows: list[Row] = []
    shown: list[RowProblem] = []
    problems = 0
    budget = Budget()
    for file in files:
        for found in _examples(file, settings):
            if isinstance(found, RowProblem):
                problems += 1
                shown += [found] if len(shown) < _SHOWN else []
                rows.clear()  # no longer needed: nothing is trained
            elif not problems:
                if not budget.take(found):
                    raise _too_many(found, len(rows), budget)
                rows.append(found)
    if problems:
        raise _refuse(_summary(shown, problems), "Correct the lines named above; nothing was trained and nothing was changed.")
    if not rows:
        raise _refuse(f"no examples in {', '.join(file.path for file in files)}", "Name files with at least one example.")
    if settings.config.data.dedup == "exact":
        rows = _without_duplicates(rows)
    return Dataset.from_list(rows)


def data_format(settings: Settings) -> str:
    """The format of the first training row, given or recognised."""
    file = settings.config.data.train[0]
    if file.format is not None:
        return file.format
    first = next(read_rows(settings.data_dir / file.path, file.path, folder_of(settings.data_dir, file.path)))
    if isinstance(first, RowProblem):
        raise _refuse(str(first), "Correct the line.")
    return recognise(first.row, file.columns, settings.config.task)


def data_sha256(settings: Settings) -> str:
    """Return the SHA-256 over the SHA-256 of every file, in the order train, validation, test. Raises `StageError`."""
    data = settings.config.data
    whole = hashlib.sha256()
    for file in (*data.train, *data.validation, *data.test):
        whole.update(file_sha256(file, settings))
    return whole.hexdigest()


def file_sha256(file: DataFile, settings: Settings) -> bytes:
    """Return the digest of one file's content. Raises `StageError` (DATA) unless it is a regular file of its folder."""
    try:
        return sha256(settings.data_dir / file.path, folder_of(settings.data_dir, file.path))
    except UnusableFileError as error:
        raise _refuse(str(RowProblem(file.path, None, str(error))), "Restore the file; nothing was changed.") from error


def fingerprint(row: Row) -> str:
    """Return the content of an example without its place, to find repeated examples."""
    content = {key: value for key, value in row.items() if key != "source"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _examples(file: DataFile, settings: Settings) -> Iterable[Row | RowProblem]:
    format_ = file.format
    for found in read_rows(settings.data_dir / file.path, file.path, folder_of(settings.data_dir, file.path)):
        if isinstance(found, RowProblem):
            yield found
            continue
        try:
            format_ = format_ or recognise(found.row, file.columns, settings.config.task)
            row = normalise(found.row, format_=format_, columns=file.columns, task=settings.config.task)
        except BadRow as error:
            yield RowProblem(found.file, found.line, str(error))
            if format_ is None:
                return  # every row would have the same problem
        else:
            yield {**row, "source": _place(found)}


def _place(found: Located) -> str:
    return f"{found.file}:{found.line}"


def _without_duplicates(rows: list[Row]) -> list[Row]:
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(fingerprint(row), row)
    return list(first.values())


def _summary(shown: list[RowProblem], count: int) -> str:
    rest = count - len(shown)
    return f"{count} problem(s): {'; '.join(map(str, shown))}" + (f"; and {rest} more" if rest > 0 else "")


def _too_many(row: Row, before: int, budget: Budget) -> StageError:
    return _refuse(
        f"{row['source']}: with the {before} example(s) before it, it needs more than {budget.bytes} bytes of memory, which is 1/"
        f"{SHARE} of what this process may use",
        "Use fewer or shorter examples, or raise workers.resources.limits.memory.",
    )


def _refuse(message: str, suggestion: str) -> StageError:
    return StageError(ExitCode.DATA, "DataInvalid", message, suggestion)
