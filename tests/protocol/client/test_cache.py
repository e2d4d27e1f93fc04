"""What the cache keeps through damage, doubt and full disks."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import msgspec
import pytest

from protocol.client import cache as subject
from protocol.client import slots
from protocol.client.cache import DurableCache, open_cache
from protocol.client.clock import SystemClock
from protocol.client.errors import CannotKeep
from protocol.client.store import (
    Advance,
    Change,
    Dismissal,
    Identity,
    Loaded,
    Queued,
    Rebase,
    Refusal,
    Store,
)
from protocol.errors import Refused
from protocol.events import Head
from protocol.replica import Pending, Rejected, pending_of
from protocol.state import INITIAL
from tests.support.fake_server import NOW, Ledger
from tests.support.wait import until

NAME = "home-0123"


class QuickClock(SystemClock):
    """Retries come soon."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def pending(name: str, *, actor: str = "ana") -> Pending:
    body = msgspec.json.encode({"title": name})
    found = pending_of(
        "user.create_task", name, body, actor=actor, workspace_id="w" if actor else "", queued_at=NOW
    )
    assert isinstance(found, Pending)
    return found


def rejected(name: str) -> Rejected:
    one = pending(name)
    return Rejected(
        action=one.action, payload=one.payload, refused=Refused("conflict", "No.", "title"), rejected_at=NOW
    )


async def kept(folder: Path, *changes: Change) -> Loaded:
    """Write the changes, close, and read what the next process finds."""
    cache, _ = await open_cache(folder, NAME, QuickClock())
    for change in changes:
        cache.put(change)
    await cache.close()
    return await found(folder)


async def found(folder: Path) -> Loaded:
    cache, loaded = await open_cache(folder, NAME, QuickClock())
    await cache.close()
    return loaded


@pytest.fixture
def ledger() -> Ledger:
    made = Ledger()
    for actor in ("ana", "bea", "cal"):
        made.add_member(actor)
    return made


def names(loaded: Loaded) -> list[str]:
    return [one.client_action_id for one in loaded.pending]


async def test_what_is_put_is_found_again(tmp_path, ledger):
    """Outbox in its order, refusals, identity, and state with its cursor."""
    loaded = await kept(
        tmp_path,
        Identity("w", "ana"),
        *(Queued(pending(name)) for name in ("c2", "c1", "c3", "c4")),
        Rebase(INITIAL, Head()),
        Advance(tuple(ledger.events), ("c1",)),
        Refusal(rejected("c3")),
        Refusal(rejected("c4")),
        Dismissal("c4"),
    )
    assert names(loaded) == ["c2"]
    assert loaded.pending[0] == pending("c2")
    assert loaded.rejected == (rejected("c3"),)
    assert loaded.identity == Identity("w", "ana")
    assert (loaded.state, loaded.head, loaded.tail_events) == (ledger.state, ledger.head, 3)
    assert loaded.doubt is None


async def test_a_whole_state_replaces_its_events(tmp_path, ledger):
    """After a rebase only later events lie behind it."""
    loaded = await kept(
        tmp_path,
        Advance(tuple(ledger.events), ()),
        Queued(pending("c1")),
        Rebase(ledger.state, ledger.head, ("c1",)),
    )
    assert (loaded.state, loaded.head, loaded.tail_events) == (ledger.state, ledger.head, 0)
    assert loaded.pending == ()


async def test_rows_of_nobody_are_bound_by_the_first_identity(tmp_path):
    """Those that somebody owns stay theirs."""
    loaded = await kept(
        tmp_path, Queued(pending("c1", actor="")), Queued(pending("c2")), Identity("w2", "bea")
    )
    assert [(one.actor, one.workspace_id) for one in loaded.pending] == [("bea", "w2"), ("ana", "w")]


async def test_the_cursor_never_runs_ahead_of_the_events(tmp_path, ledger):
    """A hole in the stored events is doubt: the state is dropped, the outbox is not."""
    loaded = await kept(tmp_path, Queued(pending("c1")), Advance(tuple(ledger.events[1:]), ()))
    assert loaded.doubt is not None
    assert (loaded.state, loaded.head) == (INITIAL, Head())
    assert names(loaded) == ["c1"]
    assert (await found(tmp_path)).doubt is None


@pytest.mark.parametrize("change", ["digest = 'x'", "state = x'7b'"])
async def test_a_state_that_is_not_what_was_stored_is_dropped(tmp_path, ledger, change):
    """The digest is checked, and unreadable bytes are no error."""
    await kept(tmp_path, Rebase(ledger.state, ledger.head), Queued(pending("c1")))
    with sqlite3.connect(tmp_path / f"{NAME}.db") as db:
        db.execute(f"UPDATE base SET {change}")
    db.close()
    loaded = await found(tmp_path)
    assert loaded.doubt is not None
    assert loaded.head == Head()
    assert names(loaded) == ["c1"]


async def test_the_outbox_outlives_another_layout(tmp_path, ledger):
    """What another release left as a cache goes; what a person did stays."""
    await kept(tmp_path, Rebase(ledger.state, ledger.head), Queued(pending("c1")), Refusal(rejected("c2")))
    with sqlite3.connect(tmp_path / f"{NAME}.db") as db:
        db.execute("PRAGMA user_version = 7")
        db.execute("ALTER TABLE base RENAME COLUMN state TO something_else")
    db.close()
    loaded = await found(tmp_path)
    assert loaded.head == Head()
    assert names(loaded) == ["c1"]
    assert loaded.rejected == (rejected("c2"),)


