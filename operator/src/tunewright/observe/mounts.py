"""Lists the ConfigMaps that the pods of Jobs mount. They must not be pruned."""

from collections.abc import Iterable

from tunewright.observe.raw import Raw, part, parts, text


def mounted_config_maps(children: Iterable[Raw]) -> frozenset[str]:
    """Return the names of the ConfigMaps that Jobs mount, those that have ended too: they tell what an attempt was run with."""
    jobs = (child for child in children if child.get("kind") == "Job")
    volumes = (part(volume, "configMap") for job in jobs for volume in parts(job, "spec", "template", "spec", "volumes"))
    return frozenset(name for volume in volumes if (name := text(volume, "name")))
