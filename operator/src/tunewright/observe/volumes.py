"""Volumes of a job: the ConfigMaps that must not be pruned, and warnings about deleted claims."""

from collections.abc import Iterable, Sequence

from tunewright.observe.raw import Raw, label, moment, part, parts, text
from tunewright.plan import label_names
from tunewright_contract.stages import Shape, of_shape


def mounted_config_maps(children: Iterable[Raw]) -> frozenset[str]:
    """Return the names of the ConfigMaps that Jobs mount, ended ones included: they are the record of an attempt's configuration."""
    jobs = (child for child in children if child.get("kind") == "Job")
    volumes = (part(volume, "configMap") for job in jobs for volume in parts(job, "spec", "template", "spec", "volumes"))
    return frozenset(name for volume in volumes if (name := text(volume, "name")))


def claim_sizes(children: Iterable[Raw]) -> dict[str, str]:
    """Return the sizes that claims request, by the claims' names. Beside the output claim there may be one of an earlier version."""
    claims = (child for child in children if child.get("kind") == "PersistentVolumeClaim")
    sizes = {text(claim, "metadata", "name"): text(claim, "spec", "resources", "requests", "storage") for claim in claims}
    return {name: size for name, size in sizes.items() if size}


def claim_warnings(children: Sequence[Raw]) -> tuple[str, ...]:
    """Return a warning for each claim that is being deleted, or was created again after training had written to it."""
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
