"""Makes the examples' data, and the folders of their bases without weights. `base-model/` has its own program, which trains.

    python examples/generate.py

writes into the folders next to this file; the same bytes every time.
"""

import argparse
from pathlib import Path

from data.cafe import files as support
from reader.base import files as reader
from reader.questions import files as questions
from translator.base import files as translator
from translator.pairs import files as pairs

FOLDERS = {"data": support, "reader": questions, "reader/model": reader, "translator": pairs, "translator/model": translator}


def main() -> None:
    """Write the files below the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="the folder to write (default: this file's)")
    output: Path = parser.parse_args().output
    for folder, files in FOLDERS.items():
        (output / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files().items():
            (output / folder / name).write_text(text, encoding="utf-8")
            print(f"wrote {output / folder / name}")


if __name__ == "__main__":
    main()
