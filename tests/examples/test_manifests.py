"""Every manifest in `examples/` is valid, and the files that it names exist."""

from pathlib import Path

import pytest

from tunewright.api.admission import read_job

EXAMPLES = Path(__file__).parents[2] / "examples"
MANIFESTS = sorted(path.name for path in EXAMPLES.glob("*.yaml"))


def read(name):
    return read_job((EXAMPLES / name).read_text(encoding="utf-8"), name)


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_manifest_is_accepted(name):
    assert read(name).metadata.name


@pytest.mark.parametrize("name", MANIFESTS)
def test_its_paths_exist(name):
    spec = read(name).spec
    paths = [spec.model.source.path, *(each.source.path for each in (*spec.data.train, *spec.data.validation, *spec.data.test))]
    assert [path for path in paths if path is not None and not (EXAMPLES / path).exists()] == []


def test_no_two_jobs_share_a_name():
    assert len({read(name).metadata.name for name in MANIFESTS}) == len(MANIFESTS)


def test_the_quickstart_matches_the_readme():
    job = read("quickstart.yaml")
    spec = job.spec
    assert (job.metadata.name, spec.world_size, spec.deepspeed.stage, spec.method.tuner) == ("support-bot", 2, 2, "lora")
    assert spec.training.max_steps / spec.training.save_steps >= 3  # enough checkpoints to resume from
    assert spec.evaluation.generate_samples == 100  # the whole test file
    assert spec.serving is not None


def test_a_model_from_the_hub_is_pinned_to_a_commit():
    hubs = [hub for name in MANIFESTS if (hub := read(name).spec.model.source.hugging_face)]
    assert [len(hub.revision) for hub in hubs] == [40, 40]


@pytest.mark.parametrize("name", MANIFESTS)
def test_examples_without_an_accelerator_train_in_fp32(name):
    """Where a processor lacks bf16 instructions, a product of bfloat16 matrices takes 25 to 60 times as long."""
    spec = read(name).spec
    on_cpu = not any("gpu" in resource for resource in spec.workers.resources.limits)
    assert not on_cpu or (spec.model.dtype, spec.training.precision) == ("float32", "fp32")


def test_every_manifest_is_listed_in_the_readme():
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [name for name in MANIFESTS if f"]({name})" not in readme] == []
