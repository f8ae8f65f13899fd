"""Rules for every Dockerfile, read from its text: the user, the downloads, the order of steps."""

import re
from pathlib import Path

import pytest
from image_inputs import IMAGES, Image

ROOT = Path(__file__).parents[2]
EVERY = pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)


def instructions(image: Image) -> list[tuple[str, str]]:
    """Return (instruction, its arguments), continuation lines joined and comments left out."""
    lines = [line for line in (ROOT / image.dockerfile).read_text().splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in joined]


def last_stage(image: Image) -> list[tuple[str, str]]:
    found = instructions(image)
    start = max(number for number, (name, _) in enumerate(found) if name == "FROM")
    return found[start:]


@EVERY
def test_the_base_is_an_argument_pinned_to_a_patch_release_and_its_digest(image: Image) -> None:
    assert instructions(image)[0][0] == "ARG"
    assert re.fullmatch(r"BASE_IMAGE=docker\.io/library/python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", instructions(image)[0][1])


@EVERY
def test_every_stage_is_from_the_base_or_another_stage(image: Image) -> None:
    sources = [arguments.split()[0] for name, arguments in instructions(image) if name == "FROM"]
    stages = {arguments.split()[2] for name, arguments in instructions(image) if name == "FROM" and " AS " in arguments}

    assert {source for source in sources if source != "${BASE_IMAGE}"} <= stages


@EVERY
def test_only_package_managers_download(image: Image) -> None:
    text = "\n".join(arguments for _, arguments in instructions(image))

    assert [name for name, _ in instructions(image) if name == "ADD"] == []
    assert re.findall(r"\b(curl|wget|git clone|https?://)", text) == []


@EVERY
def test_packages_are_installed_with_their_hashes(image: Image) -> None:
    installs = [part for name, arguments in instructions(image) if name == "RUN" for part in arguments.split("&&") if "pip install" in part]

    assert len(installs) == 3  # the tools, the dependencies, our own wheel
    assert all("--require-hashes" in part or ("--no-deps" in part and "--offline" in part) for part in installs)


@EVERY
def test_the_last_stage_installs_only_the_project(image: Image) -> None:
    runs = [arguments for name, arguments in last_stage(image) if name == "RUN"]

    assert last_stage(image)[0] == ("FROM", "dependencies")
    assert len(runs) == 1
    assert "apt-get" not in runs[0]


@EVERY
def test_layers_of_dependencies_are_below_the_code(image: Image) -> None:
    found = instructions(image)
    start = next(number for number, (name, arguments) in enumerate(found) if name == "FROM" and arguments.endswith(" AS dependencies"))
    end = next(number for number in range(start + 1, len(found)) if found[number][0] == "FROM")

    copied = [arguments for name, arguments in found[start:end] if name == "COPY"]
    assert copied in (
        [f"{image.requirements} /opt/tunewright/requirements.txt"],
        ["${REQUIREMENTS} /opt/tunewright/requirements.txt"],
    )


@EVERY
def test_the_user_is_a_number_that_is_not_root(image: Image) -> None:
    # A number: with a name the kubelet cannot tell whether runAsNonRoot holds.
    assert [arguments for name, arguments in instructions(image) if name == "USER"] == ["65532:65532"]
    assert ("USER", "65532:65532") in last_stage(image)


@EVERY
def test_the_entry_point_is_not_a_shell(image: Image) -> None:
    (entry,) = [arguments for name, arguments in last_stage(image) if name == "ENTRYPOINT"]

    assert entry.startswith('["')
    assert "sh" not in entry.split('"')


@EVERY
def test_settings_of_the_build_machine_are_mounted_as_secrets(image: Image) -> None:
    variables = [arguments for name, arguments in instructions(image) if name in {"ARG", "ENV"}]

    assert [text for text in variables if re.search("INDEX|PROXY|TOKEN|PASSWORD|CERT", text)] == []
    needs_network = [text for name, text in instructions(image) if name == "RUN" and re.search(r"apt-get|--require-hashes", text)]
    assert all("type=secret,id=environment" in text and "type=secret,id=authorities" in text for text in needs_network)


@EVERY
def test_the_content_hash_covers_the_copied_sources(image: Image) -> None:
    of_context = [
        arguments
        for name, arguments in instructions(image)
        if name == "COPY" and not arguments.startswith("--from") and "${REQUIREMENTS}" not in arguments
    ]

    copied = {source for arguments in of_context for source in arguments.split()[:-1]}
    hashed = {*image.sources, image.requirements, "requirements/build.txt", "pyproject.toml", "LICENSE"}
    assert {source for source in copied if not any(source == path or source.startswith(f"{path}/") for path in hashed)} == set()


def test_the_build_context_has_only_needed_files() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]

    assert lines[0] == "*"
    let_through = {line[1:] for line in lines if line.startswith("!")}
    assert let_through == {"LICENSE", "pyproject.toml", "requirements/*.txt", "operator/src", "trainer-image/src", "server-image/src"}
