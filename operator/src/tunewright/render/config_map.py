"""The ConfigMap with the trainer's instruction, `config.json`: named after its content, and immutable.

A pod of a running gang that is started anew, or late, must read what its fellows read. A plan that changes between two stages, by Check's
count or by another release of the operator, is another ConfigMap; the earlier one stays as long as a Job mounts it.
"""

from hashlib import sha256

from tunewright.plan.label_names import SHARED
from tunewright.plan.plan_types import FineTunePlan
from tunewright.render.labels import Manifest, metadata

_DIGITS = 8  # hexadecimal, of the content's sha256


def render_config_map(plan: FineTunePlan) -> tuple[Manifest, ...]:
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
    """Name the ConfigMap that holds this very configuration."""
    return f"{plan.names.config}-{sha256(plan.config_text.encode()).hexdigest()[:_DIGITS]}"
