"""Pages of the documentation that no line of `docs/README.md` links to.

Covered are all Markdown files below `docs/`, design decisions included, and README, CONTRIBUTING, SECURITY and CHANGELOG.
"""

import re
from pathlib import Path

INDEX = Path("docs/README.md")
_LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def findings(root: Path) -> list[str]:
    """Return one line for each page without a line in the index; nothing if the repository has no index."""
    index = root / INDEX
    if not index.exists():
        return []
    linked = {(index.parent / name).resolve() for name in _LINK.findall(index.read_text("utf-8"))}
    pages = [*root.glob("*.md"), *(root / "docs").rglob("*.md")]
    return [
        f"{INDEX}: no line links to {page.relative_to(root)}. Way out: add a line with its title"
        for page in sorted(pages)
        if page != index and page.resolve() not in linked
    ]
