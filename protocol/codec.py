"""Bytes: how frames, events, actions and states are written as JSON and read back.

Duty: the only module that makes or reads the wire's bytes; the ledger, HTTP and exports use the same.
Must not know: what any of it means, or when it may come.

1. The bytes of an event are made once (`encode_event`); frames of events are joined from them, never encoded
   again.
2. Reading what a peer sent raises `WireError` and nothing else, whatever the bytes (msgspec alone can raise
   four kinds).
3. A lone surrogate or an unreadable payload inside a well-formed frame damages that action, not the
   connection.
4. An event of an unknown type is read as `Unknown` and written back as it came.
5. A greeting of another protocol version may have any other shape: one that cannot be read is judged by its
   number.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from hashlib import blake2b
from typing import Final, NoReturn

import msgspec

from protocol import PROTOCOL_VERSION, limits, upcast
from protocol.errors import CloseCode, UpcastError, WireError
from protocol.events import EVENTS, WHOLE_ENTITY, Event, Head, Payload, Unknown
from protocol.frames import (
    Ack,
    ActionFrame,
    ClientFrame,
    ErrorFrame,
    Events,
    HeadFrame,
    Hello,
    Presence,
    PresenceUpdate,
    Reject,
    ServerFrame,
    Snapshot,
    SnapshotReason,
    Synced,
    Token,
    Welcome,
)
from protocol.ids import is_client_action_id
from protocol.state import (
    COLLECTIONS,
    AssistantState,
    CollectionName,
    Entry,
    Settings,
    State,
    assemble,
    canonical,
    entries_of,
    key_of,
)

_encode = msgspec.json.Encoder(decimal_format="number").encode
_DECODE_ERRORS: Final = (msgspec.DecodeError, msgspec.ValidationError, UnicodeError, RecursionError)
"""All that msgspec's decoder may raise on hostile bytes, and on a `str` with a lone surrogate."""

# Events


class _EventEnvelope(msgspec.Struct, frozen=True, kw_only=True):
    seq: int
    event_id: str
    timestamp: str
    type: str
    actor: str
    client_action_id: str
    cause: str
    payload: msgspec.Raw
    because: str | None = None


_envelope = msgspec.json.Decoder(_EventEnvelope).decode
# Decimal: a number of an unknown event goes back as it came, 1.10 and 1e999 too.
_unknown = msgspec.json.Decoder(dict[str, object], float_hook=Decimal).decode
_payloads: Final = {
    kind: msgspec.json.Decoder(WHOLE_ENTITY.get(kind, kind)).decode for kind in set(EVENTS.values())
}


def encode_event(event: Event) -> bytes:
    """The JSON of an event, as it stands in the ledger and on every wire."""
    return _encode(
        {
            "seq": event.seq,
            "event_id": event.event_id,
            "timestamp": event.timestamp,
            "type": event.type,
            "actor": event.actor,
            "client_action_id": event.client_action_id,
            "cause": event.cause,
            "because": event.because,
            "payload": _flat(event.payload),
        }
    )


def decode_event(data: bytes | msgspec.Raw) -> Event:
    """The event of its JSON. UpcastError where a known type has not its shape."""
    try:
        envelope = _envelope(data)
        return _typed(envelope)
    except _DECODE_ERRORS as error:
        raise UpcastError(f"not an event: {error}") from error


def encode_payload(payload: Payload) -> bytes:
    """The JSON of a payload alone."""
    return _encode(_flat(payload))


def _flat(payload: Payload) -> object:
    if isinstance(payload, Unknown):
        return payload.fields
    return getattr(payload, "entity", payload)


def _typed(envelope: _EventEnvelope) -> Event:
    kind = EVENTS.get(envelope.type)
    return Event(
        seq=envelope.seq,
        event_id=envelope.event_id,
        timestamp=envelope.timestamp,
        type=envelope.type,
        actor=envelope.actor,
        client_action_id=envelope.client_action_id,
        cause=envelope.cause,
        because=envelope.because,
        payload=_payload(envelope.type, kind, envelope.payload),
    )


