"""The program as a person uses it: `scripts/obelisk` in real terminals, keys in, screens read."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.servers import ServerProcess, server_process, short_folder
from tests.support.tmux import ROOT, Terminal, needs_tmux, terminals

pytestmark = [pytest.mark.e2e, pytest.mark.tmux, pytest.mark.slow, needs_tmux]

Open = Callable[[str], Terminal]


@pytest.fixture
def new_terminal() -> Iterator[Open]:
    """Makes terminals."""
    with terminals() as make:
        yield make


@pytest.fixture
def home() -> Iterator[dict[str, str]]:
    """The environment of somebody with an empty home; his local server is stopped at the end."""
    with short_folder() as folder:
        environ = {
            "HOME": str(folder),
            "OBELISK_DATA_DIR": f"{folder}/d",
            "OBELISK_RUNTIME_DIR": f"{folder}/r",
        }
        yield environ
        obelisk(environ, "server", "stop")


def obelisk(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `scripts/obelisk ARGUMENTS` to its end."""
    return subprocess.run(
        [str(ROOT / "scripts" / "obelisk"), *arguments],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def started(terminal: Terminal, environ: dict[str, str], *arguments: str) -> Terminal:
    """The client, live, in a terminal."""
    terminal.open(shlex.join([str(ROOT / "scripts" / "obelisk"), *arguments]), environ)
    terminal.shows("live", timeout_s=60)
    return terminal


def test_a_day_in_two_terminals(new_terminal: Open, home: dict[str, str]) -> None:
    """What one terminal does on a local server that started by itself, the other one shows as it happens."""
    here = started(new_terminal("here"), home)
    there = started(new_terminal("there"), home)

    here.type("a")
    here.type("Pay rent today !high ~30m #home", "Enter")
    for terminal in (here, there):
        terminal.shows("Pay rent", "#home")

    there.type("a")
    there.type("Water the plants", "Enter")
    here.shows("Water the plants", "Tasks · 2 open")

    here.type("/")
    here.type("remember that the key is under the mat", "Enter")
    for terminal in (here, there):
        terminal.shows("remember that the key is under the mat", "assistant")

    here.keys("Escape")
    here.shows("Write · press /")
    here.type("p")
    for terminal in (here, there):
        terminal.shows("30 min", timeout_s=20)
    there.keys("Space")
    here.shows("Done today · 1")

    listed = obelisk(home, "list", "--json")
    titles = {json.loads(line)["title"] for line in listed.stdout.splitlines()}
    assert len(titles) == 1, "the other one is done"
    state = json.loads(obelisk(home, "state", "--json").stdout)
    assert [one["text"] for one in state["memory"].values()] == ["the key is under the mat"]


def test_keys_typed_ahead_arrive_in_order(new_terminal: Open, home: dict[str, str]) -> None:
    """A burst of keys that opens the composer, or a dialog, and types into it loses none of them."""
    terminal = started(new_terminal("fast"), home)
    terminal.type("/tell me about rain", "Enter")
    terminal.shows("tell me about rain", "assistant")
    terminal.keys("Escape")
    terminal.shows("Write · press /")  # an escape and a letter in one burst are alt and the letter
    terminal.type("aBuy an umbrella", "Enter")
    terminal.shows("Tasks · 1 open", "Buy an umbrella")


def remote(environ: dict[str, str], server: ServerProcess, token: Path) -> list[str]:
    """The arguments that join a server elsewhere."""
    return ["--server", server.ready["listen"], "--workspace", "team", "--token-file", str(token)]


def test_a_server_that_dies_loses_nothing(new_terminal: Open, home: dict[str, str]) -> None:
    """While the server is dead people go on, are told since when and how much is unsent; then all is there once."""
    with server_process() as server:
        port = server.ready["listen"].rpartition(":")[2]
        server._arguments = ["--listen", f"127.0.0.1:{port}"]
        token = Path(home["HOME"]) / "ana.token"
        token.write_text(server.token("ana", "team"))
        token.chmod(0o600)
        here = started(new_terminal("here"), home, *remote(home, server, token))
        elsewhere = {
            **home,
            "OBELISK_DATA_DIR": f"{home['HOME']}/d2",
            "OBELISK_RUNTIME_DIR": f"{home['HOME']}/r2",
        }
        there = started(new_terminal("there"), elsewhere, *remote(home, server, token))
        here.type("a")
        here.type("Before the crash", "Enter")
        there.shows("Before the crash")

        server.kill9()
        here.shows("offline since")
        for title in ("First offline", "Second offline"):
            here.type("a")
            here.type(title, "Enter")
            here.shows(title)
        here.shows("offline since", "2 unsent")

        server.start()
        for terminal in (here, there):
            terminal.shows("live", "First offline", "Second offline", timeout_s=60)
            terminal.hides("unsent")
        posted = subprocess.run(
            [
                *("curl", "-s", f"{server.ready['listen']}/workspaces/team/events"),
                *("-H", f"Authorization: Bearer {token.read_text()}"),
                *(
                    "-d",
                    '{"type":"user.create_task","client_action_id":"curl-1","payload":{"title":"From curl"}}',
                ),
            ],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        assert json.loads(posted.stdout)["status"] == "applied"
        for terminal in (here, there):
            terminal.shows("From curl", "Tasks · 4 open")
        lines = obelisk(home, *remote(home, server, token), "list", "--json").stdout.splitlines()
        assert sorted(json.loads(line)["title"] for line in lines) == [
            "Before the crash",
            "First offline",
            "From curl",
            "Second offline",
        ]


def test_a_draft_survives_kill_9(new_terminal: Open, home: dict[str, str]) -> None:
    """What was pasted and typed, with a byte that is no text in it, is there again after the client was killed."""
    terminal = started(new_terminal("here"), home)
    terminal.keys("/")
    terminal.shows("enter sends")
    terminal.paste(b"one \x1b[31mred\ntwo \x9b three")
    terminal.type(" and then")
    terminal.shows("one ␛[31mred", "two � three and then")
    drafts = Path(home["OBELISK_DATA_DIR"]) / "client"
    terminal.until(
        lambda _: any("and then" in file.read_text() for file in drafts.glob("*.drafts.json")), "a draft"
    )
    terminal.kill9()

    again = started(new_terminal("again"), home)
    again.shows("Not sent yet, kept", "one ␛[31mred", "two � three and then")


def test_a_local_server_that_dies_is_started_again(new_terminal: Open, home: dict[str, str]) -> None:
    """After some seconds, and the screen says so; one that was stopped stays so until the next command."""
    terminal = started(new_terminal("here"), home)
    status = obelisk(home, "server", "status", "--json").stdout
    os.kill(json.loads(status)["pid"], signal.SIGKILL)
    terminal.shows("The local server had died; it was started again.", "live")
    assert obelisk(home, "server", "stop").returncode == 0
    terminal.shows("offline since", "The local server was stopped")
    assert obelisk(home, "add", "from a third shell").returncode == 0
    terminal.shows("live", "from a third shell")


def test_a_fresh_workspace_of_ones_own_has_the_zone_of_the_machine(home: dict[str, str]) -> None:
    """The first command sets it, once: another zone of the machine changes nothing later."""
    assert obelisk({**home, "TZ": "Asia/Tokyo"}, "add", "Tea tomorrow 09:00").returncode == 0
    listed = json.loads(obelisk({**home, "TZ": "Europe/Berlin"}, "list", "--json").stdout)
    assert listed["due"].endswith("T00:00:00.000Z")
    state = json.loads(obelisk({**home, "TZ": "Europe/Berlin"}, "state", "--json").stdout)
    assert state["settings"]["timezone"] == "Asia/Tokyo"
