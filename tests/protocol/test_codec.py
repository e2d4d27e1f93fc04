"""The codec: what is written is read back the same, and an unknown thing survives the way."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.actions import payload_of
from protocol.codec import (
    action_digest,
    decode_client_frame,
    decode_event,
    decode_server_frame,
    decode_state,
    encode_action,
    encode_client_frame,
    encode_event,
    encode_payload,
    encode_server_frame,
    encode_state,
    events_frame,
    snapshot_frames,
)
from protocol.errors import UpcastError, WireError
from protocol.events import WHOLE_ENTITY, Head, Unknown
from protocol.frames import (
    Ack,
    ActionFrame,
    ErrorFrame,
    Events,
    HeadFrame,
    Hello,
    Presence,
    PresenceUpdate,
    Reject,
    Snapshot,
    Synced,
    Token,
    Welcome,
)
from protocol.reduce import reduce
from tests.support.fixtures import NOW, a_message, a_state, a_task, an_event
from tests.support.strategies import INTENTS, JSON_VALUES, TEXTS, Story, any_events, stories, structs

FRAMES: list[type[msgspec.Struct]] = [Welcome, Token, Synced, Presence, Ack, Reject, HeadFrame, ErrorFrame]


# Events


@given(any_events())
def test_every_event_makes_the_round_trip(events: tuple) -> None:
    """Any event, of any type, is read back as it was written, and written again to the same bytes."""
    for event in events:
        data = encode_event(event)
        assert decode_event(data) == event
        assert encode_event(decode_event(data)) == data


@given(any_events(max_size=6))
def test_an_event_has_the_contract_s_fields(events: tuple) -> None:
    """The stamp and a flat payload: no wrapper, no field too many."""
    for event in events:
        value = json.loads(encode_event(event))
        assert list(value) == (
            [
                "seq",
                "event_id",
                "timestamp",
                "type",
                "actor",
                "client_action_id",
                "cause",
                "because",
                "payload",
            ]
        )
        assert value["payload"] == json.loads(encode_payload(event.payload))
        if type(event.payload) in WHOLE_ENTITY:
            assert value["payload"] == json.loads(msgspec.json.encode(event.payload.entity))


@given(st.dictionaries(TEXTS, JSON_VALUES, max_size=4), st.text("abc._", min_size=1, max_size=9))
def test_an_event_from_tomorrow_is_kept(fields: dict, name: str) -> None:
    """An unknown type keeps its name and its payload, floats included, and is written as it came."""
    data = json.dumps({**stamp(f"tomorrow.{name}"), "payload": fields}).encode()
    event = decode_event(data)
    assert event.type == f"tomorrow.{name}"
    assert isinstance(event.payload, Unknown)
    assert json.loads(encode_event(event)) == json.loads(data)
    assert reduce(a_state(), event) == a_state()


@pytest.mark.parametrize(
    "number", ["1.10", "1e999", "-0.0", "0.1", "123456789012345678901234567890", "1E-400"]
)
def test_a_number_from_tomorrow_loses_nothing(number: str) -> None:
    """A number that no float holds passes through an unknown event with all its digits."""
    data = (
        json.dumps({**stamp("tomorrow.x"), "payload": {"n": 0}}).replace('"n": 0', f'"n": {number}').encode()
    )
    payload = encode_payload(decode_event(data).payload).decode()
    assert json.loads(payload, parse_float=Decimal)["n"] == json.loads(number, parse_float=Decimal)


def test_unknown_fields_are_ignored() -> None:
    """A known event with fields from tomorrow, in the stamp, the payload and deeper, is the event that it is today."""
    event = an_event(WRITTEN_TASK)
    value = json.loads(encode_event(event))
    value["tomorrow"] = {"a": [1.5]}
    value["payload"]["tomorrow"] = "x"
    assert decode_event(json.dumps(value).encode()) == event


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"[]",
        b"{}",
        b'{"seq":1}',
        b"null",
        b"\xff",
        json.dumps(
            {"seq": 1, "event_id": "e", "timestamp": "t", "type": "task.created", "actor": "a"}
        ).encode(),
    ],
)
def test_what_is_no_event(broken: bytes) -> None:
    """Half an event raises UpcastError, nothing else."""
    with pytest.raises(UpcastError):
        decode_event(broken)


@pytest.mark.parametrize(
    "payload", [{}, {"task_id": 1}, [], None, {"task_id": "t", "title": "x", "status": "??"}]
)
def test_a_known_type_without_its_shape(payload: object) -> None:
    """A payload that claims a known type and is none of it raises UpcastError."""
    with pytest.raises(UpcastError):
        decode_event(json.dumps({**stamp("task.created"), "payload": payload}).encode())


def stamp(event_type: str) -> dict[str, object]:
    return {
        "seq": 1,
        "event_id": "e1",
        "timestamp": NOW,
        "type": event_type,
        "actor": "ana",
        "client_action_id": "c1",
        "cause": "user.x",
        "because": None,
    }


# Actions and client frames


@given(INTENTS, st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=128))
def test_every_action_makes_the_round_trip(named: tuple, client_action_id: str) -> None:
    """What a client sends is what the server takes out of the frame, payload byte for byte."""
    name, intent = named
    payload = payload_of(intent)
    frame = decode_client_frame(encode_action(name, client_action_id, payload))
    assert isinstance(frame, ActionFrame)
    assert (frame.type, frame.client_action_id, bytes(frame.payload)) == (name, client_action_id, payload)
    assert frame.damage is None
    assert encode_client_frame(frame) == encode_action(name, client_action_id, payload)


@given(st.one_of(structs(Hello), structs(PresenceUpdate)))
def test_control_frames_make_the_round_trip(frame: Hello | PresenceUpdate) -> None:
    """`hello` and `presence` are read back as they were, from bytes and from text."""
    data = encode_client_frame(frame)
    assert decode_client_frame(data) == decode_client_frame(data.decode()) == frame


def test_a_frame_from_tomorrow_is_an_action() -> None:
    """An unknown type with an id is no bad frame: whoever decides rejects it by its id."""
    frame = decode_client_frame(b'{"type":"x.y","client_action_id":"c1","tomorrow":1}')
    assert isinstance(frame, ActionFrame)
    assert (frame.type, bytes(frame.payload)) == ("x.y", b"{}")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b'{"type":null}',
        b'{"type":1,"client_action_id":"c"}',
        b'{"type":"user.message"}',
        b'{"type":"user.message","client_action_id":""}',
        b'{"type":"user.message","client_action_id":1}',
        b'{"type":"user.message","client_action_id":null}',
        b'{"type":"user.message","client_action_id":"\xc3\xa9"}',
        b'{"type":"user.message","client_action_id":"a\\n"}',
        b'{"type":"user.message","client_action_id":"' + b"x" * 129 + b'"}',
        b'{"type":"user.message","client_action_id":"c"} {}',
        b'{"type":"user.message","client_action_id":"c","payload":NaN}',
        b'\xef\xbb\xbf{"type":"user.message","client_action_id":"c"}',
        '{"type":"user.message","client_action_id":"c"}'.encode("utf-16"),
        b'{"type":"hello"}',
        b'{"type":"hello","protocol":1,"client_id":"x","since":5}',
        b'{"type":"hello","protocol":1,"client_id":"x","since":{}}',
        b'{"type":"hello","protocol":1,"client_id":"x","want":"all"}',
        b'{"type":"hello","protocol":1,"client_id":"\\ud800"}',
        b'{"type":"presence","typing":"yes"}',
        b"[" * 100_000,
        b'{"type":"x","client_action_id":"c","payload":' + b"[" * 100_000,
    ],
)
def test_a_bad_frame(data: bytes) -> None:
    """What is not JSON, has no string `type`, is half a `hello`, or an action without a valid id: 4400."""
    with pytest.raises(WireError) as caught:
        decode_client_frame(data)
    assert caught.value.code == 4400
    assert caught.value.message


@pytest.mark.parametrize("text", [r"\ud800", r"\udc00x", r"a\ud83d"])
def test_a_lone_surrogate_damages_its_action_only(text: str) -> None:
    """The frame is read, the action keeps its id so that it can be rejected, and its payload says why."""
    data = f'{{"type":"user.message","client_action_id":"c1","payload":{{"text":"{text}"}}}}'
    for form in (data, data.encode()):
        frame = decode_client_frame(form)
        assert isinstance(frame, ActionFrame)
        assert frame.client_action_id == "c1"
        action_digest(frame.type, frame.payload)


def test_a_lone_surrogate_in_the_type_damages_its_action_only() -> None:
    """The type is what it is; its action can be told from others all the same."""
    frame = decode_client_frame(b'{"type":"\\ud800","client_action_id":"c1"}')
    assert isinstance(frame, ActionFrame)
    assert frame.damage
    assert len(action_digest(frame.type, frame.payload)) == 16


def test_a_surrogate_that_is_text_already_is_damage() -> None:
    """A `str` that has no UTF-8 is read like the escape of it."""
    frame = decode_client_frame('{"type":"user.message","client_action_id":"c1","payload":{"text":"\ud800"}}')
    assert isinstance(frame, ActionFrame)
    assert frame.damage


# One action is another


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a":1,"b":2}', '{ "b" : 2, "a" : 1 }'),
        ('{"a":1.0}', '{"a":1}'),
        ('{"a":1e2}', '{"a":100}'),
        ('{"a":"\\u0041"}', '{"a":"A"}'),
        ('{"a":"\\ud83d\\ude00"}', '{"a":"😀"}'),
        ('{"a":0.10}', '{"a":0.1}'),
    ],
)
def test_payloads_are_compared_as_values(one: str, other: str) -> None:
    """Spaces, the order of keys, escapes and `1.0` for `1` make no other payload."""
    assert action_digest("x", one.encode()) == action_digest("x", other.encode())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a":1}', '{"a":2}'),
        ('{"a":1}', '{"a":"1"}'),
        ('{"a":1}', '{"a":true}'),
        ('{"a":1}', '{"a":1,"tomorrow":null}'),
        ('{"a":[1,2]}', '{"a":[2,1]}'),
        ('{"a":1.5}', '{"a":1}'),
        ('{"a":"\\ud800"}', '{"a":"\\ud801"}'),
    ],
)
def test_another_value_is_another_payload(one: str, other: str) -> None:
    """Unknown fields count, and so does what cannot be read."""
    assert action_digest("x", one.encode()) != action_digest("x", other.encode())


def test_another_type_is_another_action() -> None:
    """The same payload for something else."""
    assert action_digest("x", b"{}") != action_digest("y", b"{}")


# Server frames


@given(st.sampled_from(FRAMES).flatmap(structs))
def test_every_server_frame_makes_the_round_trip(frame: msgspec.Struct) -> None:
    """What the server writes is what the client reads, from bytes and from text."""
    data = encode_server_frame(frame)  # type: ignore[arg-type]  # one of the frames
    assert decode_server_frame(data) == decode_server_frame(data.decode()) == frame


@given(any_events(max_size=8), st.integers(0, 2**53))
def test_frames_of_events_are_joined_from_their_bytes(events: tuple, after: int) -> None:
    """An `events` frame holds the bytes that were made once, and reads back as its events."""
    data = events_frame(after, [encode_event(event) for event in events])
    frame = Events(after=after, events=events)
    assert decode_server_frame(data) == frame
    assert encode_server_frame(frame) == data
    assert json.loads(data)["type"] == "events"


def test_a_server_frame_from_tomorrow_is_skipped() -> None:
    """A type that is not known yet is None, not an error."""
    assert decode_server_frame(b'{"type":"weather","sun":true}') is None


def test_a_server_frame_with_a_field_from_tomorrow() -> None:
    """Unknown fields are ignored."""
    assert decode_server_frame(b'{"type":"head","seq":1,"event_id":null,"x":[]}') == HeadFrame(
        seq=1, event_id=None
    )


# State


@given(stories())
def test_a_state_makes_the_round_trip(story: Story) -> None:
    """A whole state is read back the same, with its order and its digest."""
    assert decode_state([encode_state(story.state)]) == story.state


@given(any_events())
def test_the_strangest_state_makes_the_round_trip(events: tuple) -> None:
    """Whatever happened, the state of it passes the wire unchanged."""
    state = a_state()
    for event in events:
        state = reduce(state, event)
    assert decode_state([encode_state(state)]) == state


def snapshots(frames: list[bytes]) -> list[Snapshot]:
    """The parts of a snapshot as a client reads them."""
    parts = [decode_server_frame(frame) for frame in frames]
    assert all(isinstance(part, Snapshot) for part in parts)
    return parts  # type: ignore[return-value]  # all of them are


def test_an_empty_state_is_one_part() -> None:
    """Part 0 is the last one; it has the head and the reason."""
    (part,) = snapshots(list(snapshot_frames(a_state(), Head(), "initial")))
    assert (part.part, part.last, part.seq, part.event_id, part.reason) == (0, True, 0, None, "initial")
    assert decode_state([part.state]) == a_state()


def test_a_large_state_comes_in_parts() -> None:
    """Parts are numbered from 0, only the last is the last, none is over 256 KiB, and merged they are the state."""
    tasks = [a_task(f"t{place}", notes="é" * 5_000) for place in range(60)]
    said = [a_message(f"m{place}", place, text="\x01" * 3_000) for place in range(1, 60)]
    state = a_state(*tasks, *said)
    frames = list(snapshot_frames(state, Head(9, "e9"), "too_far_behind"))
    parts = snapshots(frames)
    assert len(parts) > 5
    assert max(map(len, frames)) <= limits.snapshot_part_bytes_max
    assert [part.part for part in parts] == list(range(len(parts)))
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert {(part.seq, part.event_id, part.reason) for part in parts} == {(9, "e9", "too_far_behind")}
    assert decode_state(part.state for part in parts) == state


def test_an_entry_larger_than_a_part_has_one_of_its_own() -> None:
    """An answer of 256 KiB cannot be cut: its part is larger than others, and nothing else is in it."""
    state = a_state(*(a_message(f"m{place}", place, text="x" * 250_000) for place in range(1, 4)))
    parts = snapshots(list(snapshot_frames(state, Head(), "initial")))
    assert decode_state(part.state for part in parts) == state
    assert max(len(json.loads(bytes(part.state)).get("messages", {})) for part in parts) == 1


@pytest.mark.parametrize(
    "broken", [b"", b"[]", b'{"tasks":[]}', b'{"tasks":{"t":{}}}', b'{"settings":1}', b"\xff"]
)
def test_what_is_no_state(broken: bytes) -> None:
    """A part that cannot be read raises WireError."""
    with pytest.raises(WireError):
        decode_state([broken])


WRITTEN_TASK = decode_event(
    json.dumps({**stamp("task.created"), "payload": {"task_id": "t1", "title": "Buy milk"}}).encode()
).payload
