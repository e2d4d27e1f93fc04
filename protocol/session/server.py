"""The server's half of a connection, without I/O: frames in, frames out, next deadline.

Duty: what may come when, which bytes answer it, when silence must be broken or ends the connection.
Must not know: sockets, the ledger, workspaces; time is handed in, in seconds of any clock that only rises.

1. `hello` is the first frame and comes once, in time; what comes before it or a second one is a bad frame.
2. An ack leaves only when this connection was brought to its seq: by events, a snapshot, or the cursor that
   it named.
3. After `limits.head_interval_s` without a frame that carries `seq`, a live reader is told the head.
4. Too fast a sender is read more slowly: `pause_s` says for how long to stop reading.

    GREETING --hello--> CATCHING_UP --went_live--> LIVE
        any of them --WireError, leave--> CLOSED
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from protocol import PROTOCOL_VERSION, limits
from protocol.codec import decode_client_frame, encode_server_frame, other_version
from protocol.errors import CloseCode, Refused, WireError
from protocol.events import Head
from protocol.frames import Ack, AckStatus, ActionFrame, ClientFrame, ErrorFrame, HeadFrame, Hello, Reject
from protocol.ids import is_client_action_id


class Phase(Enum):
    """Where a connection is."""

    GREETING = "greeting"
    CATCHING_UP = "catching up"
    LIVE = "live"
    CLOSED = "closed"


class ServerSession:
    """One connection. The shell feeds frames and clock readings, and writes what comes back."""

    def __init__(self, now: float, *, actions_per_s: float = limits.actions_per_s_max) -> None:
        self.phase = Phase.GREETING
        self.seq = 0
        """The seq that this connection was brought to."""
        self._hello_due = now + limits.hello_timeout_s
        self._told_seq_at = now
        self._held: deque[tuple[int, bytes]] = deque()
        self._rate = actions_per_s
        self._tokens = float(limits.actions_burst_max)
        self._tokens_at = now

    def receive(self, data: str | bytes, now: float) -> ClientFrame:
        """What the client says. WireError, with the close code, where it may not say it now."""
        if isinstance(data, bytes):
            raise WireError(CloseCode.BAD_FRAME, "Frames are text.")
        frame = decode_client_frame(data)
        match frame:
            case Hello():
                self._check_hello(frame)
                self.phase = Phase.CATCHING_UP
            case _ if self.phase is Phase.GREETING:
                raise WireError(CloseCode.BAD_FRAME, "The first frame is hello.")
            case ActionFrame():
                self._spend(now)
            case _:
                pass
        return frame

    def _check_hello(self, hello: Hello) -> None:
        if self.phase is not Phase.GREETING:
            raise WireError(CloseCode.BAD_FRAME, "hello comes once.")
        if hello.protocol != PROTOCOL_VERSION:
            raise other_version(hello.protocol)
        if not is_client_action_id(hello.client_id):
            raise WireError(CloseCode.BAD_FRAME, "client_id is 1 to 128 printable ASCII characters.")

    # Out

    def brought_to(self, seq: int, now: float) -> None:
        """The connection was given everything up to `seq`, or named it as its cursor."""
        self.seq = max(self.seq, seq)
        self._told_seq_at = now

    def went_live(self, now: float) -> None:
        """Caught up."""
        self.phase = Phase.LIVE
        self._told_seq_at = now

    def acknowledged(
        self, client_action_id: str, status: AckStatus, seq: int | None, event_ids: tuple[str, ...]
    ) -> None:
        """An action is durable; its ack leaves with `released` once the connection was brought to its seq."""
        ack = Ack(client_action_id=client_action_id, status=status, seq=seq, event_ids=event_ids)
        self._held.append((seq or 0, encode_server_frame(ack)))

    def released(self) -> list[bytes]:
        """The acks that may leave now, in their order."""
        out = [payload for seq, payload in self._held if seq <= self.seq]
        if out:
            self._held = deque(held for held in self._held if held[0] > self.seq)
        return out

    @staticmethod
    def refused(client_action_id: str, refused: Refused) -> bytes:
        """The frame of a refusal."""
        return encode_server_frame(
            Reject(
                client_action_id=client_action_id,
                code=refused.code,
                message=refused.message,
                field=refused.field,
                retryable=refused.retryable,
            )
        )

    @staticmethod
    def failed(error: WireError) -> bytes:
        """The `error` frame that goes before a close that is the client's fault."""
        return encode_server_frame(ErrorFrame(code=CloseCode(error.code).name.lower(), message=error.message))

    # Time

    def next_deadline(self) -> float | None:
        """When `tick` has something to say next; None for never."""
        match self.phase:
            case Phase.GREETING:
                return self._hello_due
            case Phase.LIVE:
                return self._told_seq_at + limits.head_interval_s
            case Phase.CATCHING_UP | Phase.CLOSED:
                return None

    def tick(self, now: float, head: Head) -> bytes | None:
        """The frame that is due at `now`, if any. WireError (4408) where hello did not come in time."""
        due = self.next_deadline()
        if due is None or now < due:
            return None
        if self.phase is Phase.GREETING:
            raise WireError(CloseCode.NO_HELLO, "hello did not come in time.")
        self._told_seq_at = now
        return encode_server_frame(HeadFrame(seq=head.seq, event_id=head.event_id))

    def pause_s(self) -> float:
        """How long to read nothing, because the client was too fast; 0 for not at all."""
        return -self._tokens / self._rate if self._rate and self._tokens < 0 else 0.0

    def _spend(self, now: float) -> None:
        """A token bucket: `actions_burst_max` deep, filled at the rate; 0 as rate lifts it."""
        if self._rate:
            filled = self._tokens + (now - self._tokens_at) * self._rate
            self._tokens = min(float(limits.actions_burst_max), filled) - 1.0
        self._tokens_at = now
