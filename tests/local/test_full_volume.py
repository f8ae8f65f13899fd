"""The output volume is really full: the stage fails with DiskFull, its suggestion is followed, and the job completes. Needs root to mount."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from local_jobs import is_training, make_manifest, run
from pretended_trainer import pretended_trainer  # noqa: F401 - a fixture
from small_volume import small_volume

from tunewright.cli.local_operator import LocalOperator
from tunewright.cli.places import settled
from tunewright.local.app import Home

pytestmark = pytest.mark.usefixtures("pretended_trainer")


@pytest.fixture
def volume(home: Home) -> Iterator[Path]:
    """The claim of the job, as a file system of 256 KiB."""
    with small_volume(home.layout.claim("default", "demo-output")) as claim:
        yield claim


def fill(volume: Path) -> Path:
    """Write until the volume is full; return the file to delete."""
    filler = volume / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


def exported(volume: Path) -> list[Path]:
    return list(volume.glob("models/demo/*/model.onnx"))


def assert_disk_full(job: dict[str, Any], stage: str) -> None:
    failed = job["status"]["failure"]
    assert (job["status"]["phase"], failed["stage"], failed["reason"]) == ("Failed", stage, "DiskFull")
    assert failed["suggestion"].startswith("Free space on the full volume")
    assert "set another value of the annotation tunewright.io/retry" in failed["suggestion"]


async def test_training_on_a_full_volume_continues_after_space_is_free(home: Home, folder: Path, volume: Path):
    filler = fill(volume)
    key = home.apply(make_manifest(backoffLimit=0), folder)
    assert_disk_full(await run(home, key), "trainer")
    filler.unlink()
    home.retry(key)
    job = await run(home, key)
    assert (job["status"]["phase"], job["status"]["attempts"]) == ("Complete", 2)


async def test_an_export_to_a_full_volume_runs_again_after_space_is_free(home: Home, folder: Path, volume: Path, tmp_path: Path):
    hold = tmp_path / "hold"
    key = home.apply(make_manifest(env={"FAKE_HOLD": hold.as_uri()}), folder)
    async with LocalOperator(home, key, on_event=lambda _: None) as operator:
        await operator.wait(is_training)
        filler = fill(volume)
        hold.touch()
        assert_disk_full(await operator.wait(settled), "exporter")
    filler.unlink()
    home.retry(key)
    job = await run(home, key)
    assert (job["status"]["phase"], job["status"]["attempts"]) == ("Complete", 1)
    assert exported(volume)
