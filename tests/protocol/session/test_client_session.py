"""What the client's half of a connection accepts, and what it takes for a failure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import REDUCER_VERSION, limits
from protocol.codec import encode_event, encode_server_frame, events_frame, snapshot_frames
from protocol.events import Head
from protocol.frames import (
    Ack,
    HeadFrame,
    Reject,
    ServerFrame,
    Synced,
    Token,
    TokenPayload,
    Welcome,
)
from protocol.session import client as subject
from protocol.session.client import (
    Advanced,
    Agreement,
    CaughtUp,
    ClientSession,
    Failed,
    Phase,
    Restored,
    Result,
    Streamed,
    compared,
    following,
    with_token,
)
from protocol.state import INITIAL, AssistantState, put_assistant
from protocol.table import Table
from tests.support.fake_server import NOW, WIRE_LIMITS, Ledger

START = 100.0


@pytest.fixture
def ledger() -> Ledger:
    """Three events: ana, bea and cal are members."""
    made = Ledger()
    for actor in ("ana", "bea", "cal"):
        made.add_member(actor)
    return made


def welcome(ledger: Ledger, **changed: object) -> Welcome:
    frame = Welcome(
        protocol=1,
        server="fake",
        reducer=REDUCER_VERSION,
        workspace="home",
        workspace_id=ledger.workspace_id,
        actor="ana",
        role="owner",
        session_id="s",
        head=ledger.head,
        limits=WIRE_LIMITS,
    )
    return msgspec.structs.replace(frame, **changed)


class Talk:
    """A session that is fed frames; the time stands still unless a test moves it."""

    def __init__(self, head: Head | None = None) -> None:
        self.now = START
        self.session = ClientSession(workspace="home", client_id="id", client="test/1", head=head, now=START)

    def say(self, *frames: ServerFrame | bytes) -> list[Any]:
        results: list[Any] = []
        for frame in frames:
            data = frame if isinstance(frame, bytes) else encode_server_frame(frame)
            results += self.session.receive(data, self.now)
        return results

    def failure(self, *frames: ServerFrame | bytes) -> str:
        last = self.say(*frames)[-1]
        assert isinstance(last, Failed), last
        assert self.session.phase is Phase.OVER
        return last.fault


def faults(results: Sequence[Result]) -> list[str]:
    return [one.fault for one in results if isinstance(one, Failed)]


def at(ledger: Ledger, seq: int) -> Head:
    return Head(seq, ledger.events[seq - 1].event_id)


def page(ledger: Ledger, after: int, upto: int | None = None) -> bytes:
    return events_frame(after, [encode_event(one) for one in ledger.events[after:upto]])


def parts(ledger: Ledger, reason: str = "initial") -> list[bytes]:
    return list(snapshot_frames(ledger.state, ledger.head, reason))  # type: ignore[arg-type]  # one of the reasons


def synced(ledger: Ledger) -> Synced:
    head = ledger.head
    return Synced(seq=head.seq, event_id=head.event_id, digest=ledger.state.digest_hex)


# The way to live


def test_hello_names_the_cursor(ledger):
    """The first frame carries who we are and the last event that we hold."""
    hello = json.loads(Talk(at(ledger, 2)).session.hello())
    assert hello["type"] == "hello"
    assert hello["protocol"] == 1
    assert hello["since"] == ledger.events[1].event_id
    assert json.loads(Talk().session.hello())["since"] is None


def test_a_snapshot_in_parts_becomes_one_state(ledger, monkeypatch):
    """Parts are merged whatever their number, and only the last one brings a result."""
    monkeypatch.setattr(limits, "snapshot_part_bytes_max", 1_300)
    frames = parts(ledger)
    assert len(frames) > 1
    talk = Talk()
    results = talk.say(welcome(ledger), *frames, synced(ledger))
    assert results[1] == Restored(ledger.state, ledger.head, "initial")
    assert results[2] == CaughtUp(ledger.head, ledger.state.digest_hex)
    assert talk.session.phase is Phase.LIVE


def test_a_known_cursor_gets_what_follows_it(ledger):
    """Pages come one after the other, then everything is live."""
    talk = Talk(at(ledger, 1))
    results = talk.say(welcome(ledger), page(ledger, 1, 2), page(ledger, 2), synced(ledger))
    assert [type(one) for one in results] == [Welcome, Advanced, Advanced, CaughtUp]
    ledger.add_member("dot")
    assert [one.seq for one in talk.say(page(ledger, 3))[0].events] == [4]


def test_a_cursor_at_the_head_gets_nothing(ledger):
    """Nothing is missing, nothing comes."""
    assert [type(one) for one in Talk(ledger.head).say(welcome(ledger), synced(ledger))] == [
        Welcome,
        CaughtUp,
    ]


def test_a_cursor_that_is_not_in_the_ledger_gets_a_snapshot(ledger):
    """The server's own reason is passed on."""
    results = Talk(Head(9, "from elsewhere")).say(welcome(ledger), *parts(ledger, "unknown_cursor"))
    assert results[1].reason == "unknown_cursor"


