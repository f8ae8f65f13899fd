"""The chart rendered with several values. The golden files show what a cluster gets, without the CRD."""

import pytest
from chart_values import AIR_GAPPED, DIGEST, DIGESTS, EVERYTHING, NAMESPACED, NOTHING_CLUSTER_WIDE, OTHER_DIGEST, VALUE_SETS
from golden import as_yaml, compare
from helm import CHART, NAMESPACE, committed_crd, images_of, kind_of
from pod_security import violations

from tunewright.api.policygen import binding, policy
from tunewright.plan.inputs import Defaults
from tunewright.shell.settings import OperatorSettings, read_settings

DEFINITION = {"CustomResourceDefinition", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}  # with crds.enabled
CLUSTER_WIDE = DEFINITION | {"ClusterRole", "ClusterRoleBinding"}


def deployment(manifests):
    (found,) = kind_of(manifests, "Deployment")
    return found


def pod(manifests):
    return deployment(manifests)["spec"]["template"]["spec"]


def environment(manifests):
    """Return the operator's environment, as the kubelet would fill it."""
    (container,) = pod(manifests)["containers"]
    fields = {"metadata.name": "tunewright-0", "metadata.namespace": NAMESPACE}
    return {
        item["name"]: item["value"] if "value" in item else fields[item["valueFrom"]["fieldRef"]["fieldPath"]] for item in container["env"]
    }


def test_the_chart_lints(helm):
    done = helm("lint", "--strict", CHART)

    assert (done.returncode, "0 chart(s) failed" in done.stdout) == (0, True), done.stdout


@pytest.mark.parametrize("name", VALUE_SETS)
def test_values_render_as_recorded(helm, request, name):
    manifests = [item for item in helm.template(VALUE_SETS[name]) if item["kind"] not in DEFINITION]
    manifests.sort(key=lambda item: (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]))
    expected, rendered = compare(request, f"chart-{name}", as_yaml(manifests))

    assert rendered == expected


