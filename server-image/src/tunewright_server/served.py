"""A model that is ready to answer, for any kind of graph, and the registry: the models of one process, by name.

Each model is loaded, answers and fails by itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tunewright_contract.folders import ModelManifest
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


@dataclass
class Registry:
    """`names` are all models that this process will have. Use it on the event loop's thread only."""

    names: tuple[str, ...] = ()
    _models: dict[str, ServedModel] = field(default_factory=dict)
    _paths: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    def add(self, model: ServedModel, *, paths: Sequence[str]) -> None:
        """Add a loaded model, which answers on these paths once all are loaded."""
        self._models[model.name] = model
        self._paths[model.name] = tuple(paths)

    def get(self, name: str) -> ServedModel | None:
        """Return a loaded model."""
        return self._models.get(name)

    def paths(self, name: str) -> tuple[str, ...]:
        """The paths of a loaded model."""
        return self._paths[name]

    @property
    def complete(self) -> bool:
        """Whether all models are loaded."""
        return 0 < len(self.names) == len(self._models)

    @property
    def longest_prompt(self) -> int:
        """Tokens of the longest request that a loaded model takes."""
        return max((model.engine.max_length for model in self), default=0)
