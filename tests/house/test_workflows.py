"""The workflows of .github/workflows run what the Makefile offers, with pinned actions and least rights. actionlint runs in `make check`."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
WORKFLOWS = {path.stem: YAML(typ="safe").load(path) for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))}
EVERY = pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=WORKFLOWS)


def steps(workflow: dict) -> list[dict]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_there_is_a_workflow_for_each_event() -> None:
    assert set(WORKFLOWS) == {"quick", "ci", "release"}


@EVERY
def test_actions_are_pinned_by_commit(workflow: dict) -> None:
    used = [step["uses"] for step in steps(workflow) if "uses" in step]

    assert used
    assert [action for action in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)] == []


@EVERY
def test_workflows_have_read_permissions_and_jobs_request_more(workflow: dict) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


@EVERY
def test_make_targets_exist(workflow: dict) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = {target for step in steps(workflow) for target in re.findall(r"^make ([a-z-]+)", step.get("run", ""), re.MULTILINE)}

    assert called <= targets


def test_ci_runs_the_ci_script() -> None:
    assert any(step.get("run", "").endswith(".ci/run") for step in steps(WORKFLOWS["ci"]))


def test_a_release_builds_every_image() -> None:
    from image_inputs import IMAGES

    assert set(WORKFLOWS["release"]["jobs"]["images"]["strategy"]["matrix"]["image"]) == set(IMAGES)