def test_the_crd_is_the_generated_one(helm):
    (rendered,) = kind_of(helm.template(), "CustomResourceDefinition")

    assert rendered["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert rendered["metadata"].pop("labels")["app.kubernetes.io/managed-by"] == "Helm"
    assert rendered == committed_crd(), "make chart"


def test_the_policy_of_immutable_inputs_is_the_generated_one(helm):
    rendered = [item for item in helm.template() if item["kind"] in {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}]

    assert all(item["metadata"].pop("labels")["app.kubernetes.io/managed-by"] == "Helm" for item in rendered)
    assert rendered == [policy(), binding()], "make chart"


def test_without_keep_the_crd_belongs_to_the_release(helm):
    (rendered,) = kind_of(helm.template({"crds": {"keep": False}}), "CustomResourceDefinition")

    assert "annotations" not in rendered["metadata"]


@pytest.mark.parametrize(
    ("expected", "values"),
    [
        (CLUSTER_WIDE, {}),
        (CLUSTER_WIDE, NAMESPACED),
        (CLUSTER_WIDE - DEFINITION, {**NAMESPACED, "crds": {"enabled": False}}),
        (set(), NOTHING_CLUSTER_WIDE),
        (DEFINITION | {"ClusterRole"}, {"rbac": {"create": False}}),
        (DEFINITION, {"rbac": {"create": False, "aggregate": False}}),
    ],
    ids=["cluster", "namespaced", "CRD by others", "nothing", "operator's RBAC by others", "all RBAC by others"],
)
def test_cluster_wide_objects(helm, expected, values):
    assert {item["kind"] for item in helm.template(values) if "namespace" not in item["metadata"]} == expected


@pytest.mark.parametrize("name", VALUE_SETS)
def test_every_namespaced_object_names_its_namespace(helm, name):
    for item in helm.template(VALUE_SETS[name]):
        assert ("namespace" in item["metadata"]) == (item["kind"] not in CLUSTER_WIDE), item["metadata"]["name"]


@pytest.mark.parametrize(
    ("expected", "values"),
    [
        ({"operator": "tunewright/operator:0.1.0", "trainer": Defaults().trainer_image, "server": Defaults().server_image}, {}),
        (
            {
                "operator": f"registry.example.com/tunewright/operator@{DIGEST}",
                "trainer": f"registry.example.com:5000/models/trainer@{OTHER_DIGEST}",
                "server": "tunewright/server:0.1.0-cuda",
            },
            DIGESTS,
        ),
        (
            {
                "operator": "registry.internal:5000/mirror/tunewright/operator:0.1.0",
                "trainer": "registry.internal:5000/mirror/tunewright/trainer:0.1.0",
                "server": "registry.internal:5000/mirror/tunewright/server:0.1.0",
            },
            AIR_GAPPED,
        ),
    ],
    ids=["default", "digests", "air-gapped"],
)
def test_images(helm, expected, values):
    assert images_of(deployment(helm.template(values))) == expected


@pytest.mark.parametrize("name", VALUE_SETS)
def test_the_operator_accepts_the_charts_settings(helm, name):
    values = VALUE_SETS[name]
    settings = read_settings(environment(helm.template(values)))

    assert settings.namespaces == tuple(values.get("watchNamespaces", ()))
    assert settings.read_cluster == values.get("rbac", {}).get("readCluster", False)
    assert bool(settings.progress_url) == values.get("progress", {}).get("enabled", True)


def test_the_operator_has_no_setting_that_the_chart_cannot_set(helm):
    given = {name.removeprefix("TUNEWRIGHT_").lower() for name in environment(helm.template(NAMESPACED)) if name.startswith("TUNEWRIGHT_")}

    assert given == set(OperatorSettings.model_fields), "add it to values.yaml, values.schema.json and templates/deployment.yaml"


def test_values_and_settings_have_the_same_defaults(helm):
    by_chart, by_itself = read_settings(environment(helm.template())), OperatorSettings()
    differ = {name for name in OperatorSettings.model_fields if getattr(by_chart, name) != getattr(by_itself, name)}

    assert differ == {"progress_url", "leader_election", "pod_name", "pod_namespace"}, "what only makes sense in a cluster"


@pytest.mark.parametrize("name", VALUE_SETS)
def test_pods_are_restricted(helm, name):
    manifests = helm.template(VALUE_SETS[name])
    (test,) = kind_of(manifests, "Pod")
    for spec in (pod(manifests), test["spec"]):
        assert violations(spec) == []
        assert all(container["securityContext"]["readOnlyRootFilesystem"] for container in spec["containers"])
        assert all("memory" in container["resources"]["limits"] for container in spec["containers"])


def test_user_labels_never_replace_selector_labels(helm):
    manifests = helm.template(EVERYTHING)
    found = deployment(manifests)
    wanted = found["spec"]["selector"]["matchLabels"].items()

    assert wanted <= found["spec"]["template"]["metadata"]["labels"].items()
    assert all(service["spec"]["selector"].items() == wanted for service in kind_of(manifests, "Service"))
    assert all(item["metadata"]["labels"]["team"] == "models" for item in manifests)


@pytest.mark.parametrize(
    ("expected", "release"), [("tunewright", "tunewright"), ("my-tunewright", "my-tunewright"), ("x-tunewright", "x"), ("y" * 50, "y" * 53)]
)
def test_names(helm, expected, release):
    assert deployment(helm.template(release=release))["metadata"]["name"] == expected


def test_two_releases_share_no_cluster_wide_object_but_the_crd(helm):
    def cluster_wide(release):
        found = helm.template(release=release)
        return {item["metadata"]["name"] for item in found if item["kind"] in CLUSTER_WIDE - DEFINITION}

    assert cluster_wide("one").isdisjoint(cluster_wide("two"))


TRAINERS = {"matchLabels": {"app.kubernetes.io/managed-by": "tunewright", "tunewright.io/component": "trainer"}}
PROMETHEUS = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}}
MONITORING = {"namespaceSelector": {"matchLabels": {"team": "ops"}}}
NAMED = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["research"]}]}


@pytest.mark.parametrize(
    ("progress", "metrics", "values"),
    [
        ([{"namespaceSelector": {}, "podSelector": TRAINERS}], [], {}),
        ([{"namespaceSelector": NAMED, "podSelector": TRAINERS}], [], {"watchNamespaces": ["research"]}),
        ([], [], {"progress": {"enabled": False}}),
        ([{"namespaceSelector": {}, "podSelector": TRAINERS}], [PROMETHEUS], {"serviceMonitor": {"enabled": True}}),
        (
            [{"namespaceSelector": {}, "podSelector": TRAINERS}],
            [MONITORING],
            {"serviceMonitor": {"enabled": True}, "networkPolicy": {"metricsFrom": [MONITORING]}},
        ),
    ],
    ids=["default", "some namespaces", "no progress", "a ServiceMonitor", "metricsFrom"],
)
def test_default_ingress_to_the_operator(helm, progress, metrics, values):
    (policy,) = kind_of(helm.template(values), "NetworkPolicy")
    admitted = {"progress": [], "metrics": []}
    for rule in policy["spec"]["ingress"]:
        (port,) = rule["ports"]
        admitted[port["port"]] += [peer for peer in rule["from"] if "test" not in str(peer)]

    assert admitted == {"progress": progress, "metrics": metrics}
    assert [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]] == [53, 53, 443, 6443]


def test_a_disabled_network_policy_is_not_rendered(helm):
    assert not kind_of(helm.template({"networkPolicy": {"enabled": False}}), "NetworkPolicy")
