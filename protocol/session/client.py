"""The client's half of a connection, without I/O: frames in, typed results out, next deadline.

Duty: what the server may send when, that nothing is left out, and when silence means that the link is dead.
Must not know: sockets, files, what the results are for; time is handed in, in seconds of a clock that only
rises.

1. `hello` is sent first; `welcome` answers it in time, or the connection has failed.
2. After `welcome` comes a whole snapshot, or what follows the cursor, or nothing where the cursor is the
   head.
3. `events` follow what is held without a gap; `state.synced` and `head` name exactly what is held. Anything
   else is a failure, after which the client connects again with its cursor.
4. After a result `Failed` the session is over: it says nothing more.
5. A retryable reject is a fence: nothing is sent behind it, and the connection is over when the server
   closes it, or soon after.

    OPENING --welcome--> CATCHING_UP --state.synced--> LIVE
        any of them --what must not come, silence--> OVER
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, assert_never

import msgspec

from protocol import PROTOCOL_VERSION, REDUCER_VERSION, limits
from protocol.codec import (
    decode_server_frame,
    decode_state,
    encode_action,
    encode_client_frame,
    other_version,
)
from protocol.errors import CloseCode, WireError
from protocol.events import Event, Head
from protocol.frames import (
    Ack,
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
    TokenPayload,
    Welcome,
)
from protocol.state import State
from protocol.table import Table

"""A server that has not said welcome by then is not there."""
FENCE_WAIT_S: Final = 5.0
"""After a retryable reject the server closes; where it does not, the client does."""


class Phase(Enum):
    """Where a connection is."""

    OPENING = "opening"
    CATCHING_UP = "catching up"
    LIVE = "live"
    OVER = "over"


class Restored(msgspec.Struct, frozen=True):
    """A whole snapshot: the state at `head`, and why it came instead of a replay."""

    state: State
    head: Head
    reason: SnapshotReason


class Advanced(msgspec.Struct, frozen=True):
    """Events that follow what was held."""

    events: tuple[Event, ...]


class Streamed(msgspec.Struct, frozen=True):
    """A piece of an answer; see `with_token`."""

    token: TokenPayload


class CaughtUp(msgspec.Struct, frozen=True):
    """From here on everything is live. `digest` is None where the two ends' reducers differ."""

    head: Head
    digest: str | None


Fault = Literal["version", "disorder", "gap", "no_welcome", "silence", "fence"]


class Failed(msgspec.Struct, frozen=True):
    """The connection is over. `version` is terminal; after any other the client returns with its cursor."""

    fault: Fault
    message: str


Result = Welcome | Restored | Advanced | Streamed | CaughtUp | Presence | Ack | Reject | ErrorFrame | Failed


