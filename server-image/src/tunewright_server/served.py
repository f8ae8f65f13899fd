"""A model that is ready to answer, for any kind of graph."""

from dataclasses import dataclass
from typing import Protocol

from tunewright_contract.model_manifest import ModelManifest
from tunewright_server.text.tokenizer import TextTokenizer


class RunningEngine(Protocol):
    """An engine that runs a graph in its own thread."""

    @property
    def alive(self) -> bool:
        """Whether its loop is running. A busy loop is alive."""

    @property
    def max_length(self) -> int:
        """Tokens of the longest text that a request can have."""

    def stop(self) -> None:
        """End the loop after the current run; unfinished requests fail."""


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A loaded model with its engine."""

    name: str  # the name that clients send as `model`
    manifest: ModelManifest
    created: int  # Unix time
    tokenizer: TextTokenizer
    engine: RunningEngine
    threads: int

    @property
    def facts(self) -> dict[str, object]:
        """The fields of the log line when it is ready."""
        return {
            "model": self.name,
            "revision": self.manifest.revision,
            "precision": self.manifest.precision,
            "maxLength": self.engine.max_length,
            "threads": self.threads,
        }

    @property
    def description(self) -> dict[str, object]:
        """Its fields in `/v1/models` besides name and origin."""
        return {}
