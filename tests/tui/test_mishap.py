"""When the program itself fails: a sentence for the person, a file for whoever mends it, no word of the text."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.text import Text
from textual.app import App

from tests.support.clients import FakeClient
from tests.support.fixtures import NOW, a_state
from tui.app import ObeliskApp
from tui.mishap import REPORT_BYTES_MAX, FailsPlainly, mishap_sentence

SECRET = "the letter that nobody shall read"


class BrokenError(Exception):
    """What a bug raises."""


def broken_command(command_id: str) -> None:
    """Fails with a person's text in a local variable."""
    held = SECRET
    raise BrokenError(f"at {len(held)} characters")


async def failed(report: Path | None) -> ObeliskApp:
    app = ObeliskApp(FakeClient(a_state()), now=lambda: NOW)
    app.action_command = broken_command  # type: ignore[method-assign]  # a bug
    app.report = report
    with pytest.raises(BrokenError):  # noqa: PT012  it comes out where the app ends
        async with app.run_test() as pilot:
            await pilot.press("m")
            await pilot.pause()
    return app


async def test_a_bug_is_one_sentence_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says where the rest is; nothing that stood in a variable is on the terminal or in the file."""
    report = tmp_path / "failed.log"
    app = await failed(report)
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors == f"obelisk: {mishap_sentence(report)}\n"
    told = report.read_text()
    assert "BrokenError: at 33 characters" in told
    assert "broken_command" in told
    assert SECRET not in told + errors
    assert report.stat().st_mode & 0o777 == 0o600
    assert app.return_code == 1


async def test_where_there_is_no_file_nothing_is_promised(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a folder, or with one that cannot be written, the sentence names no file."""
    for report in (None, Path("/nowhere/failed.log")):
        await failed(report)
        assert capsys.readouterr().err == "obelisk: the program failed and had to end\n"


async def test_a_panic_is_as_plain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What Textual itself would print goes into the file, the first thing first, and not without end."""
    report = tmp_path / "failed.log"
    report.write_text("of another day")
    report.chmod(0o644)
    app = ObeliskApp(FakeClient(a_state()), now=lambda: NOW)
    app.report = report
    async with app.run_test():
        app.panic(Text("first"))
        app.panic(Text("x" * REPORT_BYTES_MAX))
    assert report.read_text().startswith("first\n")
    assert report.stat().st_size == REPORT_BYTES_MAX
    assert report.stat().st_mode & 0o777 == 0o600
    assert "first" not in capsys.readouterr().err


def test_the_pinned_version_has_what_is_replaced() -> None:
    """Every private of Textual that is replaced is there, so a bump of the version cannot undo it silently."""
    for name in (
        "_handle_exception",
        "_fatal_error",
        "panic",
        "_print_error_renderables",
        "_close_messages_no_wait",
    ):
        assert callable(getattr(App, name))
        assert name == "_close_messages_no_wait" or name in vars(FailsPlainly)
    app = ObeliskApp(FakeClient(a_state()), now=lambda: NOW)
    assert app._exit_renderables == []
    assert app._return_code is None
