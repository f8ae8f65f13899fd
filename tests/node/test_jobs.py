"""FineTuneJobs on real pods, installed with helm: from `kubectl apply` to an answer through the Service, and what may happen on the way.

Everything here runs under the restricted pod security standard, and two operators stand in the cluster all the time.
"""

import asyncio
import json
import random
import time
from datetime import datetime
from urllib.request import Request, urlopen

import pytest
from on_pods import EXAMPLES, QUICKSTART_JOB, WRONG_LINE, Desk, classifier, kill_ranks, of, quickstart, short, steps_since_resumed
from steady_clients import Clients
from waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STEPS_MOVED = 48
A_MINUTE = 60.0  # seconds
KILLS = 10
CLASSIFIER = "guest-intent".ljust(63, "x")  # as long as a name may be: its children's have to be shorter
# A gang that continued from a checkpoint reads the same samples in the same order with the same random numbers;
# sums over two ranks are added in the same order too. What is left is the order of threads within a matrix product.
SAME_LOSS = 5e-3


def test_the_quickstart_trains_in_two_pods(desk, served):
    (job,) = desk.all("jobs", of(QUICKSTART_JOB, "trainer"))

    assert (job["spec"]["completions"], job["status"]["succeeded"]) == (2, 2)
    assert served["progress"]["step"] == 120
    assert served["plan"]["worldSize"] == 2


def test_the_model_records_its_training_and_scores_better(served):
    assert float(served["artifacts"][0]["parity"]["top1Agreement"]) >= 0.98
    assert float(served["evaluation"]["tuned"]["loss"]) < 0.2 < float(served["evaluation"]["base"]["loss"])


def test_the_model_answers_through_its_service(desk, demo, served):
    assert "Jean" in demo.ask(QUICKSTART_JOB)
    assert served["serving"]["url"].startswith(f"http://{QUICKSTART_JOB}-serve.{desk.namespace}.svc")


def test_kubectl_get_shows_the_job(desk, served):
    header, row = desk.kubectl("get", "ftj", QUICKSTART_JOB).splitlines()

    assert dict(zip(header.split(), row.split(), strict=False)) | {"NAME": QUICKSTART_JOB, "PHASE": "Serving", "PROGRESS": "100"} == dict(
        zip(header.split(), row.split(), strict=False)
    )


def test_wrong_data_fails_check_with_its_line_and_starts_no_training(desk):
    spec = quickstart()
    spec["data"] = {"train": [{"source": {"pvc": {"claimName": "corpora", "path": "wrong/train.jsonl"}}, "format": "messages"}]}
    desk.apply("wrong-data", short(spec))

    status = desk.until_phase("wrong-data", "Failed")

    assert (status["failure"]["stage"], status["failure"]["exitCode"]) == ("checker", 65)
    assert f"train.jsonl:{WRONG_LINE}: not JSON" in status["failure"]["message"]
    assert desk.all("pods", of("wrong-data", "trainer")) == []


@pytest.mark.repeat
def test_after_kill_9_of_a_rank_the_gang_resumes_and_reaches_the_same_loss(desk, served):
    spec = quickstart()
    del spec["serving"]
    spec["output"]["storage"] = {"retain": False}
    desk.apply("killed", spec)
    desk.until("killed", lambda status: status.get("checkpoint", {}).get("step", 0) >= 60, "a checkpoint in the middle")
    (victim,) = desk.all("pods", of("killed", "trainer") + ",batch.kubernetes.io/job-completion-index=1")
    kill_ranks(desk, victim)

    status = desk.until_phase("killed", "Complete")

    assert status["attempts"] == 2
    assert status["checkpoint"]["resumedFromStep"] >= 60
    losses = [float(each["evaluation"]["tuned"]["loss"]) for each in (status, served)]
    assert losses[0] == pytest.approx(losses[1], rel=SAME_LOSS)


def evict_without_budget(desk: Desk, job: str, pod: str) -> bool:
    """Return whether a pod was evicted before the operator put back the budget that forbids it."""
    desk.kubectl("delete", "poddisruptionbudget", f"{job}-train", "--ignore-not-found")
    return desk.evict(pod) == ""


