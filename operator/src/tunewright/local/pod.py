"""One pod on this machine: starts its container, restarts it by its restart policy, stops it, and writes its status.

All state is in the pod's folder, so another supervisor can continue from there.
"""

import asyncio
import logging
import shutil
import signal
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from tunewright.local import pod_root, probes
from tunewright.local.container import POD_UID, Container, Ended, Running, kill_leftovers
from tunewright.local.environment import PodContext, arguments_of, environment_of, relocate
from tunewright.local.files import read_json
from tunewright.local.layout import Layout, PodFolder
from tunewright.local.pod_status import DISRUPTED, ContainerStatus, Waiting, pod_status
from tunewright.local.store import DEFAULT_GRACE_SECONDS, Object, explain
from tunewright.plan.label_names import JOB_NAME
from tunewright_contract.quantities import whole
from tunewright_runtime.errors import Invalid

MESSAGE_BYTES = 4096  # Kubernetes' limits
FALLBACK_BYTES = 2048
RESTART_SECONDS = 1.0  # doubled with every restart; Kubernetes begins with 10, but here a user waits
LONGEST_RESTART_SECONDS = 300.0
CONFIG_RETRY_SECONDS = 5.0

log = logging.getLogger(__name__)


class LocalPod:
    """The processes of one Pod object."""

    def __init__(self, pod: Object, layout: Layout, *, changed: Callable[[], None]) -> None:
        meta = pod["metadata"]
        check(pod)
        self.uid: str = meta["uid"]
        self.spec: Mapping[str, Any] = pod["spec"]["containers"][0]
        self.folder: PodFolder = layout.pod(meta["namespace"], meta["name"], self.uid)
        self.log_file = layout.logs(meta["namespace"], meta.get("labels", {}).get(JOB_NAME, "_")) / f"{meta['name']}.log"
        self._layout = layout
        self._changed = changed
        self._run = max((int(path.name) for path in (self.folder.path / "runs").glob("[0-9]*")), default=0)
        self.container = Container(self.folder.run(self._run))
        self._prober: probes.Prober | None = None
        self._probing: asyncio.Task[None] | None = None
        self._problem = ""
        self._retry_at = 0.0
        self._signalled: signal.Signals | None = None

    @property
    def ports(self) -> dict[int, int]:
        """Declared port -> the port chosen for the present run; empty before the first start."""
        wanted = self.container.wanted
        return {} if wanted is None else {int(declared): chosen for declared, chosen in wanted["ports"].items()}

    @property
    def moves(self) -> int:
        """How often the pod was restarted to get another port."""
        return int((self.container.wanted or {}).get("moves", 0))

    @property
    def ready(self) -> bool:
        return self._prober is not None and self._prober.ready

    def stop(self, *, at_once: bool = False) -> None:
        """Stop the container: with SIGTERM, and SIGKILL after its grace period; or with SIGKILL at once."""
        wanted = signal.SIGINT if at_once else signal.SIGTERM
        if self._signalled not in (wanted, signal.SIGINT) and self.container.signal(wanted):
            self._signalled = wanted

    def start(self, pod: Object, place: PodContext, lookup: pod_root.Lookup, *, now: datetime, moves: int) -> None:
        """Start the container in a new run. If it cannot start, the pod's status has the reason, and the start is retried."""
        if now.timestamp() < self._retry_at:
            return
        before = self.container.wanted
        if before is not None and self.container.state() is None:  # its supervisor may have been killed before the shim started
            self.container.start(before)
            self._watch(self.ports)
            return
        number = self._run if before is None else self._run + 1
        run = self.folder.run(number)
        try:
            pod_root.build(pod, self.folder, self._layout, lookup)
            run.mkdir(parents=True, exist_ok=True)
            pod_root.place_termination_log(self.folder, self.spec, run)
            self.log_file.parent.mkdir(parents=True, exist_ok=True)
            wanted = self._wanted(pod, place) | {"moves": moves}
            container = Container(run)
            container.start(wanted)
        except (Invalid, OSError) as error:
            self._problem = str(error) if isinstance(error, Invalid) else explain(error, self._layout.home)
            self._retry_at = now.timestamp() + CONFIG_RETRY_SECONDS
            return
        self._run, self.container, self._problem, self._signalled = number, container, "", None
        self._watch(place.ports)

    def adopt(self) -> None:
        """Start the probes of a container that runs already."""
        if self._probing is None and isinstance(self.container.state(), Running):
            self._watch(self.ports)

    def restart_due(self, pod: Object, ended: Ended) -> float | None:
        """Return when an ended container restarts, in seconds since the epoch. None: it does not restart."""
        policy = pod["spec"].get("restartPolicy", "Always")
        if policy == "Never" or (policy == "OnFailure" and ended.exit_code == 0) or is_disrupted(pod) or is_deleted(pod):
            return None
        restarts = self._run - self.moves
        delay = 0.0 if restarts == 0 else min(RESTART_SECONDS * 2.0 ** min(restarts - 1, 32), LONGEST_RESTART_SECONDS)
        return ended.finished_at + delay

    def status(self, pod: Object, *, now: datetime) -> dict[str, Any]:
        """Return the pod's status as it is now."""
        state = self.container.state()
        message = self._termination_message(self.folder.run(self._run)) if isinstance(state, Ended) else ""
        disrupted = next((item["message"] for item in conditions(pod) if item["type"] == DISRUPTED), "")
        if isinstance(state, Ended):
            if state.lost and not disrupted:
                disrupted = "its processes ended together with their supervisor: the machine was restarted, or they were killed"
            if self.restart_due(pod, state) is not None:
                why = f"back-off restarting failed container: exit code {state.exit_code}"
                waiting = Waiting(reason="CrashLoopBackOff", message=why)
                known = ContainerStatus(state=waiting, last=state, restarts=self._restarts, message=message)
            else:
                last = self._previous()
                known = ContainerStatus(state=state, last=last, restarts=self._restarts, message=message, final=True, disrupted=disrupted)
            return pod_status(pod, known, now)
        final = state is None and (is_deleted(pod) or bool(disrupted))
        prober = self._prober
        previous = self._previous()
        waits = (
            Waiting(reason="CreateContainerConfigError", message=self._problem) if self._problem else Waiting(reason="ContainerCreating")
        )
        known = ContainerStatus(
            state=waits if state is None else state,
            last=previous,
            restarts=self._restarts,
            started=prober is not None and prober.started,
            ready=prober is not None and prober.ready,
            message=self._termination_message(self.folder.run(self._run - 1)) if previous else "",
            final=final,
            disrupted=disrupted,
        )
        return pod_status(pod, known, now)

    def watch_over(self) -> None:
        """Follow the container's state: end its probes, stop it if its liveness probe failed, kill its remaining processes."""
        state = self.container.state()
        if isinstance(state, Ended):
            self.quiet()
            if state.lost:
                kill_leftovers(self.uid)
        elif self._prober is not None and self._prober.failed:
            self.stop()

    def quiet(self) -> None:
        """End the probes."""
        if self._probing is not None:
            self._probing.cancel()
        self._prober = self._probing = None

    def remove(self) -> None:
        """Remove the folder of a pod whose processes have ended. Its log stays."""
        self.quiet()
        remove_tree(self.folder.path)

    @property
    def _restarts(self) -> int:
        return self._run - self.moves

    def _previous(self) -> Ended | None:
        state = Container(self.folder.run(self._run - 1)).state() if self._restarts else None
        return state if isinstance(state, Ended) else None

    def _watch(self, ports: Mapping[int, int]) -> None:
        self.quiet()
        self._prober = probes.Prober(self.spec, ports, changed=self._changed)
        self._probing = asyncio.create_task(self._prober.run(), name=f"probes of {self.folder.path.name}")

    def _wanted(self, pod: Object, place: PodContext) -> dict[str, Any]:
        environment = environment_of(pod, self.spec, place) | {POD_UID: self.uid}
        limit = self.spec.get("resources", {}).get("limits", {}).get("memory")
        return {
            "argv": arguments_of(self.spec, environment, place),
            "env": environment,
            "cwd": relocate(self.spec["workingDir"], place) if "workingDir" in self.spec else str(self.folder.root),
            "log": str(self.log_file),
            "memoryLimitBytes": None if limit is None else whole(limit),
            "graceSeconds": pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS),
            "ports": {str(declared): chosen for declared, chosen in place.ports.items()},
        }

    def _termination_message(self, run: Path) -> str:
        """Return the termination message of a run that has ended."""
        message_text = _tail(run / "termination-log", MESSAGE_BYTES, from_start=True)
        ended = read_json(run / "exit.json") or {}
        if not message_text and ended.get("exitCode") and self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            message_text = _tail(self.log_file, FALLBACK_BYTES)
        return message_text


