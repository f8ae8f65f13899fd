"""A restart among 500 jobs writes nothing: jobs that wait, failed, are being checked, are trained, are suspended, are done, are served."""

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fake_kubelet import FakeKubelet
from operator_nursery import ForkedOperator, Nursery
from operator_process import kubeconfig_of_its_own
from scene import JOB, Scene
from status_builders import CHECKED, EXPORTED, TRAINED
from waiting import until

Shares = Mapping[str, tuple[Mapping[str, Any], int]]  # the phase in which a job of this spec stays -> how many of them
FINISHED: Shares = {"Complete": ({}, 20), "Serving": ({"serving": {"replicas": 1}}, 20)}
CHECKED_ALREADY: Shares = {"Training": ({}, 20), "Suspended": ({"suspend": True}, 20)}
OTHERS: Shares = {
    "Waiting": ({"output": {"storage": {"claimName": "not-there"}}}, 60),
    "Failed": ({"model": {"source": {"path": "/on/one/machine"}}}, 300),
    "Checking": ({}, 60),
}


class Restless(ForkedOperator):
    """An operator that goes over all jobs again and again, once it is started for that."""

    resync_seconds = 600

    def environment(self) -> dict[str, str]:
        return super().environment() | {"TUNEWRIGHT_RESYNC_SECONDS": str(self.resync_seconds)}


@pytest.mark.slow
@pytest.mark.repeat
def test_a_restart_among_500_jobs_writes_nothing(our_plane, nursery: Nursery, namespace, tmp_path: Path):
    with Restless(nursery, kubeconfig_of_its_own(our_plane, namespace), namespace, tmp_path) as operator:
        kubelet = FakeKubelet(our_plane.api, namespace)
        scene = Scene(api=our_plane.api, namespace=namespace, operator=operator, kubelet=kubelet, audit=our_plane.audit)
        scene.create_job("one-more")  # and the claims that all name
        create(scene, FINISHED)
        kubelet.end("checker", CHECKED, count=41)
        kubelet.end("trainer", TRAINED, count=82)
        kubelet.end("exporter", EXPORTED, count=41)
        kubelet.serve(count=20)
        create(scene, CHECKED_ALREADY)
        kubelet.end("checker", CHECKED, count=40)
        create(scene, OTHERS)
        wanted = Counter({phase: share for phase, (_, share) in (FINISHED | CHECKED_ALREADY | OTHERS).items()}) + Counter(["Complete"])
        assert wanted.total() == 501
        until(lambda: phases(scene) == wanted, "all are where they stay", patience=300)
        assert operator.stop() == 0
        operator.resync_seconds = 10
        operator.start()
        settle(scene)
        assert operator.stop() == 0

        stopped = scene.audit.end()
        operator.start()
        scene.resyncs(2, jobs=501)  # the first look at each is one
        assert scene.writes(stopped) == []
        assert phases(scene) == wanted
        assert len(scene.names("apps/v1", "Deployment")) == 20


def settle(scene: Scene) -> None:
    """Wait until a look at every job has found nothing to do."""
    while True:
        before = scene.audit.end()
        scene.resyncs(1, jobs=501)
        if not scene.writes(before):
            return


def create(scene: Scene, shares: Shares) -> None:
    todo = [(f"{phase.lower()}-{number}", spec) for phase, (spec, share) in shares.items() for number in range(share)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda job: scene.create_job(job[0], **job[1]), todo))


def phases(scene: Scene) -> Counter[str]:
    return Counter((job.get("status") or {}).get("phase") for job in scene.api.list(*JOB, scene.namespace))
