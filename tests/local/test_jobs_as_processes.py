"""Jobs run as processes: the Job's status follows from their exit, with Kubernetes' own texts."""

import os
import signal

import psutil
import pytest
from local_cluster import Cluster, make_gang, make_job

from tunewright.local.container import processes_of

HOPELESS = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [64, 65, 70]}}]}
IGNORE_DISRUPTION = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}


async def test_exit_code_0_completes_the_job_and_keeps_the_termination_message(cluster: Cluster):
    cluster.create(
        make_job(
            "demo-check",
            "import os; print('hello'); open(os.environ['TUNEWRIGHT_TERMINATION_LOG'], 'w').write('all is well')",
            env=[{"name": "TUNEWRIGHT_TERMINATION_LOG", "value": "/dev/termination-log"}],
        )
    )
    end = await cluster.finished("demo-check")
    assert (end["type"], end["reason"]) == ("Complete", "CompletionsReached")
    assert cluster.get("Job", "demo-check")["status"]["succeeded"] == 1
    (pod,) = cluster.pods()
    assert pod["status"]["phase"] == "Succeeded"
    ended = cluster.container(pod)["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (0, "Completed", "all is well")
    assert cluster.log() == "hello\n"


@pytest.mark.parametrize(
    ("code", "exit_code", "reason"),
    [
        ("raise SystemExit(65)", 65, "PodFailurePolicy"),
        ("raise SystemExit(75)", 75, "BackoffLimitExceeded"),
        ("import os; os.kill(os.getpid(), 11)", 139, "BackoffLimitExceeded"),
        ("import os; os.kill(os.getpid(), 9)", 137, "BackoffLimitExceeded"),
    ],
    ids=["an exit code of the policy", "any other exit code", "a segmentation fault", "a kill -9"],
)
async def test_another_exit_code_fails_the_job_with_the_code(cluster: Cluster, code: str, exit_code: int, reason: str):
    cluster.create(make_job("demo-check", code, spec={"podFailurePolicy": HOPELESS}))
    assert (await cluster.finished("demo-check"))["reason"] == reason
    assert cluster.container(cluster.pods()[0])["state"]["terminated"]["exitCode"] == exit_code


async def test_a_crash_without_a_message_keeps_the_end_of_its_log(cluster: Cluster):
    cluster.create(make_job("demo-check", "raise ValueError('no such column')", terminationMessagePolicy="FallbackToLogsOnError"))
    await cluster.finished("demo-check")
    assert "ValueError: no such column" in cluster.container(cluster.pods()[0])["state"]["terminated"]["message"]


async def test_a_command_that_does_not_exist_is_named(cluster: Cluster):
    cluster.create(make_job("demo-check", "", command=["no-such-program"], terminationMessagePolicy="FallbackToLogsOnError"))
    await cluster.finished("demo-check")
    ended = cluster.container(cluster.pods()[0])["state"]["terminated"]
    assert ended["exitCode"] == 127
    assert "no-such-program" in ended["message"]


async def test_failures_within_the_backoff_limit_are_retried(cluster: Cluster):
    count = "import os, pathlib; f = pathlib.Path(os.environ['DIR'] + '/n'); n = int(f.read_text()) if f.exists() else 0; f.write_text(str(n + 1))"
    cluster.create(
        make_job(
            "demo-export",
            f"{count}; raise SystemExit(75 if n < 1 else 0)",
            spec={"backoffLimit": 2},
            env=[{"name": "DIR", "value": "/state"}],
            volumeMounts=[{"name": "state", "mountPath": "/state"}],
            volumes=[{"name": "state", "persistentVolumeClaim": {"claimName": "state"}}],
        )
    )
    assert (await cluster.finished("demo-export"))["type"] == "Complete"
    status = cluster.get("Job", "demo-export")["status"]
    assert (status["succeeded"], status["failed"]) == (1, 1)


async def test_any_process_above_the_memory_limit_is_killed_as_out_of_memory(cluster: Cluster):
    greedy = """
        import subprocess, sys
        subprocess.run([sys.executable, "-c", "import time; hog = bytearray(400 << 20); time.sleep(600)"])
    """
    cluster.create(make_job("demo-train-0", greedy, resources={"limits": {"memory": "100Mi"}}))
    await cluster.finished("demo-train-0")
    (pod,) = cluster.pods()
    ended = cluster.container(pod)["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")
    assert processes_of(pod["metadata"]["uid"]) == []


async def test_memory_below_the_limit_has_no_effect(cluster: Cluster):
    cluster.create(
        make_job("demo-train-0", "hog = bytearray(50 << 20); import time; time.sleep(0.6)", resources={"limits": {"memory": "300Mi"}})
    )
    assert (await cluster.finished("demo-train-0"))["type"] == "Complete"


async def test_a_deadline_ends_the_pods_and_then_the_job(cluster: Cluster):
    cluster.create(make_job("demo-train-0", "import time; time.sleep(600)", spec={"activeDeadlineSeconds": 1}, grace=1))
    assert (await cluster.finished("demo-train-0"))["reason"] == "DeadlineExceeded"
    assert cluster.pods() == []


SAVES_ON_SIGTERM = """
    import signal, sys, time
    def stop(*_):
        print("saved", flush=True); sys.exit(143)
    signal.signal(signal.SIGTERM, stop)
    print("running", flush=True)
    while True: time.sleep(0.01)
"""


async def test_a_suspended_job_saves_and_a_resumed_one_starts_new_pods(cluster: Cluster):
    cluster.create(make_job("demo-train-0", SAVES_ON_SIGTERM))
    await cluster.until(lambda: cluster.log().count("running") == 1)
    cluster.store.change("Job", "default", "demo-train-0", lambda job: job["spec"].update(suspend=True))
    await cluster.until(lambda: not cluster.pods())
    assert cluster.log() == "running\nsaved\n"
    assert cluster.condition("Job", "demo-train-0", "Suspended")["reason"] == "JobSuspended"
    assert "startTime" not in cluster.get("Job", "demo-train-0")["status"]
    cluster.store.change("Job", "default", "demo-train-0", lambda job: job["spec"].update(suspend=False))
    await cluster.until(lambda: cluster.log().count("running") == 2)
    assert not cluster.condition("Job", "demo-train-0", "Suspended")


async def test_a_process_that_ignores_sigterm_is_killed_with_its_children_after_the_grace_period(cluster: Cluster):
    deaf = """
        import signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        print("running", flush=True)
        time.sleep(600)
    """
    cluster.create(make_job("demo-train-0", deaf, grace=1))
    await cluster.until(lambda: "running" in cluster.log())
    (pod,) = cluster.pods()
    assert len(processes_of(pod["metadata"]["uid"])) == 2
    cluster.store.delete("Job", "default", "demo-train-0")
    await cluster.until(lambda: not cluster.pods())
    assert processes_of(pod["metadata"]["uid"]) == []


async def test_remaining_processes_are_killed_when_the_first_ends(cluster: Cluster):
    leaves = """
        import subprocess, sys
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    """
    cluster.create(make_job("demo-check", leaves))
    await cluster.finished("demo-check")
    assert processes_of(cluster.pods()[0]["metadata"]["uid"]) == []


async def test_a_gang_shares_one_rendezvous_port_and_has_different_ranks(cluster: Cluster):
    rendezvous = """
        import os, socket
        rank, address = int(os.environ["RANK"]), (os.environ["PET_MASTER_ADDR"], int(os.environ["PET_MASTER_PORT"]))
        if rank == 0:
            server = socket.create_server(address); peer, _ = server.accept(); print("met", peer.recv(10).decode())
        else:
            while True:
                try: socket.create_connection(address).sendall(b"rank 1"); break
                except ConnectionRefusedError: pass
    """
    cluster.create(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "demo-train", "namespace": "default"}, "spec": {"clusterIP": "None"}}
    )
    cluster.create(make_gang(rendezvous))
    assert (await cluster.finished("demo-train-0"))["type"] == "Complete"
    assert cluster.log() == "met rank 1\n"
    assert cluster.get("Job", "demo-train-0")["status"]["completedIndexes"] == "0-1"


