"""Control plane and node of one FineTuneJob on this machine: controllers, kubelet and Services in one loop.

The loop reads the objects and the processes and acts on them, several times a second and immediately after a write.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import datetime

from tunewright.local import deployment_controller, job_controller
from tunewright.local.controllers import ALPHABET, Decision
from tunewright.local.environment import Secrets
from tunewright.local.kubelet import Kubelet, is_over
from tunewright.local.layout import Layout
from tunewright.local.network import LOOPBACK, Forwarder
from tunewright.local.store import Object, Store
from tunewright.plan.label_names import JOB_NAME, URL
from tunewright.plan.names import label_value
from tunewright_runtime.errors import TunewrightError

TICK_SECONDS = 0.2  # between two checks of the processes
ROUNDS = 20  # of controllers and kubelet in one tick; after that they wait for the next

log = logging.getLogger(__name__)


class Machine:
    """The children of one FineTuneJob, by its name. Remaining children of an earlier job of that name are included."""

    def __init__(self, store: Store, layout: Layout, secrets: Secrets, *, namespace: str, job: str, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._namespace = namespace
        self._label = label_value(job)
        self._clock = clock
        self._changed = asyncio.Event()
        self._written = 0
        self._problem = ""
        self._services: dict[str, Forwarder] = {}  # by uid
        self._kubelet = Kubelet(store, layout, clock=clock, secrets=secrets.find, changed=self._changed.set)
        store.watch(self._note)

    async def run(self) -> None:
        """Run the children until cancelled. The processes continue then; see `stop`."""
        while True:
            await self.step()

    async def step(self) -> None:
        """Update the children once."""
        await self._look(stopping=False, at_once=False)

    async def stop(self, *, at_once: Callable[[], bool]) -> None:
        """End all pods, gracefully until `at_once()` is true, and mark them as disrupted. Meanwhile controllers create no pods."""
        while True:
            await self._look(stopping=True, at_once=at_once())
            if all(is_over(pod) for pod in self.children("Pod")):
                self._sync_controllers(create=False)  # a last update of the objects, because no process updates them afterwards
                return

    async def close(self) -> None:
        """End the probes and close the Services' ports. The processes continue."""
        self._kubelet.forget()
        for forwarder in self._services.values():
            await forwarder.stop()
        self._services.clear()

    def children(self, kind: str) -> list[Object]:
        """Return the objects of a kind that belong to the job."""
        return self._store.labelled(self._namespace, JOB_NAME, self._label, kind)

    async def _look(self, *, stopping: bool, at_once: bool) -> None:
        self._changed.clear()
        try:
            for _ in range(ROUNDS):
                before = self._written
                self._kubelet.sync(self.children("Pod"), stopping=stopping, at_once=at_once)
                if not stopping:
                    self._sync_controllers()
                    await self._sync_services()
                if self._written == before:
                    break
            self._problem = ""
        except TunewrightError as error:  # such as a full disk: running pods continue, and the next tick tries again
            if str(error) != self._problem:
                log.warning("%s", error)
            self._problem = str(error)
        try:
            async with asyncio.timeout(TICK_SECONDS):  # not wait_for, which in Python 3.11 may swallow a cancellation
                await self._changed.wait()
        except TimeoutError:
            return

    def _note(self, _changed: Object) -> None:
        self._written += 1
        self._changed.set()

    def _sync_controllers(self, *, create: bool = True) -> None:
        pods = self.children("Pod")
        for job in self.children("Job"):
            self._carry_out(job, job_controller.sync(job, _owned(pods, job), now=self._clock(), suffix=_suffix), create=create)
        for deployment in self.children("Deployment"):
            decision = deployment_controller.sync(deployment, _owned(pods, deployment), now=self._clock(), suffix=_suffix)
            self._carry_out(deployment, decision, create=create)

    def _carry_out(self, owner: Object, decision: Decision, *, create: bool) -> None:
        for pod in decision.create if create else ():
            self._store.create(pod)
        for name in decision.delete:
            self._store.delete("Pod", self._namespace, name)
        self._store.change_status(
            owner["kind"], self._namespace, owner["metadata"]["name"], lambda stored: stored.update(status=decision.status)
        )

    async def _sync_services(self) -> None:
        services = {service["metadata"]["uid"]: service for service in self.children("Service") if _has_address(service)}
        for uid in set(self._services) - set(services):
            await self._services.pop(uid).stop()
        for uid in set(services) - set(self._services):
            await self._open(services[uid])

    async def _open(self, service: Object) -> None:
        """Open the port of a Service: the one it had before, if it is still free."""
        name = service["metadata"]["name"]
        before = service["metadata"].get("annotations", {}).get(URL, "").rpartition(":")[2]
        forwarder = Forwarder(lambda: self._endpoints(name))
        port = await forwarder.start(int(before) if before.isdecimal() else None)
        self._services[service["metadata"]["uid"]] = forwarder

        def publish(stored: Object) -> None:
            stored["metadata"].setdefault("annotations", {})[URL] = f"http://{LOOPBACK}:{port}"

        self._store.change("Service", self._namespace, name, publish)

    def _endpoints(self, name: str) -> list[int]:
        """Return the local ports of the ready pods behind a Service."""
        service = self._store.get("Service", self._namespace, name)
        if service is None:
            return []
        target = service["spec"]["ports"][0].get("targetPort", service["spec"]["ports"][0]["port"])
        selector = service["spec"]["selector"].items()
        found = []
        for pod in self.children("Pod"):
            if selector <= pod["metadata"].get("labels", {}).items() and self._kubelet.is_ready(pod):
                declared = _declared_port(pod, target)
                port = None if declared is None else self._kubelet.port(pod, declared)
                found += [] if port is None else [port]
        return found


def _owned(pods: list[Object], owner: Object) -> list[Object]:
    uid = owner["metadata"]["uid"]
    return [pod for pod in pods if any(reference["uid"] == uid for reference in pod["metadata"].get("ownerReferences", ()))]


def _has_address(service: Object) -> bool:
    """Return whether a Service has an address. A headless one has none, and its name needs none on one machine."""
    return service["spec"].get("clusterIP") != "None" and bool(service["spec"].get("selector"))


def _declared_port(pod: Object, target: str | int) -> int | None:
    for port in pod["spec"]["containers"][0].get("ports", ()):
        if target in (port["containerPort"], port.get("name")):
            return int(port["containerPort"])
    return None


def _suffix() -> str:
    return "".join(random.choices(ALPHABET, k=5))  # noqa: S311 - a name, not a secret