def test_a_gang_resumes_after_an_eviction_a_suspension_a_resize_and_kill_9(desk, demo, served):
    """It resumes each time from the checkpoint that it saved on SIGTERM; it writes no other checkpoints. Only the kill is a failure. It is served under a name that is taken."""
    spec = short(quickstart())
    spec["training"] |= {"saveStrategy": "no", "maxSteps": STEPS_MOVED}
    del spec["training"]["saveSteps"]
    spec |= {"backoffLimit": 1, "serving": quickstart()["serving"] | {"servedModelName": QUICKSTART_JOB}}
    desk.apply("moved", spec)
    desk.until("moved", lambda status: status.get("progress", {}).get("step", 0) >= 5, "some steps")
    (rank,) = desk.all("pods", of("moved", "trainer") + ",batch.kubernetes.io/job-completion-index=1")

    assert "violate the pod's disruption budget" in desk.evict(rank["metadata"]["name"])  # what `kubectl drain` shows, and tries again
    until(
        lambda: evict_without_budget(desk, "moved", rank["metadata"]["name"]),
        "an eviction comes before the budget is put back",
        patience=300,
    )
    evicted = desk.until("moved", lambda status: steps_since_resumed(status) > 0 and status, "a second attempt that has gone on")
    assert evicted["attempts"] == 2
    assert evicted["checkpoint"]["resumedFromStep"] >= 5
    assert "the previous one ended: Disrupted" in evicted["message"]

    desk.patch("moved", suspend=True)
    suspended = desk.until_phase("moved", "Suspended")
    saved = suspended["checkpoint"]["step"]
    assert saved > evicted["checkpoint"]["resumedFromStep"]
    assert [pod for pod in desk.all("pods", of("moved", "trainer")) if pod["status"]["phase"] in {"Pending", "Running"}] == []

    desk.patch("moved", suspend=False, workers={"replicas": 1})
    alone = desk.until(
        "moved",
        lambda status: steps_since_resumed(status) > 0 and status["checkpoint"]["resumedFromStep"] == saved and status,
        "it goes on alone",
    )
    (rank,) = [pod for pod in desk.all("pods", of("moved", "trainer")) if pod["status"]["phase"] == "Running"]
    kill_ranks(desk, rank)
    done = desk.until_phase("moved", "Serving")
    assert done["attempts"] == alone["attempts"] + 1
    assert (done["checkpoint"]["resumedFromStep"], done["progress"]["step"]) == (saved, STEPS_MOVED)
    gangs = sorted(desk.all("jobs", of("moved", "trainer")), key=lambda gang: gang["metadata"]["creationTimestamp"])
    assert [gang["spec"]["completions"] for gang in gangs] == [2, 2, 1, 1]
    assert demo.ask("moved")
    assert desk.status(QUICKSTART_JOB)["phase"] == "Serving"


async def test_serving_another_jobs_model_and_back_loses_no_request(desk, served):
    """`moved`, of the previous test, was retrained: fewer steps, another claim, another revision."""
    (service,) = desk.all("services", of(QUICKSTART_JOB, "server"))
    clients = Clients(f"http://{service['spec']['clusterIP']}", QUICKSTART_JOB, answer_tokens=48)
    own, new = served["revision"], desk.status("moved")["revision"]

    async def serve(model: str, revision: str) -> None:
        await asyncio.to_thread(desk.patch, QUICKSTART_JOB, serving={"modelRef": {"name": model}})
        await asyncio.to_thread(desk.until, QUICKSTART_JOB, lambda status: is_served(status, revision), f"the model of {model} is served")
        await clients.answered()

    async with clients.asking():
        await clients.answered()
        await serve("moved", new)
        assert desk.status(QUICKSTART_JOB)["serving"]["previousRevision"].partition("-")[0] == own
        await serve(QUICKSTART_JOB, own)
    assert clients.failures == []


def is_served(status: dict, revision: str) -> bool:
    return status["reason"] == "Serving" and status["serving"]["revision"].partition("-")[0] == revision


HINDERED = {  # name -> what its workers are, the stage that cannot start, the reason
    "imageless": ({"image": "docker.io/tunewright/nowhere:1"}, "checker", "ImagePullBackOff"),
    "giant": ({"resources": {"requests": {"cpu": "1000", "memory": "1Gi"}}}, "trainer", "Unschedulable"),
}
# More than torchrun's agent takes (300 MiB), less than it and the process that trains (1100 MiB).
FORGETFUL = {"resources": {"requests": {"cpu": "100m", "memory": "400Mi"}, "limits": {"memory": "800Mi"}}}


