"""Who listens and who is here: frames to all, connections cut in time, presence told seldom."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from protocol import limits
from protocol.codec import encode_event, encode_server_frame
from protocol.events import MemberRemoved, MemberSet
from protocol.frames import HeadFrame, Presence, PresenceUpdate, Present
from server.hub import Hub
from server.replay import event_frames
from tests.support.fixtures import a_member, an_event
from tests.support.ledgers import FaultyLedger, event_row
from tests.support.wait import until
from tests.support.workspaces_real import House, Listener, act, body

FRAME = encode_server_frame(HeadFrame(seq=1, event_id=None))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub that tells presence as often as it may; a test that is about the pause sets it."""
    monkeypatch.setattr(limits, "presence_interval_s", 0.0)
    return Hub()


def a_reader(name: str, **fields: Any) -> Listener:
    return Listener(name, [], **fields)


def joined(hub: Hub, name: str, **fields: Any) -> Listener:
    reader = a_reader(name, **fields)
    hub.enter(reader)
    hub.join(reader, Present(actor=reader.actor, session_id=f"s-{name}", client="test/1"))
    reader.flush()
    return reader


def told(reader: Listener) -> list[Presence]:
    return [frame for frame in reader.frames if isinstance(frame, Presence)]


def names(presence: Presence) -> list[str]:
    return [one.session_id for one in presence.members]


async def last_told(reader: Listener, count: int) -> Presence:
    await until(lambda: told(reader)[-1].count == count, what=f"presence of {count}")
    return told(reader)[-1]


# Frames.


async def test_a_reader_gets_all_from_the_moment_it_is_live(hub: Hub) -> None:
    """One that has entered and not joined gets no frame; one that joined gets each, once, in one write a flush."""
    waiting, live = a_reader("w"), joined(hub, "a")
    hub.enter(waiting)
    live.writes.clear()
    hub.publish([(FRAME, 1), (FRAME, 2)])
    hub.publish([(FRAME, 3)])
    assert live.writes == []
    hub.flush_all()
    hub.flush_all()
    assert [len(write) for write in live.writes] == [3]
    assert live.seq == 3
    assert waiting.pushed == []
    assert (hub.live, hub.connected) == (1, 2)


async def test_a_transient_frame_leaves_at_once(hub: Hub) -> None:
    """`send` reaches every live reader without a flush by its caller, behind what was pushed before."""
    reader = joined(hub, "a")
    reader.writes.clear()
    hub.publish(event_frames(0, [[event_row(1, data=_event_json(1))]]))
    hub.send(FRAME)
    assert [type(frame).__name__ for frame in reader.frames] == ["Events", "HeadFrame"]


def _event_json(seq: int) -> bytes:
    return encode_event(an_event(MemberSet(entity=a_member("ed")), seq))


async def test_only_what_was_pushed_is_flushed(hub: Hub) -> None:
    """A reader that was marked is flushed once, others are left alone."""
    first, second = joined(hub, "a"), joined(hub, "b")
    flushed: list[str] = []
    first.on_flush = lambda: flushed.append("a")
    second.on_flush = lambda: flushed.append("b")
    hub.mark(second)
    hub.flush_all()
    hub.flush_all()
    assert flushed == ["b"]


async def test_one_that_is_gone_is_not_flushed(hub: Hub) -> None:
    """What was pushed to a reader that went before the flush is not written."""
    reader = joined(hub, "a")
    reader.writes.clear()
    hub.publish([(FRAME, 1)])
    hub.drop(reader)
    hub.flush_all()
    assert reader.writes == []


async def test_a_reader_that_leaves_inside_its_flush_disturbs_nobody(hub: Hub) -> None:
    """One that is over its bound drops itself while all are flushed, while a token is sent, while presence is told."""
    readers = [joined(hub, name) for name in "abc"]
    slow = readers[1]
    slow.on_flush = lambda: hub.drop(slow)
    for reader in readers:
        reader.writes.clear()
    hub.publish([(FRAME, 1)])
    hub.flush_all()
    hub.publish([(FRAME, 2)])
    hub.flush_all()
    assert [reader.seq for reader in readers] == [2, 1, 2]
    assert hub.live == 2
    again = joined(hub, "d")
    again.on_flush = lambda: hub.drop(again)
    hub.send(FRAME)
    hub.send(FRAME)
    assert [type(frame).__name__ for frame in again.frames] == ["Presence", "HeadFrame"]
    last = joined(hub, "e")
    last.on_flush = lambda: hub.drop(last)
    hub.update(readers[0], PresenceUpdate(typing=True))
    await until(lambda: hub.live == 2)
    assert hub._told.keys() == hub._live.keys()


