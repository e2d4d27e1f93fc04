"""The one-shot commands as a person or a script runs them: real processes, a real server, exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.support.servers import ROOT, ServerProcess, server_process, short_folder

pytestmark = pytest.mark.e2e

WAIT_S = 60.0


class Terminal:
    """A person's machine: folders of their own, and `obelisk` in them."""

    def __init__(self, folder: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OBELISK_")}
        self.environment = {
            **kept,
            "OBELISK_DATA_DIR": str(folder / "data"),
            "OBELISK_RUNTIME_DIR": str(folder / "run"),
            "PYTHONPATH": str(ROOT),
        }

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """`obelisk ARGV`, running."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "tui.cli", *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    def run(self, *argv: str) -> tuple[int, str, str]:
        """`obelisk ARGV` to its end: exit code, stdout, stderr."""
        return finish(self.start(*argv))

    def records(self, *argv: str) -> list[dict[str, object]]:
        """The JSON objects of a command that is done."""
        code, out, errors = self.run(*argv, "--json")
        assert (code, errors) == (0, "")
        return [msgspec.json.decode(line) for line in out.splitlines()]


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, errors = process.communicate(timeout=WAIT_S)
    return process.returncode, out, errors


def kinds(records: list[dict[str, object]]) -> list[object]:
    return [record["type"] for record in records]


@pytest.fixture
def home() -> Iterator[Terminal]:
    """A machine with its local server, which is stopped at the end."""
    with short_folder() as folder:
        terminal = Terminal(folder)
        yield terminal
        assert terminal.run("server", "stop")[0] == 0


@pytest.fixture
def remote() -> Iterator[tuple[Terminal, ServerProcess]]:
    """A machine that is led to a server elsewhere, as ana."""
    with short_folder() as folder, server_process() as server:
        terminal = Terminal(folder)
        lead(terminal, server)
        yield terminal, server


def lead(terminal: Terminal, server: ServerProcess, **fields: str) -> None:
    terminal.environment["OBELISK_SERVER"] = server.ready["listen"]
    terminal.environment["OBELISK_TOKEN"] = server.token(**fields)


def test_a_day_at_the_command_line(home: Terminal) -> None:
    """Every command on the local server that the first one started: its events as JSON, exit 0."""
    added = home.records("add", "Buy milk !high ~30m")
    assert kinds(added) == ["task.created"]
    listed = home.records("list")
    assert [task["title"] for task in listed] == ["Buy milk"]
    plan = home.records("plan")
    assert kinds(plan) == ["daily_plan.start", "assistant.plan.generated", "daily_plan.complete"]
    said = home.records("say", "hello")
    assert kinds(said)[:2] == ["message.created", "message.stream"]
    assert kinds(said)[-1] == "llm.completed"
    pieces = [one["payload"]["text"] for one in said if one["type"] == "llm.token"]  # type: ignore[index]  # a payload
    assert "".join(pieces) == said[-1]["payload"]["text"]  # type: ignore[index]  # a payload
    done = home.records("done", "1")
    assert kinds(done) == ["task.updated"]
    assert home.records("list") == []
    assert kinds(home.records("send", "user.remember", '{"text": "Ana likes tea"}')) == ["memory.added"]
    state = home.records("state")[0]
    assert {"tasks", "threads", "messages", "memory", "settings", "assistant"} <= set(state)
    assert home.records("server", "status")[0]["running"] is True


def test_people_get_words(home: Terminal) -> None:
    """Without --json: short text, the answer as text, nothing on stderr."""
    assert "Buy milk · #home" in home.run("add", "Buy milk #home")[1]
    code, out, errors = home.run("list")
    assert (code, errors) == (0, "")
    assert out.split()[0] == "1"
    code, out, errors = home.run("say", "hello")
    assert (code, errors, out.count("\n")) == (0, "", 1)
    assert "Plan for" in home.run("plan")[1]
    assert home.run("done", out_id(home))[1] == "done: Buy milk\n"
    assert "0 open, 1 closed" in home.run("state")[1]


def out_id(home: Terminal) -> str:
    """The short id that list shows."""
    return home.run("list")[1].split()[1]


@pytest.mark.parametrize(
    "argv",
    [
        ("add", "Pay rent", "--id", "k1"),
        ("plan", "--id", "k2"),
        ("say", "hello", "--id", "k3"),
        ("send", "user.remember", '{"text": "x"}', "--id", "k4"),
    ],
    ids=lambda argv: argv[0],
)
def test_a_retry_gives_the_same_events_once(home: Terminal, argv: tuple[str, ...]) -> None:
    """The ledger's events of the first time, from a later process; nothing is done again."""

    def lasting(records: list[dict[str, object]]) -> list[object]:
        return [one for one in records if "seq" in one]

    first = lasting(home.records(*argv))
    head = home.records("state")
    assert lasting(home.records(*argv)) == first
    assert home.records("state") == head


def test_another_action_under_a_used_id_is_rejected(home: Terminal) -> None:
    """Exit 1, in one sentence."""
    home.records("add", "One", "--id", "k1")
    code, out, errors = home.run("add", "Two", "--id", "k1", "--json")
    assert (code, out, errors.count("\n")) == (1, "", 1)
    assert "id_reused" in errors


def test_tail_follows(home: Terminal) -> None:
    """From a seq or an event id, then each event as it happens; Ctrl-C ends it with 130."""
    first, second = (home.records("add", title)[0] for title in ("One", "Two"))
    tail = home.start("tail", "--json", "--since", str(first["event_id"]))
    assert tail.stdout is not None
    assert msgspec.json.decode(tail.stdout.readline()) == second
    third = home.records("add", "Three")[0]
    assert msgspec.json.decode(tail.stdout.readline()) == third
    tail.send_signal(signal.SIGINT)
    assert finish(tail) == (130, "", "")
    assert home.run("tail", "--since", "0199aaaa-0000-7000-8000-00000000beef")[0] == 1


def test_a_reader_that_has_gone_is_no_error(home: Terminal) -> None:
    """As in `obelisk tail | head -1`: it ends, and says nothing."""
    home.records("add", "One")
    tail = home.start("tail", "--since", "0")
    assert tail.stdout is not None
    assert tail.stderr is not None
    tail.stdout.readline()
    tail.stdout.close()
    home.records("add", "Two")
    assert tail.wait(WAIT_S) == 141
    assert tail.stderr.read() == ""
    tail.stderr.close()


def test_two_commands_at_once_make_one_server(home: Terminal) -> None:
    """Both are done, on the same server."""
    both = [home.start("add", title, "--json") for title in ("One", "Two")]
    assert [finish(one)[0] for one in both] == [0, 0]
    assert sorted(str(task["title"]) for task in home.records("list")) == ["One", "Two"]


def test_a_local_server_that_died_is_started_again(home: Terminal) -> None:
    """kill -9, and the next command works on the same data, and says so."""
    home.records("add", "One")
    os.kill(int(str(home.records("server", "status")[0]["pid"])), signal.SIGKILL)
    code, out, errors = home.run("list", "--json")
    assert (code, out.count("\n")) == (0, 1)
    assert errors == "obelisk: the local server had died; it was started again\n"


def test_a_tail_outlives_the_local_server(home: Terminal) -> None:
    """While it follows it starts the server again, and goes on without a gap."""
    home.records("add", "One")
    tail = home.start("tail", "--json", "--since", "0")
    assert tail.stdout is not None
    assert tail.stderr is not None
    for _ in range(2):
        tail.stdout.readline()
    os.kill(int(str(home.records("server", "status")[0]["pid"])), signal.SIGKILL)
    assert "started again" in tail.stderr.readline()
    second = home.records("add", "Two")[0]
    assert msgspec.json.decode(tail.stdout.readline()) == second
    tail.send_signal(signal.SIGINT)
    assert finish(tail)[0] == 130


def test_a_server_that_does_not_run_is_no_error_to_stop(home: Terminal) -> None:
    """`status` says with its exit code that none runs; `stop` has nothing to do."""
    assert home.run("server", "status")[0] == 3
    assert home.run("server", "stop") == (0, "no local server runs\n", "")


def test_a_server_elsewhere(remote: tuple[Terminal, ServerProcess]) -> None:
    """With its address and token in the environment: done, seen by all, as the token's actor."""
    terminal, _ = remote
    assert terminal.records("add", "One")[0]["actor"] == "ana"
    assert terminal.records("add", "One", "--id", "k")[0] == terminal.records("add", "One", "--id", "k")[0]


def test_exit_codes_of_who_may_not(remote: tuple[Terminal, ServerProcess]) -> None:
    """A wrong token, none, another workspace, a viewer who writes: 4, and one sentence."""
    terminal, server = remote
    assert terminal.run("--workspace", "other", "list")[0] == 4
    lead(terminal, server, actor="vi", role="viewer")
    assert terminal.run("list")[0] == 0
    code, out, errors = terminal.run("add", "x")
    assert (code, out, errors.count("\n")) == (4, "", 1)
    for token in ("wrong", ""):
        terminal.environment["OBELISK_TOKEN"] = token
        code, out, errors = terminal.run("list")
        assert (code, out, errors.count("\n")) == (4, "", 1)


def test_a_dead_server_and_the_outbox(remote: tuple[Terminal, ServerProcess]) -> None:
    """3 without --queue; with it 0, and the task is there once when the server is back."""
    terminal, server = remote
    address = server.ready["listen"].removeprefix("http://")
    terminal.records("add", "Before")
    server.kill9()
    code, out, errors = terminal.run("add", "Lost", "--json")
    assert (code, out, errors.count("\n")) == (3, "", 1)
    assert terminal.run("add", "Kept", "--queue", "--json")[:2] == (0, "")
    again = ServerProcess(server.data, listen=address)
    try:
        again.start()
        terminal.records("add", "After")
        titles = [task["title"] for task in terminal.records("list")]
        assert titles == ["Before", "Kept", "After"]
    finally:
        again.stop()


def test_a_server_that_hangs(remote: tuple[Terminal, ServerProcess]) -> None:
    """One that accepts and says nothing is told in time: 3, nothing was sent."""
    terminal, server = remote
    os.kill(server.pid, signal.SIGSTOP)
    try:
        code, _, errors = terminal.run("add", "x", "--timeout", "1")
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert (code, errors.count("\n")) == (3, 1)
