"""An image is built again only when one of its inputs changes."""

import shutil
from pathlib import Path

import pytest
from image_inputs import IMAGES, ROOT, content_hash, requirements_hash

HASHED = (
    "LICENSE",
    ".dockerignore",
    "pyproject.toml",
    "requirements",
    "operator/Dockerfile",
    "server-image/Dockerfile",
    "trainer-image/Dockerfile",
)
SOURCES = ("operator/src/tunewright_contract", "operator/src/tunewright_runtime/errors.py", "server-image/src", "trainer-image/src")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small copy of this repository."""
    for name in (*HASHED, *SOURCES):
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    return tmp_path


def hashes(root: Path) -> dict[str, str]:
    return {name: content_hash(image, root) for name, image in IMAGES.items()}


def changed_by(root: Path, path: str, text: str = "\n# another line\n") -> set[str]:
    before = hashes(root)
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text((file.read_text() if file.exists() else "") + text)
    after = hashes(root)
    return {name for name in IMAGES if before[name] != after[name]}


@pytest.mark.parametrize(
    ("path", "images"),
    [
        ("operator/src/tunewright_runtime/errors.py", {"operator"}),
        ("operator/src/tunewright/new_room/file.py", {"operator"}),
        ("operator/src/tunewright_contract/reports.py", {"operator", "server", "trainer"}),
        ("server-image/src/tunewright_server/shell.py", {"server"}),
        ("trainer-image/src/tunewright_trainer/recipes/check.py", {"trainer"}),
        ("trainer-image/Dockerfile", {"trainer"}),
        ("requirements/server.txt", {"server"}),
        ("requirements/build.txt", {"operator", "server", "trainer"}),
        (".dockerignore", {"operator", "server", "trainer"}),
    ],
)
def test_a_changed_input_changes_the_hash(checkout: Path, path: str, images: set[str]) -> None:
    assert changed_by(checkout, path) == images


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "docs/images.md",
        "tests/images/test_image_inputs.py",
        "charts/tunewright/values.yaml",
        "requirements/lock.txt",
        "operator/src/tunewright/__pycache__/errors.cpython-311.pyc",
    ],
)
def test_tests_and_documentation_do_not_change_the_hash(checkout: Path, path: str) -> None:
    assert changed_by(checkout, path) == set()


def test_project_metadata_changes_the_hash_and_tool_settings_do_not(checkout: Path) -> None:
    assert changed_by(checkout, "pyproject.toml", "\n[tool.another]\nsetting = 1\n") == set()

    project = checkout / "pyproject.toml"
    before = hashes(checkout)
    project.write_text(project.read_text().replace('version = "0.1.0"', 'version = "0.2.0"', 1))
    assert not set(before.values()) & set(hashes(checkout).values())


def test_renaming_a_file_changes_the_hash(checkout: Path) -> None:
    before = content_hash(IMAGES["operator"], checkout)
    (checkout / "operator/src/tunewright_runtime/errors.py").rename(checkout / "operator/src/tunewright_runtime/failures.py")

    assert content_hash(IMAGES["operator"], checkout) != before


def test_layers_below_the_code_depend_only_on_requirements_and_base(checkout: Path) -> None:
    image = IMAGES["trainer"]
    before = requirements_hash(image, "a-base", checkout)

    changed_by(checkout, "trainer-image/src/tunewright_trainer/recipes/check.py")
    assert requirements_hash(image, "a-base", checkout) == before
    assert requirements_hash(image, "another-base", checkout) != before
    changed_by(checkout, image.requirements)
    assert requirements_hash(image, "a-base", checkout) != before
