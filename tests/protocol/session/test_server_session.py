"""The server's half of a connection as a machine: frames in, frames out, next deadline."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.errors import Refused, WireError
from protocol.events import Head
from protocol.frames import ActionFrame, Hello, PresenceUpdate
from protocol.session.server import Phase, ServerSession

HELLO = '{"type":"hello","protocol":1,"client_id":"c","client":"raw/1","since":null}'
ACTION = '{"type":"user.remember","client_action_id":"c1","payload":{"text":"tea"}}'
PRESENCE = '{"type":"presence","typing":true,"focus":null}'
HEAD = Head(7, "e7")


def greeted(now: float = 0.0, **options: Any) -> ServerSession:
    """A session that has had its hello."""
    session = ServerSession(now, **options)
    session.receive(HELLO, now)
    return session


def live(now: float = 0.0, **options: Any) -> ServerSession:
    """A session that has caught up."""
    session = greeted(now, **options)
    session.went_live(now)
    return session


def ids_of(frames: list[bytes]) -> list[str]:
    """The action ids of acks."""
    return [json.loads(frame)["client_action_id"] for frame in frames]


# In


def test_hello_first() -> None:
    """The first frame is hello; then actions and presence may come, before and after it has caught up."""
    session = ServerSession(0.0)
    assert isinstance(session.receive(HELLO, 0.0), Hello)
    assert session.phase is Phase.CATCHING_UP
    for _ in range(2):
        assert isinstance(session.receive(ACTION, 1.0), ActionFrame)
        assert isinstance(session.receive(PRESENCE, 1.0), PresenceUpdate)
        session.went_live(1.0)


@pytest.mark.parametrize("text", [ACTION, PRESENCE, "{", "[]", '{"type":5}'])
def test_anything_else_first(text: str) -> None:
    """Anything before hello is a bad frame, and hello is still awaited."""
    session = ServerSession(0.0)
    with pytest.raises(WireError) as caught:
        session.receive(text, 0.0)
    assert caught.value.code == 4400
    assert session.phase is Phase.GREETING


@pytest.mark.parametrize("session", [greeted(), live()])
def test_hello_comes_once(session: ServerSession) -> None:
    """A second hello is a bad frame, whenever it comes."""
    with pytest.raises(WireError) as caught:
        session.receive(HELLO, 1.0)
    assert caught.value.code == 4400


@pytest.mark.parametrize("protocol", [0, 2, -1])
def test_another_protocol(protocol: int) -> None:
    """A hello of another protocol is 4409, and leaves the session as it was."""
    session = ServerSession(0.0)
    with pytest.raises(WireError) as caught:
        session.receive(HELLO.replace('"protocol":1', f'"protocol":{protocol}'), 0.0)
    assert caught.value.code == 4409
    assert session.phase is Phase.GREETING


def test_bytes_are_no_frame() -> None:
    """A binary message is a bad frame."""
    with pytest.raises(WireError) as caught:
        ServerSession(0.0).receive(HELLO.encode(), 0.0)
    assert caught.value.code == 4400


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text(text: str) -> None:
    """Whatever text comes, a session gives a frame or a WireError."""
    for session in (ServerSession(0.0), greeted(), live()):
        codes = []
        try:
            session.receive(text, 0.0)
        except WireError as error:
            codes.append(error.code)
        assert set(codes) <= {4400, 4409}


# Acks


def test_an_ack_waits_for_its_seq() -> None:
    """An ack leaves once the connection was brought to its seq, not before."""
    session = live()
    session.acknowledged("c1", "applied", 5, ("e5",))
    assert session.released() == []
    session.brought_to(4, 0.0)
    assert session.released() == []
    session.brought_to(5, 0.0)
    assert [json.loads(frame) for frame in session.released()] == [
        {"type": "ack", "client_action_id": "c1", "status": "applied", "seq": 5, "event_ids": ["e5"]}
    ]
    assert session.released() == []


def test_an_ack_without_events_leaves_at_once() -> None:
    """An ack with no seq waits for nothing."""
    session = greeted()
    session.acknowledged("c1", "applied", None, ())
    assert ids_of(session.released()) == ["c1"]


def test_acks_keep_their_order() -> None:
    """Acks that become due together leave in the order in which they were given; those that wait hold up no other."""
    session = live()
    for number in (3, 9, 1, 2):
        session.acknowledged(f"c{number}", "applied", number, (f"e{number}",))
    session.brought_to(3, 0.0)
    assert ids_of(session.released()) == ["c3", "c1", "c2"]
    session.brought_to(9, 0.0)
    assert ids_of(session.released()) == ["c9"]


def test_a_seq_never_falls() -> None:
    """Being brought to what lies behind changes nothing."""
    session = live()
    session.brought_to(9, 0.0)
    session.brought_to(3, 0.0)
    assert session.seq == 9


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=60))
def test_acks_in_any_order(steps: list[tuple[bool, int]]) -> None:
    """However acks and seqs come, each ack leaves exactly once, and never ahead of its seq."""
    session = live()
    given_seqs: dict[str, int] = {}
    left: list[str] = []
    for is_ack, seq in steps:
        if is_ack:
            name = f"c{len(given_seqs)}"
            given_seqs[name] = seq
            session.acknowledged(name, "applied", seq, ())
        else:
            session.brought_to(seq, 0.0)
        for name in ids_of(session.released()):
            assert given_seqs[name] <= session.seq
            left.append(name)
    session.brought_to(30, 0.0)
    left += ids_of(session.released())
    assert sorted(left) == sorted(given_seqs)


def test_a_refusal_is_a_reject() -> None:
    """A refusal becomes a reject with all its fields; what may be tried again says so."""
    frame = json.loads(ServerSession.refused("c1", Refused("invalid", "No.", "title")))
    assert frame == {
        "type": "reject",
        "client_action_id": "c1",
        "code": "invalid",
        "message": "No.",
        "field": "title",
        "retryable": False,
        "retry_after_ms": None,
    }
    assert json.loads(ServerSession.refused("c1", Refused("unavailable", "Later.")))["retryable"] is True


@pytest.mark.parametrize("code", [4400, 4404, 4408, 4409])
def test_an_error_before_a_close(code: int) -> None:
    """What ends a connection by the client's fault is told in an `error` frame first."""
    frame = json.loads(ServerSession.failed(WireError(code, "Why.")))
    assert frame["type"] == "error"
    assert frame["message"] == "Why."
    assert frame["code"]


