"""Pods to try before their stage starts."""

from plan_builders import quickstart_plan, serving

from tunewright.render import render
from tunewright.render.manifests import trial_pods


def test_each_workload_has_a_pod_with_the_labels_and_the_spec_of_its_template():
    children = render(serving(quickstart_plan(), replicas=2)).children
    workloads = [child for child in children if child["kind"] in ("Job", "Deployment")]
    pods = trial_pods(children)
    assert [pod.stage.component for pod in pods] == [child["metadata"]["labels"]["app.kubernetes.io/component"] for child in workloads]
    for pod, child in zip(pods, workloads, strict=True):
        template = child["spec"]["template"]
        assert (pod.manifest["spec"], pod.manifest["metadata"]["labels"]) == (template["spec"], template["metadata"]["labels"])
        assert pod.manifest["metadata"]["name"] == f"{child['metadata']['name']}-trial"
        assert pod.manifest["metadata"]["namespace"] == child["metadata"]["namespace"]
