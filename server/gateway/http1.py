"""HTTP/1.1 on one accepted connection: bytes in, requests to a handler, answers out, in order.

It must not know paths, methods, workspaces or credentials: those are the handler's.

1. Requests of one connection are handled one after the other, answered in the order in which they came.
2. Every wait has a deadline, every buffer a bound: head, body, idle connection, a reader that takes nothing.
3. A request that was refused before its end was read closes the connection: what follows it cannot be told.
4. A handler that raises costs one answer; its message and its traceback never leave the process.
5. Nothing is cancelled because the peer left: a handler that was begun runs to its end.
"""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import assert_never
from urllib.parse import parse_qsl, unquote, urlsplit

import h11

from protocol.limits import http_body_bytes_max
from server.gateway.peer import Peer

log = logging.getLogger("server.gateway")

# Input that waits while a handler runs: above this the peer is read no further (bytes).
_INBOX_MAX = 64 * 1024
_BODILESS_STATUSES = (204, 304)
_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Request:
    """One request, read to its end.

    `path` is percent-decoded and without the query; `headers` have lower-case names, repeated ones joined by
    `, `; of a repeated query field the last counts. HEAD arrives as GET, its answer leaves without the body.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    peer: Peer


@dataclass(frozen=True, slots=True)
class Response:
    """An answer whose body is at hand."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class StreamResponse:
    """An answer whose body is made as the reader drains it; `chunks` is closed if the reader leaves early."""

    status: int
    content_type: str
    chunks: AsyncIterator[bytes]
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Request], Awaitable[Response | StreamResponse]]


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """The bounds of one HTTP connection."""

    head_max: int = 16 * 1024
    """Request line and headers (bytes): 431."""
    headers_max: int = 100
    """Header lines: 431."""
    body_max: int = http_body_bytes_max
    """Request body after decoding (bytes): 413."""
    head_timeout_s: float = 10.0
    """From the first byte of a request to the end of its head: 408."""
    body_timeout_s: float = 30.0
    """From the end of the head to the end of the body: 408."""
    idle_timeout_s: float = 75.0
    """Between two requests: the connection is closed without a word."""
    stall_timeout_s: float = 30.0
    """A reader that takes not one byte for so long is cut off."""
    linger_s: float = 1.0
    """How long input is thrown away after a refusal, so that the peer can read why."""


def refusal(status: int, code: str, message: str, *, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Word a refusal of the transport with the fields of a `reject` frame."""
    unavailable = code == "unavailable"
    fields: dict[str, object] = {"code": code, "message": message, "field": None}
    fields |= {"retryable": unavailable, "retry_after_ms": None}
    if status == 500:
        # Nobody can say how far the handler got: the same client_action_id settles it.
        fields["outcome"] = "unknown"
    return Response(status, json.dumps(fields).encode(), headers=headers)


def failure() -> Response:
    """Word the answer to a request that met a bug of ours."""
    return refusal(500, "unavailable", "The server failed to answer this request; its log says where.")


def report_fault(what: str, error: BaseException) -> None:
    """Log one line about a bug: its type and place, not its message, which may hold secrets or poison."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown place"
    log.error("%s failed: %s at %s", what, type(error).__name__, place)


def split_target(target: str) -> tuple[str, Mapping[str, str]] | None:
    """Split a request target into its decoded path and query; None where it is not valid."""
    try:
        if not target.startswith("/"):
            parts = urlsplit(target)
            target = f"{parts.path}?{parts.query}"
        path, _, query = target.partition("?")
        fields = dict(parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=64))
        return unquote(path, errors="strict"), MappingProxyType(fields)
    except ValueError:
        return None


