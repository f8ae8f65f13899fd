"""One job's life on a control plane, from its manifest to a served model, and what is left of it: comparable between one life and another."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from scene import JOB, Scene
from status_builders import CHECKED, EXPORTED, TRAINED
from waiting import until

from tunewright.kube.kinds import RENDERED, RESOURCES
from tunewright.plan.label_names import SERVING_REVISION
from tunewright_contract.reports import Failure

ATTEMPTS = ("bot-check", "bot-export", "bot-train-0")  # every Job there may ever be
ATTEMPTS_OF_A_HARD_LIFE = (*ATTEMPTS, "bot-train-1")  # which lost a rank
_GIVEN_BY_THE_SERVER = frozenset({"resourceVersion", "nodePort", "clusterIP", "clusterIPs"})  # and uids, which are named instead
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_OF_CONTENT = re.compile(r"(bot-config|<revision>)-[0-9a-f]{6,8}\b")  # made from what it stands for, which names the job or its namespace


def live(scene: Scene) -> None:
    """Create a job and play its pods until it is served."""
    scene.create_job(serving={"replicas": 1})
    scene.kubelet.end("checker", CHECKED)
    finish(scene)


def finish(scene: Scene) -> None:
    """Play the pods of a job from its gang on."""
    scene.kubelet.end("trainer", TRAINED, count=2)
    scene.kubelet.end("exporter", EXPORTED)
    scene.kubelet.serve()
    scene.reaches("Serving")


def live_hard(scene: Scene) -> None:
    """The same with what may come between: a break, a rank that is lost, an update of the servers that does not work."""
    scene.create_job(serving={"replicas": 1})
    scene.kubelet.end("checker", CHECKED)
    scene.kubelet.wait_for("trainer", 2, attempt=0)
    change(scene, suspend=True)
    scene.reaches("Suspended")
    change(scene, suspend=False)
    scene.kubelet.end("trainer", Failure(reason="PeerLost", message="rank 1 did not answer"), count=2, code=75, attempt=0)
    scene.kubelet.wait_for("trainer", 2, attempt=1)
    finish(scene)
    good = until(lambda: scene.status()["serving"].get("revision"), "its revision is known to be good")
    change(scene, serving={"image": "server:broken"})
    broken = until(lambda: (asked := _revision_asked_for(scene)) != good and asked, "the Deployment asks for others")
    scene.kubelet.refuse_revision(broken, Failure(reason="SmokeTestFailed", message="the model answered nothing"))
    until(lambda: scene.status().get("reason") == "RolledBack", "it is rolled back")
    until(lambda: len(scene.kubelet.pods("server")) == 1, "the servers of before are there, and no others")


def have_ended(scene: Scene) -> bool:
    """Return whether the Jobs' controller has written down that all of them have ended; the operator, which looks at pods, is faster."""
    return all(has_condition(job, "Complete", "Failed") for job in scene.api.list("batch/v1", "Job", scene.namespace))


def has_condition(item: Mapping[str, Any] | None, *kinds: str) -> bool:
    conditions = ((item or {}).get("status") or {}).get("conditions") or ()
    return any(condition["type"] in kinds and condition["status"] == "True" for condition in conditions)


def change(scene: Scene, **spec: Any) -> None:
    """Change the job as a person would."""
    jobs = scene.api.dynamic.resources.get(api_version=JOB[0], kind=JOB[1])
    jobs.patch(name="bot", namespace=scene.namespace, body={"spec": spec}, content_type="application/merge-patch+json")


def _revision_asked_for(scene: Scene) -> str:
    deployment = scene.get("apps/v1", "Deployment", "bot-serve") or {}
    return str(deployment["spec"]["template"]["metadata"]["annotations"][SERVING_REVISION])


def settle(scene: Scene) -> None:
    """Wait until the operator has looked twice and found nothing to do."""
    while True:
        before = scene.audit.end()
        scene.look_again("one")
        scene.look_again("two")
        if not scene.writes(before):
            return


def left(scene: Scene) -> Mapping[str, Any]:
    """Return the job's status and all children, without values that differ between two runs: identities, times, addresses."""
    found = {}
    for kind in RENDERED:
        resource = scene.api.dynamic.resources.get(api_version=RESOURCES[kind].api_version, kind=kind)
        for item in resource.get(namespace=scene.namespace, label_selector="tunewright.io/job-uid").to_dict()["items"]:
            for condition in (item.get("status") or {}).get("conditions") or ():
                condition.pop("message", None)  # a controller's words, which name what it has made
            found[f"{kind} {item['metadata']['name']}"] = item
    job = scene.get(*JOB, "bot") or {}
    return _comparable({**found, "status": job.get("status")}, scene, _identities([*found.values(), job]))


def made(scene: Scene, kind: str = "jobs") -> Sequence[str]:
    """Return the name of each object of a kind that was ever created here, as often as it was, by the audit log."""
    return sorted(
        event["objectRef"]["name"]
        for event in scene.audit.events(naming=scene.namespace)
        if (event.get("objectRef") or {}).get("namespace") == scene.namespace
        and event["objectRef"]["resource"] == kind
        and event["verb"] in ("create", "patch")
        and event["responseStatus"]["code"] == 201
    )


def differences(before: Any, after: Any, where: str = "") -> Sequence[str]:
    """Name what differs between two values of JSON."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return [
            line
            for name in sorted(before.keys() | after.keys())
            for line in differences(before.get(name), after.get(name), f"{where}/{name}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = zip(before, after, strict=True)
        return [line for index, (one, other) in enumerate(pairs) for line in differences(one, other, f"{where}/{index}")]
    return [] if before == after else [f"{where}: {before!r:.300} -> {after!r:.300}"]


def ends_like(scene: Scene, faultless: Mapping[str, Any]) -> None:
    """Wait until what is left is what is left of a life without faults."""
    last: Sequence[str] = ()

    def same() -> bool:
        nonlocal last
        last = differences(faultless, left(scene))
        return not last

    try:
        until(same, "the end is that of a life without faults")
    except BaseException:
        print("\n".join(last))
        raise


def _identities(items: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
    return {item["metadata"]["uid"]: f"<{item['kind']} {item['metadata']['name']}>" for item in items if "metadata" in item}


def _comparable(value: Any, scene: Scene, identities: Mapping[str, str]) -> Any:
    text = json.dumps(_stripped(value))
    for uid, name in identities.items():
        text = text.replace(uid, name)
    if revision := (value["status"] or {}).get("revision"):  # of the spec and the namespace
        text = text.replace(revision, "<revision>")
    text = text.replace(scene.namespace, "<namespace>")
    return json.loads(_OF_CONTENT.sub(r"\1-<hash>", _TIME.sub("<time>", text)))


def _stripped(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {name: _stripped(part) for name, part in value.items() if name not in _GIVEN_BY_THE_SERVER}
        if "managedFields" in kept:  # whose fields they are, of ours; those of controllers depend on who was first
            kept["managedFields"] = [entry for entry in kept["managedFields"] if entry["manager"].startswith("tunewright")]
        return kept
    return [_stripped(part) for part in value] if isinstance(value, list) else value