@pytest.fixture(scope="module")
def hopeless(desk: Desk, served: dict) -> None:
    """Jobs that get nowhere, all at once."""
    workers = {name: workers for name, (workers, _, _) in HINDERED.items()} | {"forgetful": FORGETFUL}
    for name, asked in workers.items():
        spec = short(quickstart()) | {"workers": {"replicas": 1, **asked}, "backoffLimit": 0}
        spec["output"]["storage"] = {"retain": False}
        desk.apply(name, spec)


def when_told(desk: Desk, job: str, reason: str) -> str | None:
    """Return the time of the first Event with this reason."""
    return min((event["firstTimestamp"] for event in desk.events(job) if event["reason"] == reason), default=None)


def seconds_between(*times: str) -> float:
    first, last = (datetime.fromisoformat(time) for time in times)
    return (last - first).total_seconds()


def test_problems_of_kubelet_and_scheduler_are_in_status_within_a_minute(desk, demo, hopeless):
    for name, (_, stage, reason) in HINDERED.items():
        status = desk.until(name, lambda status, reason=reason: status.get("reason") == reason and status, reason)
        assert (status["failure"]["stage"], status["failure"]["reason"]) == (stage, reason)
        assert status["failure"]["suggestion"]
        (waiting,) = desk.all("jobs", of(name, stage))
        told = until(lambda name=name, reason=reason: when_told(desk, name, reason), "an Event tells it")  # status is written first
        assert seconds_between(waiting["metadata"]["creationTimestamp"], told) <= A_MINUTE
    assert "Jean" in demo.ask(QUICKSTART_JOB)

    desk.kubectl("delete", "finetunejobs", *HINDERED, "--timeout=120s")
    until(lambda: desk.all("pods", f"tunewright.io/job-name in ({','.join(HINDERED)})") == [], "their pods are gone")


def test_a_rank_above_its_memory_limit_is_named(desk, hopeless):
    failure = desk.until_phase("forgetful", "Failed")["failure"]

    assert (failure["stage"], failure["reason"], failure["rank"], failure["exitCode"]) == ("trainer", "OutOfMemory", 0, 137)
    assert "resources.limits.memory" in failure["suggestion"]


def test_a_classifier_is_served_although_its_operator_is_killed_ten_times(desk, tunewright):
    """At any moment of its life, while starting too. With one operator and no Lease, for then another is at work within seconds."""
    tunewright.install("--set=replicas=1", "--set=leaderElection.enabled=false")
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    spec = classifier()
    spec["output"]["storage"] = {"retain": False}
    desk.apply(CLASSIFIER, spec)
    for kill in range(KILLS):
        time.sleep(chance.uniform(0, 4))
        tunewright.kill_operator()
        print(f"kill {kill} in phase {desk.status(CLASSIFIER).get('phase')}")

    status = desk.until_phase(CLASSIFIER, "Serving")

    assert (status["attempts"], status["progress"]["step"]) == (1, spec["training"]["maxSteps"])
    assert [gang["spec"]["completions"] for gang in desk.all("jobs", of(CLASSIFIER, "trainer"))] == [2]


def test_the_classifier_answers_with_the_evaluated_labels(desk):
    status = desk.until_phase(CLASSIFIER, "Serving")

    assert float(status["evaluation"]["tuned"]["accuracy"]) > float(status["evaluation"]["base"]["accuracy"])
    (service,) = desk.all("services", of(CLASSIFIER, "server"))
    rows = [json.loads(line) for line in (EXAMPLES / "data" / "intent-test.jsonl").read_text(encoding="utf-8").splitlines()]
    body = json.dumps({"model": CLASSIFIER, "input": [row["text"] for row in rows]}).encode()
    request = Request(f"http://{service['spec']['clusterIP']}/classify", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=60) as answer:
        labels = [datum["label"] for datum in json.load(answer)["data"]]
    right = sum(label == row["label"] for label, row in zip(labels, rows, strict=True))
    assert right / len(rows) == pytest.approx(float(status["evaluation"]["tuned"]["accuracy"]), abs=1 / len(rows))  # int8 is near torch
