"""The command line itself: what is wrong usage, how commands end, what they load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from tests.style.tree import ROOT
from tui import cli
from tui.cli import build_parser, main


def test_options_stand_before_or_after_the_command() -> None:
    """After it they win; elsewhere they hold all the same."""
    before = build_parser().parse_args(["--json", "--workspace", "home", "list"])
    assert (before.json, before.workspace) == (True, "home")
    after = build_parser().parse_args(["--workspace", "home", "add", "buy", "milk", "--workspace", "garden"])
    assert (after.json, after.workspace, after.text) == (False, "garden", ["buy", "milk"])


@pytest.mark.parametrize(
    "argv",
    [
        ["nonsense"],
        ["undo"],
        ["add"],
        ["done"],
        ["send"],
        ["list", "--al"],
        ["list", "--timeout", "-1"],
        ["list", "--timeout", "soon"],
        ["list", "--id", "k"],
        ["server", "burn"],
        ["server", "status", "--server", "http://127.0.0.1:1"],
        ["--json"],
        [],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_sentence(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, one line on stderr, nothing on stdout; a bare call without a terminal is wrong usage too."""
    assert main(argv) == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.count("\n") == 1
    assert errors.startswith("obelisk: ")


def test_what_was_typed_comes_back_inert(capsys: pytest.CaptureFixture[str]) -> None:
    """A control sequence in an argument does not reach the terminal in the complaint about it."""
    assert main(["\x1b[2J"]) == 2
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["add", "--help"]], ids=" ".join)
def test_help_is_no_error(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It goes to stdout and exits 0."""
    assert main(argv) == 0
    assert "obelisk" in capsys.readouterr().out


@pytest.mark.parametrize(("end", "code"), [(KeyboardInterrupt, 130), (BrokenPipeError, 141)])
def test_an_interrupted_command_is_quiet(
    end: type[BaseException], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C and a reader that has gone need no words."""

    def broken(argv: object) -> NoReturn:
        raise end

    monkeypatch.setattr(cli, "_run", broken)
    monkeypatch.setattr(cli, "silence_stdout", lambda: None)
    assert main(["list"]) == code
    assert capsys.readouterr() == ("", "")


def test_a_command_loads_only_what_it_needs(tmp_path: Path) -> None:
    """`add` from start to end, with the link that it tried, has not loaded the screen or the configuration."""
    heavy = ["textual", "rich", "pydantic", "pydantic_settings", "asyncssh", "server", "uuid6"]
    argv = ["--server", "http://127.0.0.1:1", "add", "Buy milk tomorrow", "--queue", "--timeout", "1"]
    program = (
        f"import sys; from tui.cli import main; print(main({argv!r}), *({set(heavy)!r} & {{*sys.modules}}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"OBELISK_DATA_DIR": str(tmp_path / "data"), "OBELISK_RUNTIME_DIR": str(tmp_path / "run")},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ran.stdout == "0\n", ran.stderr
