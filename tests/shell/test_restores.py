"""Jobs that were deleted without their children, and jobs of a backup, on a real API server: all have new uids afterwards."""

from contextlib import suppress

from kubernetes.dynamic.exceptions import NotFoundError
from scene import JOB
from stage_scenes import change
from status_builders import CHECKED, EXPORTED, TRAINED
from waiting import until

BATCH = "batch/v1"
SERVER = ("apps/v1", "Deployment", "bot-serve")
SERVICE = ("v1", "Service", "bot-serve")
CLAIM = ("v1", "PersistentVolumeClaim", "bot-output")
LOST_BY_A_BACKUP = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "selfLink", "deletionTimestamp")


def uid(item):
    return item["metadata"]["uid"]


def owner(item):
    return [reference["uid"] for reference in item["metadata"].get("ownerReferences") or ()]


def serve(scene):
    scene.kubelet.end("checker", CHECKED)
    scene.kubelet.end("trainer", TRAINED, count=2)
    scene.kubelet.end("exporter", EXPORTED)
    until(lambda: scene.get(*SERVER), "there is a server")


def is_served(scene):
    with suppress(NotFoundError):  # a server of the earlier revision that leaves just now
        scene.kubelet.serve()
    return scene.status().get("phase") == "Serving"


def delete_without_children(scene):
    resource = scene.api.dynamic.resources.get(api_version=JOB[0], kind=JOB[1])
    resource.delete(name="bot", namespace=scene.namespace, body={"propagationPolicy": "Orphan"})
    until(lambda: scene.get(*JOB, "bot") is None, "the job is gone")


def test_a_served_job_that_is_deleted_without_its_children_adopts_them(scene):
    scene.create_job(serving={"replicas": 1})
    serve(scene)
    until(lambda: is_served(scene), "it is served")
    before = {kind: scene.get(*kind) for kind in (SERVER, SERVICE, CLAIM)}
    check = scene.get(BATCH, "Job", "bot-check")
    delete_without_children(scene)
    assert owner(scene.get(*SERVER)) == []

    again = scene.create_job(serving={"replicas": 1})
    until(lambda: owner(scene.get(BATCH, "Job", "bot-check") or check) == [uid(again)], "the check runs again")
    assert uid(scene.get(BATCH, "Job", "bot-check")) != uid(check)
    assert scene.get(*SERVER)["status"]["readyReplicas"] == 1  # the earlier model answers
    serve(scene)
    until(lambda: owner(scene.get(*SERVER)) == owner(scene.get(*SERVICE)) == [uid(again)], "server and Service are adopted")
    until(lambda: is_served(scene), "the new model is served")
    assert {kind: uid(scene.get(*kind)) for kind in before} == {kind: uid(item) for kind, item in before.items()}


def test_a_restored_job_that_is_suspended_leaves_the_earlier_server_alone_and_trains_when_it_is_resumed(scene):
    scene.create_job(serving={"replicas": 1})
    serve(scene)
    until(lambda: is_served(scene), "it is served")
    before = scene.get(*SERVER)
    delete_without_children(scene)

    scene.create_job(serving={"replicas": 1}, suspend=True)
    scene.kubelet.end("checker", CHECKED)
    scene.reaches("Suspended")
    found = scene.get(*SERVER)
    assert (uid(found), owner(found), found["status"]["readyReplicas"]) == (uid(before), [], 1)
    assert found["metadata"]["generation"] == before["metadata"]["generation"]
    assert scene.kubelet.pods("trainer") == []

    change(scene, "bot", {"suspend": False})
    scene.reaches("Training")


def test_a_running_gang_without_an_owner_is_never_joined_by_a_second(scene):
    scene.create_job()
    scene.kubelet.end("checker", CHECKED)
    scene.kubelet.wait_for("trainer", 2)
    delete_without_children(scene)
    again = scene.create_job()
    # The check's Job may be the first that is named: its controller counts it as ended a second after its pod.
    until(lambda: "bot-train-0" in scene.status().get("message", ""), "status names the gang")
    status = scene.status()

    assert (status["phase"], status["reason"]) == ("Waiting", "OrphanRuns")
    assert "kubectl delete job" in status["failure"]["suggestion"]
    assert [found["type"] for found in status["conditions"] if found["status"] == "True"] == ["Reconciling"]
    assert uid(again) not in owner(scene.get(BATCH, "Job", "bot-check"))

    jobs = scene.api.dynamic.resources.get(api_version=BATCH, kind="Job")
    jobs.delete(name="bot-train-0", namespace=scene.namespace, body={"propagationPolicy": "Background"})  # as `kubectl delete job` does
    scene.reaches("Checking")


def test_a_restored_backup_without_status_starts_anew_with_the_retained_claim(scene):
    """Owner references name a uid that no longer exists: Kubernetes deletes such children. Velero leaves the references out."""
    scene.create_job()
    scene.kubelet.end("checker", CHECKED)
    scene.kubelet.wait_for("trainer", 2)
    kinds = (("v1", "ConfigMap"), (BATCH, "Job"), ("networking.k8s.io/v1", "NetworkPolicy"), ("v1", "Service"))
    backup = [
        {**item, "apiVersion": kind[0], "kind": kind[1]}  # the items of a list name neither
        for kind in kinds
        for item in scene.api.list(*kind, scene.namespace, selector="tunewright.io/job-uid")
    ]
    job, claim = scene.get(*JOB, "bot"), scene.get(*CLAIM)
    scene.api.delete(*JOB, "bot", scene.namespace)
    until(lambda: scene.names(BATCH, "Job") == [], "the children are gone")

    for item in (job, *backup):
        metadata = {name: value for name, value in item["metadata"].items() if name not in LOST_BY_A_BACKUP}
        restored = {name: value for name, value in item.items() if name != "status"} | {"metadata": metadata}
        scene.api.create(restored, scene.namespace, keep=True)  # a Job's generated selector is refused, as in a restore by hand
    again = scene.get(*JOB, "bot")

    until(lambda: owner(scene.get(BATCH, "Job", "bot-check") or job) == [uid(again)], "the check runs again")
    assert uid(again) != uid(job)
    assert uid(scene.get(*CLAIM)) == uid(claim)
    scene.reaches("Checking")
    scene.kubelet.end("checker", CHECKED)
    scene.reaches("Training")
