"""A whole FineTuneJob on this machine, with a fake trainer: every stage, stopping, resuming, deleting."""

import asyncio
from pathlib import Path

import pytest
from local_jobs import PATIENCE_SECONDS, Watched, is_training, make_manifest, run
from pretended_trainer import pretended_trainer  # noqa: F401 - a fixture

from tunewright.cli.local_operator import LocalOperator, StatusChanged
from tunewright.cli.places import settled
from tunewright.local.app import Home
from tunewright.local.container import processes_of
from tunewright_runtime.errors import Gone, Rejected

pytestmark = pytest.mark.usefixtures("pretended_trainer")


async def test_a_job_goes_through_its_stages_and_ends(home: Home, folder: Path):
    key = home.apply(make_manifest(), folder)
    watched = Watched()
    job = await run(home, key, watched=watched)
    assert job["status"]["phase"] == "Complete"
    assert watched.phases == ["Pending", "Checking", "Training", "Exporting", "Complete"] or set(watched.phases) >= {
        "Checking",
        "Training",
        "Complete",
    }
    assert job["status"]["progress"]["step"] == 4
    assert "progress 200" in watched.lines
    (model,) = home.layout.claim("default", "demo-output").glob("models/demo/*/model.onnx")
    assert model.read_text() == "a model"


async def test_a_stopped_job_saves_and_resumes_without_counting_a_failure(home: Home, folder: Path, tmp_path: Path):
    hold = tmp_path / "hold"
    key = home.apply(make_manifest(env={"FAKE_HOLD": hold.as_uri()}, backoffLimit=0), folder)
    await run(home, key, until=is_training)
    assert all(processes_of(pod["metadata"]["uid"]) == [] for pod in home.store.select("Pod"))
    assert home.job(key)["status"]["phase"] != "Failed"
    assert home.job(key)["status"]["message"] != "train is running"
    hold.touch()
    watched = Watched()
    job = await run(home, key, watched=watched)
    assert job["status"]["phase"] == "Complete"
    assert {"rank 0 starts at step 2", "rank 1 starts at step 2"} <= set(watched.lines)
    assert not any("starts at step 0" in line for line in watched.lines)  # only what is new is shown


async def test_a_permanent_failure_stalls_the_job_with_reason_and_way_out(home: Home, folder: Path):
    key = home.apply(make_manifest(env={"FAKE_FAIL": "check=65"}), folder)
    job = await run(home, key)
    assert job["status"]["phase"] == "Failed"
    assert job["status"]["failure"]["reason"] == "FakeFailure"
    assert "do not tell it to" in str(job["status"]["failure"])


async def test_a_finished_job_applied_again_is_finished_at_once(home: Home, folder: Path):
    key = home.apply(make_manifest(), folder)
    await run(home, key)
    before = {child["metadata"]["uid"] for child in home.children(key)}
    assert home.apply(make_manifest(), folder) == key
    await run(home, key)
    assert {child["metadata"]["uid"] for child in home.children(key)} == before


async def test_a_path_that_does_not_exist_ends_the_run_with_the_path(home: Home, folder: Path):
    (folder / "chat.jsonl").unlink()
    job = await run(home, home.apply(make_manifest(), folder))
    assert str(folder / "chat.jsonl") in job["status"]["message"]


async def test_deleting_a_job_removes_all_its_files(home: Home, folder: Path):
    key = home.apply(make_manifest(), folder)
    await run(home, key)
    assert await home.delete(key) == []
    left = [path for path in home.layout.home.rglob("*") if path.is_file() and path.name != ".lock"]
    assert left == []
    assert (folder / "chat.jsonl").exists()
    with pytest.raises(Gone):
        home.job(key)


async def test_deleting_a_job_keeps_its_models_on_request(home: Home, folder: Path):
    key = home.apply(make_manifest(), folder)
    await run(home, key)
    (kept,) = await home.delete(key, keep_models=True)
    assert (kept.path, kept.why) == (home.layout.claim("default", "demo-output") / "models" / "demo", "--keep-models")
    assert list(kept.path.glob("*/model.onnx"))
    assert not (home.layout.claim("default", "demo-output") / "runs").exists()


async def test_deleting_a_job_keeps_a_retained_claim(home: Home, folder: Path):
    key = home.apply(make_manifest(output={"storage": {"retain": True}}), folder)
    await run(home, key)
    assert [item.path for item in await home.delete(key)] == [home.layout.claim("default", "demo-output")]
    assert list(home.layout.claim("default", "demo-output").glob("models/demo/*/model.onnx"))


async def test_a_running_job_is_neither_run_nor_deleted_by_a_second_process(home: Home, folder: Path, tmp_path: Path):
    key = home.apply(make_manifest(env={"FAKE_HOLD": (tmp_path / "hold").as_uri()}), folder)
    async with asyncio.timeout(PATIENCE_SECONDS), LocalOperator(home, key, on_event=Watched()) as operator:
        await operator.wait(is_training)
        assert home.holder(key) is not None
        with pytest.raises(Rejected, match="is being run by process"):
            await run(home, key)
        with pytest.raises(Rejected, match="is being run by process"):
            await home.delete(key)
        operator.hurry()
    assert home.holder(key) is None


