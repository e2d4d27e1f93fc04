"""One-shot commands against a server that fails as the test says: what they print, how they end, what they keep."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.fake_server import FakeServer, Ledger, running
from tests.support.servers import short_folder
from tests.support.wait import until
from tests.tui.commands.kit import Person, a_server, environment

NOBODY = "http://127.0.0.1:1"
"""A port of loopback that nothing listens on."""


@pytest.fixture
def ana(capsys: pytest.CaptureFixture[str]) -> Iterator[Person]:
    with short_folder() as folder:
        yield Person(folder, capsys)


@asynccontextmanager
async def served(ana: Person, server: FakeServer | None = None) -> AsyncIterator[FakeServer]:
    async with running(server or a_server()) as started:
        with environment(ana.folder, started.where):
            yield started


async def test_add_prints_the_events_that_it_gave(ana: Person) -> None:
    """With --json: the ledger's events, nothing else on stdout; the words are understood."""
    async with served(ana) as server:
        done = await ana.types("add", "--json", "Buy", "milk", "!high", "#home", "~30m", "--id", "k1")
    assert (done.code, done.types, done.errors) == (0, ["task.created"], "")
    assert done.records[0]["client_action_id"] == "k1"
    task = next(iter(server.ledger.state.tasks.values()))
    assert (task.title, task.priority, task.tags, task.minutes) == ("Buy milk", "high", ("home",), 30)


async def test_list_gives_numbers_that_done_takes(ana: Person) -> None:
    """A number means the list that was shown, also after another task has gone."""
    async with served(ana) as server:
        for place, title in ("a", "One"), ("b", "Two"), ("c", "Three"):
            task = {"title": title, "task_id": title.lower(), "position": place}
            await server.act("user.create_task", task, actor="ana")
        shown = await ana.types("list")
        assert [line.split()[-1] for line in shown.out.splitlines()] == ["One", "Two", "Three"]
        assert (await ana.types("done", "1")).out == "done: One\n"
        assert (await ana.types("done", "2")).out == "done: Two\n"
        assert (await ana.types("done", "2")).out == "was done already: Two\n"
        left = await ana.types("list", "--json")
        assert [task["title"] for task in left.records] == ["Three"]
        every = await ana.types("list", "--json", "--all")
        assert len(every.records) == 3


async def test_state_is_one_object(ana: Person) -> None:
    """The state as the contract has it, in one line."""
    async with served(ana):
        done = await ana.types("state", "--json")
    assert done.code == 0
    assert list(done.records[0]["members"]) == ["ana"]  # type: ignore[call-overload]  # an object of the state


async def test_text_from_elsewhere_is_inert(ana: Person) -> None:
    """A title that would clear the screen is shown as signs; scripts get it as it is."""
    async with served(ana) as server:
        await server.act("user.create_task", {"title": "\x1b[2Jmilk", "task_id": "evil"}, actor="ana")
        assert "\x1b" not in (await ana.types("list")).out
        raw = await ana.types("list", "--json")
        assert raw.records[0]["title"] == "\x1b[2Jmilk"


async def test_a_refusal_is_one_sentence(ana: Person) -> None:
    """Exit 1, the server's words on stderr, nothing on stdout, nothing kept."""
    async with served(ana):
        done = await ana.types("send", "user.update_task", '{"task_id": "none", "title": "x"}', "--json")
    assert (done.code, done.out) == (1, "")
    assert done.errors == "obelisk: There is no such task (not_found)\n"
    assert ana.outboxes == []


async def test_what_has_the_wrong_shape_is_refused_before_it_is_sent(ana: Person) -> None:
    """The same exit code as where the server refuses; it never left."""
    async with served(ana) as server:
        done = await ana.types("add", " ")
    assert done.code == 1
    assert server.received == []


async def test_who_may_not_is_told_so(ana: Person) -> None:
    """A viewer's action, a token that is not accepted, a workspace that is not ours: exit 4."""
    ledger = Ledger()
    ledger.add_member("bea")
    ledger.add_member("ana", "viewer")
    async with served(ana, FakeServer(ledger)) as server:
        assert (await ana.types("add", "x")).code == 4
        server.refuse_upgrade = 401
        wrong = await ana.types("list")
        assert (wrong.code, wrong.errors.count("\n")) == (4, 1)
        assert "token" in wrong.errors
        server.refuse_upgrade = 404
        assert (await ana.types("list")).code == 4


async def test_a_server_of_another_version_is_named(ana: Person) -> None:
    """Exit 3 and one sentence, whether the server refuses or we do."""
    async with served(ana) as server:
        server.protocol = 2
        done = await ana.types("add", "x")
        assert (done.code, done.errors.count("\n"), "release" in done.errors) == (3, 1, True)
        server.close_after_hello = 4409
        assert (await ana.types("add", "x")).code == 3
        assert server.received == []


async def test_a_server_that_is_not_there(ana: Person) -> None:
    """Exit 3, one sentence, nothing kept."""
    with environment(ana.folder, NOBODY):
        done = await ana.types("add", "x")
    assert (done.code, done.out, done.errors.count("\n")) == (3, "", 1)
    assert "nothing was sent" in done.errors
    assert ana.outboxes == []


async def test_what_is_queued_is_sent_by_a_later_command(ana: Person) -> None:
    """`--queue` without a server exits 0 and keeps it; the next command that reaches the server sends it once."""
    server = a_server()
    with short_folder() as folder:
        address = f"unix:{folder / 'o.sock'}"
        with environment(ana.folder, address):
            kept = await ana.types("add", "--queue", "--json", "Later", "--id", "k1", "--timeout", "1")
            assert (kept.code, kept.out, "k1" in kept.errors) == (0, "", True)
            async with running(server, unix=folder / "o.sock"):
                assert (await ana.types("add", "Now")).code == 0
                assert (await ana.types("list")).code == 0
    assert [task.title for task in server.ledger.state.tasks.values()].count("Later") == 1
    assert server.received[0] == "k1"
    assert not [name for name in ana.outboxes if name.endswith(".kept")]


