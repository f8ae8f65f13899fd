"""What each answer of the API server means."""

import json

import pytest
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import MaxRetryError, ReadTimeoutError

from tunewright_runtime.errors import Conflict, Forbidden, Gone, NotWritten, Rejected, Transient, TunewrightError, translate

# The message of an API server with OwnerReferencesPermissionEnforcement.
OF_OWNERS = 'configmaps "c" is forbidden: cannot set blockOwnerDeletion '
CANNOT_OWN = "if an ownerReference refers to a resource you can't set finalizers on: , <nil>"
NOT_HEARD_OF = "in this case because cannot find RESTMapping for APIVersion tunewright.io/v1alpha1 Kind FineTuneJob: no matches for kind"
TYPED = "failed to create typed patch object (demo/bot-train-0; batch/v1, Kind=Job):"
MISTYPED = f"{TYPED} .spec.template.spec.affinity.nodeAfinity: field not declared in schema"


def answer(code, message="", *, kind="", causes=(), headers=None, retry=None):
    details = {"kind": kind, "causes": [{"reason": cause} for cause in causes]} | ({"retryAfterSeconds": retry} if retry else {})
    error = ApiException(status=code, reason="a phrase")
    error.body = json.dumps({"kind": "Status", "message": message, "details": details})
    error.headers = headers or {}
    return error


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        pytest.param(Conflict, answer(409, "the object has been modified"), id="somebody wrote in between"),
        pytest.param(Conflict, answer(409, "already exists"), id="somebody was quicker"),
        pytest.param(Conflict, answer(404, "not found", kind="jobs"), id="a child was deleted since it was read"),
        pytest.param(Gone, answer(404, "not found", kind="namespaces"), id="the namespace is gone"),
        pytest.param(Gone, answer(404, "not found", kind="finetunejobs"), id="the job is gone"),
        pytest.param(Gone, answer(403, "is forbidden", causes=["NamespaceTerminating"]), id="the namespace is being deleted"),
        pytest.param(Forbidden, answer(403, 'jobs is forbidden: User "x" cannot patch resource "jobs"'), id="a permission is missing"),
        pytest.param(Forbidden, answer(403, OF_OWNERS + CANNOT_OWN), id="a permission that admission asks about is missing"),
        pytest.param(Transient, answer(403, OF_OWNERS + NOT_HEARD_OF), id="admission has not heard of the kind yet"),
        pytest.param(Rejected, answer(403, "exceeded quota: q, requested: pods=1"), id="the quota is used up"),
        pytest.param(Rejected, answer(403, "violates PodSecurity"), id="a policy refuses it"),
        pytest.param(Rejected, answer(400, 'admission webhook "w" denied the request'), id="a webhook refuses it"),
        pytest.param(Rejected, answer(422, "spec.x: Invalid value"), id="the object is invalid"),
        pytest.param(Rejected, answer(413, "too large"), id="the object is too large"),
        pytest.param(Transient, answer(401, "Unauthorized"), id="the token was rotated"),
        pytest.param(Transient, answer(410, "continue token expired"), id="a list took too long"),
        pytest.param(Transient, answer(429, "too many requests"), id="the server is busy"),
        pytest.param(Transient, answer(500, "etcdserver: leader changed"), id="etcd elects"),
        pytest.param(Transient, answer(503, ""), id="the server starts"),
        pytest.param(Transient, answer(504, "timeout"), id="the server waits"),
        pytest.param(Transient, ApiException(status=0, reason="SSLError"), id="the handshake broke"),
        pytest.param(Transient, MaxRetryError(None, "/", "refused"), id="no process listens"),
        pytest.param(Transient, ReadTimeoutError(None, "/", "slow"), id="no answer in time"),
        pytest.param(Transient, ConnectionResetError("reset"), id="the line was cut"),
    ],
)
def test_an_answer_becomes_an_error_of_the_tree(expected: type[TunewrightError], error: Exception):
    meaning = translate(error, doing="apply Job demo/bot-check", primary="finetunejobs")
    assert type(meaning) is expected
    assert "apply Job demo/bot-check" in str(meaning)


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("QuotaExceeded", answer(403, "pods is forbidden: exceeded quota: q")),
        ("RefusedByPolicy", answer(403, "violates PodSecurity")),
        ("RefusedByPolicy", answer(422, "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no")),
        ("RefusedByPolicy", answer(400, 'admission webhook "w" denied the request: no')),
        ("RefusedByCluster", answer(422, "Invalid value")),
        ("FieldInvalid", answer(500, MISTYPED)),
        ("TooLarge", answer(413, "too large")),
    ],
)
def test_a_refusal_names_its_reason(reason, error):
    assert translate(error, doing="apply", primary="finetunejobs").reason == reason


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("spec.template.spec.affinity.nodeAfinity", MISTYPED),
        ("spec.template.spec.tolerations", f"{TYPED} .spec.template.spec.tolerations: expected list, got &{{map[]}}"),
        ("spec.a", f"{TYPED} errors:\n  .spec.a: field not declared in schema\n  .spec.b: field not declared in schema"),
    ],
)
def test_a_refusal_of_an_apply_names_the_field(field, message):
    assert translate(answer(500, message), doing="apply Job demo/bot", primary="finetunejobs", writing="Job").field == field


def test_an_invalid_object_names_its_first_field():
    error = answer(422, 'Job.batch "bot" is invalid')
    causes = [{"reason": "FieldValueInvalid", "field": "spec.template.spec.nodeName", "message": "no"}]
    error.body = json.dumps({"kind": "Status", "message": 'Job.batch "bot" is invalid', "details": {"causes": causes}})
    assert translate(error, doing="apply", primary="finetunejobs").field == "spec.template.spec.nodeName"


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("WebhookFailed", answer(500, 'failed calling webhook "w.example.com": dial tcp 127.0.0.1:1: connection refused')),
        ("WebhookFailed", answer(503, 'failed calling webhook "w.example.com": no endpoints')),
        ("ServerBusy", answer(429, "too many requests")),
        ("NoAnswer", answer(504, "timeout")),
        ("NoAnswer", ReadTimeoutError(None, "/", "slow")),
        ("NoAnswer", ConnectionResetError("reset")),
        ("ServerFailed", answer(500, "etcdserver: leader changed")),
        ("ServerFailed", answer(401, "Unauthorized")),
    ],
)
def test_a_failed_write_names_its_kind_and_its_reason(reason, error):
    failed = translate(error, doing="apply Job demo/bot-check", primary="finetunejobs", writing="Job")
    assert (type(failed), failed.kind, failed.reason) == (NotWritten, "Job", reason)
    assert type(translate(error, doing="get Job demo/bot-check", primary="finetunejobs")) is Transient


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        (7.0, answer(429, headers={"Retry-After": "7"})),
        (3.0, answer(503, retry=3)),
        (300.0, answer(429, headers={"Retry-After": "inf"})),
        (300.0, answer(429, headers={"Retry-After": "86400"})),
        (0.0, answer(429, headers={"Retry-After": "-5"})),
        (None, answer(429, headers={"Retry-After": "nan"})),
        (None, answer(503)),
        (None, answer(503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})),
    ],
)
def test_the_servers_retry_after_is_used(expected, error):
    assert translate(error, doing="get", primary="finetunejobs").retry_after == expected


@pytest.mark.parametrize("body", [None, "", "<html>Bad Gateway</html>", "[]", b"\xff"[:0]])
def test_any_answer_of_a_proxy_is_translated(body):
    error = ApiException(status=502, reason="Bad Gateway")
    error.body = body
    assert "502 Bad Gateway" in str(translate(error, doing="get", primary="finetunejobs"))