def _payload(event_type: str, kind: type[Payload] | None, raw: msgspec.Raw) -> Payload:
    if kind is None:
        return Unknown(fields=_unknown(raw))
    body = upcast.current(event_type, raw)
    value = _payloads[kind](body)
    if kind in WHOLE_ENTITY:
        value = kind(entity=value)  # type: ignore[call-arg,arg-type]  # a wrapper has this one field, of this entity
    return value  # type: ignore[return-value]  # what the decoder of a payload type makes


# Actions


def encode_action(action_type: str, client_action_id: str, payload: bytes) -> bytes:
    """An action as every road carries it; `payload` is its JSON."""
    return b'{"type":%b,"client_action_id":%b,"payload":%b}' % (
        _encode(action_type),
        _encode(client_action_id),
        payload,
    )


def action_digest(action_type: str, payload: msgspec.Raw | bytes) -> bytes:
    """BLAKE2b-128 of an action's type and payload compared as JSON values, unknown fields included.

    Two payloads that differ in spaces, the order of keys or `1.0` for `1` are the same value.
    """
    # `ascii`: a type from outside may hold a lone surrogate, which has no UTF-8.
    named = ascii(action_type)
    try:
        data = canonical([named, _any_value(payload)])
    except _DECODE_ERRORS:
        data = canonical([named, bytes(payload).hex()])
    return blake2b(data, digest_size=16).digest()


def _number(text: str) -> float | int | str:
    value = float(text)
    return int(value) if value.is_integer() else value


_any_value = msgspec.json.Decoder(float_hook=_number).decode

# A string that never ends is one token too: to try again behind each of its quotes would be quadratic.
_BRACKETS_AND_REST: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*\\?(?:"|\Z)|[\[\]{}]|[^"\[\]{}]+', re.DOTALL)

# Greetings


class _Greeting(msgspec.Struct, frozen=True):
    """What `hello` and `welcome` have in every version."""

    protocol: int


_greeting = msgspec.json.Decoder(_Greeting).decode


def other_version(theirs: int) -> WireError:
    """The end of a connection whose ends speak different versions."""
    words = (
        f"Protocol {theirs} is not spoken here, only {PROTOCOL_VERSION}: bring both ends to the same release."
    )
    return WireError(CloseCode.PROTOCOL_VERSION, words)


def _check_version(data: str | bytes) -> None:
    """WireError (4409) where a greeting that cannot be read is of another version (invariant 5)."""
    try:
        theirs = _greeting(data).protocol
    except _DECODE_ERRORS:
        return  # whoever reads the rest of it says what is wrong
    if theirs != PROTOCOL_VERSION:
        raise other_version(theirs)


# Client frames


class _ClientEnvelope(msgspec.Struct, frozen=True):
    type: str
    client_action_id: str | msgspec.UnsetType = msgspec.UNSET
    payload: msgspec.Raw = msgspec.Raw(b"{}")


_client_envelope = msgspec.json.Decoder(_ClientEnvelope).decode
_hello = msgspec.json.Decoder(Hello).decode
_presence_update = msgspec.json.Decoder(PresenceUpdate).decode


def decode_client_frame(data: str | bytes) -> ClientFrame:
    """What a client sent. WireError where it is no frame of the contract (4400), or a hello of another
    version (4409).
    """
    try:
        envelope = _client_envelope(data)
    except _DECODE_ERRORS:
        envelope = _damaged_envelope(data)
        return _action_frame(envelope, damage="The payload cannot be read.")
    match envelope.type:
        case "hello":
            return _hello_frame(data)
        case "presence":
            return _presence_frame(data)
        case _:
            return _action_frame(envelope)


def _hello_frame(data: str | bytes) -> Hello:
    try:
        return _hello(data)
    except _DECODE_ERRORS as error:
        _check_version(data)
        _bad_frame(str(error))


def _presence_frame(data: str | bytes) -> PresenceUpdate:
    try:
        return _presence_update(data)
    except _DECODE_ERRORS as error:
        _bad_frame(str(error))