async def test_what_nobody_answered_is_kept(ana: Person) -> None:
    """Exit 5 and the id; a retry with it is done once, and gets the outcome."""
    async with served(ana) as server:
        server.on_action = lambda frame: "hold"
        lost = await ana.types("add", "Once", "--id", "k1", "--timeout", "0.5")
        assert (lost.code, lost.out) == (5, "k1\n")
        assert "--id k1" in lost.errors
        assert len(server.ledger.events) == 2
        server.on_action = lambda frame: None
        await ana.types("list")
        assert len(server.ledger.events) == 2
        assert server.received == ["k1", "k1"]


async def test_what_nobody_answered_keeps_stdout_clean(ana: Person) -> None:
    """With --json the id is in the sentence only."""
    async with served(ana) as server:
        server.on_action = lambda frame: "hold"
        lost = await ana.types("add", "--json", "Once", "--id", "k2", "--timeout", "0.5")
        assert (lost.code, lost.out) == (5, "")
        assert "k2" in lost.errors


async def test_an_answer_is_shown_as_it_comes(ana: Person) -> None:
    """Tokens join to the text, and the terminal event ends the command."""
    async with served(ana) as server:
        answer = Answering(server)
        server.on_action = answer.on_action
        done = await ana.types("say", "--json", "hello")
    assert done.types == ["message.created", "message.stream", "llm.token", "llm.token", "llm.completed"]
    pieces = [one["payload"] for one in done.records if one["type"] == "llm.token"]
    assert [(one["offset"], one["text"]) for one in pieces] == [(0, "Good "), (5, "day")]  # type: ignore[index]  # payloads


async def test_what_somebody_else_left_is_not_sent(ana: Person) -> None:
    """An action that was kept as ana is not sent as bea, and does not stop what bea does."""
    async with served(ana) as server:
        server.ledger.add_member("bea")
        server.on_action = lambda frame: "lose"
        assert (await ana.types("add", "Hers", "--id", "k1", "--timeout", "0.5")).code == 5
        server.on_action = lambda frame: None
        server.actor = "bea"
        server.received.clear()
        done = await ana.types("add", "His", "--id", "k2")
    assert (done.code, server.received) == (0, ["k2"])
    assert "as someone else" in done.errors
    assert [name for name in ana.outboxes if name.endswith(".kept")]


async def test_a_local_server_of_another_version_is_to_be_stopped(ana: Person) -> None:
    """Exit 3, and the sentence says with which command."""
    server = a_server()
    server.protocol = 2
    with environment(ana.folder):
        (ana.folder / "run").mkdir(mode=0o700)
        async with running(server, unix=ana.folder / "run" / "obelisk.sock"):
            done = await ana.types("add", "x")
    assert (done.code, done.errors.count("\n")) == (3, 1)
    assert "obelisk server stop" in done.errors


class Answering:
    """A server that answers the first message a moment after it came."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._tasks: set[object] = set()

    def on_action(self, frame: object) -> None:
        self._tasks.add(self._loop.create_task(self._answer()))

    async def _answer(self) -> None:
        state = self._server.ledger
        await until(lambda: state.state.assistant.streaming)
        message_id = state.state.assistant.streaming[0]
        await self._server.token(message_id, 0, "Good ")
        await self._server.token(message_id, 5, "day")
        payload = {"message_id": message_id, "text": "Good day"}
        await self._server.act("assistant.complete", payload, actor="assistant")


async def test_a_file_where_the_folder_should_be(ana: Person) -> None:
    """A data folder that cannot be used: one sentence that says what to do, exit 3."""
    (ana.folder / "data").write_text("in the way")
    with environment(ana.folder):
        done = await ana.types("add", "x")
    assert (done.code, done.errors.count("\n")) == (3, 1)
    assert "OBELISK_DATA_DIR" in done.errors


@pytest.mark.parametrize(
    ("name", "argv"),
    [
        ("bad url", ["--server", "not an address", "list"]),
        ("credentials in it", ["--server", "http://me:secret@127.0.0.1", "list"]),
        ("bad workspace", ["--workspace", "No Such!", "list"]),
        ("no token file", ["--token-file", "there/is/none", "list"]),
        ("bad id", ["add", "x", "--id", "ü"]),
        ("not json", ["send", "user.message", "{"]),
        ("no object", ["send", "user.message", "[]"]),
        ("bad date", ["plan", "--date", "tomorrow"]),
    ],
)
async def test_wrong_usage_is_told_before_anything_is_done(ana: Person, name: str, argv: list[str]) -> None:
    """Exit 2 and one sentence."""
    with environment(ana.folder, NOBODY):
        done = await ana.types(*argv)
    assert (done.code, done.out, done.errors.count("\n")) == (2, "", 1)
    assert "secret" not in done.errors


async def test_a_token_file_is_read_and_never_shown(ana: Person, tmp_path: Path) -> None:
    """Its one word goes into the header; a file with more is refused without showing it."""
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    async with served(ana) as server:
        assert (await ana.types("list", "--token-file", str(file))).code == 0
        assert server.headers[-1]["authorization"] == "Bearer s3cret"
        file.write_text("s3cret and more")
        done = await ana.types("list", "--token-file", str(file))
        assert (done.code, "s3cret" in done.errors) == (2, False)
