"""Check texts: forbidden words, broken links and a complete index in Markdown, subjects of new commits. Run by `make check`."""

import sys
from pathlib import Path

import commit_subjects
import docs_index
import forbidden_words
import markdown_links

ROOT = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    lines = [line for check in (forbidden_words, markdown_links, docs_index, commit_subjects) for line in check.findings(ROOT)]
    print("\n".join(lines) or "the prose is plain")
    sys.exit(bool(lines))
