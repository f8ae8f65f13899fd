"""The place in a cluster: the FineTuneJobs of an API server, with the user's own rights. See places.py for what each method promises."""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.cli.change import retry_patch, reverting
from tunewright.cli.cluster_errors import ClusterNames, objections_of, reported, selecting
from tunewright.cli.cluster_pods import Pods
from tunewright.cli.cluster_run import run_job
from tunewright.cli.console import err
from tunewright.cli.listing import last_seen
from tunewright.cli.places import Child, Job, PlaceError, PodLog, PresentState, Run, key_of, ready_of
from tunewright.cli.terminal import Stop
from tunewright.kube.kinds import FINE_TUNE_JOB, SCHEME
from tunewright.plan.inputs import References
from tunewright.plan.label_names import JOB_UID
from tunewright_runtime.kubeconfig import select
from tunewright_runtime.objects import Key
from tunewright_runtime.port_forward import forwarded
from tunewright_runtime.user_client import RefusedError, UnreachableError, UserClient

FIELD_MANAGER = "tunewright-cli"
SHOWN_KINDS = (
    "Job",
    "Deployment",
    "Service",
    "PersistentVolumeClaim",
    "Pod",
)  # of `describe`: those that the cluster's role `view` can read
WATCH_SECONDS = 300  # then the list is read again
AGAIN_SECONDS = 1.0  # before a watch that broke off is opened again


def open_cluster(*, context: str | None, kubeconfig: Path | None, namespace: str | None, program: str) -> "Cluster":
    """Open the cluster that kubectl would select with these options. Sends nothing. `program` begins the commands in messages."""
    with selecting(context):
        selected = select(kubeconfig=kubeconfig, context=context, namespace=namespace)
    client = UserClient(selected, user_agent=f"tunewright-cli/{version('tunewright')}", field_manager=FIELD_MANAGER)
    options = (f" --context {context}" if context else "") + (f" --kubeconfig {kubeconfig}" if kubeconfig else "")
    names = ClusterNames(context=selected.context, namespace=selected.namespace, server=client.server, program=program, options=options)
    return Cluster(client, names)


