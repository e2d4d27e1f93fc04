"""Events as frames: an action is never divided, a frame never larger than it may be (the module's invariants)."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from server.ledger.memory import MemoryLedger
from server.ledger.port import Batch, EventRow
from server.replay import event_frames, replay
from tests.support.ledgers import NOW, make_record

Frame = tuple[int, list[int], int]
"""`after`, the seqs in it, the seq that it leads to."""


def a_row(seq: int, action: str, *, actor: str = "ana", size: int = 0) -> EventRow:
    data = json.dumps({"seq": seq, "actor": actor, "client_action_id": action, "payload": "x" * size})
    return EventRow(seq, f"e{seq}", "task.created", data.encode())


def actions_of(
    counts: Sequence[int], *, size: int = 0, actors: Sequence[str] = ("ana",)
) -> list[list[EventRow]]:
    """Consecutive actions of so many events each; one id for the same place of each actor."""
    actions, seq = [], 0
    for place, count in enumerate(counts):
        actor, action = actors[place % len(actors)], f"c{place // len(actors)}"
        actions.append([a_row(seq + 1 + one, action, actor=actor, size=size) for one in range(count)])
        seq += count
    return actions


def read(frames: Sequence[tuple[bytes, int]]) -> list[Frame]:
    decoded = [(json.loads(payload), seq) for payload, seq in frames]
    return [(frame["after"], [event["seq"] for event in frame["events"]], seq) for frame, seq in decoded]


async def a_ledger(actions: Sequence[Sequence[EventRow]]) -> MemoryLedger:
    ledger = MemoryLedger()
    row = await ledger.create_workspace("home", "w-home", NOW)
    after, records = 0, []
    for place, rows in enumerate(actions):
        records.append(make_record(row.key, after, events=list(rows), action=f"r{place}"))
        after += len(rows)
    await ledger.append(Batch(records=tuple(records)))
    return ledger


async def replayed(ledger: MemoryLedger, after: int, upto: int) -> list[Frame]:
    return read([frame async for frame in replay(ledger, 1, after, upto)])


def check(frames: Sequence[Frame], actions: Sequence[Sequence[EventRow]], after: int = 0) -> None:
    """Everything behind `after` is there once, in order, without a gap, and no action is divided."""
    upto = actions[-1][-1].seq
    assert [seq for _, seqs, _ in frames for seq in seqs] == list(range(after + 1, upto + 1))
    ends = {rows[-1].seq for rows in actions if rows}
    for begin, seqs, leads_to in frames:
        assert (begin, leads_to) == (seqs[0] - 1, seqs[-1])
        assert leads_to in ends


# Frames of a commit group.


def test_small_actions_share_a_frame() -> None:
    """What fits stands in one frame, with the ledger's own bytes; an action without events leaves no trace."""
    actions = [*actions_of([1, 2]), [], *[[a_row(4, "c9")]]]
    ((payload, seq),) = event_frames(0, actions)
    rows = [row for group in actions for row in group]
    assert payload == b'{"type":"events","after":0,"events":[%b]}' % b",".join(row.data for row in rows)
    assert seq == 4
    assert list(event_frames(4, [[], []])) == []


def test_a_frame_is_at_most_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Actions go into the next frame before one is too large, to the byte."""
    actions = actions_of([1] * 40, size=100)
    for most in range(400, 800, 7):
        monkeypatch.setattr(limits, "events_frame_bytes_max", most)
        frames = list(event_frames(0, actions))
        assert all(len(payload) <= most for payload, _ in frames)
        check(read(frames), actions)
        assert len(frames) > 1


def test_an_action_larger_than_a_frame_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a single action makes a frame larger than the bound, and nobody shares it."""
    monkeypatch.setattr(limits, "events_frame_bytes_max", 600)
    actions = actions_of([1, 9, 1], size=100)
    assert read(list(event_frames(0, actions))) == [(0, [1], 1), (1, list(range(2, 11)), 10), (10, [11], 11)]


# Replay.


@pytest.mark.parametrize("page", [1, 2, 3, 4, 5, 7, 100])
@pytest.mark.parametrize("after", [0, 1, 2, 3, 6, 15])
async def test_a_replay_keeps_actions_whole(monkeypatch: pytest.MonkeyPatch, page: int, after: int) -> None:
    """Whatever the page, also for an action larger than one, and a cursor inside an action: all, once, whole."""
    monkeypatch.setattr(limits, "replay_page_events_max", page)
    actions = actions_of([1, 2, 1, 9, 3, 1, 4], actors=("ana", "ed"))
    ledger = await a_ledger(actions)
    check(await replayed(ledger, after, 21), actions, after)


async def test_a_replay_of_nothing_is_nothing() -> None:
    """A reader at the head gets no frame."""
    assert await replayed(await a_ledger(actions_of([2])), 2, 2) == []


async def test_a_replay_ends_where_it_is_told() -> None:
    """Events behind `upto` are left to whoever asks for them next."""
    assert await replayed(await a_ledger(actions_of([2, 3, 4])), 0, 5) == [(0, [1, 2, 3, 4, 5], 5)]


async def test_the_same_id_of_two_actors_is_two_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two actors' actions of one id are neighbours, a page may end between them."""
    monkeypatch.setattr(limits, "replay_page_events_max", 3)
    ledger = await a_ledger(actions_of([2, 2], actors=("ana", "ed")))
    assert await replayed(ledger, 0, 4) == [(0, [1, 2], 2), (2, [3, 4], 4)]


async def test_a_replay_reads_no_more_than_it_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large events are read in pages bounded by bytes, so that a slow reader costs little memory."""
    monkeypatch.setattr(limits, "catch_up_buffer_bytes_max", 1_000)
    actions = actions_of([1] * 50, size=200)
    ledger = await a_ledger(actions)
    real, held = ledger.read, []

    async def read_page(
        workspace: int, after: int, limit: int, bytes_max: int | None = None
    ) -> list[EventRow]:
        rows = await real(workspace, after, limit, bytes_max)
        held.append(sum(len(row.data) for row in rows))
        return rows

    ledger.read = read_page  # type: ignore[method-assign]  # it also weighs
    check(await replayed(ledger, 0, 50), actions)
    assert max(held) <= 1_000


@given(
    counts=st.lists(st.integers(1, 8), min_size=1, max_size=12),
    page=st.integers(1, 9),
    frame=st.integers(200, 2_000),
    held=st.integers(100, 2_000),
    data=st.data(),
)
async def test_any_replay_is_whole(
    counts: list[int], page: int, frame: int, held: int, data: st.DataObject
) -> None:
    """For any actions, bounds and cursor: complete, in order, no action divided."""
    after = data.draw(st.integers(0, sum(counts) - 1))
    actions = actions_of(counts, size=50, actors=("ana", "ed"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "replay_page_events_max", page)
        patch.setattr(limits, "events_frame_bytes_max", frame)
        patch.setattr(limits, "catch_up_buffer_bytes_max", held)
        check(await replayed(await a_ledger(actions), after, sum(counts)), actions, after)
