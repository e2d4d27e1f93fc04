"""The client against a server on a real socket that fails as told: nothing is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from protocol import limits
from protocol.client import store
from protocol.client.client import Client
from protocol.client.clock import SystemIds
from protocol.client.errors import CannotKeep, NotAllowed, Stopped
from protocol.client.sent import Acked
from protocol.client.status import Change
from protocol.client.store import Store
from protocol.client.target import Target
from protocol.codec import encode_server_frame
from protocol.errors import TERMINAL_CLOSES, Refused
from protocol.events import TaskCreated
from protocol.frames import Ack
from tests.support.fake_server import FakeServer, Ledger, running
from tests.support.wait import until


class QuickIds(SystemIds):
    """The pauses between tries are short."""

    def fraction(self) -> float:
        return 0.01


class Bench:
    """A server that can be started and stopped, and clients of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger()
        self.ledger.add_member("ana")
        self.ledger.add_member("bea")
        self.server = FakeServer(self.ledger)
        self.target = Target(workspace="home", unix=folder / "o.sock", token="secret")
        self._up = AsyncExitStack()
        self._clients = AsyncExitStack()

    async def start(self) -> None:
        await self._up.enter_async_context(running(self.server, unix=self.target.unix))

    async def stop(self) -> None:
        """The server is gone; connections break without a word."""
        self.server.cut()
        await self._up.aclose()

    async def client(self, *, kept: bool = True, live: bool = True) -> Client:
        made = await Client.open(
            self.target, cache=self.folder / "cache" if kept else None, client_name="test/1", ids=QuickIds()
        )
        self._clients.push_async_callback(made.close)
        if live:
            assert await made.live(5)
        return made

    async def close(self) -> None:
        await self._clients.aclose()
        await self._up.aclose()

    def titles(self) -> list[str]:
        """The titles of the tasks that were created, in ledger order."""
        payloads = (one.payload for one in self.ledger.events)
        return [one.entity.title for one in payloads if isinstance(one, TaskCreated)]