def test_another_reducer_is_not_compared(ledger):
    """A digest means something only between equal reducers."""
    results = Talk(ledger.head).say(welcome(ledger, reducer=99), synced(ledger))
    assert results[1] == CaughtUp(ledger.head, None)


def test_acks_and_tokens_may_come_before_synced(ledger):
    """While catching up, what is settled and what streams is heard already."""
    ack = Ack(client_action_id="c1", status="applied", seq=None, event_ids=())
    token = Token(timestamp=NOW, actor="assistant", payload=TokenPayload(message_id="m", offset=0, text="x"))
    results = Talk(at(ledger, 1)).say(welcome(ledger), ack, token, page(ledger, 1))
    assert [type(one) for one in results] == [Welcome, Ack, Streamed, Advanced]


def test_a_frame_from_tomorrow_is_skipped(ledger):
    """An unknown type says nothing, at any time but the first."""
    assert Talk(ledger.head).say(welcome(ledger), b'{"type":"from.tomorrow"}') == [welcome(ledger)]


# What must not come


def test_only_welcome_begins(ledger):
    """Anything else first is no server of ours."""
    assert Talk().failure(synced(ledger)) == "disorder"


def test_welcome_comes_once(ledger):
    """A second one would be another connection."""
    assert Talk().failure(welcome(ledger), welcome(ledger)) == "disorder"


def test_another_protocol_is_terminal(ledger):
    """Coming back would not help."""
    assert Talk().failure(welcome(ledger, protocol=2)) == "version"
    assert Talk().failure(b'{"type":"welcome","protocol":2,"rest":"of another shape"}') == "version"


def test_another_workspace_is_refused(ledger):
    """We asked for home."""
    assert Talk().failure(welcome(ledger, workspace="work")) == "disorder"


def test_what_is_no_frame_is_a_failure(ledger):
    """Bytes that are no JSON, and an event that is none."""
    assert Talk().failure(b"\xff") == "disorder"
    assert (
        Talk(ledger.head).failure(welcome(ledger), b'{"type":"events","after":3,"events":[{}]}') == "disorder"
    )


@pytest.mark.parametrize("order", [[1], [0, 0], [0, 2], [1, 0]])
def test_parts_come_in_order(ledger, monkeypatch, order):
    """A part that is missing, repeated or early spoils the snapshot."""
    monkeypatch.setattr(limits, "snapshot_part_bytes_max", 1_100)
    ledger.add_member("dot")
    frames = parts(ledger)
    assert len(frames) > 2
    assert Talk().failure(welcome(ledger), *(frames[place] for place in order)) == "disorder"


def test_events_do_not_come_instead_of_a_snapshot(ledger):
    """Without a cursor there is nothing that events could follow."""
    assert Talk().failure(welcome(ledger), page(ledger, 0)) == "disorder"


def test_a_snapshot_does_not_come_behind_events(ledger):
    """Replay or snapshot, never a mixture."""
    assert Talk(at(ledger, 1)).failure(welcome(ledger), page(ledger, 1), *parts(ledger)) == "disorder"


@pytest.mark.parametrize("after", [0, 2])
def test_events_that_do_not_follow_are_a_gap(ledger, after):
    """`after` is what must be held."""
    assert Talk(at(ledger, 1)).failure(welcome(ledger), page(ledger, after)) == "gap"


def test_a_hole_inside_a_frame_is_a_gap(ledger):
    """Events are consecutive in a frame too."""
    frame = events_frame(1, [encode_event(ledger.events[2])])
    assert Talk(at(ledger, 1)).failure(welcome(ledger), frame) == "gap"


def test_synced_names_what_is_held(ledger):
    """Events that were left out before it are seen."""
    assert Talk(at(ledger, 1)).failure(welcome(ledger), synced(ledger)) == "gap"
    assert Talk().failure(welcome(ledger), synced(ledger)) == "disorder"


