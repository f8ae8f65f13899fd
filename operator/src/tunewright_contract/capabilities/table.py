"""A table of capabilities: rows of facts by name, and the type of a field that holds one of the names.

A row that is not supported yet stays in its table: the API recognises the name and refuses it with a way out.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True, kw_only=True)
class Row:
    """The facts that all tables have about a name."""

    name: str  # as written in a manifest
    supported: bool = True  # whether the stages implement it in this release


RowT = TypeVar("RowT", bound=Row)


class Table(Mapping[str, RowT], Generic[RowT]):
    """Rows by name, in the order of documentation and messages. Raises `KeyError` for an unknown name."""

    def __init__(self, *rows: RowT, instead: str = "") -> None:
        """`instead` is the way out for a name that is not supported yet."""
        self._rows = {row.name: row for row in rows}
        self.instead = instead
        if len(self._rows) != len(rows):
            raise ValueError(f"a name stands twice among {[row.name for row in rows]}")

    def __getitem__(self, name: str) -> RowT:
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._rows)

    @property
    def supported(self) -> tuple[str, ...]:
        return self.where(lambda row: row.supported)

    @property
    def unsupported(self) -> tuple[str, ...]:
        return self.where(lambda row: not row.supported)

    def where(self, fact: Callable[[RowT], bool]) -> tuple[str, ...]:
        """Return the names of the rows for which the fact holds."""
        return tuple(row.name for row in self._rows.values() if fact(row))


@dataclass(frozen=True)
class OneOf:
    """Marks a field of type `str` as one of these names: `Annotated[str, OneOf(TASKS.names)]` validates as a `Literal` of them does."""

    names: tuple[str, ...]

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(list(self.names))
