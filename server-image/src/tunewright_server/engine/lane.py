"""Rows that may share a run: a block of neighbouring rows without holes, growing from one end of the cache.

One lane is enough for most models. A model with two rotary tables (LongRoPE) needs two, because the table is chosen once per run from
the longest row: the second lane grows downwards from the last row, so that both stay contiguous whatever their sizes.
"""

from collections.abc import Callable

from tunewright_server.engine.answer import Answer

Move = Callable[[int, int], None]  # (source row, target row)


class Lane:
    """`answers` are decoded together; `filling` is the one behind them whose prompt is being read."""

    def __init__(self, *, slots: int, downwards: bool = False) -> None:
        self.answers: list[Answer] = []
        self.filling: Answer | None = None
        self._slots = slots
        self._downwards = downwards

    def __len__(self) -> int:
        return len(self.all)

    @property
    def all(self) -> list[Answer]:
        """Every answer that has a row."""
        return [*self.answers, self.filling] if self.filling else list(self.answers)

    @property
    def filling_row(self) -> int:
        return self._row(len(self.answers))

    def row_of(self, answer: Answer) -> int:
        """The row of an answer whose prompt has been read."""
        return self._row(self.answers.index(answer))

    def in_row_order(self) -> tuple[int, list[Answer]]:
        """The lowest row that is decoded, and the answers from there upwards."""
        if self._downwards:
            return self._slots - len(self.answers), self.answers[::-1]
        return 0, list(self.answers)

    def filled(self) -> None:
        """Add the answer whose prompt has been read to the decoded ones."""
        if self.filling is not None:
            self.answers.append(self.filling)
            self.filling = None

    def remove(self, answer: Answer, move: Move) -> None:
        """Free a row and close the hole: the last answer takes its place, and a prompt being read follows."""
        if answer is self.filling:
            self.filling = None
            return
        index, last = self.answers.index(answer), len(self.answers) - 1
        if index != last:
            move(self._row(last), self._row(index))
            self.answers[index] = self.answers[last]
        self.answers.pop()
        if self.filling is not None:
            move(self._row(last + 1), self._row(last))

    def _row(self, index: int) -> int:
        return self._slots - 1 - index if self._downwards else index