async def test_running_a_missing_job_raises_gone(home: Home):
    with pytest.raises(Gone, match="there is no FineTuneJob default/nobody"):
        await run(home, ("default", "nobody"))


async def test_another_process_can_suspend_and_resume_a_job(home: Home, folder: Path, tmp_path: Path):
    hold = tmp_path / "hold"
    key = home.apply(make_manifest(env={"FAKE_HOLD": hold.as_uri()}), folder)
    async with asyncio.timeout(PATIENCE_SECONDS), LocalOperator(home, key, on_event=Watched()) as operator:
        await operator.wait(is_training)
        elsewhere = Home(home.layout.home)
        elsewhere.store.change("FineTuneJob", *key, lambda job: job["spec"].update(suspend=True))
        await operator.wait(lambda job: job["status"]["phase"] == "Suspended")
        hold.touch()
        elsewhere.store.change("FineTuneJob", *key, lambda job: job["spec"].update(suspend=False))
        assert (await operator.wait(settled))["status"]["phase"] == "Complete"


async def test_a_resized_gang_saves_and_resumes_without_counting_a_failure(home: Home, folder: Path, tmp_path: Path):
    hold = tmp_path / "hold"
    key = home.apply(make_manifest(env={"FAKE_HOLD": hold.as_uri()}, backoffLimit=0), folder)
    watched = Watched()
    async with asyncio.timeout(PATIENCE_SECONDS), LocalOperator(home, key, on_event=watched) as operator:
        await operator.wait(is_training)
        elsewhere = Home(home.layout.home)
        elsewhere.store.change("FineTuneJob", *key, lambda job: job["spec"]["workers"].update(replicas=1))
        await operator.wait(lambda _: home.store.get("Job", key[0], "demo-train-1") is not None)
        hold.touch()
        job = await operator.wait(settled)
    assert (job["status"]["phase"], job["status"]["plan"]["worldSize"], job["status"]["attempts"]) == ("Complete", 1, 2)
    assert [home.store.get("Job", key[0], f"demo-train-{attempt}")["spec"]["completions"] for attempt in (0, 1)] == [2, 1]
    assert watched.lines.count("rank 0 starts at step 2") == 1
    assert "rank 1 starts at step 2" not in watched.lines
    reasons = [
        event.job["status"].get("reason") for event in watched.events if isinstance(event, StatusChanged) and event.job.get("status")
    ]
    assert "Resizing" in reasons
    assert "Failed" not in watched.phases


async def test_a_stopped_job_with_another_number_of_workers_resumes_with_it_at_once(home: Home, folder: Path, tmp_path: Path):
    hold = tmp_path / "hold"
    manifest = make_manifest(env={"FAKE_HOLD": hold.as_uri()}, backoffLimit=0)
    key = home.apply(manifest, folder)
    await run(home, key, until=is_training)
    assert home.job(key)["status"]["message"].startswith("attempt 1 failed, the next one follows: ")
    manifest["spec"]["workers"]["replicas"] = 1
    home.apply(manifest, folder)
    hold.touch()
    watched = Watched()
    job = await run(home, key, watched=watched)
    assert (job["status"]["phase"], job["status"]["attempts"]) == ("Complete", 2)
    gangs = {name: job["spec"]["completions"] for job in home.store.select("Job") if "train" in (name := job["metadata"]["name"])}
    assert gangs == {"demo-train-0": 2, "demo-train-1": 1}
    assert "rank 1 starts at step 2" not in watched.lines


async def test_a_failed_gang_with_another_number_of_workers_keeps_its_batch(home: Home, folder: Path):
    key = home.apply(make_manifest(env={"FAKE_FAIL": "launch=64"}), folder)
    assert (await run(home, key))["status"]["phase"] == "Failed"
    alone = make_manifest()
    alone["spec"]["workers"]["replicas"] = 1
    home.apply(alone, folder)
    home.retry(key)
    job = await run(home, key)
    assert (job["status"]["phase"], job["status"]["attempts"]) == ("Complete", 2)
    annotations = home.store.get("Job", key[0], "demo-train-1")["metadata"]["annotations"]
    assert annotations["tunewright.io/global-batch-size"] == "2"


async def test_no_secret_of_the_environment_is_written_into_an_object_or_a_log(home: Home, folder: Path):
    key = home.apply(make_manifest(), folder)
    await run(home, key)
    for path in [*home.layout.objects.rglob("*.json"), *home.layout.home.glob("logs/**/*.log"), *home.layout.home.glob("supervisors/*")]:
        assert "hf_canary" not in path.read_text()
