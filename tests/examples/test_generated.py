"""The committed files of the examples are what `examples/generate.py` makes, byte for byte."""

import subprocess
import sys

FOLDERS = ("data", "reader", "reader/model", "translator", "translator/model")
GENERATED = (".jsonl", ".json")


def contents(root):
    return {
        f"{folder}/{path.name}": path.read_bytes() for folder in FOLDERS for path in (root / folder).iterdir() if path.suffix in GENERATED
    }


def test_the_committed_files_equal_the_generated_ones(examples, tmp_path):
    subprocess.run([sys.executable, examples / "generate.py", "--output", tmp_path], check=True, capture_output=True)
    made = contents(tmp_path)
    assert len(made) == 30
    assert contents(examples) == made