class Cluster:
    """The jobs that one API server stores."""

    columns: Sequence[str] = ()
    listed: str | None

    def __init__(self, client: UserClient, names: ClusterNames) -> None:
        self._client = client
        self._names = names
        self._pods = Pods(client)
        self.name = f"context {names.context}"
        self.namespace = self.listed = names.namespace

    def command(self, words: str, namespace: str | None = None) -> str:
        return self._names.command(words, namespace)

    def jobs(self, namespace: str | None) -> Sequence[Job]:
        with self._reported(namespace or ""):
            return self._list(namespace)

    def job(self, key: Key) -> Job | None:
        with self._reported(key.namespace):
            try:
                return self._client.get(_path(key))
            except RefusedError as error:
                if error.code == 404 and error.details.get("name") == key.name:
                    return None
                raise

    def elsewhere(self, name: str) -> Sequence[str]:
        try:
            found = self._list(None, name)
        except RefusedError as error:
            if error.code == 403:  # most users cannot list all namespaces; this is only a hint
                return ()
            raise
        return [job["metadata"]["namespace"] for job in found]

    def changes(self, namespace: str | None, name: str | None = None) -> Iterator[tuple[Job, bool]]:
        path, query = SCHEME.path(FINE_TUNE_JOB, namespace or ""), _named(name)
        seen: dict[Key, Job] = {}
        while True:
            with self._reported(namespace or ""):
                answer = self._client.get(path, query)
            now = {key_of(job): _whole(job) for job in answer["items"]}
            yield from ((job, False) for key, job in now.items() if _version(seen.get(key)) != _version(job))
            yield from ((job, True) for key, job in seen.items() if key not in now)
            seen = now
            start = [("watch", "true"), ("resourceVersion", answer["metadata"]["resourceVersion"]), ("timeoutSeconds", WATCH_SECONDS)]
            try:
                for line in self._client.lines(path, [*start, *query]):
                    event = json.loads(line)
                    if event["type"] == "ERROR":  # the version is too old: read the list again
                        break
                    job, deleted = _whole(event["object"]), event["type"] == "DELETED"
                    if deleted:
                        seen.pop(key_of(job), None)
                    else:
                        seen[key_of(job)] = job
                    yield job, deleted
            except UnreachableError:  # the connection broke off; the list above fails if the API server is really gone
                time.sleep(AGAIN_SECONDS)

    def standing(self, job: Job) -> PresentState:
        return PresentState(phase=str((job.get("status") or {}).get("phase") or "Pending"), ready=ready_of(job))

    def children(self, job: Job) -> Sequence[Child]:
        found = []
        for kind in SHOWN_KINDS:
            path = SCHEME.path(kind, job["metadata"]["namespace"])
            try:
                items = self._client.get(path, [("labelSelector", f"{JOB_UID}={job['metadata']['uid']}")])["items"]
            except RefusedError as error:
                if error.code != 403:
                    raise
                found.append(Child(kind=kind, name="-", state="not shown: you may not list them"))
            else:
                found += [Child(kind=kind, name=item["metadata"]["name"], state=_state(kind, item)) for item in items]
        return found

    def events(self, job: Job) -> Sequence[Mapping[str, Any]]:
        fields = f"involvedObject.uid={job['metadata']['uid']}"
        with self._reported(job["metadata"]["namespace"]):
            found = self._client.get(SCHEME.path("Event", job["metadata"]["namespace"]), [("fieldSelector", fields)])["items"]
        return sorted(found, key=last_seen)

    def losses(self, job: Job) -> list[dict[str, Any]]:
        return []  # the file is on a volume of the cluster; `watch` collects the losses of status

    def logs(self, job: Job) -> Sequence[PodLog]:
        with self._reported(job["metadata"]["namespace"]):
            return self._pods.logs(job)

    def printed(self, job: Job, pod: PodLog, *, tail: int | None, previous: bool) -> Iterator[str]:
        with self._reported(job["metadata"]["namespace"]):
            yield from self._pods.printed(job["metadata"]["namespace"], pod, tail=tail, previous=previous)

    def follow(self, job: Job, wanted: Callable[[PodLog], bool], *, tail: int | None) -> Iterator[tuple[str, str]]:
        with self._reported(job["metadata"]["namespace"]):
            yield from self._pods.follow(job, wanted, tail=tail)

    def references(self, job: FineTuneJob, directory: Path) -> References:
        return References(host_paths=False)

    def objections(self, raw: Mapping[str, Any]) -> Sequence[str]:
        key = key_of(raw)
        with self._reported(key.namespace):
            try:
                answer = self._client.apply(_path(key), raw, force=True, dry_run=True)
            except RefusedError as error:
                return objections_of(error)
        for warning in answer.warnings:
            err.print(f"warning of the API server: {warning}", markup=False)
        return ()

    def run(self, job: FineTuneJob, raw: Mapping[str, Any], wanted: Run) -> int:
        return run_job(self, self.apply, job, raw, wanted)

    def apply(self, raw: Mapping[str, Any]) -> Job:
        """Apply a manifest. Raises PlaceError if another manager owns a field that differs."""
        with self._reported(raw["metadata"]["namespace"]):
            answer = self._client.apply(_path(key_of(raw)), raw)
        for warning in answer.warnings:
            err.print(f"warning of the API server: {warning}", markup=False)
        return answer.body

    def suspend(self, job: Job, *, suspended: bool) -> None:
        self._patch(job, {"spec": {"suspend": suspended}})

    def retry(self, job: Job) -> str:
        self._patch(job, retry_patch(time.time()))
        return f"the operator runs the failed stage of {job['metadata']['name']} again"

    def delete(self, job: Job, *, keep_models: bool, confirm: Callable[[Sequence[Path]], bool]) -> Sequence[str]:
        meta = job["metadata"]
        with self._reported(meta["namespace"]):
            kept, lost = self._claims(job)
            if keep_models and lost:
                way_out = "Copy the models out of it first; for other jobs, output.storage.retain: true keeps the claim."
                raise PlaceError(f"--keep-models: claim {', '.join(lost)} belongs to {meta['name']} and is deleted with it", way_out)
            self._client.delete(_path(key_of(job)), uid=meta["uid"])
        return kept

    @asynccontextmanager
    async def server(self, job: Job, stop: Stop) -> AsyncIterator[Job | None]:
        """Forward a port of 127.0.0.1 to a ready pod, until the block ends."""
        meta, status = job["metadata"], job.get("status") or {}
        with self._reported(meta["namespace"]):
            found = self._pods.ready_server(job)
            if found is None:
                message = f"no server of {meta['name']} is ready (phase {status.get('phase', 'Pending')}): {status.get('message', '')}"
                raise PlaceError(message.rstrip(": "), f"See: {self.command('describe ' + meta['name'], meta['namespace'])}")
            pod, port = found
            self._client.port_forward(meta["namespace"], pod, port).close()  # fails here if the user lacks the right
        with forwarded(lambda: self._client.port_forward(meta["namespace"], pod, port), port) as forwarding:
            stop.listen()
            err.print(f"forwarding 127.0.0.1:{forwarding.port} to pod {pod}", style="dim", markup=False)
            url = f"http://127.0.0.1:{forwarding.port}"
            yield {**job, "status": {**status, "serving": {**(status.get("serving") or {}), "url": url}}}

    def _patch(self, job: Job, patch: Mapping[str, Any]) -> None:
        """Merge patch this job, and no other of its name."""
        meta = job["metadata"]
        guarded = {**patch, "metadata": {**patch.get("metadata", {}), "uid": meta["uid"]}}
        with self._reported(meta["namespace"]):
            answer = self._client.merge(_path(key_of(job)), guarded)
        for text in (*answer.warnings, *reverting(job, patch)):
            err.print(f"note: {text}", markup=False)

    def _claims(self, job: Job) -> tuple[Sequence[str], Sequence[str]]:
        """Return (what stays, the claims that are deleted)."""
        meta, output = job["metadata"], job["spec"].get("output") or {}
        selector = [("labelSelector", f"{JOB_UID}={meta['uid']}")]
        made = self._client.get(SCHEME.path("PersistentVolumeClaim", meta["namespace"]), selector)["items"]
        lost = [claim["metadata"]["name"] for claim in made if _belongs_to(claim, meta["uid"])]
        retained = [claim["metadata"]["name"] for claim in made if not _belongs_to(claim, meta["uid"])]
        given = [
            (output.get("storage") or {}).get("claimName"),
            *((one.get("pvc") or {}).get("claimName") for one in output.get("destinations") or ()),
        ]
        kept = [
            f"claim {name} (output.storage.retain; delete it by hand: kubectl delete pvc {name} -n {meta['namespace']})"
            for name in retained
        ]
        kept += [f"claim {name} (this job did not create it)" for name in dict.fromkeys(given) if name and name not in {*retained, *lost}]
        return kept, lost

    def _list(self, namespace: str | None, name: str | None = None) -> list[Job]:
        answer = self._client.get(SCHEME.path(FINE_TUNE_JOB, namespace or ""), _named(name))
        return [_whole(item) for item in answer["items"]]

    def _reported(self, namespace: str) -> Any:
        return reported(self._client, self._names, namespace)


