"""Warns when the created claim of a job is deleted, because its checkpoints and models cannot be restored."""

from collections.abc import Iterable, Sequence

from tunewright.observe.raw import Raw, label, moment, text
from tunewright.plan import label_names
from tunewright_contract.stages import Shape, of_shape


def losses(children: Sequence[Raw]) -> tuple[str, ...]:
    """Return a warning for each claim that is being deleted, or was made anew after training had begun to write to it."""
    begun = min(filter(None, (moment(job, "metadata", "creationTimestamp") for job in _gangs(children))), default=None)
    found = []
    for claim in children:
        if claim.get("kind") != "PersistentVolumeClaim":
            continue
        name, made = text(claim, "metadata", "name"), moment(claim, "metadata", "creationTimestamp")
        if text(claim, "metadata", "deletionTimestamp"):
            found.append(
                f"claim {name} is being deleted, and disappears when no pod uses it; copy the checkpoints and models that you need"
            )
        elif begun and made and made > begun:
            found.append(
                f"claim {name} was created again after training had begun: its earlier checkpoints and models are gone; "
                "restore them, or apply the job under another name"
            )
    return tuple(found)


def _gangs(children: Iterable[Raw]) -> Iterable[Raw]:
    gangs = {stage.component for stage in of_shape(Shape.GANG)}
    return (child for child in children if child.get("kind") == "Job" and label(child, label_names.COMPONENT) in gangs)
