"""Which pods share a node because of a ReadWriteOnce claim, and what is refused because no placement helps."""

import pytest
from plan_jobs import CLUSTER, checked, job, past, rejected

from tunewright.plan.explain import explain_text
from tunewright.plan.inputs import Defaults, References, StageState
from tunewright.plan.placement import named_claims
from tunewright.plan.plan import plan
from tunewright.plan.plan_types import Placement

ONE_NODE, MANY, ONE_POD, READ_ONLY = ("ReadWriteOnce",), ("ReadWriteMany",), ("ReadWriteOncePod",), ("ReadOnlyMany",)
GANG = {"workers": {"replicas": 2}}
SERVED = {"serving": {}}
MINE = {"output": {"storage": {"claimName": "mine"}}}
VOLUMES = [{"name": "a", "persistentVolumeClaim": {"claimName": "shelf"}}, {"name": "b", "emptyDir": {}}]
SHARED = {"output": {"storage": {"accessModes": ["ReadWriteMany"]}}}


def because(*claims):
    return f"only one node at a time mounts claim {' and claim '.join(claims)} (ReadWriteOnce)"


def planned(spec, **claims):
    refs = References(progress_url=CLUSTER.progress_url, claims=claims)
    done = past(check=checked(), train=StageState.SUCCEEDED, attempts=1, export=StageState.SUCCEEDED)
    return plan(job(spec), refs, done, Defaults())


@pytest.mark.parametrize(
    ("expected", "spec", "claims"),
    [
        pytest.param(Placement(), {}, {"models": ONE_NODE}, id="one worker is where it is"),
        pytest.param(Placement(gang=because("support-bot-output")), GANG, {}, id="a claim that is created is one node's by default"),
        pytest.param(Placement(), GANG | SHARED, {"models": MANY, "corpora": READ_ONLY}, id="claims of many nodes"),
        pytest.param(Placement(gang=because("models", "corpora")), GANG | SHARED, {"models": ONE_NODE, "corpora": ONE_NODE}, id="inputs"),
        pytest.param(
            Placement(gang=because("shelf")),
            {"workers": {"replicas": 2, "volumes": VOLUMES}} | SHARED,
            {"shelf": ONE_NODE},
            id="a claim in volumes of the workers",
        ),
        pytest.param(
            Placement(servers=because("shelf")), {"serving": {"volumes": VOLUMES}} | SHARED, {"shelf": ONE_NODE}, id="of the server"
        ),
        pytest.param(Placement(gang=because("mine")), GANG | MINE, {"mine": ONE_NODE}, id="a given claim"),
        pytest.param(Placement(), GANG | MINE, {"mine": (*ONE_NODE, *MANY)}, id="one of several modes is enough"),
        pytest.param(Placement(), GANG | MINE, {}, id="what is not known holds nobody back"),
        pytest.param(Placement(servers=because("support-bot-output")), SERVED, {}, id="a server has company while it is replaced"),
        pytest.param(
            Placement(servers=because("shelf")),
            SERVED | SHARED | {"output": {**SHARED["output"], "destinations": [{"pvc": {"claimName": "shelf"}}]}},
            {"shelf": ONE_NODE},
            id="the claim that models are published to",
        ),
    ],
)
def test_pods_with_a_read_write_once_claim_share_a_node(expected, spec, claims):
    assert planned(spec, **claims).placement == expected


@pytest.mark.parametrize(
    ("reason", "field", "spec", "claims"),
    [
        pytest.param("VolumeNotShared", "spec.output.storage.claimName", GANG | MINE, {"mine": ONE_POD}, id="a given claim"),
        pytest.param(
            "VolumeNotShared",
            "spec.output.storage.accessModes",
            GANG | {"output": {"storage": {"accessModes": ["ReadWriteOncePod"]}}},
            {},
            id="a claim to create",
        ),
        pytest.param("VolumeNotShared", "spec.data.train[0].source.pvc.claimName", GANG | SHARED, {"corpora": ONE_POD}, id="data"),
        pytest.param("VolumeNotShared", "spec.model.source.pvc.claimName", GANG | SHARED, {"models": ONE_POD}, id="the base model"),
        pytest.param("VolumeNotShared", "spec.output.storage.claimName", SERVED | MINE, {"mine": ONE_POD}, id="a server and its successor"),
        pytest.param("VolumeReadOnly", "spec.output.storage.claimName", MINE, {"mine": READ_ONLY}, id="nothing can be written"),
    ],
)
def test_an_impossible_placement_is_refused_with_field_and_way_out(reason, field, spec, claims):
    refused = rejected(planned(spec, **claims), "use a claim with ReadWriteMany")
    assert (refused.reason, refused.field) == (reason, field)


def test_one_worker_can_use_a_read_write_once_pod_claim():
    assert planned(MINE, mine=ONE_POD).placement == Placement()


def test_a_plan_explains_a_shared_node():
    text = explain_text(planned(GANG | SERVED))
    assert text.count(f"all on one node, for {because('support-bot-output')}") == 2


def test_folders_do_not_restrict_placement():
    local = {"data": {"train": [{"source": {"path": "chat.jsonl"}}]}, "model": {"source": {"pvc": None, "path": "base"}}}
    assert list(named_claims(job(local))) == []
