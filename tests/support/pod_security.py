"""The restricted Pod Security Standard, as far as a pod of one container can break it.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from collections.abc import Mapping
from typing import Any

ALLOWED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def violations(pod: Mapping[str, Any]) -> list[str]:
    """Return every rule of the standard that a pod's spec breaks."""
    found = [f"host namespace: {field}" for field in ("hostNetwork", "hostPID", "hostIPC") if pod.get(field)]
    for volume in pod.get("volumes", ()):
        found += [f"volume {volume['name']}: {kind}" for kind in set(volume) - {"name"} - ALLOWED_VOLUMES]
    of_pod = pod.get("securityContext", {})
    for container in [*pod.get("containers", ()), *pod.get("initContainers", ())]:
        found += [f"{container['name']}: {rule}" for rule in _of_container(container, of_pod)]
    return found


def _of_container(container: Mapping[str, Any], of_pod: Mapping[str, Any]) -> list[str]:
    own = container.get("securityContext", {})
    effective = {**of_pod, **own}
    return [
        rule
        for rule, broken in {
            "privileged": bool(own.get("privileged")),
            "may escalate its privileges": own.get("allowPrivilegeEscalation") is not False,
            "may run as root": effective.get("runAsNonRoot") is not True,
            "runs as root": effective.get("runAsUser") == 0,
            "keeps capabilities": own.get("capabilities", {}).get("drop") != ["ALL"],
            "adds capabilities": bool(set(own.get("capabilities", {}).get("add", ())) - {"NET_BIND_SERVICE"}),
            "has no seccomp profile": effective.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"},
            "opens a port of the host": any(port.get("hostPort") for port in container.get("ports", ())),
        }.items()
        if broken
    ]
