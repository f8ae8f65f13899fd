"""Which ConfigMaps are in use: one that a Job's pods mount must outlast whatever is rendered after it."""

from collections.abc import Iterable

from tunewright.observe.raw import Raw, part, parts, text


def mounted_config_maps(children: Iterable[Raw]) -> frozenset[str]:
    """Return the names of the ConfigMaps that Jobs mount, those that have ended too: they tell what an attempt was run with."""
    jobs = (child for child in children if child.get("kind") == "Job")
    volumes = (part(volume, "configMap") for job in jobs for volume in parts(job, "spec", "template", "spec", "volumes"))
    return frozenset(name for volume in volumes if (name := text(volume, "name")))