@pytest.fixture
async def bench(tmp_path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    await made.start()
    yield made
    await made.close()


def create(client: Client, title: str, **more):
    return client.act("user.create_task", {"title": title}, **more)


def shown(client: Client) -> set[str]:
    return {one.title for one in client.replica.view.tasks.values()}


# In quiet times


async def test_an_action_shows_at_once_and_settles_with_its_events(bench):
    """The view has it before `act` returns; the outcome carries the ledger's events."""
    client = await bench.client()
    sent = create(client, "milk")
    assert shown(client) == {"milk"}
    assert set(client.replica.marks.values()) == {"pending"}
    outcome = await sent.settled()
    assert isinstance(outcome, Acked)
    assert [one.type for one in outcome.events] == ["task.created"]
    assert outcome.event_ids == (bench.ledger.events[-1].event_id,)
    assert not client.replica.pending
    assert client.replica.view == client.replica.confirmed == bench.ledger.state


async def test_what_others_do_is_seen(bench):
    """Events of others reach the view and the subscribers."""
    client = await bench.client()
    changes: list[Change] = []
    client.subscribe(changes.append)
    await bench.server.act("user.create_task", {"title": "theirs"})
    await until(lambda: shown(client) == {"theirs"})
    assert [event.type for one in changes for event in one.events] == ["task.created"]


async def test_the_link_tells_the_truth(bench):
    """Who we are and where we stand comes from the server."""
    client = await bench.client()
    link = client.link
    assert (link.phase, link.seq, link.behind, link.since, link.reason) == ("live", 2, 0, None, None)
    assert (link.actor, link.role, link.workspace) == ("ana", "owner", "home")
    assert link.workspace_id == bench.ledger.workspace_id
    await until(lambda: [one.actor for one in client.present] == ["ana"])
    await bench.stop()
    await until(lambda: client.link.phase == "offline")
    assert client.link.since is not None
    assert client.link.reason
    assert client.present == ()


async def test_the_upgrade_carries_the_credential(tmp_path):
    """Token and actor go in headers, over TCP as over the socket."""
    ledger = Ledger()
    ledger.add_member("bea")
    async with running(FakeServer(ledger, actor="bea")) as server:
        target = Target(workspace="home", url=server.where, token="secret", acts_as="bea")
        client = await Client.open(target, cache=None, client_name="test/1")
        assert await client.live(5)
        await client.close()
        headers = server.headers[0]
    assert headers["authorization"] == "Bearer secret"
    assert headers["obelisk-actor"] == "bea"
    assert headers["sec-websocket-protocol"] == "obelisk.v1"
    assert "sec-websocket-extensions" not in headers


async def test_a_reject_is_rolled_back_and_kept_until_dismissed(bench):
    """A refused action leaves the view, keeps its payload, and survives a restart until someone has seen it."""
    client = await bench.client()
    sent = client.act("user.update_task", {"task_id": "nowhere", "title": "x"})
    outcome = await sent.settled()
    assert isinstance(outcome, Refused)
    assert outcome.code == "not_found"
    assert not client.replica.pending
    assert [one.payload for one in client.rejected] == [b'{"task_id":"nowhere","title":"x"}']
    await client.close()
    again = await bench.client()
    assert [one.action.client_action_id for one in again.rejected] == [sent.client_action_id]
    again.dismiss_rejected(sent.client_action_id)
    await again.close()
    assert (await bench.client()).rejected == ()


async def test_what_is_wrong_with_an_action_is_said_at_once(bench):
    """Shape, size and id are judged here; nothing is sent or kept."""
    client = await bench.client()
    too_long = create(client, "x" * (limits.title_characters_max + 1))
    not_fitting = client.act("user.from_tomorrow", {"x": "y" * limits.frame_bytes_max})
    bad_id = create(client, "milk", client_action_id="ü")
    surrogate = create(client, "\ud800")
    codes = [(await one.settled()).code for one in (too_long, not_fitting, bad_id, surrogate)]
    assert codes == ["too_large", "too_large", "invalid", "invalid"]
    assert bench.server.received == []
    assert client.rejected == ()


async def test_the_same_id_is_the_same_action(bench):
    """A second Enter on one draft is one action; another draft under its id is refused."""
    bench.server.on_action = lambda frame: "hold"
    client = await bench.client()
    first = create(client, "milk", client_action_id="draft")
    assert create(client, "milk", client_action_id="draft") is first
    other = await create(client, "tea", client_action_id="draft").settled()
    assert isinstance(other, Refused)
    assert other.code == "id_reused"
    await until(lambda: bench.server.received == ["draft"])
    assert len(client.replica.pending) == 1


async def test_a_full_outbox_refuses(bench, monkeypatch):
    """One more than the bound is said, not dropped."""
    monkeypatch.setattr(limits, "outbox_actions_max", 1)
    bench.server.on_action = lambda frame: "hold"
    client = await bench.client()
    create(client, "milk")
    assert (await create(client, "tea").settled()).code == "limit"


async def test_presence_is_sent_when_it_changes(bench):
    """Calling it at every key sends one frame."""
    client = await bench.client()
    for _ in range(5):
        client.set_presence(True, "task t1")
    client.set_presence(True, "task t1")
    await until(lambda: bench.server.presences)
    client.set_presence(False, None)
    await until(lambda: len(bench.server.presences) == 2)
    assert [one.typing for one in bench.server.presences] == [True, False]


async def test_where_a_person_is_is_told_to_every_connection(bench):
    """A new connection knows nothing of the last one: what has the focus is said again, old typing is not."""
    client = await bench.client()
    client.set_presence(True, "task t1")
    await until(lambda: bench.server.presences)
    bench.server.cut()
    await until(lambda: len(bench.server.presences) == 2)
    assert [(one.typing, one.focus) for one in bench.server.presences] == [
        (True, "task t1"),
        (False, "task t1"),
    ]


async def test_a_subscriber_that_fails_stays_alone_with_it(bench, caplog):
    """The others are called, the link lives."""
    client = await bench.client()
    seen: list[Change] = []
    client.subscribe(lambda change: 1 / 0)
    end = client.subscribe(seen.append)
    await create(client, "milk").settled()
    assert seen
    assert "a subscriber failed" in caplog.text
    end()
    seen.clear()
    await create(client, "tea").settled()
    assert not seen
    assert client.link.phase == "live"


# Offline and back


async def test_what_was_done_offline_is_sent_in_order(bench):
    """Everything queued without a server arrives once, in the order in which it was done."""
    client = await bench.client()
    await bench.stop()
    await until(lambda: client.link.phase == "offline")
    titles = [f"task {number}" for number in range(150)]
    sent = [create(client, title) for title in titles]
    assert shown(client) == set(titles)
    assert client.link.unsent == 150
    await bench.start()
    await asyncio.gather(*(one.settled() for one in sent))
    assert bench.titles() == titles
    assert client.link.unsent == 0
    assert bench.server.hellos[-1].since is not None


@pytest.mark.parametrize("what", ["lose", "cut"])
async def test_a_drop_between_send_and_ack_does_nothing_twice(bench, what):
    """Whether the server had decided it or not: the action stays pending, goes again with its id, happens once."""
    fates = iter([what])
    bench.server.on_action = lambda frame: next(fates, None)
    client = await bench.client()
    pending: list[int] = []
    client.subscribe(lambda change: pending.append(len(client.replica.pending)))
    outcome = await create(client, "milk", client_action_id="c1").settled()
    assert isinstance(outcome, Acked)
    assert bench.titles() == ["milk"]
    assert max(pending) == 1
    assert bench.server.received == (["c1", "c1"] if what == "lose" else ["c1"])


async def test_an_ack_that_comes_twice_changes_nothing(bench):
    """The second one finds nothing pending."""
    bench.server.on_action = lambda frame: "twice"
    client = await bench.client()
    await create(client, "milk").settled()
    await create(client, "tea").settled()
    assert bench.titles() == ["milk", "tea"]
    assert client.link.phase == "live"


async def test_an_ack_without_events_settles(bench):
    """A duplicate whose events lie before our snapshot is settled by its ack, which names them."""
    client = await bench.client()
    outcome = await create(client, "milk", client_action_id="c1").settled()
    again = await create(client, "milk", client_action_id="c1").settled()
    assert isinstance(again, Acked)
    assert (again.status, again.seq, again.event_ids) == ("duplicate", 3, outcome.event_ids)
    assert again.events == ()
    assert not client.replica.pending


async def test_a_retryable_reject_keeps_everything_pending(bench):
    """The action and those behind it wait for the next connection; none overtakes."""
    fates = iter(["unavailable"])
    bench.server.on_action = lambda frame: next(fates, None)
    client = await bench.client()
    sent = [create(client, title) for title in "abc"]
    await asyncio.gather(*(one.settled() for one in sent))
    assert bench.titles() == ["a", "b", "c"]
    assert client.rejected == ()


async def test_a_reconnect_replays_from_the_cursor(bench):
    """Nothing that is held is fetched again."""
    client = await bench.client()
    bench.server.cut()
    await bench.server.act("user.create_task", {"title": "meanwhile"})
    await until(lambda: "meanwhile" in shown(client))
    assert [one.since for one in bench.server.hellos] == [None, bench.ledger.events[1].event_id]
    assert bench.server.hellos[0].client_id == bench.server.hellos[1].client_id
    assert bench.server.snapshots == ["initial"]


async def test_an_unknown_cursor_takes_a_snapshot_and_keeps_the_outbox(bench):
    """A server restored from a backup does not know our last event: its state counts, our actions stay."""
    client = await bench.client()
    await bench.server.act("user.create_task", {"title": "lost with the disk"})
    await until(lambda: client.link.seq == 3)
    await bench.stop()
    sent = create(client, "mine")
    bench.ledger.events.pop()
    restored = Ledger()
    restored.add_member("ana")
    restored.add_member("bea")
    bench.ledger = bench.server.ledger = restored
    await bench.start()
    assert isinstance(await sent.settled(), Acked)
    assert bench.server.snapshots == ["initial", "unknown_cursor"]
    assert shown(client) == {"mine"}
    assert client.replica.view == restored.state


async def test_a_loss_is_noticed_by_head(bench):
    """Where a broadcast never came, the next `head` brings the client back to the ledger."""
    client = await bench.client()
    bench.ledger.add_member("cal")
    await bench.server.head()
    await until(lambda: client.link.seq == 3 and client.link.phase == "live")
    assert len(bench.server.hellos) == 2


# What ends it


@pytest.mark.parametrize("code", sorted(TERMINAL_CLOSES - {1002, 1007}))
async def test_a_terminal_close_stops_the_link(bench, code):
    """It is not tried again; what is pending stays, and whoever waits is told."""
    client = await bench.client()
    bench.server.on_action = lambda frame: "hold"
    sent = create(client, "milk")
    await until(lambda: bench.server.received)
    await bench.server.close(code)
    with pytest.raises(Stopped) as caught:
        await sent.settled()
    assert caught.value.code == code
    assert isinstance(caught.value, NotAllowed) == (code in (4401, 4404))
    assert client.link.phase == "stopped"
    assert client.link.reason
    assert not await client.live(1)
    assert len(client.replica.pending) == 1
    assert len(bench.server.hellos) == 1


@pytest.mark.parametrize("code", [1001, 1011, 4000, 4408, 4429, 4503])
async def test_any_other_close_means_to_come_back(bench, code):
    """With the cursor, and without a word to those who wait."""
    client = await bench.client()
    await bench.server.close(code)
    await until(lambda: len(bench.server.hellos) == 2 and client.link.phase == "live")


@pytest.mark.parametrize(
    ("status", "stopped"), [(401, True), (403, True), (404, True), (400, True), (429, False), (503, False)]
)
async def test_a_refused_upgrade_is_judged_by_its_status(bench, status, stopped):
    """Who is not let in is told so; a busy server is asked again."""
    bench.server.refuse_upgrade = status
    client = await bench.client(live=False)
    await until(lambda: client.link.phase == ("stopped" if stopped else "offline"))
    assert str(status) in (client.link.reason or "")
    if stopped:
        assert isinstance(client.stopped, NotAllowed) == (status != 400)
        client.retry()
    bench.server.refuse_upgrade = None
    assert await client.live(5)


async def test_another_protocol_version_stops_the_link(bench):
    """Said as what to do."""
    bench.server.protocol = 2
    client = await bench.client(live=False)
    await until(lambda: client.link.phase == "stopped")
    assert "release" in (client.link.reason or "")


async def test_no_server_is_offline_not_an_error(tmp_path):
    """A client without a server shows what it has and says why it is alone."""
    client = await Client.open(
        Target(workspace="home", unix=tmp_path / "none.sock"), cache=tmp_path / "cache", client_name="test/1"
    )
    await until(lambda: client.link.phase == "offline")
    assert "cannot be reached" in (client.link.reason or "")
    create(client, "milk")
    assert shown(client) == {"milk"}
    assert client.link.unsent == 1
    await client.close()


async def test_the_outbox_is_not_sent_as_someone_else(bench):
    """Another actor behind the same address gets nothing until a person says what is to become of it."""
    client = await bench.client()
    await bench.stop()
    sent = create(client, "mine")
    bench.server.actor = "bea"
    await bench.start()
    with pytest.raises(Stopped):
        await sent.settled()
    assert "bea" in (client.link.reason or "")
    assert bench.server.received == []
    assert client.set_aside_foreign() == 1
    assert await client.live(5)
    assert client.link.actor == "bea"
    assert [one.action.client_action_id for one in client.rejected] == [sent.client_action_id]
    assert isinstance(await create(client, "as bea").settled(), Acked)


async def test_what_is_adopted_from_someone_else_is_not_sent_either(bench):
    """A leftover of ana's is found by a client that has become bea: it stays, and the next welcome says so."""
    first, second = await bench.client(), await bench.client()
    await bench.stop()
    await create(second, "ana's").queued()
    await second.close()
    bench.server.actor = "bea"
    await bench.start()
    await until(lambda: first.replica.pending and first.link.phase == "live")
    assert first.link.unsent == 1
    bench.server.cut()
    await until(lambda: first.link.phase == "stopped")
    assert bench.server.received == []
    assert first.set_aside_foreign() == 1


async def test_another_workspace_with_an_empty_outbox_is_taken_as_it_is(bench):
    """Nothing of the old one is shown as if it were the new one's."""
    client = await bench.client()
    await create(client, "old").settled()
    await bench.stop()
    bench.ledger = bench.server.ledger = Ledger("another")
    bench.ledger.add_member("ana")
    await bench.start()
    await until(lambda: client.link.workspace_id == bench.ledger.workspace_id and client.link.phase == "live")
    assert client.replica.view == bench.ledger.state


# Digests and streams


async def test_a_wrong_digest_takes_a_snapshot_once(bench, caplog):
    """One lie costs one snapshot, and is logged; after that the cursor serves again."""
    bench.server.wrong_digests = 1
    client = await bench.client()
    bench.server.cut()
    await until(lambda: len(bench.server.hellos) == 3 and client.link.phase == "live")
    assert bench.server.snapshots == ["initial", "initial"]
    assert [one.since for one in bench.server.hellos] == [None, None, bench.ledger.head.event_id]
    assert "fetched anew" in caplog.text


async def test_two_wrong_digests_end_the_comparing(bench, caplog):
    """The client goes live all the same and reports a bug."""
    bench.server.wrong_digests = 3
    client = await bench.client()
    assert len(bench.server.hellos) == 2
    assert [one.levelname for one in caplog.records if "bug" in one.message] == ["ERROR"]
    bench.server.cut()
    await until(lambda: len(bench.server.hellos) == 3 and client.link.phase == "live")


async def test_an_answer_streams_and_ends_with_its_text(bench):
    """Tokens grow the text, overlap is trimmed, a gap waits; the terminal event has the last word."""
    client = await bench.client()
    changes: list[Change] = []
    client.subscribe(changes.append)
    await client.act("user.message", {"message_id": "q1", "text": "hello?"}).settled()
    (answer,) = client.streams
    await bench.server.token(answer, 0, "Good ")
    await bench.server.token(answer, 3, "d day")
    await until(lambda: client.streams[answer] == "Good day")
    await bench.server.token(answer, 50, "lost")
    await bench.server.token("stranger", 0, "x")
    bench.server.streams[answer] = "Good day to"
    bench.server.cut()
    await until(lambda: client.streams.get(answer) == "Good day to")
    await client.act("user.interrupt", {"message_id": answer}).settled()
    assert dict(client.streams) == {}
    assert client.replica.view.messages[answer].status == "interrupted"
    assert all(one.streams <= {answer} for one in changes)


async def test_an_interrupted_answer_keeps_its_text_on_the_screen(bench):
    """The prediction of an interrupt ends the answer with what it had said."""
    client = await bench.client()
    await client.act("user.message", {"message_id": "q1", "text": "hello?"}).settled()
    (answer,) = client.streams
    await bench.server.token(answer, 0, "Good day")
    await until(lambda: client.streams[answer])
    client.act("user.interrupt", {"message_id": answer})
    assert client.replica.view.messages[answer].text == "Good day"


# What lasts


async def test_a_restart_keeps_the_outbox_and_its_order(bench):
    """What one process queued, the next one sends; the view shows it before there is a link."""
    client = await bench.client()
    await bench.server.act("user.create_task", {"title": "theirs"})
    await until(lambda: client.link.seq == 3)
    await bench.stop()
    for title in "abc":
        await create(client, title).queued()
    await client.close()
    again = await bench.client(live=False)
    assert shown(again) == {"theirs", "a", "b", "c"}
    assert again.link.seq == 3
    assert again.link.actor == "ana"
    await bench.start()
    assert await again.live(5)
    await until(lambda: not again.replica.pending)
    assert bench.titles() == ["theirs", "a", "b", "c"]
    assert bench.server.snapshots == ["initial"]


async def test_what_was_queued_before_the_first_connection_is_bound_by_it(bench):
    """Rows that nobody owned belong to the first workspace and actor that answer."""
    await bench.stop()
    client = await bench.client(live=False)
    await create(client, "early").queued()
    await client.close()
    again = await bench.client(live=False)
    assert [one.actor for one in again.replica.pending] == [""]
    await bench.start()
    await until(lambda: bench.titles() == ["early"])
    assert again.replica.view.tasks or await again.live(5)


async def test_the_outbox_row_goes_when_the_action_is_done(bench):
    """After a restart nothing that was settled is sent again."""
    client = await bench.client()
    await create(client, "milk").settled()
    await client.close()
    again = await bench.client()
    assert again.replica.pending == ()
    assert bench.server.received == [client_action_id_of(bench)]
    assert again.replica.confirmed == bench.ledger.state


def client_action_id_of(bench: Bench) -> str:
    return bench.ledger.events[-1].client_action_id


async def test_nothing_leaves_before_it_is_durable(bench, monkeypatch):
    """An action is shown at once but sent only when its row is on the disk."""
    written = threading.Event()
    write = Store.write

    def slow(self: Store, changes: Sequence[store.Change]) -> None:
        if any(isinstance(one, store.Queued) for one in changes):
            assert written.wait(5)
        write(self, changes)

    monkeypatch.setattr(Store, "write", slow)
    client = await bench.client()
    sent = create(client, "milk")
    assert shown(client) == {"milk"}
    await bench.server.act("user.create_task", {"title": "theirs"})
    await until(lambda: shown(client) == {"milk", "theirs"})
    bench.server.cut()
    await until(lambda: len(bench.server.hellos) == 2 and client.link.phase == "live")
    assert bench.server.received == []
    assert client.link.unsent == 1
    written.set()
    assert isinstance(await sent.settled(), Acked)
    assert bench.server.received == [sent.client_action_id]


async def test_a_disk_that_is_full_does_not_stop_the_work(bench, monkeypatch):
    """What cannot be kept is said, and sent all the same."""

    def full(self: Store, changes: Sequence[store.Change]) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    client = await bench.client()
    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", full)
        sent = create(client, "milk")
        with pytest.raises(CannotKeep, match="full"):
            await sent.queued()
        assert isinstance(await sent.settled(), Acked)
    await client.close()
    assert (await bench.client()).replica.pending == ()


async def test_without_a_cache_nothing_is_written(bench):
    """A one-shot command with nothing to keep leaves no file."""
    client = await bench.client(kept=False)
    sent = create(client, "milk")
    await sent.queued()
    await sent.settled()
    assert not (bench.folder / "cache").exists()


async def test_two_clients_use_two_slots_and_what_one_leaves_the_other_adopts(bench):
    """Side by side they do not trample each other; what the second one could not send goes with the first."""
    first, second = await bench.client(), await bench.client()
    await bench.stop()
    await create(first, "first").queued()
    await create(second, "second").queued()
    await second.close()
    await bench.start()
    await until(lambda: sorted(bench.titles()) == ["first", "second"])
    await until(lambda: not first.replica.pending)
    await first.close()
    assert (await bench.client()).replica.pending == ()


async def test_the_files_are_for_their_owner_only(bench):
    """Folder 0700, files 0600, side files included."""
    client = await bench.client()
    await create(client, "milk").settled()
    folder = bench.folder / "cache"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in folder.iterdir()}
    assert any(name.endswith("-wal") for name in modes)
    assert set(modes.values()) == {0o600}


