"""Following logs: every complete line once, whatever is written between two reads."""

from pathlib import Path

from tunewright.local.logs import Follower


def test_a_line_is_shown_once_when_it_is_complete(tmp_path: Path):
    log = tmp_path / "pod.log"
    follower = Follower(tmp_path)
    assert list(follower.new_lines()) == []
    log.write_text("one\ntw")
    assert list(follower.new_lines()) == [("pod", "one")]
    with log.open("a") as file:
        file.write("o\n\nthree\n")
    assert list(follower.new_lines()) == [("pod", "two"), ("pod", ""), ("pod", "three")]
    assert list(follower.new_lines()) == []


def test_a_progress_bar_is_its_last_state(tmp_path: Path):
    (tmp_path / "pod.log").write_bytes(b"10%\r50%\r100%\nwindows\r\nbroken \xff\n")
    assert [line for _, line in Follower(tmp_path).new_lines()] == ["100%", "windows", "broken \ufffd"]


def test_following_from_now_skips_existing_lines(tmp_path: Path):
    log = tmp_path / "pod.log"
    log.write_text("old\n")
    follower = Follower(tmp_path, from_now=True)
    (tmp_path / "next.log").write_text("new pod\n")
    with log.open("a") as file:
        file.write("new\n")
    assert sorted(follower.new_lines()) == [("next", "new pod"), ("pod", "new")]
