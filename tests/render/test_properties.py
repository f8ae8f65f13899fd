"""What holds for every plan, whatever was decided."""

import json
import re
from copy import deepcopy
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from plan_builders import changed, hub_plan, quickstart_plan
from pod_security import violations

from tunewright.plan.names import names_of, volume_name
from tunewright.plan.plan_types import (
    ClaimSource,
    DataVolume,
    FolderSource,
    NewClaim,
    Owner,
    PodOptions,
    PodPlan,
    Scheduling,
    SecretKey,
    ServePlan,
    Storage,
    TrainPlan,
)
from tunewright.render import render
from tunewright_contract.smoke_test import SmokeTest
from tunewright_contract.stages import STAGES

LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
LABEL_KEY = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
TERMINATION_LOG = "/dev/termination-log"
FREE_TEXTS = {"TUNEWRIGHT_MODEL_NAME"}  # what a user may begin with a slash

dns_labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
subdomains = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?){0,4}", fullmatch=True)
folders = st.from_regex(r"[A-Za-z0-9_]{1,12}(/[A-Za-z0-9_. -]{1,11}[A-Za-z0-9]){0,2}/?", fullmatch=True)
claims = st.builds(ClaimSource, claim=subdomains, path=st.one_of(st.just(""), folders))
paths = st.builds(FolderSource, path=folders.map(lambda folder: f"/{folder}"))
resources = st.fixed_dictionaries(
    {},
    optional={
        "limits": st.dictionaries(
            st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]), st.sampled_from(["1", "500m", "16", "2.5"]), max_size=3
        ),
        "requests": st.just({"cpu": "1"}),
    },
)
schedulings = st.builds(
    Scheduling,
    node_selector=st.dictionaries(st.just("pool"), dns_labels, max_size=1),
    priority_class_name=st.none() | subdomains,
    image_pull_secrets=st.lists(subdomains, max_size=2, unique=True).map(tuple),
)
pod_options = st.builds(
    PodOptions,
    labels=st.dictionaries(st.sampled_from(["team", "example.com/cost-center"]), dns_labels, max_size=2),
    annotations=st.dictionaries(st.sampled_from(["sidecar.istio.io/inject", "note"]), st.text(max_size=10), max_size=2),
    env=st.dictionaries(
        st.from_regex(r"[A-Z_][A-Z0-9_]{0,20}", fullmatch=True), st.text(max_size=10).map(lambda text: f"v{text}"), max_size=3
    ),
    scheduling=schedulings,
)


@st.composite
def plans(draw, *, in_a_cluster=False):
    name = draw(subdomains)
    sources = claims if in_a_cluster else claims | paths
    hub = draw(st.booleans())
    data = draw(st.lists(sources, min_size=1, max_size=3))
    output = draw(subdomains)
    train = st.builds(
        TrainPlan,
        attempt=st.integers(0, 3),
        replicas=st.integers(1, 64),
        processes_per_replica=st.integers(1, 8),
        resources=resources,
        termination_grace_seconds=st.integers(1, 3600),
    )
    serve = st.builds(
        ServePlan,
        replicas=st.integers(0, 5),
        model_name=st.text(min_size=1, max_size=20),
        resources=resources,
        execution_providers=st.sampled_from([("CPU",), ("CUDA", "CPU")]),
        max_length=st.none() | st.integers(1, 10**6),
        drain_seconds=st.integers(0, 3600),
        progress_deadline_seconds=st.integers(30, 86400),
        smoke_test=st.none() | st.builds(SmokeTest, prompt=st.text(min_size=1), contains=st.none() | st.text(min_size=1)),
    )
    return quickstart_plan(
        name=name,
        owner=Owner(namespace=draw(dns_labels), name=name, uid=str(draw(st.uuids()))),
        names=names_of(name),
        revision=draw(st.from_regex(r"[0-9a-f]{8,12}", fullmatch=True)),
        model_source=None if hub else draw(sources),
        data_volumes=tuple(DataVolume(name=f"{number}-{volume_name(source.path)}", source=source) for number, source in enumerate(data)),
        storage=Storage(
            output_claim=output,
            models_claim=draw(st.just(output) | subdomains),
            models_path=draw(st.just("") | folders),
            create=draw(st.none() | st.builds(NewClaim, size=st.just("1Gi"), storage_class=st.none() | subdomains)),
            retain=draw(st.booleans()),
        ),
        pods=draw(st.dictionaries(st.sampled_from(STAGES), pod_options)),
        hub_token=draw(st.none() | st.builds(SecretKey, name=subdomains, key=st.just("token"))) if hub else None,
        hub_access=hub,
        progress_url=draw(st.sampled_from(["", "http://127.0.0.1:20001/p", "https://tunewright.system.svc:10443/p"])),
        pass_labels=draw(st.sampled_from([{}, {"kueue.x-k8s.io/queue-name": "a"}, {"kai.scheduler/queue": "a"}])),
        pass_annotations=draw(st.sampled_from([{}, {"kueue.x-k8s.io/podset-preferred-topology": "rack"}])),
        suspend=draw(st.booleans()),
        active_deadline_seconds=draw(st.none() | st.integers(1, 10**6)),
        check=draw(st.none() | st.builds(PodPlan, resources=resources)),
        train=draw(st.none() | train),
        export=draw(st.none() | st.builds(PodPlan, resources=resources)),
        serve=draw(st.none() | serve),
    )


