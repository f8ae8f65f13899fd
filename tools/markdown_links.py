"""Relative links of Markdown files that lead nowhere, and changelogs whose groups are out of order.

A link must name a file or folder of the repository. Its anchor must be a heading of that page, by GitHub's rule for slugs.
"""

import re
from pathlib import Path

from forbidden_words import markdown, prose_of_markdown

GROUPS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]  # the order of keepachangelog.com
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
_SLUG_DROPS = re.compile(r"[^\w\- ]")


def findings(root: Path) -> list[str]:
    """Return one line for each broken link, and for each group of the changelog that is repeated or misplaced."""
    found = []
    for path in markdown(root):
        text = prose_of_markdown(path.read_text("utf-8"))
        for number, line in enumerate(text.split("\n"), 1):
            found += [f"{path.relative_to(root)}:{number}: {why}" for link in _LINK.findall(line) if (why := broken(path, link))]
    changelog = root / "CHANGELOG.md"
    return found + (misplaced_groups(changelog.read_text("utf-8")) if changelog.exists() else [])


def broken(page: Path, link: str) -> str:
    """Return why a link of a page leads nowhere; empty if it leads somewhere."""
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    if not target.exists():
        return f"the link {link} leads nowhere. Way out: name a file that exists"
    if anchor and anchor not in anchors(target.read_text("utf-8")):
        return f"{target.name} has no heading for #{anchor}. Way out: name one of its headings"
    return ""


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = _HEADING.findall(prose_of_markdown(text))
    return {_SLUG_DROPS.sub("", heading.lower()).replace(" ", "-") for heading in headings}


def misplaced_groups(changelog: str) -> list[str]:
    """Return one line for each release whose groups repeat, have another name, or stand in another order."""
    found = []
    releases = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    names = [release.split("\n", 1)[0] for release in releases]
    found += [f"CHANGELOG.md: {name} stands there twice. Way out: keep one" for name in sorted({n for n in names if names.count(n) > 1})]
    for name, release in zip(names, releases, strict=True):
        groups = re.findall(r"^### (.+)$", release, flags=re.MULTILINE)
        if groups != [group for group in GROUPS if group in groups]:
            found.append(f"CHANGELOG.md: {name} has the groups {', '.join(groups)}. Way out: each once, in the order {', '.join(GROUPS)}")
    return found