class ClientSession:
    """One connection. The shell sends `hello`, feeds frames and clock readings, and acts on the results.

    `head` is what the client holds; None, or a head without an id, asks for a snapshot.
    """

    def __init__(self, *, workspace: str, client_id: str, client: str, head: Head | None, now: float) -> None:
        self.phase = Phase.OPENING
        self.fenced = False
        """Nothing more is sent on this connection."""
        self._workspace = workspace
        self._hello = Hello(
            protocol=PROTOCOL_VERSION,
            client_id=client_id,
            client=client,
            since=head.event_id if head else None,
        )
        self._held: Head | None = head if head and head.event_id is not None else None
        self._parts: list[Snapshot] = []
        self._reducer = 0
        self._began = False
        self._due = now + limits.welcome_timeout_s

    # Out

    def hello(self) -> bytes:
        """The first frame."""
        return encode_client_frame(self._hello)

    @staticmethod
    def action(action_type: str, client_action_id: str, payload: bytes) -> bytes:
        """The frame of an action."""
        return encode_action(action_type, client_action_id, payload)

    @staticmethod
    def presence(typing: bool, focus: str | None) -> bytes:
        """The frame that says what a person is doing."""
        return encode_client_frame(PresenceUpdate(typing=typing, focus=focus))

    # In

    def receive(self, data: str | bytes, now: float) -> tuple[Result, ...]:
        """What a message of the server comes to. After a Failed nothing comes any more."""
        if self.phase is Phase.OVER:
            return ()
        try:
            frame = decode_server_frame(data)
            result = self._judged(frame, now) if frame is not None else None
        except WireError as error:
            fault: Fault = "version" if error.code == CloseCode.PROTOCOL_VERSION else "disorder"
            result = Failed(fault, error.message)
        if self.phase is not Phase.OPENING and not self.fenced:
            self._due = now + limits.silence_s
        if isinstance(result, Failed):
            self.phase = Phase.OVER
        return () if result is None else (result,)

    def next_deadline(self) -> float | None:
        """When `tick` has something to say next; None once the session is over."""
        return None if self.phase is Phase.OVER else self._due

    def tick(self, now: float) -> tuple[Result, ...]:
        """What the time alone comes to."""
        if self.phase is Phase.OVER or now < self._due:
            return ()
        opening, self.phase = self.phase is Phase.OPENING, Phase.OVER
        if self.fenced:
            return (Failed("fence", "The server cannot take actions just now."),)
        if opening:
            return (Failed("no_welcome", "The server does not answer."),)
        return (Failed("silence", "The server has gone silent."),)

    def _judged(self, frame: ServerFrame, now: float) -> Result | None:
        if self.phase is Phase.OPENING and not isinstance(frame, Welcome | ErrorFrame):
            return Failed("disorder", "The server did not begin with welcome.")
        match frame:
            case Welcome():
                return self._welcomed(frame)
            case Snapshot():
                return self._part(frame)
            case Events():
                return self._events(frame)
            case Synced():
                return self._synced(frame)
            case HeadFrame(seq=seq, event_id=event_id):
                return self._must_hold(Head(seq, event_id))
            case Token(payload=token):
                return Streamed(token)
            case Reject(retryable=True):
                self.fenced = True
                self._due = now + FENCE_WAIT_S
                return frame
            case Presence() | Ack() | Reject() | ErrorFrame():
                return frame
            case unreachable:
                assert_never(unreachable)

    def _welcomed(self, welcome: Welcome) -> Result:
        if self.phase is not Phase.OPENING:
            return Failed("disorder", "The server said welcome twice.")
        if welcome.protocol != PROTOCOL_VERSION:
            return Failed("version", other_version(welcome.protocol).message)
        if welcome.workspace != self._workspace:
            return Failed("disorder", "The server welcomed us to another workspace.")
        self.phase = Phase.CATCHING_UP
        self._reducer = welcome.reducer
        return welcome

    def _part(self, part: Snapshot) -> Result | None:
        if self.phase is not Phase.CATCHING_UP or self._began or not self._follows(part):
            return Failed("disorder", "The server sent parts of a snapshot that do not fit.")
        self._parts.append(part)
        if not part.last:
            return None
        state = decode_state(one.state for one in self._parts)
        self._parts, self._began = [], True
        self._held = Head(part.seq, part.event_id)
        return Restored(state, self._held, part.reason)

    def _follows(self, part: Snapshot) -> bool:
        if part.part != len(self._parts):
            return False
        first = self._parts[0] if self._parts else part
        return (part.seq, part.event_id, part.reason) == (first.seq, first.event_id, first.reason)

    def _events(self, frame: Events) -> Result | None:
        held = self._held
        if self._parts or held is None:
            return Failed("disorder", "The server sent events where a snapshot was due.")
        if frame.after != held.seq or any(
            event.seq != frame.after + place for place, event in enumerate(frame.events, start=1)
        ):
            return Failed("gap", f"Events after {held.seq} were left out.")
        if not frame.events:
            return None
        self._began = True
        self._held = Head(frame.events[-1].seq, frame.events[-1].event_id)
        return Advanced(frame.events)

    def _synced(self, frame: Synced) -> Result:
        if self.phase is Phase.LIVE or self._parts or self._held is None:
            return Failed("disorder", "The server said that it was done before it was.")
        head = Head(frame.seq, frame.event_id)
        failed = self._must_hold(head)
        if failed:
            return failed
        self.phase = Phase.LIVE
        return CaughtUp(head, frame.digest if self._reducer == REDUCER_VERSION else None)

    def _must_hold(self, head: Head) -> Failed | None:
        if self._held == head:
            return None
        held = self._held.seq if self._held else 0
        return Failed("gap", f"The server is at {head.seq}, this client at {held}.")


# Tokens


def following(texts: Table[str, str], state: State) -> Table[str, str]:
    """The texts of the answers that are open in `state`: new ones begin empty, ended ones go."""
    streaming = state.assistant.streaming
    if len(streaming) == len(texts) and all(one in texts for one in streaming):
        return texts
    return Table({one: texts.get(one, "") for one in streaming})


def with_token(texts: Table[str, str], token: TokenPayload) -> Table[str, str]:
    """The texts with one more piece: overlap is trimmed; of no open answer, or behind a gap, it goes."""
    text = texts.get(token.message_id)
    if text is None or token.offset > len(text) or token.offset < 0:
        return texts
    new = token.text[len(text) - token.offset :]
    return texts.set(token.message_id, text + new) if new else texts


# Digests


class Agreement(msgspec.Struct, frozen=True):
    """What earlier connections found: whether digests differed last time, whether comparing was given up."""

    differed: bool = False
    given_up: bool = False


Verdict = Literal["same", "ask_snapshot", "give_up", "not_compared"]


def compared(agreement: Agreement, own: str, theirs: str | None) -> tuple[Agreement, Verdict]:
    """Whether two ends hold the same: where not, a snapshot once; twice in a row, no comparing any more."""
    if theirs is None or agreement.given_up:
        return agreement, "not_compared"
    if own == theirs:
        return Agreement(), "same"
    if agreement.differed:
        return Agreement(differed=True, given_up=True), "give_up"
    return Agreement(differed=True), "ask_snapshot"
