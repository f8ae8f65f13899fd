"""`tools/images.py` with an engine that only records its calls: what is built, kept and removed."""

from dataclasses import dataclass, field
from pathlib import Path

import image_engines
import images
import pytest
from image_inputs import IMAGES, Image


@dataclass
class WritesDown:
    """An engine without images."""

    log: list[str] = field(default_factory=list)
    bases: set[str] = field(default_factory=set)
    fails: bool = False

    def build(self, image: Image, *, tag: str, arguments: dict[str, str]) -> None:
        self.log.append(f"build {image.name} {arguments.get('BASE_IMAGE', 'default')}")
        if self.fails:
            raise RuntimeError("no space left")

    def save(self, tag: str, reference: str, archive: Path) -> None:
        self.log.append(f"save {reference}")
        archive.write_text(tag)

    def import_base(self, tar: Path, tag: str) -> None:
        self.bases.add(tag)

    def has(self, tag: str) -> bool:
        return tag in self.bases

    def forget(self, image: Image) -> None:
        self.log.append(f"forget {image.name}")


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WritesDown:
    one = WritesDown()
    monkeypatch.setenv("TUNEWRIGHT_CACHE", str(tmp_path))
    monkeypatch.delenv("TUNEWRIGHT_BASE_IMAGE", raising=False)
    monkeypatch.setattr(images, "find_engine", lambda: one)
    return one


def test_an_image_is_built_once(engine: WritesDown) -> None:
    first = images.build(["operator"], "")
    again = images.build(["operator"], "")

    assert first == again == images.archives()
    assert engine.log == ["build operator default", f"save docker.io/tunewright/operator:{images.project_version()}"]


def test_there_is_no_archive_before_the_build(engine: WritesDown) -> None:
    assert images.archives() == {}


def test_the_archives_name_has_the_hash_of_its_inputs(engine: WritesDown) -> None:
    on_default = images.archive_path(IMAGES["operator"], "")

    assert on_default.name.startswith(f"operator-{images.content_hash(IMAGES['operator'])}-")
    assert (
        len({on_default, images.archive_path(IMAGES["operator"], "debian"), images.archive_path(IMAGES["operator"], "mirror/python:3.11")})
        == 3
    )


def test_a_build_removes_older_archives_of_the_same_image_only(engine: WritesDown, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("operator-0000000000000000-00000000.tar", "server-0000000000000000-00000000.tar"):
        (folder / name).touch()

    made = images.build(["operator"], "")

    assert {path.name for path in folder.glob("*.tar")} == {made["operator"].name, "server-0000000000000000-00000000.tar"}


def test_a_build_that_fails_leaves_no_archive(engine: WritesDown) -> None:
    engine.fails = True

    with pytest.raises(RuntimeError):
        images.build(["operator"], "")

    assert images.archives() == {}


def test_sources_that_change_during_a_build_are_built_again(engine: WritesDown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "content_hash", lambda *_: f"{min(len(engine.log), 1):016}")

    made = images.build(["server"], "")

    assert made["server"].name.startswith("server-0000000000000001-")
    assert [line.split()[0] for line in engine.log] == ["build", "build", "save"]


def test_a_named_base_is_used(engine: WritesDown) -> None:
    images.build(["server"], "mirror/python:3.11")

    assert engine.log[0] == "build server mirror/python:3.11"


def test_the_base_from_debian_is_made_once(engine: WritesDown, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def make(one: WritesDown, tag: str) -> None:
        made.append(tag)
        one.import_base(Path("base.tar"), tag)

    monkeypatch.setattr(images, "make_debian_base", make)
    images.build(["server", "operator"], "debian")

    assert len(made) == 1
    assert [line for line in engine.log if line.startswith("build")] == [f"build server {made[0]}", f"build operator {made[0]}"]


def test_an_archive_of_the_sources_is_found_for_any_base(engine: WritesDown, monkeypatch: pytest.MonkeyPatch) -> None:
    made = images.build(["server"], "mirror/python:3.11")
    monkeypatch.setenv("TUNEWRIGHT_BASE_IMAGE", "another/python:3.11")

    assert images.archives() == made


def test_cached_layers_are_dropped_only_when_requirements_change(engine: WritesDown, monkeypatch: pytest.MonkeyPatch) -> None:
    images.build(["server"], "")
    monkeypatch.setattr(images, "content_hash", lambda *_: "1111111111111111")
    images.build(["server"], "")
    assert "forget server" not in engine.log

    monkeypatch.setattr(images, "content_hash", lambda *_: "2222222222222222")
    monkeypatch.setattr(images, "requirements_hash", lambda *_: "other")
    images.build(["server"], "")
    assert engine.log.count("forget server") == 1


def test_without_an_engine_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_engines.shutil, "which", lambda _: None)

    with pytest.raises(image_engines.NoEngineError, match="apt-get install buildah"):
        image_engines.find_engine()


def test_package_indexes_of_the_machine_are_passed_to_pip_and_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")

    found = image_engines.index_settings()

    assert found["PIP_INDEX_URL"] == found["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"


def test_secrets_are_private_and_removed_after_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://somebody:word@mirror.example/simple")

    with image_engines.secrets() as options:
        path = Path(options[0].partition("src=")[2])
        assert path.stat().st_mode & 0o077 == 0
        assert "export PIP_INDEX_URL='https://somebody:word@mirror.example/simple'\n" in path.read_text()

    assert not path.exists()