async def test_a_damaged_file_is_set_aside_with_its_outbox_saved(tmp_path, ledger, caplog):
    """Broken pages behind the outbox cost the state only; the file stays under another name, and the log says so."""
    await kept(
        tmp_path,
        *(Queued(pending(f"c{number}")) for number in range(3)),
        Rebase(ledger.state, ledger.head),
        Advance((), ()),
    )
    path = tmp_path / f"{NAME}.db"
    with sqlite3.connect(path) as db:
        root, size = db.execute(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master WHERE name = 'base'"
        ).fetchone()
    db.close()
    data = bytearray(path.read_bytes())
    data[(root - 1) * size : root * size] = b"\xff" * size
    path.write_bytes(data)
    loaded = await found(tmp_path)
    assert names(loaded) == ["c0", "c1", "c2"]
    assert loaded.head == Head()
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1
    assert "3 unsent actions were read from it" in caplog.text


async def test_what_is_no_database_is_set_aside(tmp_path):
    """A file of rubbish is no reason not to start."""
    (tmp_path / f"{NAME}.db").write_bytes(b"rubbish" * 1000)
    assert (await found(tmp_path)).pending == ()
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


async def test_a_folder_that_cannot_be_used_is_said(tmp_path):
    """One sentence with the path and the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotKeep, match="Nothing can be kept"):
        await open_cache(tmp_path / "file", NAME, QuickClock())


async def test_a_write_that_fails_is_said_and_tried_again(tmp_path, monkeypatch, caplog):
    """Whoever waits is told; the change is kept in order and written as soon as that works."""
    cache, _ = await open_cache(tmp_path, NAME, QuickClock())
    write, fails = Store.write, [True]

    def failing(self: Store, changes: list[Change]) -> None:
        if fails:
            raise sqlite3.OperationalError("database or disk is full")
        write(self, changes)

    monkeypatch.setattr(Store, "write", failing)
    said: list[CannotKeep | None] = []
    cache.put(Queued(pending("c1")), said.append)
    await until(lambda: said)
    assert isinstance(said[0], CannotKeep)
    cache.put(Queued(pending("c2")), said.append)
    fails.clear()
    await until(lambda: len(said) == 2 and said[1] is None)
    await cache.close()
    assert names(await found(tmp_path)) == ["c1", "c2"]
    assert caplog.text.count("cannot be written") == 1


async def test_what_waits_is_one_transaction(tmp_path, monkeypatch):
    """A hundred changes that are put at once cost one write."""
    cache, _ = await open_cache(tmp_path, NAME, QuickClock())
    write, batches = Store.write, list[int]()

    def counted(self: Store, changes: list[Change]) -> None:
        batches.append(len(changes))
        write(self, changes)

    monkeypatch.setattr(Store, "write", counted)
    for number in range(100):
        cache.put(Queued(pending(f"c{number}")))
    await cache.close()
    assert batches == [100]


async def test_each_process_has_its_own_slot_and_leaves_it_to_the_next(tmp_path):
    """A taken slot is passed over; a free one's outbox moves to whoever opens, and is sent once."""
    first, _ = await open_cache(tmp_path, NAME, QuickClock())
    second, _ = await open_cache(tmp_path, NAME, QuickClock())
    second.put(Queued(pending("c1")))
    second.put(Refusal(rejected("c2")))
    await second.close()
    adopted = await first.adopt()
    assert [one.client_action_id for one in adopted] == ["c1"]
    assert await first.adopt() == ()
    await first.close()
    loaded = await found(tmp_path)
    assert names(loaded) == ["c1"]
    assert loaded.rejected == (rejected("c2"),)


async def test_leftovers_are_adopted_at_open(tmp_path):
    """The next client of all finds them, whichever slot they lie in."""
    first, _ = await open_cache(tmp_path, NAME, QuickClock())
    second, _ = await open_cache(tmp_path, NAME, QuickClock())
    first.put(Queued(pending("c1")))
    second.put(Queued(pending("c2")))
    await second.close()
    await first.close()
    assert names(await found(tmp_path)) == ["c1", "c2"]


def test_slots_are_not_endless(tmp_path, monkeypatch):
    """One more than there are is refused in words."""
    monkeypatch.setattr(slots, "SLOTS_MAX", 2)
    held = [slots.take(tmp_path, NAME) for _ in range(2)]
    with pytest.raises(CannotKeep, match="2 clients"):
        slots.take(tmp_path, NAME)
    held[1].release()
    assert slots.take(tmp_path, NAME).number == 2
    held[0].release()


async def test_nothing_is_kept_without_a_folder():
    """It says durable at once, because nobody asked for more."""
    cache, loaded = await open_cache(None, NAME, QuickClock())
    said: list[object] = []
    cache.put(Queued(pending("c1")), said.append)
    assert said == [None]
    assert not isinstance(cache, DurableCache)
    assert loaded == Loaded()
    assert await cache.adopt() == ()
    await cache.close()


def test_retries_are_bounded_in_time():
    """A full disk is asked again every second, not in a loop."""
    assert subject.RETRY_S >= 0.5
