"""The trainer's Dockerfile compiles DeepSpeed's op with a few of our files: they must be all that this command imports."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def copied(dockerfile: str) -> list[str]:
    """The sources of every COPY into /source/ of the stage that compiles."""
    stage = dockerfile.split(" AS ops\n")[1].split("\nFROM ", maxsplit=1)[0].replace("\\\n", " ")
    return [source for line in re.findall(r"^COPY (.*) /source/\S*$", stage, re.MULTILINE) for source in line.split()]


def test_the_files_that_are_copied_are_all_that_it_imports(tmp_path: Path) -> None:
    sources = copied((ROOT / "trainer-image" / "Dockerfile").read_text())
    assert len(sources) > 3
    for source in sources:
        place = tmp_path / source.split("/src/")[1]
        place.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / source).is_dir() else shutil.copy)(ROOT / source, place)
    program = (
        "import sys; sys.path[:] = [path for path in sys.path if not path.endswith('/src')]; sys.meta_path[:] = "
        "[finder for finder in sys.meta_path if 'editable' not in repr(finder).lower()]; sys.path.insert(0, sys.argv[1]); "
        "import tunewright_trainer.__main__ as main, tunewright_trainer.distributed.prebuild; print(main.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "tunewright_trainer" / "__main__.py")
