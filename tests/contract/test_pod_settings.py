"""Settings of pods: the API server accepts a pod with what the rules admit, and would refuse a pod with what they refuse."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from api_jobs import raw_job
from plan_builders import changed, quickstart_plan, serving
from ruamel.yaml import YAML
from rule_cases import POD_CASES, settings
from waiting import until

from tunewright.api.rules import check
from tunewright.api.v1alpha1.job import parse
from tunewright.plan.plan_types import ClaimSource, DataVolume
from tunewright.plan.pods import pod_options, with_scratch
from tunewright.render import render
from tunewright_contract.stages import STAGES, TRAIN

IDS = [f"{code} {part}.{field} {broken}"[:100] for code, part, field, broken, _ in POD_CASES]
CLAIMED = {"model_source": ClaimSource(claim="models"), "data_volumes": (DataVolume(name="data", source=ClaimSource(claim="corpora")),)}


QUOTA = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "all"},
    "spec": {"hard": {f"{kind}.{name}": "1Ti" for kind in ("requests", "limits") for name in ("cpu", "memory", "ephemeral-storage")}},
}


def pod_of(part, spec):
    """Return the pod of the stage with this part of the specification, whether the rules admit it or not."""
    (stage,) = [stage for stage in STAGES if stage.settings == part]
    plan = serving(quickstart_plan(**CLAIMED, pods=pod_options(spec)))
    plan = changed(plan, **{stage.name: replace(plan.stages[stage], resources=with_scratch(spec.pod_settings(stage).resources))})
    templates = [item["spec"]["template"] for item in render(plan).children if "template" in item.get("spec", {})]
    (template,) = [item for item in templates if item["spec"]["containers"][0]["name"] == stage.component]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"] | {"name": "pod"}, "spec": template["spec"]}


@pytest.mark.parametrize("case", POD_CASES, ids=IDS)
def test_what_the_api_server_would_refuse_in_a_pod_is_refused_in_the_job(server, shared_namespace, case):
    code, part, field, broken, kept = case
    spec = parse(raw_job(settings(part, field, broken))).spec
    assert (code, f"spec.{part}.{field}") in {(problem.code, problem.path) for problem in check(spec)}
    assert server.create(pod_of(part, spec), shared_namespace).code == 422

    spec = parse(raw_job(settings(part, field, kept))).spec
    assert check(spec) == ()
    assert server.create(pod_of(part, spec), shared_namespace).message == ""


WIDE = {
    "podLabels": {"example.com/cost-center": "42"},
    "podAnnotations": {"sidecar.istio.io/inject": "false", "cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["worker-1.example.com"]}]}
    ]}}},
    "topologySpreadConstraints": [{"topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule", "minDomains": 2}],
    "imagePullSecrets": ["one", {"name": "two"}],
    "env": [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
        {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "c", "key": ".hidden"}}},
        {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['example.com/cost-center']"}}},
        {"name": "D", "valueFrom": {"resourceFieldRef": {"resource": "requests.ephemeral-storage", "divisor": "1Mi"}}},
    ],
    "volumes": [
        {"name": "authorities", "configMap": {"name": "company-ca", "items": [{"key": "ca.crt", "path": "ca.crt", "mode": 292}]}},
        {"name": "license", "secret": {"secretName": "license", "defaultMode": 256}},
        {"name": "shelf", "persistentVolumeClaim": {"claimName": "corpora"}},
        {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
    ],
    "volumeMounts": [
        {"name": "authorities", "mountPath": "/etc/ssl/company/ca.crt", "subPath": "ca.crt"},
        {"name": "license", "mountPath": "/mnt/license"},
        {"name": "shelf", "mountPath": "/mnt/shelf", "subPath": "some/folder"},
        {"name": "scratch", "mountPath": "/mnt/scratch"},
        {"name": "memory", "mountPath": "/mnt/memory", "readOnly": True},
    ],
}  # fmt: skip


@pytest.mark.parametrize("part", [stage.settings for stage in STAGES])
def test_a_pod_with_all_settings_meets_the_restricted_standard(server, shared_namespace, part):
    raw = raw_job({part: WIDE})
    assert server.create(raw, shared_namespace).message == ""
    spec = parse(raw).spec
    assert check(spec) == ()
    pod = pod_of(part, spec)
    assert server.create(pod, shared_namespace).message == ""
    mounts = {mount["mountPath"]: (mount["name"], mount.get("readOnly", False)) for mount in pod["spec"]["containers"][0]["volumeMounts"]}
    assert (mounts["/mnt/scratch"], mounts["/mnt/memory"], mounts["/mnt/license"]) == (
        ("scratch", False),
        ("memory", True),
        ("license", True),
    )
    sources = [str(volume.get("persistentVolumeClaim")) for volume in pod["spec"]["volumes"]]
    assert len(set(sources)) - 1 == len([source for source in sources if source != "None"]), "a claim is one volume"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.workers.affinity.nodeAfinity", {"workers": {"affinity": {"nodeAfinity": {}}}}),
        ("spec.check.tolerations[0].effects", {"check": {"tolerations": [{"key": "a", "effects": "NoSchedule"}]}}),
        ("spec.serving.topologySpreadConstraints[0].maxskew", {"serving": {"topologySpreadConstraints": [{"maxskew": 1, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"}]}}),
        ("spec.export.volumes[0].hostPath", {"export": {"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}}),
        ("spec.workers.imagePullSecrets[0].key", {"workers": {"imagePullSecrets": [{"name": "a", "key": "b"}]}}),
    ],
)  # fmt: skip
def test_a_misspelt_or_unknown_setting_is_refused_with_its_place(server, shared_namespace, path, value):
    verdict = server.create(raw_job(value), shared_namespace)
    assert verdict.code in {400, 422}
    assert path in verdict.message or path.rpartition(".")[0] in verdict.fields


def test_pull_secrets_are_names_or_objects_for_both_kinds_of_apply(server, control_plane, namespace, tmp_path):
    for number, secrets in enumerate((["one"], [{"name": "one"}, "two"], ["one", {"name": "two"}, {"name": "three"}])):
        raw = raw_job({"workers.imagePullSecrets": secrets, "check": {"imagePullSecrets": secrets[:1]}})
        raw["metadata"] = {"name": "bot", "namespace": namespace}
        made = server.apply(raw, keep=True)
        assert (made.message, made.object["spec"]["workers"]["imagePullSecrets"]) == ("", secrets), number
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(raw | {"metadata": {"name": "client-side", "namespace": namespace}}))
        control_plane.kubectl("apply", "--filename", str(path))
        stored = server.get(raw["apiVersion"], raw["kind"], "client-side", namespace)
        assert stored["spec"]["workers"]["imagePullSecrets"] == secrets


def test_the_pods_of_the_documented_settings_fit_under_a_quota_on_requests_and_limits(server, control_plane, namespace):
    page = (Path(__file__).parents[2] / "docs" / "pod-settings.md").read_text(encoding="utf-8")
    every_stage = max((YAML(typ="safe").load(part.split("```")[0]) for part in page.split("```yaml\n")[1:]), key=len)
    assert every_stage.keys() == {stage.settings for stage in STAGES}
    raw = raw_job(every_stage)
    assert server.create(raw, namespace).message == ""
    spec = parse(raw).spec
    assert check(spec) == ()
    assert server.create(QUOTA, namespace, keep=True).message == ""
    quota = ("v1", "ResourceQuota", "all", namespace)
    until(lambda: (server.get(*quota) or {}).get("status", {}).get("used"), "the quota counts")
    pods = {stage.settings: server.create(pod_of(stage.settings, spec), namespace).message for stage in STAGES}
    assert pods == dict.fromkeys(pods, "")
    bare = server.create(pod_of(TRAIN.settings, parse(raw_job()).spec), namespace)
    assert (bare.code, "must specify limits.cpu" in bare.message) == (403, True)
