"""How one pod ended, or why it makes no progress."""

import pytest
from child_builders import a_pod, ended, running, waiting

from tunewright.observe.pods import read_pod
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.reports import Failure, TrainReport, dump

SAID = Failure(reason="DataInvalid", message="train.jsonl line 3: no role", suggestion="correct the line")

NODE_DOWN = ("Terminated", "NodeShutdown", "Shutdown", "NodeAffinity", "UnexpectedAdmissionError")


def read(**status):
    return read_pod(a_pod("trainer", index=1, **status))


@pytest.mark.parametrize(
    ("status", "reason", "disposition"),
    [
        (ended(65, dump(SAID)), "DataInvalid", Disposition.FAIL),
        (ended(137, reason="OOMKilled"), "OutOfMemory", Disposition.RETRY),
        (ended(137), "ProcessFailed", Disposition.RETRY),
        (ended(143), "Stopped", Disposition.RESUME),
        (ended(139, "Segmentation fault"), "ProcessFailed", Disposition.RETRY),
        (ended(70), "ProcessFailed", Disposition.FAIL),
        (ended(1, "Traceback: ..."), "ProcessFailed", Disposition.RETRY),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on resource: ephemeral-storage"}, "Evicted", Disposition.RETRY),
        (ended(137) | {"reason": "Evicted", "message": "low on memory"}, "Evicted", Disposition.RETRY),
        ({"phase": "Failed", "reason": "OutOfcpu"}, "ProcessFailed", Disposition.RETRY),
        *(({"phase": "Failed", "reason": reason}, "Disrupted", Disposition.RESUME) for reason in NODE_DOWN),
        (ended(143, reason="Error") | {"reason": "Terminated", "message": "node shutdown"}, "Disrupted", Disposition.RESUME),
        (ended(137, reason="ContainerStatusUnknown"), "Disrupted", Disposition.RESUME),
        (ended(255, reason="Unknown"), "Disrupted", Disposition.RESUME),
        (ended(255), "ProcessFailed", Disposition.RETRY),
        (ended(65, reason="Unknown") | {"reason": "Terminated"}, "ProcessFailed", Disposition.FAIL),
        ({"phase": "Failed"}, "ProcessFailed", Disposition.RETRY),
        ({"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True"}]}, "Disrupted", Disposition.RESUME),
    ],
)  # fmt: skip
def test_an_ended_pod_has_a_reason_and_a_disposition(status, reason, disposition):
    pod = read(**status)
    assert (pod.failure.reason, pod.disposition, pod.running) == (reason, disposition, False)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (waiting("ImagePullBackOff", "back-off pulling"), "ImagePullBackOff"),
        (waiting("ErrImagePull"), "ImagePullBackOff"),
        (waiting("InvalidImageName"), "InvalidImageName"),
        (waiting("CreateContainerConfigError", 'secret "hf" not found'), "CreateContainerConfigError"),
        (waiting("RunContainerError"), "CreateContainerError"),
        (waiting("CrashLoopBackOff", last_message="ValueError: x"), "CrashLoopBackOff"),
        (waiting("CrashLoopBackOff", last_message=dump(SAID)), "DataInvalid"),
    ],
)
def test_a_blocked_pod_has_a_reason_and_no_disposition(status, reason):
    pod = read(**status)
    assert (pod.failure.reason, pod.disposition) == (reason, None)


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"phase": "Pending"},
        {"conditions": [{"type": "PodScheduled", "status": "True"}]},
        waiting("ContainerCreating"),
        running(),
        ended(0),
    ],
)
def test_a_starting_pod_has_no_failure(status):
    assert read(**status).failure is None


def test_the_end_of_a_crashs_log_is_quoted():
    message = read(**ended(139, "x" * 5000 + " Segmentation fault\n")).failure.message
    assert message.endswith("Segmentation fault")
    assert "exit code 139 (SIGSEGV)" in message
    assert len(message) < 500


def test_a_failure_without_a_rank_is_that_of_its_pod():
    assert read(**ended(65, dump(SAID))).failure.rank == 1
    assert read(**ended(65, dump(SAID.model_copy(update={"rank": 7})))).failure.rank == 7


def test_a_report_is_read_from_a_pod_that_succeeded():
    report = TrainReport(step=1, max_steps=1, train_loss=1.0)
    assert read(**ended(0, dump(report))).report == report


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("exit code 65, and its report is refused: it reports success", dump(TrainReport(step=1, max_steps=1, train_loss=1.0))),
        ("exit code 65, and its report is refused: reason: ''", '{"kind": "failure", "reason": "", "message": "m"}'),
    ],
)
def test_an_invalid_failure_report_is_refused(words, message):
    found = read(**ended(65, message))
    assert (found.failure.reason, found.disposition) == ("ReportInvalid", Disposition.FAIL)
    assert words in found.failure.message


def test_a_negative_index_is_none():
    assert read_pod(a_pod("trainer", index=-1, **ended(1))).failure.rank is None


def test_a_sidecars_state_is_ignored():
    pod = a_pod("trainer", **ended(0, dump(SAID)))
    pod["status"]["containerStatuses"].insert(0, {"name": "istio-proxy", "state": {"terminated": {"exitCode": 1, "message": "bye"}}})
    assert read_pod(pod).exit_code == 0


def test_a_single_container_of_another_name_is_read():
    assert read(**ended(64, component="renamed")).exit_code == 64