def merge_headers(headers: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Key headers by their lower-case name; a repeated one becomes a list, as RFC 9110 section 5.3 has it."""
    merged: dict[str, str] = {}
    for name, value in headers:
        name = name.lower()
        merged[name] = f"{merged[name]}, {value}" if name in merged else value
    return MappingProxyType(merged)


class _Refused(Exception):  # noqa: N818  a refusal of the peer, not an error of ours
    """The request cannot be read to its end; `answer` says why, and the connection ends with it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.answer = refusal(status, code, message)


class HttpConnection:
    """The HTTP side of one transport. Its owner passes on the transport's callbacks and awaits `serve`."""

    def __init__(
        self, transport: asyncio.Transport, peer: Peer, handler: Handler, limits: HttpLimits
    ) -> None:
        self._transport = transport
        self._peer = peer
        self._handler = handler
        self._limits = limits
        self._wire = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_max)
        # Received, not yet given to h11.
        self._inbox = bytearray()
        self._input_ended = False
        # Input no longer counts: the connection is ending.
        self._discarding = False
        self._leaving = False
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()

    # Callbacks of the transport.

    def data_received(self, data: bytes) -> None:
        """Take input; above the inbox's bound the transport is paused until a request takes it."""
        if self._discarding:
            return
        self._inbox += data
        self._arrived.set()
        if len(self._inbox) > _INBOX_MAX:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """Note that the peer sends no more; it may still read."""
        self._input_ended = True
        self._arrived.set()

    def pause_writing(self) -> None:
        """Note that the transport's buffer is above its high-water mark."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Note that the transport's buffer is below its low-water mark."""
        self._writable.set()

    def connection_lost(self) -> None:
        """Wake everything that waits for the peer."""
        self._lost.set()
        self._writable.set()
        self.eof_received()

    def leave(self) -> None:
        """Close after the answer under way; at once where there is none."""
        self._leaving = True
        self._arrived.set()

    # The conversation.

    async def serve(self) -> None:
        """Answer requests in order until the connection ends; returns when the transport is closed."""
        try:
            while await self._exchange():
                self._wire.start_next_cycle()
        except h11.LocalProtocolError as error:  # a handler's status or header that cannot be written
            report_fault("http response", error)
            self._transport.abort()
        await self._close()

    async def refuse(self, answer: Response) -> None:
        """Answer what cannot be read further, then close in a way that lets the peer read the answer."""
        if self._wire.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._leaving = True
            self._write_whole(answer, bodiless=False)
        self._discarding = True
        self._inbox.clear()
        self._resume_reading()
        if not self._transport.is_closing() and self._transport.can_write_eof():
            self._transport.write_eof()
            await self._within(self._limits.linger_s, self._input_end())
        await self._close()

    async def _exchange(self) -> bool:
        """Serve one request; False where no other can follow on this connection."""
        try:
            head = await self._read_head()
            if head is None:
                return False
            request = self._request(head, await self._read_body(head))
        except _Refused as refused:
            await self.refuse(refused.answer)
            return False
        bodiless = head.method == b"HEAD"
        answer = await self._handle(request)
        whole = await self._send(answer, bodiless)
        done = self._wire.our_state is h11.DONE and self._wire.their_state is h11.DONE
        return whole and done and not self._leaving

    async def _handle(self, request: Request) -> Response | StreamResponse:
        try:
            return await self._handler(request)
        except Exception as error:  # noqa: BLE001  rule 4: a bug of one route is one 500, seen in the log
            report_fault("http handler", error)
            return failure()

    # Reading.

    async def _read_head(self) -> h11.Request | None:
        if not await self._begins():
            return None
        event = await self._in_time(self._limits.head_timeout_s, "The request's head took too long.")
        if not isinstance(event, h11.Request):
            return None
        headers = event.headers.raw_items()
        size = len(event.target) + sum(len(name) + len(value) + 4 for name, value in headers)
        if size > self._limits.head_max or len(headers) > self._limits.headers_max:
            raise _Refused(431, "too_large", "The request's headers are too large.")
        return event

    async def _begins(self) -> bool:
        """Wait for the first byte of a request; False where none comes."""
        if self._leaving:
            return False
        if self._inbox or self._wire.trailing_data[0]:
            return True
        self._arrived.clear()
        if not self._input_ended:
            await self._within(self._limits.idle_timeout_s, self._arrived.wait())
        return bool(self._inbox)

    async def _read_body(self, head: h11.Request) -> bytes:
        body_max = self._limits.body_max
        too_large = f"The request's body is larger than {body_max} bytes."
        declared = next((int(value) for name, value in head.headers if name == b"content-length"), 0)
        if declared > body_max:
            raise _Refused(413, "too_large", too_large)
        body = bytearray()
        deadline = asyncio.get_running_loop().time() + self._limits.body_timeout_s
        while True:
            left_s = deadline - asyncio.get_running_loop().time()
            event = await self._in_time(left_s, "The request's body took too long.")
            if not isinstance(event, h11.Data):
                return bytes(body)
            body += event.data
            if len(body) > body_max:
                raise _Refused(413, "too_large", too_large)

    async def _in_time(self, timeout_s: float, too_slow: str) -> h11.Event | type[h11.PAUSED]:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._next_event()
        except TimeoutError:
            raise _Refused(408, "invalid", too_slow) from None
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint
            code = "too_large" if status == 431 else "invalid"
            raise _Refused(status, code, "The request is not valid HTTP/1.1.") from None

    async def _next_event(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            event = self._wire.next_event()
            if event is not h11.NEED_DATA:
                assert not isinstance(event, type) or event is h11.PAUSED
                return event
            if self._wire.they_are_waiting_for_100_continue:
                self._write(h11.InformationalResponse(status_code=100, headers=[]))
            await self._arrive()
            self._wire.receive_data(self._take())

    async def _arrive(self) -> None:
        while not self._inbox and not self._input_ended:
            self._arrived.clear()
            await self._arrived.wait()

    def _take(self) -> bytes:
        """Empty the inbox; no bytes means the end of input, which is what h11 takes it for."""
        data = bytes(self._inbox)
        self._inbox.clear()
        self._resume_reading()
        return data

    def _resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _request(self, head: h11.Request, body: bytes) -> Request:
        target = split_target(head.target.decode("ascii", "replace"))
        if target is None:
            raise _Refused(400, "invalid", "The request's target is not valid.")
        path, query = target
        method = head.method.decode("ascii")
        headers = merge_headers(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers
        )
        return Request("GET" if method == "HEAD" else method, path, query, headers, body, self._peer)

    # Writing.

    async def _send(self, answer: Response | StreamResponse, bodiless: bool) -> bool:
        """Write an answer; False where it was cut short."""
        match answer:
            case Response():
                self._write_whole(answer, bodiless)
                whole = True
            case StreamResponse():
                whole = await self._stream(answer, bodiless)
            case _:
                assert_never(answer)
        return await self._drain() and whole

    def _write_whole(self, answer: Response, bodiless: bool) -> None:
        headers = self._headers(answer)
        if answer.status not in _BODILESS_STATUSES:
            headers.append(("content-length", str(len(answer.body))))
        events: list[h11.Event] = [_head_of(answer.status, headers)]
        if answer.body and not bodiless:
            events.append(h11.Data(data=answer.body))
        self._write(*events, h11.EndOfMessage())

    async def _stream(self, answer: StreamResponse, bodiless: bool) -> bool:
        self._write(_head_of(answer.status, self._headers(answer)))
        try:
            if not bodiless:
                async for chunk in answer.chunks:
                    self._write(h11.Data(data=chunk))
                    if not await self._drain():
                        return False
        except Exception as error:  # noqa: BLE001  rule 4; without its end the reader sees that the body is cut short
            report_fault("http stream", error)
            self._transport.abort()
            return False
        finally:
            await _close_chunks(answer.chunks)
        self._write(h11.EndOfMessage())
        return True

    def _headers(self, answer: Response | StreamResponse) -> list[tuple[str, str]]:
        headers = [("content-type", answer.content_type), *answer.headers]
        return [*headers, ("connection", "close")] if self._leaving else headers

    def _write(self, *events: h11.Event) -> None:
        data = b"".join(self._wire.send(event) or b"" for event in events)
        if data and not self._transport.is_closing():
            self._transport.write(data)

    async def _drain(self) -> bool:
        """Wait until the reader has taken enough; False where it left, or took nothing for too long."""
        while not self._writable.is_set():
            before = self._transport.get_write_buffer_size()
            await self._within(self._limits.stall_timeout_s, self._writable.wait())
            if not self._writable.is_set() and self._transport.get_write_buffer_size() >= before:
                self._transport.abort()
                return False
        return not self._lost.is_set()

    # The end.

    async def _close(self) -> None:
        self._discarding = True
        await self._drain()
        self._transport.close()
        # What is left is below the low-water mark; a peer that does not take even that is cut off.
        await self._within(self._limits.stall_timeout_s, self._lost.wait())
        if not self._lost.is_set():
            self._transport.abort()
            await self._lost.wait()

    async def _input_end(self) -> None:
        while not self._input_ended:
            self._arrived.clear()
            await self._arrived.wait()

    async def _within(self, timeout_s: float, wait: Awaitable[object]) -> None:
        """Wait at most so long; the caller looks at the condition itself."""
        try:
            async with asyncio.timeout(timeout_s):
                await wait
        except TimeoutError:
            return


def _head_of(status: int, headers: list[tuple[str, str]]) -> h11.Response:
    return h11.Response(status_code=status, headers=headers, reason=_REASONS.get(status, ""))


async def _close_chunks(chunks: AsyncIterator[bytes]) -> None:
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()
