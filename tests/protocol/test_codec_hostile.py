"""Hostile bytes: whatever comes, a decoder gives a frame or raises WireError, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.actions import ACTIONS, parse, payload_of
from protocol.codec import (
    action_digest,
    decode_client_frame,
    decode_server_frame,
    decode_state,
    encode_action,
    encode_client_frame,
    encode_event,
    encode_server_frame,
    encode_state,
    events_frame,
    snapshot_frames,
)
from protocol.errors import WireError
from protocol.events import Head
from protocol.frames import (
    Ack,
    ActionFrame,
    ErrorFrame,
    HeadFrame,
    Hello,
    Limits,
    Presence,
    PresenceUpdate,
    Present,
    Reject,
    ServerFrame,
    Snapshot,
    Synced,
    Token,
    TokenPayload,
    Welcome,
)
from tests.support.fixtures import NOW, a_message, a_proposal, a_state, a_task, an_action, an_answer
from tests.support.strategies import Wish, told

SEED = 20_261_122
FRAMES_EACH = 100_000

SNIPPETS = (
    *(b"\x00", b"\xff", b"\xed\xa0\x80", b"\\ud800", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\n"),
    *(
        b"null",
        b"true",
        b"1e999",
        b"-0",
        b"1.5",
        b"NaN",
        b"9" * 400,
        b'{"a":' * 50,
        b"[" * 1_200,
        b'"type":"hello",',
    ),
    *(
        b'"payload":{},',
        b'"seq":-1,',
        b'"last":1,',
        b'"type":"events",',
        b"\xef\xbb\xbf",
        b"\xf4\x90\x80\x80",
    ),
)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The bytes with one to four wounds: a bit, a byte, a piece gone, doubled, moved, or something nasty put in."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + chance.randint(0, 12))
        match chance.randrange(6):
            case 0 if start < len(data):
                data = data[:start] + bytes([data[start] ^ 1 << chance.randrange(8)]) + data[start + 1 :]
            case 1:
                data = data[:start] + data[end:]
            case 2:
                data = data[:end] + data[start:]
            case 3:
                data = data[:start]
            case 4:
                data = data[:start] + chance.choice(SNIPPETS) + data[end:]
            case _:
                data = data[:start] + bytes([chance.randrange(256)]) + data[end:]
    return data


def hostile(good: list[bytes]) -> Iterator[bytes]:
    """Many mutations of good frames, always the same ones."""
    chance = random.Random(SEED)
    for _ in range(FRAMES_EACH):
        yield mutated(chance.choice(good), chance)


def client_frames() -> list[bytes]:
    """A good frame of every kind that a client sends."""
    payloads: dict[str, dict[str, object]] = {
        "user.message": {"text": "hé\u2028llo", "message_id": "m1", "supersede": True},
        "user.create_task": {"title": "Buy milk", "tags": ["a", "b"], "minutes": 5, "due": None},
        "user.batch": {"actions": [{"type": "user.forget", "payload": {"memory_id": "x"}}]},
        "assistant.complete": {"message_id": "m", "text": "t", "usage": {"input_tokens": 1}},
    }
    actions = [
        encode_action(name, f"c-{name}", payload_of(an_action(name, **fields).intent))
        for name, fields in payloads.items()
    ]
    hello = Hello(protocol=1, client_id="0199aaaa-0000-7000-8000-000000000000", client="x/1", since="e1")
    return [*actions, encode_client_frame(hello), encode_client_frame(PresenceUpdate(typing=True, focus="é"))]


def server_frames() -> list[bytes]:
    """A good frame of every kind that a server sends."""
    limits = Limits(
        frame_bytes_max=1,
        text_bytes_max=1,
        title_characters_max=1,
        actions_per_s_max=1,
        replay_events_max=1,
        head_interval_s=15.0,
    )
    welcome = Welcome(
        protocol=1,
        server="s/1",
        reducer=1,
        workspace="home",
        workspace_id="w",
        actor="ana",
        role="owner",
        session_id="s",
        head=Head(1, "e1"),
        limits=limits,
    )
    token = TokenPayload(message_id="m", offset=3, text="ab")
    present = Present(actor="ana", session_id="s", client="c")
    frames: list[ServerFrame] = [
        welcome,
        Token(timestamp=NOW, actor="assistant", payload=token),
        Synced(seq=1, event_id="e1", digest="0" * 32),
        Presence(members=(present,), count=1),
        Ack(client_action_id="c", status="applied", seq=1, event_ids=("e1",)),
        Reject(client_action_id="c", code="invalid", message="No.", field="title"),
        HeadFrame(seq=1, event_id=None),
        ErrorFrame(code="bad_frame", message="No."),
    ]
    wishes: list[Wish] = [
        ("system", "system.set_member", {"actor": "ana", "role": "owner"}),
        ("ana", "user.create_task", {"task_id": "t1", "title": "é"}),
        ("ana", "user.update_task", {"task_id": "t1", "status": "done", "due": "2026-11-22"}),
        ("ana", "user.message", {"message_id": "m1", "text": "hello"}),
        ("ana", "user.request_plan", {}),
    ]
    story = told([(1, wish) for wish in wishes])
    events = [encode_event(event) for event in story.events]
    snapshot = snapshot_frames(story.state, story.head, "initial")
    return [*map(encode_server_frame, frames), events_frame(0, events), *snapshot]


def test_100_000_hostile_frames_from_clients() -> None:
    """Mutated frames, as bytes and as text, give a frame or WireError; its payload gives an action or a refusal."""
    assert_only_wire_errors(decode_client_frame, client_frames(), look_into)


def test_100_000_hostile_frames_from_servers() -> None:
    """Mutated frames of every kind give a frame, None or WireError; so does the state in a snapshot."""
    assert_only_wire_errors(decode_server_frame, server_frames(), look_into)


def test_hostile_states() -> None:
    """The parts of a snapshot that somebody tampered with are a state or WireError."""
    entries = (a_task(tags=("a",)), a_message(), an_answer(), a_proposal())
    assert_only_wire_errors(
        lambda data: decode_state([data]), [encode_state(a_state(*entries))], lambda _: None
    )


def assert_only_wire_errors(
    decode: Callable[[bytes], object], good: list[bytes], look: Callable[[object], None]
) -> None:
    """Good frames are read; hostile ones are read or refused: 4400, a greeting of another version 4409."""
    for data in good:
        assert decode(data) is not None
    refused = 0
    for data in hostile(good):
        error = wire_error(decode, data, look)
        refused += error is not None
        assert error is None or error.code in (4400, 4409)
    assert FRAMES_EACH // 4 < refused < FRAMES_EACH


def wire_error(
    decode: Callable[[bytes], object], data: bytes, look: Callable[[object], None]
) -> WireError | None:
    """The one exception that reading may end with."""
    try:
        look(decode(data))
    except WireError as error:
        return error
    return None


def look_into(frame: object) -> None:
    """What the next one does with a frame that was read."""
    match frame:
        case ActionFrame(type=name, client_action_id=client_action_id, payload=payload):
            parse(name, client_action_id, payload)
            action_digest(name, payload)
        case Snapshot(state=state):
            decode_state([state])
        case _:
            pass


@given(st.text())
def test_any_text_is_a_frame_or_not(text: str) -> None:
    """Text too, lone surrogates and all, raises nothing else."""
    for decode in (decode_client_frame, decode_server_frame):
        with pytest.raises(WireError):
            decode(text)


@given(st.sampled_from(sorted(ACTIONS)), st.binary(max_size=60))
def test_any_payload_is_an_action_or_a_refusal(name: str, payload: bytes) -> None:
    """Whatever bytes stand where a payload should, the answer is a value."""
    parse(name, "c1", payload)
    action_digest(name, payload)


def test_a_payload_nested_too_deep_is_refused() -> None:
    """A thousand brackets are no way to end a server."""
    for depth in (100, 1_000, 50_000):
        for field in (b"title", b"tomorrow"):
            payload = b'{"title":"x","%b":' % field + b"[" * depth + b"]" * depth + b"}"
            parse("user.create_task", "c1", payload)
            action_digest("user.create_task", payload)
            parse("user.batch", "c1", b'{"actions":[{"a":' + b"[" * depth + b"]" * depth + b"}]}")
