"""Work folders; processes that a test leaves running are killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Workplace


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    place = Workplace(tmp_path)
    yield place
    place.kill_everything()
