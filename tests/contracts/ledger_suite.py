"""What every ledger must do. An implementation is tested by a class that derives from this one and gives `ledger`."""

from __future__ import annotations

import asyncio

import pytest

from server.ledger.port import (
    Agenda,
    Batch,
    EventRow,
    Found,
    Ledger,
    LedgerConflict,
    LedgerUnavailable,
    LookUp,
    Outcome,
    Record,
    Segment,
    TokenRow,
    WorkspaceRow,
)
from tests.support.ledgers import DIGEST, NOW, chain, event_row, make_record, rejection


class LedgerSuite:
    """The facts; `ledger` has the workspaces `home` (1) and `work` (2)."""

    @pytest.fixture
    async def home(self, ledger: Ledger) -> int:
        return (await ledger.create_workspace("home", "w-home", NOW)).key

    @pytest.fixture
    async def work(self, ledger: Ledger, home: int) -> int:
        return (await ledger.create_workspace("work", "w-work", NOW)).key

    # Workspaces.

    async def test_a_new_ledger_is_empty(self, ledger: Ledger) -> None:
        """Nothing is in a ledger that was just made."""
        assert await ledger.workspaces() == []
        assert await ledger.workspace("home") is None
        assert await ledger.agenda() == []
        assert await ledger.tokens() == []

    async def test_a_workspace_is_made_once(self, ledger: Ledger) -> None:
        """A second `create_workspace` of a name gives the first one back, with its first id."""
        first = await ledger.create_workspace("home", "w-1", NOW)
        again = await ledger.create_workspace("home", "w-2", NOW)
        assert first == again == WorkspaceRow(first.key, "home", "w-1", 0, None)
        assert await ledger.workspace("home") == first
        assert await ledger.workspaces() == [first]

    async def test_a_workspace_id_belongs_to_one_name(self, ledger: Ledger, home: int) -> None:
        """Two workspaces cannot have the same id."""
        with pytest.raises(LedgerConflict):
            await ledger.create_workspace("other", "w-home", NOW)

    async def test_a_workspace_knows_its_head(self, ledger: Ledger, home: int, work: int) -> None:
        """A workspace's row carries the seq and the id of its last event."""
        await ledger.append(Batch(chain(home, 3)))
        assert await ledger.workspaces() == [
            WorkspaceRow(home, "home", "w-home", 3, "e3"),
            WorkspaceRow(work, "work", "w-work", 0, None),
        ]

    # Append and read.

    async def test_events_come_back_as_they_went_in(self, ledger: Ledger, home: int) -> None:
        """The bytes of an event are kept to the byte, whatever they are."""
        rows = [
            event_row(1, data=b'{"text":"caf\xc3\xa9 \\u0000"}'),
            event_row(2, data=b"a\x00b\xff\xfe"),
            event_row(3),
        ]
        await ledger.append(Batch((make_record(home, events=rows),)))
        assert await ledger.read(home, 0, 10) == rows

    async def test_each_workspace_has_its_own_seqs(self, ledger: Ledger, home: int, work: int) -> None:
        """One batch writes to several workspaces, each of which counts from 1 and reads its own events only."""
        a, b = chain(home, 2), chain(work, 2, name="f")
        await ledger.append(Batch((a[0], b[0], a[1], b[1])))
        assert [row.event_id for row in await ledger.read(home, 0, 10)] == ["e1", "e2"]
        assert [row.event_id for row in await ledger.read(work, 0, 10)] == ["f1", "f2"]

    async def test_workspaces_share_no_ids(self, ledger: Ledger, home: int, work: int) -> None:
        """The same event, action and entity ids may be in two workspaces."""
        await ledger.append(
            Batch((make_record(home, entity_ids=["t1"]), make_record(work, entity_ids=["t1"])))
        )
        assert await ledger.seq_of(work, "e1") == 1

    async def test_a_read_begins_behind_its_cursor(self, ledger: Ledger, home: int) -> None:
        """`after` is exclusive and `limit` holds."""
        await ledger.append(Batch(chain(home, 6)))
        assert [row.seq for row in await ledger.read(home, 2, 3)] == [3, 4, 5]
        assert await ledger.read(home, 6, 3) == []
        assert await ledger.read(home, 60, 3) == []
        assert await ledger.read(77, 0, 3) == []

    @pytest.mark.parametrize(
        ("bytes_max", "count"), [(0, 1), (1, 1), (99, 1), (199, 1), (200, 2), (399, 3), (20_000, 200)]
    )
    async def test_a_read_is_bounded_in_bytes(
        self, ledger: Ledger, home: int, bytes_max: int, count: int
    ) -> None:
        """As many events as fit into `bytes_max`, and never none where there is one."""
        rows = [event_row(seq, data=b"x" * 100) for seq in range(1, 301)]
        await ledger.append(Batch((make_record(home, events=rows),)))
        assert await ledger.read(home, 0, 1_000, bytes_max) == rows[:count]

    async def test_both_bounds_of_a_read_hold(self, ledger: Ledger, home: int) -> None:
        """Uneven sizes, every start, every small limit: a read is the longest prefix that both bounds allow."""
        rows = [event_row(seq, data=b"x" * (seq * 37 % 101)) for seq in range(1, 121)]
        rows = [row if row.data else event_row(row.seq) for row in rows]
        await ledger.append(Batch((make_record(home, events=rows),)))
        for after in (0, 1, 50, 119):
            for limit in (1, 31, 32, 33, 64, 200):
                for bytes_max in (10, 1_500, 2_500, 100_000):
                    got = await ledger.read(home, after, limit, bytes_max)
                    size = sum(len(row.data) for row in got)
                    following = rows[after + len(got) : after + len(got) + 1]
                    assert got == rows[after : after + len(got)]
                    assert len(got) == 1 or size <= bytes_max
                    assert len(got) == limit or not following or size + len(following[0].data) > bytes_max

    async def test_an_event_id_is_a_cursor(self, ledger: Ledger, home: int, work: int) -> None:
        """`seq_of` finds an event of this workspace, and only of this one."""
        await ledger.append(Batch((*chain(home, 3), *chain(work, 1, name="f"))))
        assert await ledger.seq_of(home, "e2") == 2
        assert await ledger.seq_of(home, "f1") is None
        assert await ledger.seq_of(home, "") is None

    async def test_an_empty_batch_is_allowed(self, ledger: Ledger, home: int) -> None:
        """A batch of nothing changes nothing."""
        await ledger.append(Batch())
        assert await ledger.read(home, 0, 10) == []

    async def test_one_batch_is_one_flush(self, ledger: Ledger, home: int, work: int) -> None:
        """However many records and workspaces a batch has, it is flushed once."""
        before = ledger.flushes
        await ledger.append(Batch((*chain(home, 50), *chain(work, 50)), (Segment(home, "m", 0, "a"),)))
        assert ledger.flushes - before == 1

    # Conflicts.

    @pytest.mark.parametrize("expected", [0, 1, 3, 4])
    async def test_a_record_on_another_head_is_refused(
        self, ledger: Ledger, home: int, expected: int
    ) -> None:
        """`expected_seq` must be the head, no less and no more, also for an action without events."""
        await ledger.append(Batch(chain(home, 2)))
        for record in (make_record(home, expected, action="new", name="x"), rejection(home, expected)):
            with pytest.raises(LedgerConflict):
                await ledger.append(Batch((record,)))
        assert (await ledger.workspaces())[0].seq == 2

    async def test_a_workspace_that_is_not_there_is_refused(self, ledger: Ledger) -> None:
        """No record lands in a workspace that nobody made."""
        with pytest.raises(LedgerConflict):
            await ledger.append(Batch((make_record(5),)))

    @pytest.mark.parametrize(
        "second",
        [
            make_record(1, 1, action="c1"),
            make_record(1, 1, action="c1", events=0),
            make_record(
                1, 1, events=[event_row(2, name="e"), event_row(3, name="e")], entity_ids=["t0", "t1"]
            ),
            make_record(1, 1, events=[event_row(2, name="y")], entity_ids=["t2", "t2"]),
            make_record(1, 1, events=[EventRow(2, "e1", "task.created", b"{}")]),
        ],
        ids=["action", "action without events", "entity", "entity twice", "event"],
    )
    @pytest.mark.parametrize("together", [True, False])
    async def test_an_id_is_used_once(
        self, ledger: Ledger, home: int, second: Record, together: bool
    ) -> None:
        """A repeated action, entity or event id refuses the whole batch, also within one batch."""
        first = make_record(home, entity_ids=["t1"])
        if together:
            with pytest.raises(LedgerConflict):
                await ledger.append(Batch((first, second)))
            assert await ledger.read(home, 0, 10) == []
        else:
            await ledger.append(Batch((first,)))
            with pytest.raises(LedgerConflict):
                await ledger.append(Batch((second,)))
            assert [row.seq for row in await ledger.read(home, 0, 10)] == [1]

    async def test_a_refused_batch_leaves_nothing(self, ledger: Ledger, home: int, work: int) -> None:
        """All or nothing: events, outcome, entity ids, segments, seals and agenda of every record."""
        await ledger.append(Batch((make_record(work, name="w"),), (Segment(work, "m1", 0, "kept"),)))
        good = make_record(work, 1, name="w", entity_ids=["t1"], sealed=["m1"], agenda=Agenda(True))
        with pytest.raises(LedgerConflict):
            await ledger.append(Batch((good, make_record(home, 7)), (Segment(home, "m2", 0, "gone"),)))
        assert len(await ledger.read(work, 0, 10)) == 1
        assert await ledger.look_up([LookUp(work, "ana", "c2", ("t1",))]) == [Found(None, frozenset())]
        assert await ledger.segments(work) == {"m1": "kept"}
        assert await ledger.segments(home) == {}
        assert await ledger.agenda() == []

    async def test_a_conflict_closes_nothing(self, ledger: Ledger, home: int) -> None:
        """After a conflict the next batch is written without a reopen."""
        with pytest.raises(LedgerConflict):
            await ledger.append(Batch((make_record(home, 4),)))
        await ledger.append(Batch((make_record(home),)))
        assert (await ledger.workspaces())[0].seq == 1

    async def test_a_record_that_does_not_add_up_is_a_bug(self, ledger: Ledger, home: int) -> None:
        """An outcome that does not name its events trips an assertion, and nothing of it stays."""
        wrong = Record(home, 0, "ana", "c1", Outcome("applied", DIGEST), (event_row(1),))
        with pytest.raises(AssertionError):
            await ledger.append(Batch((wrong,)))
        await ledger.append(Batch((make_record(home),)))
        assert (await ledger.workspaces())[0].seq == 1

    # Look-ups.

    async def test_outcomes_are_found_for_ever(self, ledger: Ledger, home: int) -> None:
        """Each stored outcome comes back whole: applied with and without events, and rejected."""
        records = (
            make_record(home, 0, action="c1", events=3, digest=b"d" * 16),
            make_record(home, 3, action="c2", events=0),
            rejection(home, 3, action="c3"),
        )
        await ledger.append(Batch(records))
        found = await ledger.look_up([LookUp(home, "ana", f"c{n}") for n in (1, 2, 3)])
        assert found == [Found(record.outcome, frozenset()) for record in records]

    async def test_outcomes_belong_to_workspace_and_actor(self, ledger: Ledger, home: int, work: int) -> None:
        """Another actor, another workspace, another id: not the same action."""
        await ledger.append(
            Batch((make_record(home, action="c1"), make_record(home, 1, actor="bo", action="c1")))
        )
        found = await ledger.look_up(
            [
                LookUp(home, "bo", "c1"),
                LookUp(work, "ana", "c1"),
                LookUp(home, "cy", "c1"),
                LookUp(home, "ana", "C1"),
            ]
        )
        assert [row.outcome.seq if row.outcome else None for row in found] == [2, None, None, None]

    async def test_used_entity_ids_are_found(self, ledger: Ledger, home: int, work: int) -> None:
        """Of the asked entity ids exactly those that this workspace used come back."""
        await ledger.append(Batch((make_record(home, entity_ids=["t1", "t2", 't"3\\']),)))
        found = await ledger.look_up(
            [
                LookUp(home, "ana", "x", ("t2", "t9", 't"3\\')),
                LookUp(work, "ana", "x", ("t1",)),
                LookUp(home, "ana", "c1"),
            ]
        )
        assert [row.used for row in found] == [frozenset({"t2", 't"3\\'}), frozenset(), frozenset()]
        assert [row.outcome is not None for row in found] == [False, False, True]

    async def test_a_group_of_look_ups_keeps_its_order(self, ledger: Ledger, home: int) -> None:
        """Answers stand in the order of the questions, a question asked twice is answered twice."""
        await ledger.append(Batch(chain(home, 300)))
        ids = [300, 1, 7, 999, 7, 150]
        found = await ledger.look_up([LookUp(home, "ana", f"c{n}") for n in ids])
        seqs = [row.outcome.seq if row.outcome else None for row in found]
        assert seqs == [300, 1, 7, None, 7, 150]
        assert await ledger.look_up([]) == []

    # Segments.

    async def test_segments_join_to_a_text(self, ledger: Ledger, home: int, work: int) -> None:
        """Pieces are joined in the order of their offsets, overlap is trimmed, offsets are code points."""
        await ledger.append(Batch((), (Segment(home, "m1", 3, "😀d\x00"), Segment(work, "m1", 0, "other"))))
        await ledger.append(Batch((), (Segment(home, "m1", 0, "abc😀"), Segment(home, "m1", 6, "e"))))
        await ledger.append(Batch((), (Segment(home, "m2", 0, ""), Segment(home, "m1", 0, "ab"))))
        assert await ledger.segments(home) == {"m1": "abc😀d\x00e", "m2": ""}
        assert await ledger.segments(work) == {"m1": "other"}

    async def test_a_text_ends_at_its_first_gap(self, ledger: Ledger, home: int) -> None:
        """What lies behind a gap is left out: the text that was saved is a prefix."""
        await ledger.append(Batch((), (Segment(home, "m1", 0, "ab"), Segment(home, "m1", 3, "d"))))
        assert await ledger.segments(home) == {"m1": "ab"}

    async def test_a_sealed_stream_loses_its_segments(self, ledger: Ledger, home: int) -> None:
        """The record that seals a stream takes its segments along, those of the same batch too."""
        await ledger.append(Batch((), (Segment(home, "m1", 0, "ab"), Segment(home, "m2", 0, "x"))))
        await ledger.append(Batch((make_record(home, sealed=["m1"]),), (Segment(home, "m1", 2, "c"),)))
        assert await ledger.segments(home) == {"m2": "x"}

    # Agenda.

    async def test_the_agenda_is_the_last_one_given(self, ledger: Ledger, home: int, work: int) -> None:
        """A record replaces its workspace's agenda, leaves it with None, and removes it with an empty one."""
        await ledger.append(
            Batch((make_record(home, agenda=Agenda(True)), make_record(work, agenda=Agenda(False, NOW))))
        )
        await ledger.append(Batch((make_record(home, 1),)))
        rows = await ledger.workspaces()
        assert await ledger.agenda() == [(rows[0], Agenda(True, None)), (rows[1], Agenda(False, NOW))]
        await ledger.append(
            Batch(
                (make_record(home, 2, agenda=Agenda(True, NOW)), make_record(work, 1, agenda=Agenda(False)))
            )
        )
        rows = await ledger.workspaces()
        assert await ledger.agenda() == [(rows[0], Agenda(True, NOW))]

    # Tokens.

    async def test_tokens_are_kept(self, ledger: Ledger) -> None:
        """A token is found by its hash, and listed in the order in which it was made."""
        rows = [
            TokenRow(b"\x00\xff", "k2", "actor", "ana", NOW),
            TokenRow(b"h1", "k1", "metrics", None, NOW),
            TokenRow(b"h3", "k3", "gateway", None, NOW, NOW),
        ]
        for row in rows:
            await ledger.put_token(row)
        assert await ledger.tokens() == rows
        assert await ledger.token(b"\x00\xff") == rows[0]
        assert await ledger.token(b"h9") is None

    @pytest.mark.parametrize(
        "row", [TokenRow(b"h1", "k2", "actor", "bo", NOW), TokenRow(b"h2", "k1", "actor", "bo", NOW)]
    )
    async def test_a_token_is_put_once(self, ledger: Ledger, row: TokenRow) -> None:
        """Neither a hash nor a token id is taken twice."""
        first = TokenRow(b"h1", "k1", "actor", "ana", NOW)
        await ledger.put_token(first)
        with pytest.raises(LedgerConflict):
            await ledger.put_token(row)
        assert await ledger.tokens() == [first]

    async def test_a_token_is_revoked_once(self, ledger: Ledger) -> None:
        """The time of the first revocation stays; a token that is not there is not revoked."""
        await ledger.put_token(TokenRow(b"h1", "k1", "actor", "ana", NOW))
        assert await ledger.revoke_token("k1", "t1") is True
        assert await ledger.revoke_token("k1", "t2") is True
        assert await ledger.revoke_token("k9", "t2") is False
        assert await ledger.token(b"h1") == TokenRow(b"h1", "k1", "actor", "ana", NOW, "t1")

    # Life.

    async def test_everything_outlives_a_reopen(self, ledger: Ledger, home: int) -> None:
        """What was appended is there after `reopen`, and writing goes on."""
        record = make_record(home, entity_ids=["t1"], agenda=Agenda(True))
        token = TokenRow(b"h1", "k1", "actor", "ana", NOW)
        await ledger.append(Batch((record,), (Segment(home, "m1", 0, "ab"),)))
        await ledger.put_token(token)
        await ledger.reopen()
        assert await ledger.read(home, 0, 10) == list(record.events)
        assert await ledger.look_up([LookUp(home, "ana", "c1", ("t1",))]) == [
            Found(record.outcome, frozenset({"t1"}))
        ]
        assert await ledger.segments(home) == {"m1": "ab"}
        assert await ledger.agenda() == [(WorkspaceRow(home, "home", "w-home", 1, "e1"), Agenda(True))]
        assert await ledger.tokens() == [token]
        await ledger.append(Batch((make_record(home, 1),)))

    async def test_a_closed_ledger_is_unavailable(self, ledger: Ledger, home: int) -> None:
        """After `close`, which may be called twice, every verb says so."""
        await ledger.close()
        await ledger.close()
        with pytest.raises(LedgerUnavailable):
            await ledger.append(Batch((make_record(home),)))
        with pytest.raises(LedgerUnavailable):
            await ledger.read(home, 0, 10)
        with pytest.raises(LedgerUnavailable):
            await ledger.revoke_token("k1", NOW)

    async def test_a_cancelled_append_is_whole_or_absent(self, ledger: Ledger, home: int) -> None:
        """Whoever is cancelled while it appends leaves no half of a batch, and the ledger usable after a reopen."""
        task = asyncio.create_task(ledger.append(Batch(chain(home, 20))))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        await ledger.reopen()
        head = (await ledger.workspaces())[0].seq
        assert head in (0, 20)
        await ledger.append(Batch(chain(home, 1, after=head)))
