"""A real API server accepts the committed CRD: it is structural, within CEL's cost limit, and established."""

import pytest


def test_the_definition_is_structural_and_established(crd):
    conditions = {condition["type"]: condition["status"] for condition in crd["status"]["conditions"]}

    assert conditions["NamesAccepted"] == "True"
    assert conditions["Established"] == "True"
    assert "NonStructuralSchema" not in conditions


@pytest.mark.parametrize("name", ["finetunejob", "finetunejobs", "ftj", "tunewright"])
def test_kubectl_finds_jobs_by_name_short_name_and_category(control_plane, server, shared_namespace, name):
    listed = control_plane.kubectl("get", name, "-n", shared_namespace)

    assert (listed.returncode, listed.stdout) == (0, "")
    assert "No resources found" in listed.stderr
