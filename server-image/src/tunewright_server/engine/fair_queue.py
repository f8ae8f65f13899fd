"""Chooses the request for the next free row. Requests take turns, not their answers.

A request with many answers (`n`, several prompts) is one `Group`. The group with the fewest rows is next, and among those the one that has
waited longest for a turn. A group that has never had a row goes first, but not twice in a row while others wait (see turns). So a short
question is answered together with large requests, not after them (fair queueing per flow, Nagle, RFC 970).
"""

from collections import deque
from collections.abc import Iterator, Mapping

from tunewright_server.engine.answer import Answer
from tunewright_server.engine.request import GenerationRequest, Group, Ticket

Waiting = Ticket | Answer  # not begun yet, or begun and without a row for now


class FairQueue:
    """Waiting answers by group. Not thread-safe."""

    def __init__(self) -> None:
        self._groups: dict[Group, deque[Waiting]] = {}  # in the order of their turns
        self._overtook = False  # the last answer taken was of a group that had never had a row, while others waited

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def __iter__(self) -> Iterator[Waiting]:
        return (item for waiting in self._groups.values() for item in waiting)

    @property
    def tokens(self) -> int:
        """The most tokens that the waiting answers can need: prompts and answers."""
        return sum(len(request.prompt) + request.max_tokens for request in map(_request, self))

    def add(self, ticket: Ticket) -> None:
        """Let a new answer wait behind its group's others."""
        self._groups.setdefault(ticket.group, deque()).append(ticket)

    def put_back(self, answer: Answer) -> None:
        """Let an answer that gave its row away continue before its group's others."""
        self._groups.setdefault(answer.ticket.group, deque()).appendleft(answer)

    def starving(self, rows: Mapping[Group, int]) -> bool:
        """Return whether a group waits that has no row at all."""
        return any(rows.get(group, 0) == 0 for group in self._groups)

    def has_newcomer(self) -> bool:
        """Return whether a group waits that has never had a row."""
        return any(not group.begun for group in self._groups)

    @property
    def paused(self) -> int:
        """Answers that have begun and wait for a row."""
        return sum(isinstance(item, Answer) for item in self)

    def take(self, rows: Mapping[Group, int], step: int) -> Waiting | None:
        """Remove and return the next answer in this step; `rows` is the number of rows of each group. None if no answer waits."""
        if not self._groups:
            return None

        def rank(each: Group) -> tuple[int, bool, bool]:
            first = self._groups[each][0]
            return rows.get(each, 0), isinstance(first, Answer) and first.steps_aside(step), each.begun or self._overtook

        group = min(self._groups, key=rank)  # the first of several: dictionaries keep their order
        self._overtook = not group.begun and any(each.begun for each in self._groups)
        waiting = self._groups.pop(group)
        item = waiting.popleft()
        if waiting:
            self._groups[group] = waiting  # behind the others
        return item

    def drop_cancelled(self) -> None:
        """Remove cancelled answers."""
        for group, waiting in list(self._groups.items()):
            kept = deque(item for item in waiting if not _ticket(item).cancelled)
            if kept:
                self._groups[group] = kept
            else:
                del self._groups[group]

    def take_expired(self, before: float, rows: Mapping[Group, int]) -> list[Ticket]:
        """Remove and return the tickets of groups that have not begun and have waited since before that time."""
        expired: list[Ticket] = []
        for group, waiting in list(self._groups.items()):
            if rows.get(group, 0) == 0 and not group.begun and all(_ticket(item).submitted < before for item in waiting):
                expired += map(_ticket, waiting)
                del self._groups[group]
        return expired

    def clear(self) -> None:
        """Remove all answers."""
        self._groups.clear()


def _ticket(item: Waiting) -> Ticket:
    return item.ticket if isinstance(item, Answer) else item


def _request(item: Waiting) -> GenerationRequest:
    return _ticket(item).request