async def test_the_log_holds_no_secret_and_no_text(bench, caplog):
    """Token, titles and messages stay out of it, at every level."""
    caplog.set_level(logging.DEBUG)
    client = await bench.client()
    await create(client, "a private matter").settled()
    await client.act("user.update_task", {"task_id": "t", "title": "a private matter"}).settled()
    await bench.stop()
    await until(lambda: client.link.phase == "offline")
    ours = [one for one in caplog.records if one.name.startswith("obelisk")]
    assert ours
    assert not [one for one in ours if "secret" in one.getMessage() or "private" in one.getMessage()]


async def test_an_early_ack_waits_for_its_event(bench):
    """An ack ahead of the head neither settles nor flickers."""
    client = await bench.client()
    bench.server.on_action = lambda frame: "hold"
    sent = create(client, "milk", client_action_id="c1")
    await until(lambda: bench.server.received)
    ack = Ack(client_action_id="c1", status="applied", seq=3, event_ids=())
    await bench.server.broadcast(encode_server_frame(ack))
    await until(lambda: client.replica.acked)
    assert sent.outcome is None
    assert shown(client) == {"milk"}
    await bench.server.tell(tuple(bench.ledger.events[2:]))
    assert isinstance(await sent.settled(), Acked)
    assert shown(client) == {"milk"}
