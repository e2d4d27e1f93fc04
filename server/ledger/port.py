"""The ledger's interface: the values that go in and come out, the errors, the verbs.

Duty: say what any ledger promises, so that another engine can stand behind the same words.
Must not know: SQLite, action types, event types, states; what it stores are opaque bytes.

1. The unit is the record: one action's outcome and its events are durable together or not at all.
2. The events of a workspace have the seqs 1, 2, 3, …; the caller names the head it built on, and a record
   built on another head is refused.
3. An action's outcome is there for ever, once per workspace, actor and id; an entity id is used once.
4. After `LedgerUnavailable` from a write nobody knows whether it was written, until the ledger is reopened.

    LedgerError
    ├── LedgerConflict       certainly not written; the caller built on something that is no longer so
    ├── LedgerUnavailable    unknown whether written; reopen, then look
    └── LedgerDamaged        the file is not one that this version can read; trying again does not help

Ids and names hold no NUL; texts and event bytes may hold anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

from msgspec import Struct


class LedgerError(Exception):
    """Whatever a ledger cannot do; its text is one sentence for the person who runs the server."""


class LedgerConflict(LedgerError):  # noqa: N818 - what happened, not that it is an error
    """Nothing was written: another head, or an id that is already there."""


class LedgerUnavailable(LedgerError):  # noqa: N818 - what happened, not that it is an error
    """The ledger cannot be reached or written; of a write that raised it, the outcome is unknown."""


class LedgerDamaged(LedgerError):  # noqa: N818 - what happened, not that it is an error
    """The file is no ledger, one of a newer version, or broken."""


class EventRow(Struct, frozen=True):
    """One event as it lies in the ledger."""

    seq: int
    event_id: str
    type: str
    data: bytes
    """The event's JSON, made once: the same bytes on disk, on the wire and in exports."""


class Outcome(Struct, frozen=True):
    """What became of an action; the answer to every repeat of it."""

    status: Literal["applied", "rejected"]
    digest: bytes
    """16 bytes that tell whether a repeat is the same action."""
    seq: int | None = None
    """Of the action's last event; None when it gave none."""
    first_seq: int | None = None
    event_ids: tuple[str, ...] = ()
    code: str | None = None
    """`code`, `message` and `field` are those of the reject."""
    message: str | None = None
    field: str | None = None


class Agenda(Struct, frozen=True):
    """What a workspace waits for, so that a start opens only those that do."""

    waits: bool
    """It has something unfinished: an open stream, a waiting message, a plan half done."""
    due_at: str | None = None
    """RFC 3339; when it next has to act by itself."""

    @property
    def is_empty(self) -> bool:
        """Whether the workspace waits for nothing: such an agenda is not kept."""
        return not self.waits and self.due_at is None


class Record(Struct, frozen=True):
    """One action: its outcome with its events."""

    workspace: int
    expected_seq: int
    """The head on which the events were decided."""
    actor: str
    client_action_id: str
    outcome: Outcome
    events: tuple[EventRow, ...] = ()
    entity_ids: tuple[str, ...] = ()
    """Ids that this action uses for the first time."""
    sealed_streams: tuple[str, ...] = ()
    """Message ids whose segments go in the same transaction."""
    agenda: Agenda | None = None
    """The workspace's new agenda; None leaves the one there is."""


class Segment(Struct, frozen=True):
    """A piece of a streaming text."""

    workspace: int
    message_id: str
    offset: int
    """In code points, from the beginning of the text."""
    text: str


class Batch(Struct, frozen=True):
    """What one transaction writes: the segments first, then the records in order."""

    records: tuple[Record, ...] = ()
    segments: tuple[Segment, ...] = ()


class WorkspaceRow(Struct, frozen=True):
    """A workspace and its head."""

    key: int
    name: str
    workspace_id: str
    seq: int = 0
    event_id: str | None = None


class LookUp(Struct, frozen=True):
    """What must be known of an action before it is decided."""

    workspace: int
    actor: str
    client_action_id: str
    entity_ids: tuple[str, ...] = ()


