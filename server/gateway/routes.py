"""Plain HTTP: what each path answers.

Duty: turn a request into a read of committed state, a read of the ledger, or one action; word the answer.
Must not know: how bytes travel, how a decision is made.

1. Reads answer from committed state, and from the ledger up to its head, never beyond.
2. A request with an Origin comes from a web page and is refused, whatever it asks.
3. The bytes of events are the ledger's; nothing is encoded again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

import msgspec

from protocol import REDUCER_VERSION, limits
from protocol.codec import encode_state
from protocol.errors import HTTP_STATUS, Refused
from protocol.events import Head
from protocol.ids import is_client_action_id
from protocol.state import State
from server.admission import Admission, Admitted
from server.gateway.http1 import Request, Response, StreamResponse, refusal
from server.ledger.port import EventRow, Ledger, LedgerError, LookUp
from server.registry import Registry, fold_ledger
from server.workspace import Applied, Workspace, WorkspaceUnavailable

Answer = Response | StreamResponse

NDJSON: Final = "application/x-ndjson"
_RETRY_AFTER_S: Final = 1


class _ActionBody(msgspec.Struct, frozen=True):
    type: str
    client_action_id: str | None = None
    payload: msgspec.Raw = msgspec.Raw(b"{}")


_action_body = msgspec.json.Decoder(_ActionBody).decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Routes:
    """The HTTP handler of a server."""

    registry: Registry
    admission: Admission

    async def __call__(self, request: Request) -> Answer:
        if "origin" in request.headers:
            return refusal(403, "forbidden", "Web pages may not talk to this server.")
        try:
            return await self._route(request)
        except (LedgerError, WorkspaceUnavailable) as error:
            return refusal(503, "unavailable", f"The ledger is not available: {error}.")

    async def _route(self, request: Request) -> Answer:
        segments = request.path.strip("/").split("/")
        match request.method, segments:
            case "GET", ["healthz"]:
                return Response(200, b'{"status":"ok"}')
            case "GET", ["readyz"]:
                return self._ready()
            case "GET", ["workspaces"]:
                return await self._workspaces(request)
            case (("GET" | "POST"), ["workspaces", name, *rest]) if rest:
                admitted = await self.admission.enter(name, request.headers, request.peer)
                if isinstance(admitted, Response):
                    return admitted
                return await self._in_workspace(request, admitted, rest)
            case _, ["healthz" | "readyz" | "workspaces", *_]:
                return refusal(405, "invalid", f"{request.method} is not done here.")
            case _:
                return refusal(404, "not_found", "There is nothing here.")

    async def _in_workspace(self, request: Request, admitted: Admitted, rest: list[str]) -> Answer:
        workspace = admitted.workspace
        match request.method, rest:
            case "GET", ["state"] if "at" in request.query:
                return await self._state_at(workspace, request.query["at"])
            case "GET", ["state"] if "since" in request.query:
                return await self._state_since(workspace, request.query["since"])
            case "GET", ["state"]:
                return Response(200, _state_body(workspace.committed.state, workspace.committed.head))
            case "GET", ["events"]:
                return await self._events(workspace, request)
            case "POST", ["events"]:
                return await self._act(request, admitted)
            case "GET", ["actions", *_] if client_action_id := _action_named(request.path):
                return await self._outcome(workspace, admitted.identity.actor, client_action_id)
            case _, ["state" | "events"] | ["actions", *_]:
                return refusal(405, "invalid", f"{request.method} is not done here.")
            case _:
                return refusal(404, "not_found", "There is nothing here.")

    def _ready(self) -> Response:
        outage = self.registry.outage
        if outage is not None:
            return refusal(503, "unavailable", f"The ledger cannot be written: {outage}.")
        return Response(200, b'{"status":"ready"}')

    async def _workspaces(self, request: Request) -> Response:
        identity = await self.admission.identify(request.headers, request.peer)
        if isinstance(identity, Response):
            return identity
        listed = []
        for row in await self.registry.ledger.workspaces():
            try:
                workspace = await self.registry.open(row.name)
            except WorkspaceUnavailable:
                continue  # one that cannot be opened hides no other; its own path says 503
            member = workspace.committed.state.members.get(identity.actor) if workspace else None
            if workspace is not None and member is not None:
                listed.append(
                    {
                        "workspace": workspace.name,
                        "workspace_id": workspace.workspace_id,
                        "role": member.role,
                        "head": workspace.committed.head,
                    }
                )
        return Response(200, _encode(listed))

    # Reads

    async def _state_at(self, workspace: Workspace, at: str) -> Response:
        ledger, head = self.registry.ledger, workspace.committed.head
        seq = _number(at)
        if seq is None:
            return refusal(400, "invalid", "at must be a seq.")
        if seq > head.seq:
            return refusal(404, "not_found", f"The ledger ends at seq {head.seq}.")
        row = await ledger.workspace(workspace.name)
        assert row is not None, "an open workspace is in its ledger"
        last = await ledger.read(workspace.key, seq - 1, 1) if seq else []
        state = await fold_ledger(ledger, row, seq)
        return Response(200, _state_body(state, Head(seq, last[0].event_id if last else None)))

    async def _state_since(self, workspace: Workspace, since: str) -> Answer:
        ledger, commit = self.registry.ledger, workspace.committed
        seq = await ledger.seq_of(workspace.key, since)
        if seq is not None and commit.head.seq - seq <= limits.replay_events_max:
            return StreamResponse(
                200, "application/json", _replay_body(ledger, workspace.key, seq, commit.head)
            )
        reason = "unknown_cursor" if seq is None else "too_far_behind"
        body = _state_body(commit.state, commit.head)
        return Response(200, b'{"mode":"snapshot","reason":"%b",%b' % (reason.encode(), body[1:]))

    async def _events(self, workspace: Workspace, request: Request) -> Answer:
        ledger, head = self.registry.ledger, workspace.committed.head
        limit = _number(request.query.get("limit", str(limits.http_events_max)))
        if limit is None:
            return refusal(400, "invalid", "limit must be a number.")
        limit = min(limit, limits.http_events_max)
        asked = request.query.get("after", "0")
        after = _number(asked)
        if after is None:
            after = await ledger.seq_of(workspace.key, asked)
        if after is None:
            return refusal(404, "not_found", "This ledger does not hold that event.")
        return StreamResponse(200, NDJSON, _lines(ledger, workspace.key, after, min(head.seq, after + limit)))

    async def _outcome(self, workspace: Workspace, actor: str, client_action_id: str) -> Response:
        ledger = self.registry.ledger
        found = (await ledger.look_up([LookUp(workspace.key, actor, client_action_id)]))[0].outcome
        if found is None:
            return refusal(404, "not_found", "You have sent no action of that id.")
        events: Sequence[EventRow] = ()
        if found.first_seq is not None and found.seq is not None:
            count = found.seq - found.first_seq + 1
            events = await ledger.read(workspace.key, found.first_seq - 1, count)
        body: dict[str, object] = {
            "client_action_id": client_action_id,
            "status": found.status,
            "seq": found.seq,
            "event_ids": found.event_ids,
            "events": [msgspec.Raw(row.data) for row in events],
        }
        if found.status == "rejected":
            body |= {"code": found.code, "message": found.message, "field": found.field}
        return Response(200, _encode(body))

    # The one write

    async def _act(self, request: Request, admitted: Admitted) -> Response:
        try:
            body = _action_body(request.body)
        except msgspec.ValidationError as error:
            return refusal(400, "invalid", f"The body is no action: {error}.")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return refusal(400, "invalid", "The body must be the JSON of one action.")
        client_action_id = body.client_action_id
        if client_action_id is None:
            client_action_id = request.headers.get("idempotency-key", "")
        if not is_client_action_id(client_action_id):
            return refusal(
                400,
                "invalid",
                "An action needs a client_action_id, or an Idempotency-Key, of 1 to 128 characters.",
            )
        try:
            outcome = await admitted.workspace.submit(
                admitted.identity.actor, body.type, client_action_id, bytes(body.payload)
            )
        except WorkspaceUnavailable:
            return _unknown_outcome(client_action_id)
        match outcome:
            case Applied():
                return Response(200, _encode(outcome))
            case Refused():
                return _refused(client_action_id, outcome)
            case unreachable:
                assert_never(unreachable)


def _action_named(path: str) -> str:
    """The id in the path of an action: all the rest, for an id may hold slashes."""
    parts = path.lstrip("/").split("/", 3)
    return parts[3] if len(parts) > 3 else ""


def _number(text: str) -> int | None:
    """A seq or a count, None where the text is none; one of more than 18 digits is past everything anyway."""
    if not text.isascii() or not text.isdigit():
        return None
    return int(text.lstrip("0")[:18] or "0")


def _refused(client_action_id: str, refused: Refused, **more: str) -> Response:
    """The fields of the `reject` frame as an answer; `more` stands beside them."""
    reject = {
        "client_action_id": client_action_id,
        "code": refused.code,
        "message": refused.message,
        "field": refused.field,
        "retryable": refused.retryable,
        "retry_after_ms": _RETRY_AFTER_S * 1000 if refused.retryable else None,
    }
    headers = (("Retry-After", str(_RETRY_AFTER_S)),) if refused.retryable else ()
    return Response(HTTP_STATUS[refused.code], _encode(reject | more), headers=headers)


def _unknown_outcome(client_action_id: str) -> Response:
    refused = Refused("unavailable", "Nobody can say whether it was written; the same id settles it.")
    return _refused(client_action_id, refused, outcome="unknown")


def _state_body(state: State, head: Head) -> bytes:
    return b'{"seq":%d,"event_id":%b,"reducer":%d,"digest":"%b","state":%b}' % (
        head.seq,
        _encode(head.event_id),
        REDUCER_VERSION,
        state.digest_hex.encode(),
        encode_state(state),
    )


async def _replay_body(ledger: Ledger, workspace: int, after: int, head: Head) -> AsyncIterator[bytes]:
    yield b'{"mode":"replay","head":%b,"events":[' % _encode(head)
    separator = b""
    async for row in _rows(ledger, workspace, after, head.seq):
        yield separator + row.data
        separator = b","
    yield b"]}"


async def _lines(ledger: Ledger, workspace: int, after: int, upto: int) -> AsyncIterator[bytes]:
    async for row in _rows(ledger, workspace, after, upto):
        yield row.data + b"\n"


async def _rows(ledger: Ledger, workspace: int, after: int, upto: int) -> AsyncIterator[EventRow]:
    while after < upto:
        limit = min(limits.replay_page_events_max, upto - after)
        for row in await ledger.read(workspace, after, limit, limits.catch_up_buffer_bytes_max):
            yield row
            after = row.seq
