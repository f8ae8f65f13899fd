"""The check of what people read: words, links, the changelog's groups, and subjects of commits."""

import subprocess
from pathlib import Path

import commit_subjects
import docs_index
import forbidden_words
import markdown_links
import pytest


def words(found: list[str]) -> list[str]:
    """Return the word of each finding."""
    return [line.split("“")[1].split("”")[0] for line in found if "“" in line]


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (["nobody"], "It serves nobody."),
        (["Whoever", "mends"], "Whoever mends it."),
        (["are asked"], "They are asked."),
        (["hears", "is said"], "The operator hears what is said."),
        (["for ever", "is in the way"], "It waits for ever for what is in the way."),
        (["everybody", "politely"], "It asks everybody politely."),
        (["outlives", "last words"], "Its log outlives its last words."),
        ([], "The walkway of a twinned town; hearing aids; a loudspeaker."),
        ([], "The chart recommends it; a user untold."),
        ([], "The field `nobody` is quoted."),
        ([], "```\nnobody\n```"),
        (["told"], "```\nnobody\n```\nThey are told."),
    ],
)
def test_a_word_is_found_in_markdown_outside_of_quotes(tmp_path: Path, found: list[str], text: str):
    (tmp_path / "page.md").write_text(text)
    assert words(forbidden_words.findings(tmp_path)) == found


@pytest.mark.parametrize(
    ("found", "source"),
    [
        (["anew"], "# made anew\n"),
        (["anew"], '"""Made anew."""\n'),
        (["anew"], 'raise ValueError("made anew")\n'),
        (["anew"], 'raise ValueError(f"{1} made anew")\n'),
        ([], 'x = "anew"\n'),
        ([], "anew = 1\n"),
    ],
)
def test_a_word_is_found_in_comments_docstrings_and_messages(found: list[str], source: str):
    assert [finding.word for finding in forbidden_words.in_python(Path("a.py"), source, strings=True)] == found


@pytest.mark.parametrize(
    ("found", "name", "text"),
    [
        (["anew"], "tools/a.py", "# anew\n"),
        (["anew"], "charts/values.yaml", "key: 1  # anew\n"),
        (["anew"], "Makefile", "all:  ## anew\n"),
        ([], "charts/values.yaml", "key: anew\n"),
        ([], "tests/a.py", 'x = "made anew"\n'),
    ],
)
def test_a_word_is_found_in_the_sources(tmp_path: Path, found: list[str], name: str, text: str):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    assert words(forbidden_words.findings(tmp_path)) == found


@pytest.mark.parametrize(
    ("broken", "link"),
    [
        ("", "other.md"),
        ("", "other.md#two-words"),
        ("", "#here"),
        ("", "https://example.com/none"),
        ("leads nowhere", "missing.md"),
        ("no heading", "other.md#three"),
        ("no heading", "#there"),
    ],
)
def test_a_link_leads_to_a_file_and_its_heading(tmp_path: Path, broken: str, link: str):
    (tmp_path / "other.md").write_text("# One\n## Two `words`\n")
    (tmp_path / "page.md").write_text(f"# Here\nSee [that]({link}).\n")
    found = markdown_links.findings(tmp_path)
    assert (len(found), broken in "".join(found)) == (bool(broken), True)


@pytest.mark.parametrize(
    ("missing", "index"),
    [
        ([], "[Limits](limits.md) and [ADR 1](adr/0001-one.md#context)"),
        (["docs/adr/0001-one.md"], "[Limits](limits.md)"),
        (["docs/adr/0001-one.md", "docs/limits.md"], "limits.md, adr/0001-one.md"),
    ],
)
def test_the_index_of_docs_links_to_every_page(tmp_path: Path, missing: list[str], index: str):
    (tmp_path / "docs/adr").mkdir(parents=True)
    for name in ("limits.md", "adr/0001-one.md"):
        (tmp_path / "docs" / name).write_text("# A page\n")
    (tmp_path / "docs/README.md").write_text(index)
    assert [line.split(" links to ")[1].split(". Way")[0] for line in docs_index.findings(tmp_path)] == missing


@pytest.mark.parametrize(
    ("problems", "changelog"),
    [
        (0, "## [Unreleased]\n### Added\n### Fixed\n## [0.1.0]\n### Added\n"),
        (1, "## [Unreleased]\n### Fixed\n### Added\n"),
        (1, "## [Unreleased]\n### Added\n### Added\n"),
        (1, "## [Unreleased]\n### Features\n"),
        (1, "## [Unreleased]\n### Added\n## [Unreleased]\n### Added\n"),
    ],
)
def test_the_groups_of_a_release_stand_once_and_in_order(problems: int, changelog: str):
    assert len(markdown_links.misplaced_groups(changelog)) == problems


@pytest.mark.parametrize(
    ("wrong", "subject"),
    [
        ("", "Add a check of commit subjects"),
        ("", "Process reports in one place"),
        ("", "Embed the table in the README"),
        ("72", "Add " + "a" * 70),
        ("imperative", "Added a check"),
        ("imperative", "Adding a check"),
        ("imperative", "Adds a check"),
        ("verb", "add a check"),
        ("verb", "[tools] add a check"),
        ("two topics", "Add a check; remove another"),
        ("two topics", "Add a check and then remove another"),
    ],
)
def test_a_subject_is_imperative_short_and_about_one_topic(wrong: str, subject: str):
    why = commit_subjects.wrong(subject)
    assert (bool(why), wrong in why) == (bool(wrong), True), why


@pytest.mark.parametrize("with_base", [True, False])
def test_only_commits_after_the_base_count_and_none_where_it_is_missing(monkeypatch, tmp_path: Path, with_base: bool):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]

    def commit(subject: str) -> None:
        subprocess.run(["git", "-C", tmp_path, *identity, "commit", "-q", "--allow-empty", "-m", subject], check=True)

    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    commit("old; and no verb")
    base = (commit_subjects.git(tmp_path, "rev-parse", "HEAD") or "").strip()
    commit("new; and no verb")
    monkeypatch.setattr(commit_subjects, "BASE", base if with_base else "0" * 40)
    assert len(commit_subjects.findings(tmp_path)) == int(with_base)
