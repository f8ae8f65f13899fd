"""One job's life on a control plane, from its manifest to a served model, and what is left of it: comparable between one life and another."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from scene import JOB, Scene
from status_builders import CHECKED, EXPORTED, TRAINED
from waiting import until

from tunewright.kube.kinds import PLACES, RENDERED

ATTEMPTS = ("bot-check", "bot-export", "bot-train-0")  # every Job there may ever be
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


def settle(scene: Scene) -> None:
    """Wait until the operator has looked twice and found nothing to do."""
    while True:
        before = scene.audit.end()
        scene.look_again("one")
        scene.look_again("two")
        if not scene.writes(before):
            return


def left(scene: Scene) -> Mapping[str, Any]:
    """Return the job's status and all children, without what differs between any two lives: identities, times, addresses."""
    found = {}
    for kind in RENDERED:
        resource = scene.api.dynamic.resources.get(api_version=PLACES[kind].api_version, kind=kind)
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
        for event in scene.audit.events()
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