async def test_a_reader_may_drop_another_while_all_are_flushed(hub: Hub) -> None:
    """Whoever goes while the others are flushed, or told, is not told again."""
    readers = [joined(hub, name) for name in "abc"]

    def drop_all() -> None:
        for reader in readers:
            hub.drop(reader)

    for reader in readers:
        reader.writes.clear()
    readers[0].on_flush = drop_all
    hub.update(readers[0], PresenceUpdate(typing=True))
    await until(lambda: hub.live == 0)
    await asyncio.sleep(0)
    assert not hub._told
    assert [len(reader.writes) for reader in readers] == [1, 0, 0]
    hub.publish([(FRAME, 1)])
    hub.flush_all()
    assert all(reader.seq == 0 for reader in readers)


# Who must go.


async def test_a_client_that_comes_again_replaces_itself(hub: Hub) -> None:
    """The same actor and client_id cuts the older connection with 4410; another actor's does not."""
    older = joined(hub, "a", client_id="k1")
    other = joined(hub, "b", actor="ed", client_id="k1")
    newer = a_reader("c", client_id="k1")
    hub.enter(newer)
    assert (older.left, other.left, newer.left) == ([4410], [], [])
    assert (hub.live, hub.connected) == (1, 2)
    hub.drop(older)  # its end comes later, and must not take the new one along
    assert hub.connected == 2
    newest = a_reader("d", client_id="k1")
    hub.enter(newest)
    assert newer.left == [4410]


@pytest.mark.parametrize(
    "payload, code",
    [
        (MemberRemoved(actor="ed", was=a_member("ed")), 4404),
        (MemberSet(entity=a_member("ed", "viewer")), 1001),
    ],
)
async def test_changed_members_are_cut(hub: Hub, payload: Any, code: int) -> None:
    """All connections of a member that was removed or changed go, those that catch up or said no hello too."""
    live, catching_up, silent = (
        joined(hub, "a", actor="ed"),
        a_reader("b", actor="ed"),
        a_reader("c", actor="ed"),
    )
    owner = joined(hub, "o")
    hub.enter(catching_up)
    hub.expect(silent)
    hub.cut_changed_members([an_event(payload)])
    hub.publish([(FRAME, 1)])
    hub.flush_all()
    assert [live.left, catching_up.left, silent.left, owner.left] == [[code], [code], [code], []]
    assert (live.seq, owner.seq) == (0, 1)


async def test_a_member_feels_a_change_before_the_next_event() -> None:
    """Through a whole workspace: who was removed never gets the event that removed him; the others do."""
    house = House(FaultyLedger())
    home = await house.workspace()
    await home.submit("ana", "user.set_member", "c1", body(actor="ed", role="editor"))
    gone, stays = joined(home.hub, "a", actor="ed"), joined(home.hub, "b")
    await home.submit("ana", "user.remove_member", "c2", body(actor="ed"))
    assert gone.left == [4404]
    assert gone.event_frames == []
    assert [event.type for event in stays.events] == ["member.removed"]
    outcome = await act(home, "user.create_task", "c3", actor="ed", title="x")
    assert outcome.code == "forbidden"
    await house.close()


async def test_a_revoked_token_takes_its_connections(hub: Hub) -> None:
    """Connections of that token go, whatever their actor and whether or not they said hello; others stay."""
    first, second = joined(hub, "a", token_id="k1"), joined(hub, "b", token_id="k2")
    silent, nobody = a_reader("c", token_id="k1"), joined(hub, "d")
    hub.expect(silent)
    hub.cut_token("k1", 4401, "revoked")
    assert [one.left for one in (first, second, silent, nobody)] == [[4401], [], [4401], []]


async def test_cutting_all_leaves_nobody(hub: Hub) -> None:
    """Live, catching up, silent: everybody is cut once."""
    readers = [joined(hub, "a"), a_reader("b"), a_reader("c")]
    hub.enter(readers[1])
    hub.expect(readers[2])
    hub.cut_all(4503, "gone")
    hub.cut_all(4503, "gone")
    assert [one.left for one in readers] == [[4503]] * 3
    assert (hub.live, hub.connected) == (0, 0)


# Presence.


