"""Lists the fields of a job and their paths, read from the models, so that messages can suggest the right field."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, get_args

from tunewright.api.v1alpha1.common import Spec
from tunewright.api.v1alpha1.job import FineTuneJob

Step = str | int


def names_in(model: type[Spec]) -> tuple[str, ...]:
    """Return the fields of a part by their names in YAML."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


def model_at(steps: Sequence[Step]) -> type[Spec] | None:
    """Return the model of the part at this place of a job, or None for scalars, maps and missing places."""
    model: type[Spec] | None = FineTuneJob
    for step in steps:
        if isinstance(step, int) or model is None:
            continue  # an entry of a list has the type of the list's own entries
        model = next((part_of(field.annotation) for field in model.model_fields.values() if field.alias == step), None)
    return model


@cache
def places_of(name: str) -> tuple[str, ...]:
    """Return the paths of all fields of this name, e.g. learningRate → (spec.training.learningRate,)."""
    return tuple(path for path in _walk(FineTuneJob, "") if path.rsplit(".", 1)[-1] == name)


def _walk(model: type[Spec], prefix: str) -> Iterator[str]:
    for field in model.model_fields.values():
        path = f"{prefix}{field.alias}"
        yield path
        part = part_of(field.annotation)
        if part is not None and field.alias != "metadata":
            yield from _walk(part, f"{path}.")


def part_of(annotation: Any) -> type[Spec] | None:
    """Return the part inside Annotated, Optional and tuples."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return annotation
    return next((found for inner in get_args(annotation) if (found := part_of(inner)) is not None), None)
