"""The GitOps examples are valid by the CRDs of Argo CD and Flux, and name existing paths of this repository."""

from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from tunewright.api.admission import read_job

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples/gitops"
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.yaml"))
KNOWN = {
    ("v1", "ConfigMap"),
    ("argoproj.io/v1alpha1", "Application"),
    ("source.toolkit.fluxcd.io/v1", "GitRepository"),
    ("source.toolkit.fluxcd.io/v1", "OCIRepository"),
    ("helm.toolkit.fluxcd.io/v2", "HelmRelease"),
    ("kustomize.toolkit.fluxcd.io/v1", "Kustomization"),
    ("kustomize.config.k8s.io/v1beta1", "Kustomization"),
    ("tunewright.io/v1alpha1", "FineTuneJob"),
}


def load(name):
    return list(YAML(typ="safe").load_all(FOLDER / name))


def everything(kind):
    return [item for name in FILES for item in load(name) if item["kind"] == kind]


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_only_the_expected_kinds(name):
    assert {(item["apiVersion"], item["kind"]) for item in load(name)} <= KNOWN


def test_values_meet_the_chart_s_schema():
    schema = YAML(typ="safe").load(ROOT / "charts/tunewright/values.schema.json")
    values = [item["spec"]["values"] for item in everything("HelmRelease")]
    values += [item["spec"]["source"]["helm"]["valuesObject"] for item in everything("Application") if "helm" in item["spec"]["source"]]

    assert len(values) == 2
    for each in values:
        jsonschema.validate(each, schema)


def test_paths_exist():
    paths = [item["spec"]["source"]["path"] for item in everything("Application")]
    paths += [item["spec"]["path"] for item in everything("Kustomization") if "path" in item.get("spec", {})]
    paths += [item["spec"]["chart"]["spec"]["chart"] for item in everything("HelmRelease")]

    assert len(paths) == 4
    assert [path for path in paths if not (ROOT / path).is_dir()] == []


def test_references_exist():
    named = {(item["kind"], item["metadata"]["name"]) for name in FILES for item in load(name) if "metadata" in item}
    references = [item["spec"]["chart"]["spec"]["sourceRef"] for item in everything("HelmRelease")]
    references += [item["spec"]["sourceRef"] for item in everything("Kustomization") if "spec" in item]

    assert len(references) == 2
    assert {(reference["kind"], reference["name"]) for reference in references} <= named


def test_the_version_is_the_present_one():
    chart = YAML(typ="safe").load(ROOT / "charts/tunewright/Chart.yaml")
    asked = {item["spec"]["source"]["targetRevision"] for item in everything("Application") if "helm" in item["spec"]["source"]}
    asked |= {item["spec"]["ref"]["tag"] for item in everything("GitRepository") if "tag" in item["spec"]["ref"]}

    assert asked == {f"v{chart['version']}"}


def test_finalizers_are_argo_cds_and_cause_no_warning():
    """It warns of one without a path. These are Argo CD's: pkg/apis/application/v1alpha1/application_defaults.go."""
    with_path = {f"resources-finalizer.argocd.argoproj.io/{policy}" for policy in ("foreground", "background")}
    named = [name for item in everything("Application") for name in item["metadata"].get("finalizers", ())]

    assert named
    assert set(named) <= with_path


def test_the_folder_of_jobs_is_complete_and_its_jobs_are_accepted():
    (listed,) = [item["resources"] for item in load("jobs/kustomization.yaml")]

    assert sorted(listed) == [path.name for path in sorted((FOLDER / "jobs").glob("*.yaml")) if path.name != "kustomization.yaml"]
    for name in listed:
        assert read_job((FOLDER / "jobs" / name).read_text(encoding="utf-8"), name).metadata.name


def test_a_job_that_leaves_the_repository_is_not_deleted_with_its_server():
    assert [item["spec"]["prune"] for item in everything("Kustomization") if "spec" in item] == [False]
    assert [
        item["spec"]["syncPolicy"]["automated"]["prune"] for item in everything("Application") if "helm" not in item["spec"]["source"]
    ] == [False]
