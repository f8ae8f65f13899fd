"""The requirements of each image: only what it imports, in the versions of the development lock, with hashes and without an index."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "requirements"
TRAINING = {"torch", "transformers", "deepspeed", "trl", "peft", "accelerate", "datasets", "bitsandbytes", "triton"}
SUBSETS = ("operator", "server", "trainer")


def pinned(name: str) -> dict[str, set[str]]:
    """Return package -> versions; there may be one for each version of Python."""
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^\s;]+)", (ROOT / f"{name}.txt").read_text(), re.MULTILINE):
        found.setdefault(package, set()).add(version)
    return found


@pytest.mark.parametrize("name", SUBSETS)
def test_an_image_has_the_versions_that_were_tested(name: str) -> None:
    lock = pinned("lock")

    assert {package: versions for package, versions in pinned(name).items() if lock.get(package) != versions} == {}


@pytest.mark.parametrize("name", [*SUBSETS, "build", "lock"])
def test_every_package_has_hashes_and_none_an_index(name: str) -> None:
    text = (ROOT / f"{name}.txt").read_text()
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)

    assert [block.splitlines()[0] for block in blocks if re.match("[a-z0-9]", block) and "--hash=sha256:" not in block] == []
    assert re.findall(r"https?://|--(?:extra-)?index-url|--find-links|--trusted-host", text) == []


@pytest.mark.parametrize("name", ["operator", "server"])
def test_operator_and_server_install_nothing_that_trains(name: str) -> None:
    assert TRAINING & pinned(name).keys() == set()
    assert [package for package in pinned(name) if package.startswith(("nvidia", "cuda"))] == []


@pytest.mark.parametrize(
    ("name", "needed", "foreign"),
    [
        ("operator", {"kopf", "kubernetes", "pydantic", "aiohttp", "prometheus-client"}, {"onnxruntime", "numpy", "typer"}),
        ("server", {"onnxruntime", "tokenizers", "starlette", "uvicorn", "pydantic", "jinja2"}, {"kopf", "kubernetes", "aiohttp", "torch"}),
        ("trainer", {*TRAINING, "onnx", "onnxscript", "onnxruntime-genai", "pydantic"}, {"kopf", "kubernetes", "starlette", "pytest"}),
    ],
)
def test_an_image_installs_what_it_imports(name: str, needed: set[str], foreign: set[str]) -> None:
    assert needed - pinned(name).keys() == set()
    assert foreign & pinned(name).keys() == set()


def test_make_installs_the_uv_that_builds_images() -> None:
    makefile = (ROOT.parent / "Makefile").read_text()

    (version,) = pinned("build")["uv"]
    assert f"UV_VERSION := {version}\n" in makefile
