"""The claim for checkpoints and models, if the job names none."""

from tunewright.plan import label_names
from tunewright.plan.label_names import SHARED
from tunewright.plan.plan_types import FineTunePlan
from tunewright.render.labels import JsonObject, metadata

_WHY_RETAINED = "holds checkpoints and models; deleting the FineTuneJob leaves it, deleting this claim deletes them"


def render_volume_claim(plan: FineTunePlan) -> tuple[JsonObject, ...]:
    """Return the claim to create. A retained one has no owner, so that garbage collection keeps it, and an annotation that records this."""
    new = plan.storage.create
    if new is None:
        return ()
    retain = plan.storage.retain
    storage_class = {} if new.storage_class is None else {"storageClassName": new.storage_class}
    return (
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata(
                plan,
                plan.storage.output_claim,
                SHARED,
                annotations={label_names.RETAIN: _WHY_RETAINED} if retain else None,
                owned=not retain,
            ),
            "spec": {"accessModes": list(new.access_modes), "resources": {"requests": {"storage": new.size}}, **storage_class},
        },
    )
