"""E018: an execution provider that the server image does not hold. Without the rule, the server fails after the model is trained."""

from typing import Any

from tunewright.api.rules.table import Rule, job_rule
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright_contract.capabilities.execution_providers import EXECUTION_PROVIDERS


def not_in_image(spec: FineTuneJobSpec) -> list[str]:
    """Return the execution providers that are in no image the job can be served from. The job's own image is assumed to have them."""
    serving = spec.serving
    if serving is None or serving.image is not None:
        return []
    return [name for name in serving.execution_providers if not EXECUTION_PROVIDERS[name].in_server_image]


_HELD = " or ".join(EXECUTION_PROVIDERS.where(lambda row: row.in_server_image))

RULES: tuple[Rule[Any], ...] = (
    job_rule(
        code="E018",
        path="serving.executionProviders",
        broken=lambda spec: bool(not_in_image(spec)),
        says=lambda spec: f"the server image holds no {', '.join(not_in_image(spec))}, so no server could start",
        refuses="an execution provider that the server image does not hold",
        way_out=f"Use {_HELD}, or set serving.image to an image of your own that holds it.",
    ),
)
