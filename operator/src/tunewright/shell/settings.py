"""The operator's settings: environment variables, read once. An invalid one is refused by name."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from tunewright.api.v1alpha1.common import QUANTITY_PATTERN
from tunewright.plan.inputs import Defaults
from tunewright.shell.kopf_settings import SILENCE_SECONDS
from tunewright_contract.quantities import amount
from tunewright_runtime.errors import Invalid

PREFIX = "TUNEWRIGHT_"

Port = Annotated[int, Field(ge=1, le=65535)]
Quantity = Annotated[str, StringConstraints(pattern=QUANTITY_PATTERN)]


class OperatorSettings(BaseModel):
    """Each field is the variable TUNEWRIGHT_<FIELD>."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespaces: tuple[str, ...] = ()
    """Namespaces to watch, comma-separated. Empty: all namespaces."""
    read_cluster: bool = False
    """Read each kind with one watch of the whole cluster, and ignore other namespaces. Needs the right to list and watch cluster-wide."""
    trainer_image: str = Defaults().trainer_image
    server_image: str = Defaults().server_image
    accelerator_memory: Quantity = "80Gi"
    """Memory of one accelerator, unless the job sets it."""
    output_size: Quantity = Defaults().output_size
    """Size of a created output claim, unless the job sets it."""
    progress_url: Annotated[str, StringConstraints(pattern=r"^(https?://[^/\s]+)?$")] = ""
    """This operator's address for training pods, without a path. Empty: they report no progress."""
    progress_port: Port = 8080
    health_port: Port = 8081
    """/livez, /readyz and /metrics."""
    try_pods: bool = False
    """Try the pods of all stages by dry-run creates before training takes accelerators. Needs the right to create pods."""
    leader_election: bool = False
    """Work only while holding the Lease `tunewright-operator` in the operator's own namespace. Needs the two below."""
    pod_name: str = ""
    pod_namespace: str = ""
    workers: Annotated[int, Field(ge=1, le=64)] = 8
    """Jobs reconciled in parallel."""
    resync_seconds: Annotated[float, Field(gt=0)] = 600.0
    """Longest time between two reconciles of a job, and between two comparisons of a list with its watch. Both usually happen sooner."""
    watch_silence_seconds: Annotated[float, Field(gt=0)] = SILENCE_SECONDS
    """Seconds until a watch without any event, not even a bookmark, is restarted."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] = "json"

    @field_validator("namespaces", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _know_yourself(self) -> Self:
        lacking = [PREFIX + field.upper() for field in ("pod_name", "pod_namespace") if not getattr(self, field)]
        if self.leader_election and lacking:
            raise ValueError(f"needs {' and '.join(lacking)}: set them from metadata.name and metadata.namespace (downward API)")
        return self

    def defaults(self) -> Defaults:
        """Return the settings that planning needs."""
        return Defaults(
            trainer_image=self.trainer_image,
            server_image=self.server_image,
            accelerator_memory_bytes=int(amount(self.accelerator_memory)),
            output_size=self.output_size,
        )


def read_settings(environ: Mapping[str, str]) -> OperatorSettings:
    """Read the environment. Raises Invalid with the variable, its value and the reason. Other TUNEWRIGHT_ variables are ignored."""
    given = {field: environ[PREFIX + field.upper()] for field in OperatorSettings.model_fields if PREFIX + field.upper() in environ}
    try:
        return OperatorSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = PREFIX + str((first["loc"] or ("leader_election",))[0]).upper()  # an error about several settings has no location
        raise Invalid(f"{name}={environ.get(name)!r}: {first['msg']}") from error
