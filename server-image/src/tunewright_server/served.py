"""A model that is ready to answer, with what a request needs of it, for any kind of graph."""

from dataclasses import dataclass
from typing import Protocol

from tunewright_contract.model_manifest import ModelManifest
from tunewright_server.text.tokenizer import TextTokenizer


class RunningEngine(Protocol):
    """What runs a graph, in a thread of its own."""

    @property
    def alive(self) -> bool:
        """Whether its loop is turning. A busy loop is alive."""

    @property
    def max_length(self) -> int:
        """Tokens of the longest text that a request can have."""

    def stop(self) -> None:
        """End the loop after the current run; unfinished requests fail."""


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A loaded model with its engine."""

    name: str  # what clients put into `model`
    manifest: ModelManifest
    created: int  # Unix time
    tokenizer: TextTokenizer
    engine: RunningEngine
    threads: int

    @property
    def facts(self) -> dict[str, object]:
        """What the log says of it once it is ready."""
        return {
            "model": self.name,
            "revision": self.manifest.revision,
            "precision": self.manifest.precision,
            "maxLength": self.engine.max_length,
            "threads": self.threads,
        }

    @property
    def description(self) -> dict[str, object]:
        """What `/v1/models` says of it beside name and origin."""
        return {}
