"""A restart among 500 jobs writes nothing: jobs that wait, failed, are being checked, are trained, are suspended."""

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fake_kubelet import FakeKubelet
from fault_proxy import FaultProxy
from operator_process import OperatorProcess
from scene import JOB, Scene
from status_builders import CHECKED
from waiting import until

SHARES = {  # the phase in which a job of this spec stays -> how many of them
    "Waiting": ({"output": {"storage": {"claimName": "not-there"}}}, 60),
    "Failed": ({"model": {"source": {"path": "/on/one/machine"}}}, 340),
    "Checking": ({}, 60),
}
CHECKED_ALREADY = {"Training": ({}, 20), "Suspended": ({"suspend": True}, 20)}


@pytest.mark.slow
def test_a_restart_among_500_jobs_writes_nothing(our_plane, namespace, tmp_path: Path):
    with FaultProxy(our_plane.kubeconfig) as proxy, OperatorProcess(proxy.kubeconfig, namespace, tmp_path) as operator:
        kubelet = FakeKubelet(our_plane.api, namespace)
        scene = Scene(api=our_plane.api, namespace=namespace, operator=operator, kubelet=kubelet, audit=our_plane.audit)
        scene.create_job("first")  # and the claims that all name; it counts as one that is trained
        create(scene, {"Training": ({}, 19), "Suspended": CHECKED_ALREADY["Suspended"]})
        kubelet.end("checker", CHECKED, count=40)
        wanted = Counter({phase: share for phase, (_, share) in CHECKED_ALREADY.items()})
        until(lambda: phases(scene) == wanted, "those that were checked are trained, or wait for their word", patience=300)
        create(scene, SHARES)
        wanted += Counter({phase: share for phase, (_, share) in SHARES.items()})
        assert wanted.total() == 500
        until(lambda: phases(scene) == wanted, "all are where they stay", patience=300)
        assert operator.stop() == 0

        written = len(proxy.written)
        operator.start()
        until(lambda: operator.reconciles() >= 500, "all have been looked at", patience=300)
        assert proxy.written[written:] == []
        assert phases(scene) == wanted


def create(scene: Scene, shares: Mapping[str, tuple[Mapping[str, Any], int]]) -> None:
    todo = [(f"{phase.lower()}-{number}", spec) for phase, (spec, share) in shares.items() for number in range(share)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda job: scene.create_job(job[0], **job[1]), todo))


def phases(scene: Scene) -> Counter[str]:
    jobs = scene.api.dynamic.resources.get(api_version=JOB[0], kind=JOB[1]).get(namespace=scene.namespace).to_dict()["items"]
    return Counter((job.get("status") or {}).get("phase") for job in jobs)
