"""Ownership of objects: those that are adopted, and those that are refused."""

import pytest

from tunewright.kube.ownership import refuse_others
from tunewright_runtime.errors import Conflict, Rejected


def item(kind, name, uid, owner=None, *, by="FineTuneJob", of="bot", controller=True, **meta):
    reference = [{"kind": by, "name": of, "uid": owner, "controller": controller}] if owner else []
    return {"kind": kind, "metadata": {"name": name, "namespace": "demo", "uid": uid, "ownerReferences": reference, **meta}}


MADE = {
    "labels": {"app.kubernetes.io/managed-by": "tunewright"}
    | {f"tunewright.io/{name}": "bot" for name in ("job-name", "job-uid", "component")}
}
ENDED = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
RETAINED = {"annotations": {"tunewright.io/retain": "why"}, "labels": {"app.kubernetes.io/managed-by": "tunewright"}}


@pytest.mark.parametrize(
    "live",
    [
        pytest.param(item("Job", "bot-check", "2", "1"), id="our own"),
        pytest.param(item("PersistentVolumeClaim", "bot-output", "2", **RETAINED), id="a claim that an earlier job left"),
        pytest.param(item("Deployment", "bot-serve", "2", **MADE), id="a server that lost its owner"),
        pytest.param(item("Job", "bot-check", "2", **MADE) | ENDED, id="an ended Job that lost its owner"),
    ],
)
def test_objects_of_the_job_are_accepted(live):
    refuse_others(live, uid="1", job="bot")


@pytest.mark.parametrize(
    ("expected", "live"),
    [
        pytest.param(Conflict, item("Job", "bot-check", "2", "0"), id="a predecessor's, on its way out"),
        pytest.param(Rejected, item("Job", "bot-check", "2", "0", of="other"), id="another FineTuneJob's"),
        pytest.param(Rejected, item("Job", "bot-train-2", "2", **MADE), id="a running Job that lost its owner"),
        pytest.param(Rejected, item("Service", "bot-serve", "2", "0", of="other", **MADE), id="our labels on another FineTuneJob's"),
        pytest.param(Rejected, item("Service", "bot-serve", "2", "0", by="Ingress", of="bot"), id="another controller's"),
        pytest.param(Rejected, item("ConfigMap", "bot-config", "2"), id="a person's"),
        pytest.param(
            Rejected, item("ConfigMap", "bot-config", "2", labels=RETAINED["labels"]), id="a person's, with labels that were copied"
        ),
    ],
)
def test_objects_of_other_owners_are_refused(expected, live):
    with pytest.raises(expected, match=live["metadata"]["name"]):
        refuse_others(live, uid="1", job="bot")