def pods(manifests):
    return [item["spec"]["template"] for item in manifests if item["kind"] in {"Job", "Deployment"}]


def metadata_of(manifests):
    return [item["metadata"] for item in manifests] + [pod["metadata"] for pod in pods(manifests)]


@given(plans())
@settings(max_examples=40, deadline=None)
def test_names_and_labels_are_what_kubernetes_accepts(plan):
    manifests = render(plan).children
    for metadata in metadata_of(manifests):
        for key, value in metadata["labels"].items():
            assert LABEL_KEY.fullmatch(key), key
            assert LABEL_VALUE.fullmatch(value), value
        assert all(LABEL_KEY.fullmatch(key) for key in metadata.get("annotations", {}))
    for item in manifests:
        limit = SUBDOMAIN if item["kind"] == "PersistentVolumeClaim" else DNS_LABEL  # users name claims; the rest becomes a host name
        assert limit.fullmatch(item["metadata"]["name"]), item["metadata"]["name"]
    for pod in pods(manifests):
        for name in [volume["name"] for volume in pod["spec"]["volumes"]] + [container["name"] for container in pod["spec"]["containers"]]:
            assert DNS_LABEL.fullmatch(name), name


@given(plans())
@settings(max_examples=40, deadline=None)
def test_every_mount_has_a_volume_and_every_path_in_the_environment_a_mount(plan):
    for pod in pods(render(plan).children):
        volumes = [volume["name"] for volume in pod["spec"]["volumes"]]
        (container,) = pod["spec"]["containers"]
        mounts = container["volumeMounts"]
        paths = [mount["mountPath"] for mount in mounts]
        assert len(set(volumes)) == len(volumes)
        assert set(volumes) == {mount["name"] for mount in mounts}
        assert len(set(paths)) == len(paths)
        for entry in container["env"]:
            value = entry.get("value", "")
            if value.startswith("/") and value != TERMINATION_LOG and entry["name"] not in FREE_TEXTS:
                assert any(value == path or value.startswith(f"{path}/") or path.startswith(f"{value}/") for path in paths), entry


@given(plans(in_a_cluster=True))
@settings(max_examples=40, deadline=None)
def test_every_pod_meets_the_restricted_standard(plan):
    for pod in pods(render(plan).children):
        assert violations(pod["spec"]) == []
        assert pod["spec"]["automountServiceAccountToken"] is False


@given(plans())
@settings(max_examples=40, deadline=None)
def test_manifests_are_plain_json_and_equal_for_equal_plans(plan):
    manifests = render(plan).children
    assert json.loads(json.dumps(manifests)) == list(manifests)
    assert json.dumps(render(deepcopy(plan)).children) == json.dumps(manifests)
    keys = [(item["kind"], item["metadata"]["name"]) for item in manifests]
    assert len(set(keys)) == len(keys)


@given(plans(), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_a_new_attempt_and_later_stages_leave_the_templates_of_earlier_jobs_as_they_were(plan, attempt):
    """A Job's template is immutable: what an API server has accepted must never come back different."""
    train = replace(
        plan.train or TrainPlan(attempt=0, replicas=1, processes_per_replica=1, global_batch_size=2, resources={}), attempt=attempt
    )
    before = changed(plan, check=PodPlan(), train=train, export=None, serve=None, suspend=False)
    after = changed(before, train=replace(train, attempt=attempt + 1), export=PodPlan(), suspend=True)
    templates = {item["metadata"]["name"]: item["spec"]["template"] for item in render(after).children if item["kind"] == "Job"}
    for job in [item for item in render(before).children if item["kind"] == "Job"]:
        assert templates[job["metadata"]["name"]] == job["spec"]["template"]


def test_the_checker_of_the_standard_finds_violations():
    (pod,) = [item["spec"]["template"]["spec"] for item in render(changed(hub_plan(), train=None)).children if item["kind"] == "Job"]
    loose = deepcopy(pod)
    loose["hostNetwork"] = True
    loose["volumes"].append({"name": "host", "hostPath": {"path": "/"}})
    loose["securityContext"] = {"runAsUser": 0}
    loose["containers"][0]["securityContext"] = {"privileged": True, "capabilities": {"add": ["SYS_ADMIN"]}}
    loose["containers"][0]["ports"] = [{"containerPort": 1, "hostPort": 1}]
    assert violations(pod) == []
    assert len(violations(loose)) == 10
