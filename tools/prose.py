"""Check what people read: forbidden words, broken links in Markdown, and subjects of new commits. Run by `make check`."""

import sys
from pathlib import Path

import commit_subjects
import forbidden_words
import markdown_links

ROOT = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    lines = [line for check in (forbidden_words, markdown_links, commit_subjects) for line in check.findings(ROOT)]
    print("\n".join(lines) or "the prose is plain")
    sys.exit(bool(lines))
