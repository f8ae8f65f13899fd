"""Raw maps at the API server: nothing too deep, long or large is stored."""

from pathlib import Path

import pytest
from open_places import HOSTILE, LEAVES, VALUES, job_text

PLACES = {
    **{field: f"{field}.{keys[0]}" for field, keys in LEAVES.items()},
    **{field: field for field in VALUES},
    "affinity": "workers.affinity",
}


@pytest.mark.usefixtures("crd")
@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_api_server_refuses_what_is_beyond_the_bounds(
    control_plane, shared_namespace: str, tmp_path: Path, place: str, value: str
) -> None:
    file = tmp_path / "job.json"
    file.write_text(job_text(place, value))
    ended = control_plane.kubectl("create", "--namespace", shared_namespace, "--dry-run=server", "--filename", str(file))
    assert ended.returncode != 0
    assert "Too " in ended.stderr or "Invalid value" in ended.stderr or "unknown field" in ended.stderr, ended.stderr
