"""Drafts are in their file, whole, whatever happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui.drafts import Drafts


def test_a_draft_is_found_again(tmp_path: Path) -> None:
    """By thread, after another start; an empty one leaves nothing."""
    path = tmp_path / "folder" / "drafts.json"
    drafts = Drafts(path)
    assert drafts.set("main", "half a\nthought")
    assert not drafts.set("main", "half a\nthought")
    drafts.set("garden", "✂")
    drafts.save()
    assert Drafts(path).get("main") == "half a\nthought"
    drafts.set("main", "")
    drafts.save()
    assert path.read_text(encoding="utf-8") == '{"garden":"✂"}'
    assert path.stat().st_mode & 0o077 == 0
    assert [found.name for found in path.parent.iterdir()] == ["drafts.json"]


def test_two_screens_write_only_what_they_changed(tmp_path: Path) -> None:
    """One does not undo the other's threads."""
    path = tmp_path / "drafts.json"
    one, other = Drafts(path), Drafts(path)
    one.set("main", "mine")
    one.save()
    other.set("garden", "yours")
    other.save()
    assert (Drafts(path).get("main"), Drafts(path).get("garden")) == ("mine", "yours")


@pytest.mark.parametrize("spoilt", [b"{", b"[1]", b'{"main": 5}', b"\xff\xfe"])
def test_a_spoilt_file_is_set_aside(tmp_path: Path, spoilt: bytes) -> None:
    """It costs its drafts, never the start, and what was in it is still there to look at."""
    path = tmp_path / "drafts.json"
    path.write_bytes(spoilt)
    drafts = Drafts(path)
    assert drafts.get("main") == ""
    drafts.set("main", "new")
    drafts.save()
    assert Drafts(path).get("main") == "new"
    assert (tmp_path / "drafts.json.spoilt").read_bytes() == spoilt


def test_a_file_that_cannot_be_written_is_said_and_costs_nothing(tmp_path: Path) -> None:
    """The draft stays in memory, and is written when that works again."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    drafts = Drafts(blocked / "drafts.json")
    drafts.set("main", "text")
    said = []
    for _ in range(2):
        drafts.save()
        said.append((drafts.problem or "").partition(":")[0])
        if blocked.is_file():
            blocked.unlink()
        assert drafts.get("main") == "text"
    assert said == ["drafts are not kept", ""]
    assert Drafts(blocked / "drafts.json").get("main") == "text"


def test_half_a_character_does_not_stop_it(tmp_path: Path) -> None:
    """A lone surrogate cannot be in a file; the rest is kept."""
    drafts = Drafts(tmp_path / "drafts.json")
    drafts.set("main", "a\ud83d")
    drafts.save()
    assert Drafts(tmp_path / "drafts.json").get("main") == "a?"


def test_without_a_path_they_live_as_long_as_the_program() -> None:
    """Nothing is written anywhere."""
    drafts = Drafts(None)
    drafts.set("main", "x")
    drafts.save()
    assert drafts.get("main") == "x"
