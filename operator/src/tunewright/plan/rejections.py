"""What planning returns instead of a plan: the job must change, or an object that it names is missing."""

from dataclasses import dataclass
from typing import ClassVar

from tunewright.plan.inputs import Missing


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """Why a job, or a change of it, cannot be carried out: a stable CamelCase `reason`, the path of the field, and the way out."""

    reason: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


@dataclass(frozen=True)
class ReferencesMissing:
    """Objects that the job names and that do not exist yet. Planning succeeds when they do."""

    missing: tuple[Missing, ...]
    reason: ClassVar[str] = "ReferencesMissing"

    def __str__(self) -> str:
        return "; ".join(f"{item.field}: {item.message}" for item in self.missing)
