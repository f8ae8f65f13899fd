"""The built images, each mounted once; tests that need one are skipped with the reason where it cannot run."""

from collections.abc import Iterator

import pytest
from container import BuiltImage, mounted, what_is_missing
from levels import lacking


@pytest.fixture(scope="session", params=["operator", "server", "trainer"])
def any_image(request: pytest.FixtureRequest) -> tuple[str, BuiltImage]:
    return request.param, request.getfixturevalue(f"{request.param}_image")


@pytest.fixture(scope="session")
def operator_image() -> Iterator[BuiltImage]:
    yield from _image("operator")


@pytest.fixture(scope="session")
def server_image() -> Iterator[BuiltImage]:
    yield from _image("server")


@pytest.fixture(scope="session")
def trainer_image() -> Iterator[BuiltImage]:
    yield from _image("trainer")


def _image(name: str) -> Iterator[BuiltImage]:
    if missing := what_is_missing(name):
        lacking(missing)
    with mounted(name) as image:
        yield image