# Time


def test_hello_is_due() -> None:
    """Until hello the deadline is its own; at it, not before, the session ends with 4408."""
    session = ServerSession(100.0)
    due = session.next_deadline()
    assert due == 100.0 + limits.hello_timeout_s
    assert session.tick(due - 0.001, HEAD) is None
    with pytest.raises(WireError) as caught:
        session.tick(due, HEAD)
    assert caught.value.code == 4408


def test_catching_up_has_no_deadline() -> None:
    """Who catches up is neither late nor told the head."""
    session = greeted()
    assert session.next_deadline() is None
    assert session.tick(1e9, HEAD) is None


def test_the_head_is_due_after_silence() -> None:
    """A live session that was told no seq for the interval says the head, and again an interval later."""
    session = live(10.0)
    due = session.next_deadline()
    assert due == 10.0 + limits.head_interval_s
    assert session.tick(due - 0.001, HEAD) is None
    frame = session.tick(due, HEAD)
    assert frame is not None
    assert json.loads(frame) == {"type": "head", "seq": 7, "event_id": "e7"}
    assert session.next_deadline() == due + limits.head_interval_s


def test_events_put_the_head_off() -> None:
    """Events that are sent are news enough: the interval begins anew."""
    session = live(0.0)
    session.brought_to(3, 9.0)
    assert session.next_deadline() == 9.0 + limits.head_interval_s
    assert session.tick(limits.head_interval_s, HEAD) is None


def test_a_closed_session_has_no_deadline() -> None:
    """Behind its end a session has nothing to say."""
    session = live()
    session.phase = Phase.CLOSED
    assert session.next_deadline() is None
    assert session.tick(1e9, HEAD) is None


# Rate


def spend(session: ServerSession, count: int, now: float) -> None:
    for _ in range(count):
        session.receive(ACTION, now)


def test_a_burst_is_free() -> None:
    """As many actions as the burst holds are read without a pause; the next ones ask for one."""
    session = live(actions_per_s=100.0)
    spend(session, limits.actions_burst_max, 0.0)
    assert session.pause_s() == 0.0
    spend(session, 50, 0.0)
    assert session.pause_s() == pytest.approx(0.5)


def test_a_pause_fills_the_bucket() -> None:
    """Time gives back what was spent, up to the burst and no further."""
    session = live(actions_per_s=100.0)
    spend(session, limits.actions_burst_max + 100, 0.0)
    spend(session, 1, 1.0)
    assert session.pause_s() == pytest.approx(0.01)
    spend(session, limits.actions_burst_max, 1e6)
    assert session.pause_s() == 0.0
    spend(session, 1, 1e6)
    assert session.pause_s() == pytest.approx(0.01)


def test_no_rate_is_no_pause() -> None:
    """A rate of 0 lifts it."""
    session = live(actions_per_s=0)
    spend(session, limits.actions_burst_max * 2, 0.0)
    assert session.pause_s() == 0.0


def test_presence_costs_nothing() -> None:
    """Presence is not counted as an action."""
    session = live(actions_per_s=1.0)
    for _ in range(limits.actions_burst_max + 10):
        session.receive(PRESENCE, 0.0)
    assert session.pause_s() == 0.0
