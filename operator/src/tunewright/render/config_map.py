"""The ConfigMap with the trainer's instruction, `config.json`."""

import json

from tunewright.plan.label_names import Component
from tunewright.plan.plan_types import FineTunePlan
from tunewright.render.labels import Manifest, metadata


def render_config_map(plan: FineTunePlan) -> tuple[Manifest, ...]:
    """Return the ConfigMap, the same text for the same configuration."""
    text = json.dumps(plan.config.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False)
    return (
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(plan, plan.names.config, Component.SHARED),
            "data": {"config.json": text + "\n"},
        },
    )
