"""What a deleted FineTuneJob leaves on real pods. The last file of this folder, for it deletes the jobs of the others."""

import pytest
from on_pods import QUICKSTART_JOB
from waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_deleting_jobs_keeps_only_retained_claims(desk, served):
    """A created claim stays, unless its job disables that."""
    jobs = {
        job["metadata"]["name"]: job["spec"].get("output", {}).get("storage", {}).get("retain", True) for job in desk.all("finetunejobs")
    }
    kept = {"corpora", *(f"{job}-output" for job, retain in jobs.items() if retain)}
    desk.kubectl("delete", "finetunejobs", "--all", "--timeout=300s")

    kinds = "jobs,pods,deployments,replicasets,services,configmaps,networkpolicies,poddisruptionbudgets,persistentvolumeclaims"
    stays = sorted(["configmap/kube-root-ca.crt", *(f"persistentvolumeclaim/{claim}" for claim in kept)])
    left: list[str] = []

    def only_that_is_left() -> bool:
        left[:] = sorted(desk.kubectl("get", kinds, "-o", "name").split())
        return left == stays

    try:
        until(only_that_is_left, "what the jobs made is gone", patience=300)  # servers take their time to leave
    except pytest.fail.Exception:
        assert left == stays  # shows the difference
        raise
    assert f"{QUICKSTART_JOB}-output" in kept