class Found(Struct, frozen=True):
    """The answer to a `LookUp`."""

    outcome: Outcome | None
    used: frozenset[str]
    """Those of the asked entity ids that were used before."""


class TokenRow(Struct, frozen=True):
    """A credential; of the secret there is only the hash."""

    token_hash: bytes
    token_id: str
    kind: Literal["actor", "gateway", "metrics"]
    actor: str | None
    created_at: str
    revoked_at: str | None = None


class Ledger(Protocol):
    """What stands behind the workspaces. Any method raises `LedgerUnavailable` where it cannot be reached."""

    @property
    def flushes(self) -> int:
        """Transactions made durable through this handle."""
        ...

    async def append(self, batch: Batch) -> None:
        """Make all of `batch` durable in one transaction, or nothing.

        Raises `LedgerConflict` when an `expected_seq` is not its workspace's head, or an id is already there;
        `LedgerUnavailable` when nobody knows: then every write raises it until `reopen`.
        """
        ...

    async def create_workspace(self, name: str, workspace_id: str, created_at: str) -> WorkspaceRow:
        """The workspace of that name, made where it is not there; the first `workspace_id` stays."""
        ...

    async def workspace(self, name: str) -> WorkspaceRow | None:
        """The workspace of that name."""
        ...

    async def workspaces(self) -> list[WorkspaceRow]:
        """All workspaces, in the order in which they were made."""
        ...

    async def look_up(self, requests: Sequence[LookUp]) -> list[Found]:
        """The answers to `requests`, in their order, at the price of one."""
        ...

    async def read(
        self, workspace: int, after: int, limit: int, bytes_max: int | None = None
    ) -> list[EventRow]:
        """Events behind seq `after` in order: at most `limit`, and of `bytes_max` bytes of data together.

        At least one where there is one, however large it is.
        """
        ...

    async def seq_of(self, workspace: int, event_id: str) -> int | None:
        """The seq of an event; None where this workspace does not hold it."""
        ...

    async def agenda(self) -> list[tuple[WorkspaceRow, Agenda]]:
        """The workspaces that wait for something."""
        ...

    async def segments(self, workspace: int) -> dict[str, str]:
        """The text saved so far of each message that is not sealed, as `joined` makes it."""
        ...

    async def put_token(self, row: TokenRow) -> None:
        """Keep a new token; `LedgerConflict` where its hash or id is already there."""
        ...

    async def token(self, token_hash: bytes) -> TokenRow | None:
        """The token of that hash, also a revoked one."""
        ...

    async def tokens(self) -> list[TokenRow]:
        """All tokens, oldest first."""
        ...

    async def revoke_token(self, token_id: str, revoked_at: str) -> bool:
        """Whether there is such a token; from now it is revoked. The time of the first revocation stays."""
        ...

    async def reopen(self) -> None:
        """Let go of everything, open again, and prove with a write that it can be written."""
        ...

    async def close(self) -> None:
        """Let go of everything; a second time does nothing."""
        ...


def check_record(record: Record) -> None:
    """Assert what the caller owes: dense seqs behind the head, an outcome that names its events."""
    outcome, events = record.outcome, record.events
    seqs = [event.seq for event in events]
    assert seqs == list(range(record.expected_seq + 1, record.expected_seq + 1 + len(events))), seqs
    assert outcome.first_seq == (seqs[0] if seqs else None), "the first event's seq"
    assert outcome.seq == (seqs[-1] if seqs else None), "the last event's seq"
    assert outcome.event_ids == tuple(event.event_id for event in events), "the ids of the events"
    assert outcome.status == "applied" or not events, "a rejected action has no events"


def joined(pieces: Iterable[tuple[int, str]]) -> str:
    """The text that pieces (offset, text) make: overlap is trimmed, what lies behind a gap is left out."""
    text = ""
    for offset, piece in sorted(pieces, key=lambda pair: pair[0]):
        if offset > len(text):
            break
        text += piece[len(text) - offset :]
    return text
