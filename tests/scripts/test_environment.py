"""scripts/lib/environment.py: what it reads from installers, and what it counts."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.style.tree import ROOT


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("environment", ROOT / "scripts/lib/environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "environment", module)
    spec.loader.exec_module(module)
    return module


def test_progress_follows_pip(environment: ModuleType) -> None:
    """Each package that pip collects moves the count, and unpacking is told apart from fetching."""
    progress = environment.Progress(2)
    progress.take("Collecting aiosqlite==0.22.1 (from -r requirements/run.txt (line 1))")
    assert (progress.count, progress.detail, progress.is_unpacking) == (1, "fetching aiosqlite", False)
    progress.take("  Downloading aiosqlite-0.22.1-py3-none-any.whl (17 kB)")
    progress.take("Collecting h11==0.16.0")
    progress.take("Collecting more-than-was-pinned==1")
    assert progress.count == 2
    progress.take("Installing collected packages: aiosqlite, h11")
    assert (progress.detail, progress.is_unpacking) == ("unpacking", True)


def test_progress_follows_uv(environment: ModuleType) -> None:
    """uv's own milestones are passed on as they are."""
    progress = environment.Progress(2)
    progress.take("Resolved 26 packages in 12ms")
    assert progress.detail == "Resolved 26 packages in 12ms"


def test_progress_is_one_line_elsewhere(environment: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """Where stderr is no terminal, progress speaks now and then and writes no control characters."""
    progress = environment.Progress(2)
    for _ in range(100):
        progress.show()
    assert capsys.readouterr().err == ""
    progress.shown_at -= environment.PLAIN_LINE_EVERY_S
    progress.show()
    progress.clear()
    assert capsys.readouterr().err == "obelisk: installing (0 s): starting\n"


def test_pins_are_counted_for_this_system(environment: ModuleType, tmp_path: Path) -> None:
    """Hashes, comments and what only Windows needs are not counted."""
    file = tmp_path / "run.txt"
    file.write_text(
        "# note\na==1 \\\n    --hash=sha256:00\ncolorama==0.4 ; sys_platform == 'win32' \\\n    --hash=sha256:01\n"
        "uvloop==0.23 ; sys_platform != 'win32' \\\n    --hash=sha256:02\n"
    )
    assert environment.count_pins(file) == 2


def test_a_long_path_does_not_go_into_a_shebang(environment: ModuleType, tmp_path: Path) -> None:
    """A #! line that the kernel would cut goes through sh instead."""
    root = tmp_path / ("long" * 30)
    (root / ".venv" / "bin").mkdir(parents=True)
    path = environment.write_command(environment.Checkout(root), "obelisk", "tui.cli:main")
    assert path.read_text().startswith("#!/bin/sh\n'''exec' ")
    compile(path.read_text(), str(path), "exec")


def test_ci_calls_the_two_commands_that_people_call() -> None:
    """What a change must pass is scripts/check and scripts/test, bare."""
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in lines if line.startswith("scripts/")] == ["scripts/check", "scripts/test"]