async def test_everybody_is_told_who_is_here(hub: Hub) -> None:
    """A reader is told when it joins; the others hear of it, and of its going, in the order of joining."""
    first = joined(hub, "a")
    assert names(told(first)[-1]) == ["s-a"]
    second = joined(hub, "b", actor="ed")
    assert names(told(second)[-1]) == ["s-a", "s-b"]
    assert names(await last_told(first, 2)) == ["s-a", "s-b"]
    hub.drop(second)
    assert names(await last_told(first, 1)) == ["s-a"]


async def test_what_was_said_before_joining_counts(hub: Hub) -> None:
    """What a person does while the reader still catches up is shown from its joining on, and goes with it."""
    reader, gone = a_reader("a"), a_reader("b")
    for one in (reader, gone):
        hub.enter(one)
        hub.update(one, PresenceUpdate(typing=True, focus="t1"))
    hub.drop(gone)
    for one in (reader, gone):
        hub.join(one, Present(actor=one.actor, session_id=f"s-{one.client_id}", client="test/1"))
        one.flush()
    shown = [(one.typing, one.focus) for one in told(gone)[-1].members]
    assert shown == [(True, "t1"), (False, None)]


async def test_nobody_is_told_the_same_twice(hub: Hub) -> None:
    """A reader hears of a change once; one that came with the change was told when it joined."""
    first, second = joined(hub, "a"), joined(hub, "b")
    await last_told(first, 2)
    hub.update(first, PresenceUpdate(typing=True))
    hub.update(first, PresenceUpdate(typing=False))
    hub.update(first, PresenceUpdate(focus="t1"))
    await until(lambda: told(second)[-1].members[0].focus == "t1")
    hub.update(first, PresenceUpdate(focus="t1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for reader in (first, second):
        frames = told(reader)
        assert all(one != other for one, other in pairwise(frames))
    assert len(told(second)) == 2


async def test_presence_is_told_at_most_once_in_its_interval(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many changes at once are one frame, and the next one leaves no sooner than the interval after it."""
    first = joined(hub, "a")
    second = joined(hub, "b")
    await last_told(first, 2)
    first.writes.clear()
    interval_s, loop, times = 0.05, asyncio.get_running_loop(), []
    monkeypatch.setattr(limits, "presence_interval_s", interval_s)
    first.on_flush = lambda: times.append(loop.time())
    for turn in range(30):
        hub.update(second, PresenceUpdate(focus=f"t{turn}"))
    await until(lambda: len(times) == 1)
    hub.update(second, PresenceUpdate(focus="x"))
    hub.update(second, PresenceUpdate(focus="last"))
    await until(lambda: len(times) == 2)
    assert times[1] - times[0] >= interval_s * 0.9
    assert told(first)[-1].members[1].focus == "last"


async def test_typing_lapses(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who types and says nothing more stops typing by itself, and keeps its focus; each sign of life renews it."""
    monkeypatch.setattr(limits, "typing_s", 0.03)
    first, second = joined(hub, "a"), joined(hub, "b")
    hub.update(first, PresenceUpdate(typing=True, focus="t1"))
    await until(lambda: told(second)[-1].members[0].typing)
    for _ in range(4):
        before = hub._typing[first]
        hub.update(first, PresenceUpdate(typing=True, focus="t1"))
        assert before.cancelled()
    await until(lambda: not told(second)[-1].members[0].typing)
    assert told(second)[-1].members[0].focus == "t1"
    assert not hub._typing


async def test_who_goes_while_typing_leaves_nothing_behind(hub: Hub) -> None:
    """The timer of a reader that is dropped goes with it."""
    first = joined(hub, "a")
    hub.update(first, PresenceUpdate(typing=True))
    timer = hub._typing[first]
    hub.drop(first)
    assert timer.cancelled()
    assert not hub._typing


async def test_presence_of_one_that_is_not_live_counts_for_nothing(hub: Hub) -> None:
    """A reader that still catches up is not here yet."""
    first, second = joined(hub, "a"), a_reader("b")
    hub.enter(second)
    hub.update(second, PresenceUpdate(typing=True, focus="t1"))
    assert not hub._typing
    assert names(told(first)[-1]) == ["s-a"]


async def test_presence_names_a_hundred_and_counts_all(hub: Hub) -> None:
    """Where more are here than a frame names, `count` has them all; a focus is cut to its length."""
    first = joined(hub, "a")
    hub.update(first, PresenceUpdate(focus="x" * 1_000))
    for number in range(limits.presence_members_max + 5):
        joined(hub, f"r{number}")
    presence = await last_told(first, limits.presence_members_max + 6)
    assert len(presence.members) == limits.presence_members_max
    assert presence.members[0].focus == "x" * limits.focus_characters_max
