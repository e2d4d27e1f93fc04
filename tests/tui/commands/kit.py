"""Runs one-shot commands in this process, on the loop of the test, against whatever server it names."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from tests.support.fake_server import FakeServer, Ledger
from tui.cli import build_parser
from tui.commands.session import run_command
from tui.exits import Ended
from tui.output import Printer, complain


@dataclass
class Finished:
    """What a command came to."""

    code: int
    out: str
    errors: str

    @property
    def records(self) -> list[dict[str, object]]:
        """The JSON objects of stdout, one a line."""
        return [msgspec.json.decode(line) for line in self.out.splitlines()]

    @property
    def types(self) -> list[object]:
        return [record["type"] for record in self.records]


@dataclass
class Person:
    """Somebody with folders of their own who types commands."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    async def types(self, *argv: str) -> Finished:
        """Run `obelisk ARGV` to its end."""
        asked = build_parser().parse_args(argv)
        try:
            run = importlib.import_module(asked.module).run
            code = await run_command(run, asked, Printer(json=asked.json))
        except Ended as ended:
            complain(ended.sentence)
            code = ended.code
        captured = self.capsys.readouterr()
        return Finished(int(code), captured.out, captured.err)

    @property
    def outboxes(self) -> list[str]:
        """The names of the files in the client's folder."""
        folder = self.folder / "data" / "client"
        return sorted(one.name for one in folder.iterdir()) if folder.exists() else []


@contextmanager
def environment(folder: Path, server: str = "") -> Iterator[None]:
    """The variables that lead commands to that folder and server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OBELISK_DATA_DIR", str(folder / "data"))
        patch.setenv("OBELISK_RUNTIME_DIR", str(folder / "run"))
        for name in ("OBELISK_WORKSPACE", "OBELISK_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("OBELISK_SERVER", server)
        yield


def a_server() -> FakeServer:
    """A server whose owner is ana."""
    ledger = Ledger()
    ledger.add_member("ana")
    return FakeServer(ledger)