def _action_frame(envelope: _ClientEnvelope, damage: str | None = None) -> ActionFrame:
    given = envelope.client_action_id
    if not isinstance(given, str) or not is_client_action_id(given):
        _bad_frame("An action needs a client_action_id of 1 to 128 printable ASCII characters.")
    return ActionFrame(type=envelope.type, client_action_id=given, payload=envelope.payload, damage=damage)


def _damaged_envelope(data: str | bytes) -> _ClientEnvelope:
    """The rare way: what msgspec refuses may still be JSON (a lone surrogate), and then only the action is
    bad.
    """
    try:
        text = data if isinstance(data, str) else data.decode()
        value = _loaded(text)
    except (ValueError, RecursionError):
        _bad_frame("A frame is one JSON object.")
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        _bad_frame("A frame has a type.")
    if value["type"] in ("hello", "presence"):
        _bad_frame(f"This is no {value['type']}.")
    payload = _escaped(value.get("payload", {}))
    return _ClientEnvelope(value["type"], value.get("client_action_id", msgspec.UNSET), msgspec.Raw(payload))


def _loaded(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        return json.loads(_shallow(text), parse_constant=_no_constant)


def _shallow(text: str) -> str:
    """JSON with `null` for whatever lies deeper than `limits.payload_depth_max`; read without recursion."""
    depth, kept = 0, []
    for token in _BRACKETS_AND_REST.findall(text):
        depth += token in ("{", "[")
        if depth <= limits.payload_depth_max:
            kept.append(token)
        elif depth == limits.payload_depth_max + 1 and token in ("{", "["):
            kept.append("null")
        depth -= token in ("}", "]")
    return "".join(kept)


def _escaped(payload: object) -> bytes:
    try:
        return json.dumps(payload, sort_keys=True).encode()
    except RecursionError:
        return b"null"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _bad_frame(message: str) -> NoReturn:
    raise WireError(CloseCode.BAD_FRAME, message)


def encode_client_frame(frame: ClientFrame) -> bytes:
    """A client's frame as bytes."""
    if isinstance(frame, ActionFrame):
        return encode_action(frame.type, frame.client_action_id, bytes(frame.payload))
    return _encode(frame)


# Server frames


class _EventsEnvelope(msgspec.Struct, frozen=True):
    after: int
    events: tuple[msgspec.Raw, ...]


class _Tag(msgspec.Struct, frozen=True):
    type: str


_tag = msgspec.json.Decoder(_Tag).decode
_events_envelope = msgspec.json.Decoder(_EventsEnvelope).decode
_SERVER_FRAMES: Final[dict[str, type[ServerFrame]]] = {
    "welcome": Welcome,
    "snapshot": Snapshot,
    "llm.token": Token,
    "state.synced": Synced,
    "presence": Presence,
    "ack": Ack,
    "reject": Reject,
    "head": HeadFrame,
    "error": ErrorFrame,
}
_server_frames: Final = {name: msgspec.json.Decoder(kind).decode for name, kind in _SERVER_FRAMES.items()}


def encode_server_frame(frame: ServerFrame) -> bytes:
    """A server's frame as bytes; `Events` are joined from what `encode_event` made, see `events_frame`."""
    if isinstance(frame, Events):
        return events_frame(frame.after, [encode_event(event) for event in frame.events])
    return _encode(frame)


def events_frame(after: int, events: Sequence[bytes]) -> bytes:
    """An `events` frame of the JSON of its events."""
    return b'{"type":"events","after":%d,"events":[%b]}' % (after, b",".join(events))


def decode_server_frame(data: str | bytes) -> ServerFrame | None:
    """What a server sent; None for a type from tomorrow. WireError where it is no frame (4400), or a welcome
    of another version (4409).
    """
    try:
        name = _tag(data).type
        if name == "events":
            envelope = _events_envelope(data)
            return Events(after=envelope.after, events=tuple(decode_event(raw) for raw in envelope.events))
        decode = _server_frames.get(name)
        return decode(data) if decode else None
    except (*_DECODE_ERRORS, UpcastError) as error:
        _check_welcome(data)
        raise WireError(CloseCode.BAD_FRAME, f"The server sent what is no frame: {error}") from error


def _check_welcome(data: str | bytes) -> None:
    with contextlib.suppress(*_DECODE_ERRORS):
        if _tag(data).type == "welcome":
            _check_version(data)


# State


class _StatePart(msgspec.Struct, frozen=True, kw_only=True):
    """Some of a state, as one part of a snapshot has it."""

    tasks: dict[str, msgspec.Raw] = {}
    threads: dict[str, msgspec.Raw] = {}
    messages: dict[str, msgspec.Raw] = {}
    memory: dict[str, msgspec.Raw] = {}
    plans: dict[str, msgspec.Raw] = {}
    reminders: dict[str, msgspec.Raw] = {}
    digests: dict[str, msgspec.Raw] = {}
    proposals: dict[str, msgspec.Raw] = {}
    members: dict[str, msgspec.Raw] = {}
    settings: Settings | None = None
    assistant: AssistantState | None = None


_state_part = msgspec.json.Decoder(_StatePart).decode
_entry_decoders: Final[Mapping[CollectionName, msgspec.json.Decoder[Entry]]] = {
    name: msgspec.json.Decoder(kind) for name, kind in COLLECTIONS.items()
}


def encode_state(state: State) -> bytes:
    """A whole state as the contract's `state` object; equal states give equal bytes."""
    parts: dict[str, dict[str, Entry] | Settings | AssistantState] = {}
    for name in COLLECTIONS:
        table: Mapping[str, Entry] = getattr(state, name)
        parts[name] = {key: table[key] for key in sorted(table)}
    return _encode({**parts, "settings": state.settings, "assistant": state.assistant})


def decode_state(parts: Iterable[msgspec.Raw | bytes]) -> State:
    """The state of all parts of a snapshot. WireError where one cannot be read."""
    settings, assistant = Settings(), AssistantState()
    entries: list[tuple[CollectionName, Entry]] = []
    try:
        for data in parts:
            part = _state_part(data)
            settings = part.settings or settings
            assistant = part.assistant or assistant
            entries.extend(_entries_in(part))
    except _DECODE_ERRORS as error:
        raise WireError(CloseCode.BAD_FRAME, f"The server sent what is no state: {error}") from error
    return assemble(entries, settings, assistant)


def _entries_in(part: _StatePart) -> Iterator[tuple[CollectionName, Entry]]:
    for name, decoder in _entry_decoders.items():
        for raw in getattr(part, name).values():
            yield name, decoder.decode(raw)


def snapshot_frames(state: State, head: Head, reason: SnapshotReason) -> Iterator[bytes]:
    """The parts of a snapshot, each a frame of at most `limits.snapshot_part_bytes_max` (one entry may be
    larger). Equal states give equal bytes.

    Made as they are taken, so that a reader that is slow holds no second copy of a large state.
    """
    # The first part names every collection, so that what the parts make together is a whole state.
    group: dict[str, list[bytes]] = {name: [] for name in COLLECTIONS}
    size, part = 0, 0
    room = limits.snapshot_part_bytes_max - 1024
    singles = b'"settings":%b,"assistant":%b' % (_encode(state.settings), _encode(state.assistant))
    size += len(singles)
    for collection, entry in entries_of(state):
        data = b"%b:%b" % (_encode(key_of(entry)), _encode(entry))
        if size + len(data) > room and group:
            yield _snapshot_frame(head, reason, part, False, group, singles)
            group, size, part, singles = {}, 0, part + 1, b""
        group.setdefault(collection, []).append(data)
        size += len(data) + 1
    yield _snapshot_frame(head, reason, part, True, group, singles)


def _snapshot_frame(
    head: Head, reason: SnapshotReason, part: int, last: bool, group: dict[str, list[bytes]], singles: bytes
) -> bytes:
    members = [b'"%b":{%b}' % (name.encode(), b",".join(entries)) for name, entries in group.items()]
    state = b"{%b}" % b",".join([*members, singles] if singles else members)
    return b'{"type":"snapshot","seq":%d,"event_id":%b,"reason":"%b","part":%d,"last":%b,"state":%b}' % (
        head.seq,
        _encode(head.event_id),
        reason.encode(),
        part,
        b"true" if last else b"false",
        state,
    )
