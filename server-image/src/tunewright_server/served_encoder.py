"""An encoder that is ready to answer, whatever its head."""

import queue
from dataclasses import dataclass

from tunewright_contract.folders import EncoderGraph
from tunewright_contract.smoke_test import SmokeTest
from tunewright_server.engine.encoder_loop import EncoderEngine
from tunewright_server.engine.request import Failed
from tunewright_server.engine.row_queue import EncoderEvent, Logits, TokenRow
from tunewright_server.metrics import EncoderMetrics
from tunewright_server.refusal import self_test_failed, smoke_test_failed
from tunewright_server.served import ServedModel

_RUN_SECONDS = 300.0  # for one row
_SHOWN = 200  # characters of a text that are repeated in a message


@dataclass(frozen=True, kw_only=True)
class ServedEncoder(ServedModel):
    """Gives numbers to texts. A subclass for each head gives them their meaning."""

    engine: EncoderEngine
    graph: EncoderGraph
    metrics: EncoderMetrics
    shares_runs: bool

    @property
    def facts(self) -> dict[str, object]:
        return {**super().facts, "sharesRuns": self.shares_runs}

    def answer_smoke_test(self, prompt: str) -> str:
        """Answer the smoke test's text, in words with which `contains` is compared. Raises `RefusalError` (65)."""
        raise NotImplementedError

    def try_out(self, test: SmokeTest | None) -> None:
        """Run one row, and answer the smoke test. Raises `RefusalError` (65) when the graph cannot be run or the answer is wrong."""
        self.run_once(TokenRow((0,)))
        if test is None:
            return
        answer = self.answer_smoke_test(test.prompt)
        if test.contains is not None and test.contains.casefold() not in answer.casefold():
            raise smoke_test_failed(f"the model answers {test.prompt[:_SHOWN]!r} with {answer!r}, which does not contain {test.contains!r}")

    def row_of_smoke_test(self, tokens: tuple[int, ...], types: tuple[int, ...] | None = None) -> TokenRow:
        """Return the row of the smoke test's text. Raises `RefusalError` (65) for a length that the engine does not take."""
        if not 0 < len(tokens) <= self.engine.max_length:
            raise smoke_test_failed(f"the text has {len(tokens)} tokens, and the server takes 1 to {self.engine.max_length}")
        return TokenRow(tokens, types)

    def run_once(self, row: TokenRow) -> Logits:
        """Return the numbers of one row, before there are requests. Raises `RefusalError` (65)."""
        events: queue.Queue[EncoderEvent] = queue.Queue()
        self.engine.submit([row], lambda _, event: events.put(event))
        try:
            event = events.get(timeout=_RUN_SECONDS)
        except queue.Empty:
            event = Failed(f"no answer within {_RUN_SECONDS:.0f} seconds")
        if isinstance(event, Failed):
            raise self_test_failed(f"the model cannot be run: {event.message}")
        return event.logits
