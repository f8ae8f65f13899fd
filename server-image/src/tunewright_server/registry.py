"""The models of one process, by name. Each is loaded, answers and fails by itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tunewright_server.served import ServedModel


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