def test_head_notices_a_loss_and_a_divergence(ledger):
    """A quiet client learns from `head` that it is not where the server is."""
    live: list[ServerFrame] = [welcome(ledger), synced(ledger)]
    quiet = HeadFrame(seq=3, event_id=ledger.head.event_id)
    assert [type(one) for one in Talk(ledger.head).say(*live, quiet)] == [Welcome, CaughtUp]
    assert Talk(ledger.head).failure(*live, HeadFrame(seq=4, event_id="e4")) == "gap"
    assert Talk(ledger.head).failure(*live, HeadFrame(seq=3, event_id="other")) == "gap"


def test_after_a_failure_nothing_is_said(ledger):
    """A session that is over stays over."""
    talk = Talk()
    talk.failure(synced(ledger))
    assert talk.say(welcome(ledger)) == []
    assert talk.session.next_deadline() is None
    assert talk.session.tick(START + 1e6) == ()


# Time


def test_no_welcome_in_time(ledger):
    """A server that accepts and then says nothing is not there."""
    talk = Talk()
    assert talk.session.next_deadline() == START + 10
    assert talk.session.tick(START + 9.9) == ()
    assert faults(talk.session.tick(START + 10)) == ["no_welcome"]


def test_silence(ledger):
    """Any frame puts the deadline off; without one for 20 s the link is dead."""
    talk = Talk(ledger.head)
    talk.say(welcome(ledger), synced(ledger))
    talk.now += 15
    talk.say(b'{"type":"from.tomorrow"}')
    assert talk.session.next_deadline() == START + 15 + limits.silence_s
    assert talk.session.tick(START + 34.9) == ()
    assert faults(talk.session.tick(START + 35)) == ["silence"]


def test_a_retryable_reject_is_a_fence(ledger):
    """Nothing is sent behind it, and where the server does not close the client does."""
    talk = Talk(ledger.head)
    reject = Reject(client_action_id="c1", code="unavailable", message="Not now.", retryable=True)
    talk.say(welcome(ledger), synced(ledger), reject)
    assert talk.session.fenced
    talk.now += 1
    talk.say(b'{"type":"from.tomorrow"}')
    assert talk.session.next_deadline() == START + subject.FENCE_WAIT_S
    assert faults(talk.session.tick(START + 5)) == ["fence"]


# Tokens


def token(offset: int, text: str, message_id: str = "m") -> TokenPayload:
    return TokenPayload(message_id=message_id, offset=offset, text=text)


def test_overlap_is_trimmed_a_gap_waits_and_strangers_are_dropped():
    """A token's offset says where it belongs, in code points."""
    texts = with_token(Table(m=""), token(0, "Grüß 👩‍🚀"))
    texts = with_token(texts, token(3, "ß 👩‍🚀 dich"))
    assert texts["m"] == "Grüß 👩‍🚀 dich"
    assert with_token(texts, token(0, "Grü")) is texts
    assert with_token(texts, token(99, "later")) is texts
    assert with_token(texts, token(0, "x", "stranger")) is texts
    assert with_token(texts, token(-1, "x")) is texts


def test_open_answers_are_those_of_the_state():
    """A stream begins empty with its event and goes with its terminal event; after that no token has a place."""
    open_state = put_assistant(INITIAL, AssistantState(streaming=("m",)))
    texts = following(Table(), open_state)
    assert texts == Table(m="")
    texts = with_token(texts, token(0, "hello"))
    assert following(texts, open_state) is texts
    ended = following(texts, INITIAL)
    assert with_token(ended, token(5, "!")) == Table()


@given(st.text(max_size=40), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40))))
def test_tokens_in_any_order_give_a_prefix(text, cuts):
    """Lost, repeated and reordered tokens never make a text that the answer does not begin with."""
    texts = Table(m="")
    for begin, end in cuts:
        texts = with_token(texts, token(begin, text[begin:end]))
        assert text.startswith(texts["m"])
    assert with_token(texts, token(0, text))["m"] == text


# Digests


def test_a_difference_asks_for_a_snapshot_once():
    """Equal is forgotten history; different asks once; different again is reported and ends the comparing."""
    first, verdict = compared(Agreement(), "a", "b")
    assert verdict == "ask_snapshot"
    assert compared(first, "a", "a") == (Agreement(), "same")
    second, verdict = compared(first, "a", "b")
    assert verdict == "give_up"
    assert compared(second, "a", "b") == (second, "not_compared")
    assert compared(Agreement(), "a", None) == (Agreement(), "not_compared")