def _path(key: Key) -> str:
    return SCHEME.path(FINE_TUNE_JOB, key.namespace, key.name)


def _named(name: str | None) -> list[tuple[str, Any]]:
    return [("fieldSelector", f"metadata.name={name}")] if name else []


def _whole(item: Mapping[str, Any]) -> Job:
    """Return an item of a list with its type, as `kubectl get -o json` prints it."""
    return {"apiVersion": SCHEME.resources[FINE_TUNE_JOB].api_version, "kind": FINE_TUNE_JOB, **item}


def _version(job: Job | None) -> str | None:
    return job["metadata"]["resourceVersion"] if job else None


def _belongs_to(item: Mapping[str, Any], uid: str) -> bool:
    return any(owner.get("uid") == uid for owner in item["metadata"].get("ownerReferences") or ())


def _state(kind: str, item: Mapping[str, Any]) -> str:
    status = item.get("status") or {}
    if kind == "Deployment":
        return f"{status.get('readyReplicas', 0)}/{item['spec'].get('replicas', 1)} ready"
    if kind == "Job":
        ended = [
            one["type"]
            for one in status.get("conditions") or ()
            if one["status"] == "True" and one["type"] in ("Complete", "Failed", "Suspended")
        ]
        return ended[0] if ended else f"{status.get('active', 0)} active"
    return str(status.get("phase", ""))