def check(pod: Object) -> None:
    """Refuse a pod of which this machine could run only a part. Raises Invalid."""
    containers = pod["spec"]["containers"]
    if len(containers) != 1 or pod["spec"].get("initContainers"):
        raise Invalid(f"pod {pod['metadata']['name']}: on this machine a pod has exactly one container")
    hooks = containers[0].get("lifecycle", {})
    # A pre-stop sleep waits until proxies have removed the pod. `network.Forwarder` removes it before the stop, so the sleep is not needed.
    if set(hooks) - {"preStop"} or set(hooks.get("preStop", {})) - {"sleep"}:
        raise Invalid(f"pod {pod['metadata']['name']}: only the lifecycle hook preStop.sleep is supported on this machine")
    probes.check_supported(containers[0])


def conditions(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return an object's conditions."""
    return list(item.get("status", {}).get("conditions", ()))


def is_disrupted(pod: Mapping[str, Any]) -> bool:
    """Return whether the pod has the condition DisruptionTarget."""
    return any(item["type"] == DISRUPTED and item["status"] == "True" for item in conditions(pod))


def is_deleted(pod: Mapping[str, Any]) -> bool:
    """Return whether the pod is being deleted."""
    return "deletionTimestamp" in pod["metadata"]


def remove_tree(path: Path) -> None:
    """Remove a folder with its content, even if another process removes it at the same time."""

    def gone_already(_function: Any, _path: str, error: Any) -> None:
        if not isinstance(error[1], FileNotFoundError):
            raise error[1]

    shutil.rmtree(path, onerror=gone_already)


def _tail(path: Path, limit: int, *, from_start: bool = False) -> str:
    try:
        with path.open("rb") as file:
            if not from_start:
                file.seek(max(path.stat().st_size - limit, 0))
            return file.read(limit).decode(errors="replace")
    except FileNotFoundError:
        return ""