async def test_one_failing_rank_fails_the_gang_and_ends_the_others(cluster: Cluster):
    cluster.create(
        make_gang("import os, time; time.sleep(600) if os.environ['RANK'] == '0' else exit(70)", spec={"podFailurePolicy": HOPELESS})
    )
    end = await cluster.finished("demo-train-0")
    assert end["reason"] == "PodFailurePolicy"
    (failed_pod,) = cluster.pods()
    assert failed_pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] == "1"
    assert end["message"] == (
        f"Container trainer for pod default/{failed_pod['metadata']['name']} failed with exit code 70 matching FailJob rule at index 0"
    )


async def test_killing_one_rank_from_outside_is_a_failure_of_the_gang(cluster: Cluster):
    cluster.create(make_gang("import time; print('running', flush=True); time.sleep(600)"))
    await cluster.until(lambda: cluster.log().count("running") == 2)
    victim = processes_of(cluster.pods()[1]["metadata"]["uid"])[0]
    os.kill(victim.pid, signal.SIGKILL)
    assert (await cluster.finished("demo-train-0"))["reason"] == "BackoffLimitExceeded"
    assert cluster.container(cluster.pods()[0])["state"]["terminated"]["exitCode"] == 137


async def test_a_killed_shim_counts_as_a_disruption_and_leaves_no_process(cluster: Cluster):
    cluster.create(
        make_job("demo-check", "import time; print('running', flush=True); time.sleep(600)", spec={"podFailurePolicy": IGNORE_DISRUPTION})
    )
    await cluster.until(lambda: "running" in cluster.log())
    (pod,) = cluster.pods()
    (process,) = processes_of(pod["metadata"]["uid"])
    shim = psutil.Process(process.ppid())
    shim.kill()
    await cluster.until(lambda: cluster.log().count("running") == 2)
    lost = next(item for item in cluster.pods() if item["metadata"]["uid"] == pod["metadata"]["uid"])
    assert cluster.container(lost)["state"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert any(entry["type"] == "DisruptionTarget" for entry in lost["status"]["conditions"])
    assert processes_of(pod["metadata"]["uid"]) == []
