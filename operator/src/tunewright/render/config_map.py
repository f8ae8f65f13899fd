"""The ConfigMap with the trainer's configuration, `config.json`. It is immutable and named after its content.

A pod that restarts or starts late must read the same configuration as the rest of its gang. If the plan changes between two stages, by
Check's counts or an operator upgrade, a second ConfigMap is created. The first stays while a Job mounts it.
"""

from hashlib import sha256

from tunewright.plan.label_names import SHARED
from tunewright.plan.plan_types import FineTunePlan
from tunewright.render.labels import JsonObject, metadata

_DIGITS = 8  # hexadecimal, of the content's sha256


def render_config_map(plan: FineTunePlan) -> tuple[JsonObject, ...]:
    """Return the ConfigMap, the same text for the same configuration."""
    return (
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(plan, config_name(plan), SHARED),
            "data": {"config.json": plan.config_text},
            "immutable": True,
        },
    )


def config_name(plan: FineTunePlan) -> str:
    """Return the name of the ConfigMap with this configuration."""
    return f"{plan.names.config}-{sha256(plan.config_text.encode()).hexdigest()[:_DIGITS]}"
