"""Runs the pods of one FineTuneJob as processes, as a kubelet runs the pods of its node.

`sync` starts missing containers, ends superfluous ones, and writes each pod's status. It also assigns ports: if another program takes a
pod's port, the pod restarts with another one (a whole gang together), which counts as no failure.
"""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from tunewright.local import pod_root
from tunewright.local.container import Container, Ended, Running, processes_of
from tunewright.local.environment import PodContext, as_image
from tunewright.local.files import read_json
from tunewright.local.layout import Layout
from tunewright.local.network import free_port, is_free, is_stolen
from tunewright.local.pod import LocalPod, is_deleted, is_disrupted, remove_tree
from tunewright.local.pod_status import DISRUPTED, ContainerStatus, Waiting, pod_status
from tunewright.local.store import Object, Store, timestamp
from tunewright.plan.label_names import COMPLETION_INDEX
from tunewright_runtime.errors import Invalid

MOST_MOVES = 5  # after so many lost ports a gang keeps its port, and fails

SecretLookup = Callable[[str, str, str, str], str | None]  # (namespace, secret, key, variable) -> value


class Kubelet:
    """The pods of one job. It calls `changed` when it needs another `sync` soon."""

    def __init__(
        self, store: Store, layout: Layout, *, clock: Callable[[], datetime], secrets: SecretLookup, changed: Callable[[], None]
    ) -> None:
        self._store = store
        self._layout = layout
        self._clock = clock
        self._secrets = secrets
        self._changed = changed
        self._pods: dict[str, LocalPod] = {}  # by uid
        self._moving: dict[str, int] = {}  # gang -> how often it has moved, once it is done

    def sync(self, pods: Iterable[Object], *, stopping: bool = False, at_once: bool = False) -> None:
        """Update every pod once. `stopping`: start no pod, end all; `at_once`: without grace."""
        pods = list(pods)
        for pod in pods:
            self._adopt(pod)
        for pod in pods:
            if stopping and not is_over(pod) and not is_disrupted(pod):
                self._mark_disrupted(pod)
        for pod in [self._store.get("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"]) or pod for pod in pods]:
            self._sync_one(pod, pods, at_once=at_once)
        for uid in set(self._pods) - {pod["metadata"]["uid"] for pod in pods}:
            self._pods.pop(uid).quiet()

    def is_ready(self, pod: Object) -> bool:
        """Return whether a pod is ready for requests."""
        local = self._pods.get(pod["metadata"]["uid"])
        return local is not None and local.ready and not is_deleted(pod) and not is_disrupted(pod)

    def port(self, pod: Object, declared: int) -> int | None:
        """Return this machine's port for a container's port."""
        local = self._pods.get(pod["metadata"]["uid"])
        return None if local is None else local.ports.get(declared)

    def forget(self) -> None:
        """End all probes; the processes continue."""
        for local in self._pods.values():
            local.quiet()
        self._pods.clear()

    def _adopt(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if uid in self._pods:
            return
        try:
            self._pods[uid] = LocalPod(pod, self._layout, changed=self._changed)
        except Invalid as error:  # it cannot run here; its status has the reason
            known = ContainerStatus(state=Waiting(reason="CreateContainerConfigError", message=str(error)))
            status = pod_status(pod | {"spec": {"containers": pod["spec"]["containers"][:1]}}, known, self._clock())
            self._write_status(pod, status)
            if is_deleted(pod):
                self._store.remove_pod(pod["metadata"]["namespace"], pod["metadata"]["name"])
        else:
            self._pods[uid].adopt()

    def _sync_one(self, pod: Object, pods: list[Object], *, at_once: bool) -> None:
        local = self._pods.get(pod["metadata"]["uid"])
        if local is None:
            return
        local.watch_over()
        state = local.container.state()
        ending = is_deleted(pod) or is_disrupted(pod)
        if ending and isinstance(state, Running):
            local.stop(at_once=at_once)
        elif not ending and not is_over(pod):
            self._keep_running(pod, local, state, pods)
        if not is_over(pod) and gang_of(pod) not in self._moving:  # a pod that stops to get another port has not ended
            self._write_status(pod, local.status(pod, now=self._clock()))
        if is_deleted(pod) and not isinstance(local.container.state(), Running):
            local.remove()
            del self._pods[local.uid]
            self._store.remove_pod(pod["metadata"]["namespace"], pod["metadata"]["name"])

    def _keep_running(self, pod: Object, local: LocalPod, state: Running | Ended | None, pods: list[Object]) -> None:
        gang = gang_of(pod)
        if isinstance(state, Ended) and state.exit_code and self._lost_its_port(local, gang, pods):
            self._moving.setdefault(gang, local.moves + 1)
        if gang in self._moving:
            self._move(gang, pods)
        elif state is None:
            self._start(pod, local, pods)
        elif isinstance(state, Ended):
            due = local.restart_due(pod, state)
            if due is not None and due <= self._clock().timestamp():
                self._start(pod, local, pods)

    def _lost_its_port(self, local: LocalPod, gang: str, pods: list[Object]) -> bool:
        if not local.ports or local.moves >= MOST_MOVES or gang in self._moving:
            return False
        busy = [port for port in local.ports.values() if not is_free(port)]
        if not busy:
            return False
        ours = {process.pid for pod in pods if gang_of(pod) == gang for process in processes_of(pod["metadata"]["uid"])}
        return any(is_stolen(port, ours) for port in busy)

    def _move(self, gang: str, pods: list[Object]) -> None:
        """End every pod of a gang, and when all have ended, start them with another port."""
        members = [
            (pod, self._pods[pod["metadata"]["uid"]]) for pod in pods if gang_of(pod) == gang and pod["metadata"]["uid"] in self._pods
        ]
        running = [local for _, local in members if isinstance(local.container.state(), Running)]
        for local in running:
            local.stop(at_once=True)
        if running:
            return
        moves = self._moving.pop(gang)
        ports = self._choose_ports(members[0][1].spec)
        for pod, local in members:
            self._launch(pod, local, ports, moves=moves)

    def _start(self, pod: Object, local: LocalPod, pods: list[Object]) -> None:
        siblings = [self._pods[other["metadata"]["uid"]] for other in pods if gang_of(other) == gang_of(pod) and not is_over(other)]
        shared = next((other.ports for other in siblings if other is not local and other.ports), None)
        self._launch(pod, local, shared or self._choose_ports(local.spec), moves=local.moves)

    def _launch(self, pod: Object, local: LocalPod, ports: Mapping[int, int], *, moves: int) -> None:
        namespace = pod["metadata"]["namespace"]

        def lookup(kind: str, name: str) -> Object | None:
            return self._store.get(kind, namespace, name)

        def config(name: str, key: str) -> str | None:
            found = lookup("ConfigMap", name)
            return None if found is None else found.get("data", {}).get(key)

        place = PodContext(
            root=local.folder.root,
            mount_paths=pod_root.mount_paths(local.spec),
            ports=ports,
            services=[service["metadata"]["name"] for service in self._store.select("Service", namespace)],
            secret=lambda name, key, variable: self._secrets(namespace, name, key, variable),
            config=config,
            host=as_image(os.environ, sys.executable),
        )
        local.start(pod, place, lookup, now=self._clock(), moves=moves)

    def _choose_ports(self, container: Mapping[str, Any]) -> dict[int, int]:
        taken = ports_in_use(self._layout)
        chosen: dict[int, int] = {}
        for port in container.get("ports", ()):
            chosen[port["containerPort"]] = free_port(taken | set(chosen.values()))
        return chosen

    def _mark_disrupted(self, pod: Object) -> None:
        """Record the reason before the pod ends, so that another supervisor does not count its exit as a failure, either."""
        condition = {
            "type": DISRUPTED,
            "status": "True",
            "reason": "TerminationByKubelet",
            "message": "stopped together with `tunewright run`",
            "lastTransitionTime": timestamp(self._clock()),
        }

        def mark(stored: Object) -> None:
            status = stored.setdefault("status", {})
            status["conditions"] = [*status.get("conditions", ()), condition]

        self._store.change_status("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"], mark)

    def _write_status(self, pod: Object, status: dict[str, Any]) -> None:
        self._store.change_status("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"], lambda stored: stored.update(status=status))


