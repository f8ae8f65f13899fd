"""Rows that wait for a run of an encoder: requests take turns, and not their rows.

The rows of one request are one `Group`. The group that has waited longest decides how wide the next run is, and each group adds one row of
that width at a time until the run is full. So a short text is answered beside a request of a thousand texts, and not after it.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright_server.engine.request import Failed, Group

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class TokenRow:
    """A text, or a pair of texts, as token ids. `types`: a token type id for each token; None: type 0, the only one of a single text."""

    tokens: tuple[int, ...]
    types: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, kw_only=True)
class RowAnswer:
    """The answer to one row. Times are seconds on one monotonic clock."""

    logits: Logits  # one array for the row, by the graph's head: [labels], [tokens, labels], or [tokens, 2] for start and end
    submitted: float
    begun: float
    finished: float


EncoderEvent = RowAnswer | Failed


DeliverRow = Callable[[int, EncoderEvent], None]  # which row of the request, and its answer


@dataclass(eq=False)
class RowTicket:
    """One row of a request, the `index`-th. A cancelled row is in no later run."""

    index: int
    row: TokenRow
    deliver_row: DeliverRow
    submitted: float
    group: Group
    cancelled: bool = False

    def deliver(self, event: EncoderEvent) -> None:
        self.deliver_row(self.index, event)


class RowQueue:
    """Waiting rows by group. Not thread-safe."""

    def __init__(self) -> None:
        self._groups: dict[Group, deque[RowTicket]] = {}  # in the order of their turns

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def __iter__(self) -> Iterator[RowTicket]:
        return (ticket for waiting in self._groups.values() for ticket in waiting)

    @property
    def tokens(self) -> int:
        return sum(len(ticket.row) for ticket in self)

    def add(self, ticket: RowTicket) -> None:
        self._groups.setdefault(ticket.group, deque()).append(ticket)

    def take(self, width: Callable[[int], int], room: Callable[[int], int]) -> tuple[int, list[RowTicket]]:
        """Remove and return the rows of the next run, and its width.

        `width` gives the width of a row of so many tokens; `room`, at least 1, how many rows of a width share a run.
        """
        if not self._groups:
            return 0, []
        first = next(iter(self._groups.values()))[0]
        wanted = width(len(first.row))
        fitting = {
            group: deque(ticket for ticket in waiting if width(len(ticket.row)) == wanted) for group, waiting in self._groups.items()
        }
        taken: list[RowTicket] = []
        while len(taken) < room(wanted) and (turns := [rows for rows in fitting.values() if rows]):
            taken += [rows.popleft() for rows in turns[: room(wanted) - len(taken)]]
        self._remove(taken)
        return wanted, taken

    def drop_cancelled(self) -> None:
        """Remove cancelled rows."""
        self._keep(lambda ticket: not ticket.cancelled)

    def take_expired(self, before: float) -> list[RowTicket]:
        """Remove and return the rows of groups of which none has begun and that have waited since before that time."""
        expired = [
            waiting for group, waiting in self._groups.items() if not group.begun and all(each.submitted < before for each in waiting)
        ]
        tickets = [ticket for waiting in expired for ticket in waiting]
        gone = set(map(id, tickets))
        self._keep(lambda ticket: id(ticket) not in gone)
        return tickets

    def clear(self) -> None:
        """Remove all rows."""
        self._groups.clear()

    def _remove(self, taken: list[RowTicket]) -> None:
        """Remove rows, and let their groups wait behind the others."""
        gone = set(map(id, taken))
        for group in {ticket.group: None for ticket in taken}:
            group.begun = True
            waiting = self._groups.pop(group)
            self._groups[group] = waiting
        self._keep(lambda ticket: id(ticket) not in gone)

    def _keep(self, wanted: Callable[[RowTicket], bool]) -> None:
        kept = {group: deque(filter(wanted, waiting)) for group, waiting in self._groups.items()}
        self._groups = {group: waiting for group, waiting in kept.items() if waiting}
