"""The frames of the wire: one JSON object per WebSocket text message, in both directions.

Duty: their types and fields, as the contract names them.
Must not know: bytes (`codec`), the order in which they may come (`session`).

1. A frame is a value; what the contract leaves out may be absent, never renamed.
2. Everything from a client that is not `hello` or `presence` is an action.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from protocol.errors import RejectCode
from protocol.events import Event, Head
from protocol.state import Role

Want = Literal["state", "events"]
SnapshotReason = Literal["initial", "unknown_cursor", "too_far_behind"]
AckStatus = Literal["applied", "duplicate"]


class _Frame(msgspec.Struct, frozen=True, kw_only=True):
    """The base of frames; the tag is the contract's `type`."""


class Hello(_Frame, frozen=True, tag="hello"):
    """The first frame of a client. `since` is the event id of the last event that it has applied."""

    protocol: int
    client_id: str
    client: str = ""
    since: str | None = None
    want: Want = "state"


class PresenceUpdate(_Frame, frozen=True, tag="presence"):
    """What a person is doing just now; transient."""

    typing: bool = False
    focus: str | None = None


class ActionFrame(_Frame, frozen=True):
    """An action as it came: its payload is not looked into yet. `damage` says why its payload cannot be
    read.
    """

    type: str
    client_action_id: str
    payload: msgspec.Raw
    damage: str | None = None


ClientFrame = Hello | PresenceUpdate | ActionFrame


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds that a client may want to know before it meets them (bytes, characters, seconds)."""

    frame_bytes_max: int
    text_bytes_max: int
    title_characters_max: int
    actions_per_s_max: int
    replay_events_max: int
    head_interval_s: float


class Welcome(_Frame, frozen=True, tag="welcome"):
    protocol: int
    server: str
    reducer: int
    workspace: str
    workspace_id: str
    actor: str
    role: Role
    session_id: str
    head: Head
    limits: Limits


class Snapshot(_Frame, frozen=True, tag="snapshot"):
    """A part of a state; the collections of all parts are merged. `state` is the wire's object, not yet
    read.
    """

    seq: int
    event_id: str | None
    reason: SnapshotReason
    part: int
    last: bool
    state: msgspec.Raw


class Events(_Frame, frozen=True, tag="events"):
    """Consecutive events; `after` is the seq that the reader must hold."""

    after: int
    events: tuple[Event, ...]


class TokenPayload(msgspec.Struct, frozen=True, kw_only=True):
    """`offset` counts code points from the start of the answer."""

    message_id: str
    offset: int
    text: str


class Token(_Frame, frozen=True, tag="llm.token"):
    """A piece of an answer: transient, safe to lose, safe to repeat."""

    timestamp: str
    actor: str
    payload: TokenPayload


class Synced(_Frame, frozen=True, tag="state.synced"):
    """Caught up; `digest` is that of the state at `seq`."""

    seq: int
    event_id: str | None
    digest: str


class Present(msgspec.Struct, frozen=True, kw_only=True):
    """Someone who is connected."""

    actor: str
    session_id: str
    client: str
    typing: bool = False
    focus: str | None = None


class Presence(_Frame, frozen=True, tag="presence"):
    members: tuple[Present, ...]
    count: int


class Ack(_Frame, frozen=True, tag="ack"):
    """An action is durable. `seq` is that of its last event, null when it gave none."""

    client_action_id: str
    status: AckStatus
    seq: int | None
    event_ids: tuple[str, ...]


class Reject(_Frame, frozen=True, tag="reject"):
    client_action_id: str
    code: RejectCode
    message: str
    field: str | None = None
    retryable: bool = False
    retry_after_ms: int | None = None


class HeadFrame(_Frame, frozen=True, tag="head"):
    """Nothing happened lately, and this is where the ledger is."""

    seq: int
    event_id: str | None


class ErrorFrame(_Frame, frozen=True, tag="error"):
    """Why the connection is about to be closed; the client's fault."""

    code: str
    message: str


ServerFrame = Welcome | Snapshot | Events | Token | Synced | Presence | Ack | Reject | HeadFrame | ErrorFrame