def gang_of(pod: Mapping[str, Any]) -> str:
    """Return the id that pods with one rendezvous share: their Indexed Job's uid. Any other pod has its own."""
    meta = pod["metadata"]
    if COMPLETION_INDEX in meta.get("annotations", {}):
        return str(meta["ownerReferences"][0]["uid"])
    return str(meta["uid"])


def is_over(pod: Mapping[str, Any]) -> bool:
    """Return whether the pod has ended permanently."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def ports_in_use(layout: Layout) -> set[int]:
    """Return every port that a running pod of this home was given, even if it does not listen yet."""
    taken: set[int] = set()
    for path in layout.pods.glob("*/*/runs/*/container.json"):
        if not (path.parent / "exit.json").exists():
            taken |= set(((read_json(path) or {}).get("ports") or {}).values())
    return taken


def clean_up_orphans(store: Store, layout: Layout) -> list[str]:
    """End and remove pods whose object is gone, because a supervisor was killed while it deleted them. Returns their names."""
    found = []
    for folder in sorted(layout.pods.glob("*/*")):
        name, _, short_uid = folder.name.rpartition("-")
        pod = store.get("Pod", folder.parent.name, name)
        if pod is None or not pod["metadata"]["uid"].startswith(short_uid):
            found.append(name)
            for run in sorted((folder / "runs").glob("*")):
                Container(run).abandon()
            remove_tree(folder)
    return found
