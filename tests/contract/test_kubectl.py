"""kubectl: applied examples, the columns of `kubectl get ftj`, refusals that name the field."""

import json
from pathlib import Path

import pytest
from api_jobs import raw_job

from tunewright.api.crdgen import UNSEEN

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


@pytest.fixture
def kubectl(control_plane, crd, namespace):
    return lambda *arguments, **options: control_plane.kubectl("-n", namespace, *arguments, **options)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_accepted(kubectl, example):
    applied = kubectl("apply", "-f", str(example))

    assert (applied.returncode, applied.stderr) == (0, "")
    assert applied.stdout.strip().endswith("created")


def test_get_shows_how_far_a_job_is(kubectl):
    kubectl("apply", "-f", str(ROOT / "examples" / "quickstart.yaml"))
    status = (
        '{"status": {"phase": "Training", "progress": {"progressPercentage": 40, "loss": "1.25", "estimatedRemainingSeconds": 90}, "conditions":'
        ' [{"type": "Ready", "status": "False", "reason": "Training", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}'
    )
    patched = kubectl("patch", "ftj", "support-bot", "--subresource=status", "--type=merge", "-p", status)
    assert patched.stderr == ""

    header, row = (line.split() for line in kubectl("get", "ftj").stdout.splitlines())

    assert header == ["NAME", "PHASE", "PROGRESS", "LOSS", "ETA", "READY", "AGE"]
    assert row[:6] == ["support-bot", "Training", "40", "1.25", "90", "False"]


def test_wide_shows_the_model_and_the_gang(kubectl):
    kubectl("apply", "-f", str(ROOT / "examples" / "phi3-mini-lora.yaml"))

    header, row = kubectl("get", "ftj", "-o", "wide").stdout.splitlines()

    assert header.split() == ["NAME", "PHASE", "PROGRESS", "LOSS", "ETA", "READY", "AGE", "MODEL", "WORKERS", "ZERO", "ENDPOINT", "REASON"]
    assert "microsoft/Phi-3-mini-4k-instruct" in row


def test_a_status_that_a_user_writes_is_not_taken(kubectl, server, namespace):
    made = server.create({**raw_job(), "status": {"phase": "Succeeded"}}, namespace, keep=True)

    assert "phase" not in made.object["status"]
    assert made.object["status"]["observedGeneration"] == UNSEEN  # kstatus then reports that no operator has seen it yet


@pytest.mark.parametrize(
    ("says", "changed"),
    [
        ('unknown field "spec.training.max_steps"', ("maxSteps: 120", "max_steps: 120")),
        ("spec.training.maxSteps", ("maxSteps: 120", "maxSteps: many")),
        ("spec.method.tuner: Unsupported value", ("tuner: lora", "tuner: laura")),
        ("E312", ("seed: 7", "dataloaderPrefetchFactor: 2")),
        ("metadata.name must be a DNS label", ("name: support-bot", "name: support.bot")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusals_name_the_field(kubectl, says, changed):
    manifest = (ROOT / "examples" / "quickstart.yaml").read_text(encoding="utf-8").replace(*changed)
    refused = kubectl("apply", "-f", "-", stdin=manifest)

    assert refused.returncode == 1
    assert says in refused.stderr


def test_explain_shows_type_description_unit_and_default(kubectl):
    assert "Fine-tunes a base model" in kubectl("explain", "ftj").stdout
    explained = kubectl("explain", "ftj.spec.serving.drainSeconds").stdout
    assert "<integer>" in explained
    assert "Seconds for open requests to finish" in " ".join(explained.split())
    assert "Default: 300." in " ".join(explained.split())


# Of these fields the first manifest has none.
OTHER_VALUES = {
    "backoffLimit": 5,
    "evaluation": {"allowRegression": True},
    "progressDeadlineSeconds": 600,
    "serving": {"executionProviders": ["CPU"], "resources": {"limits": {"cpu": "2"}}, "maxConcurrentRequests": 4, "drainSeconds": 60},
    "suspend": True,
    "training": {"maxSteps": 5},
    "workers": {"replicas": 2, "resources": {"limits": {"cpu": "2"}}},
}


@pytest.mark.parametrize("command", ["create", "apply"])
def test_another_manager_sets_fields_with_a_default_without_a_conflict(kubectl, command):
    kubectl(command, "-f", "-", stdin=json.dumps(raw_job({"serving": {}})))
    applied = server_side(kubectl, raw_job(OTHER_VALUES))

    assert (applied.returncode, applied.stderr) == (0, "")
    stored = json.loads(kubectl("get", "ftj", "support-bot", "-o", "json").stdout)
    assert stored["spec"] == raw_job({**OTHER_VALUES, "serving": {"replicas": 1, **OTHER_VALUES["serving"]}})["spec"]


def test_the_default_that_scale_needs_belongs_to_the_first_manager(kubectl):
    kubectl("create", "-f", "-", stdin=json.dumps(raw_job({"serving": {}})))
    applied = server_side(kubectl, raw_job({"serving": {"replicas": 2}}))

    assert applied.returncode == 1
    assert ".spec.serving.replicas" in applied.stderr


def server_side(kubectl, job):
    return kubectl("apply", "--server-side", "--field-manager=gitops", "-f", "-", stdin=json.dumps(job))


@pytest.mark.parametrize("part", ["spec", "status"])
def test_explain_describes_each_field(kubectl, part):
    """tests/api/test_descriptions.py looks at all fields; `--recursive` shows no descriptions."""
    inner = {"spec": "ftj.spec.workers.tolerations", "status": "ftj.status.conditions"}[part]
    for path in (f"ftj.{part}", inner):
        shown = kubectl("explain", path)
        assert shown.returncode == 0, shown.stderr
        assert "<no description>" not in shown.stdout, path


def test_the_definition_can_be_applied_client_side(kubectl):
    """It is stored a second time, in an annotation of at most 256 KiB."""
    applied = kubectl("apply", "--server-side=false", "-f", str(ROOT / "crds" / "finetunejobs.tunewright.io.yaml"))

    assert applied.returncode == 0, applied.stderr
