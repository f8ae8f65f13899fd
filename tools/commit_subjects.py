"""Subjects of new commits: imperative, at most 72 characters, one topic. New means: after `BASE`.

A clone without that commit (a shallow one, or an archive) has nothing to compare with, and passes.
"""

import re
import subprocess
from pathlib import Path

BASE = "30a6be4043ade2c7f1057c9b6159a284110e07f6"  # the last commit before the rule
LONGEST = 72
# "Added", "Fixing" and "Adds" are not imperative. Verbs that only look like those:
IMPERATIVE = {"Bring", "Embed", "Exceed", "Feed", "Focus", "Need", "Proceed", "Seed", "Shed", "Speed", "Spread", "String", "Swing"}
_OTHER_FORM = re.compile(r"(?:ed|ing|[^s]s)$")


def findings(root: Path) -> list[str]:
    """Return one line for each new commit whose subject breaks the rule."""
    if git(root, "merge-base", "--is-ancestor", BASE, "HEAD") is None:
        return []
    log = git(root, "log", "--no-merges", "--format=%h %s", f"{BASE}..HEAD") or ""
    return [
        f"commit {short}: “{subject}” {why}"
        for short, _, subject in (line.partition(" ") for line in log.splitlines())
        if (why := wrong(subject))
    ]


def wrong(subject: str) -> str:
    """Return what is wrong with a subject and the way out; empty if nothing is."""
    first = subject.partition(" ")[0]
    if len(subject) > LONGEST:
        return f"has {len(subject)} characters. Way out: at most {LONGEST}; the body says why"
    if not re.fullmatch(r"[A-Z][a-z]+(?:-[a-z]+)?", first):
        return "does not begin with a verb. Way out: a capital letter and the imperative, such as Add"
    if first not in IMPERATIVE and _OTHER_FORM.search(first):
        return f"begins with {first}. Way out: the imperative, such as Add instead of Added, Adding or Adds"
    if ";" in subject or " and then " in subject:
        return "has two topics. Way out: two commits"
    return ""


def git(root: Path, *arguments: str) -> str | None:
    """Return what a git command prints, or None where it fails."""
    done = subprocess.run(["git", "-C", str(root), *arguments], check=False, capture_output=True, text=True)
    return None if done.returncode else done.stdout
