"""Plain HTTP over real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from server.gateway.http1 import HttpLimits, Request, Response, split_target
from tests.server.gateway.kit import raw, serving, show_request, stream_of, within

GET = b"GET /a%20b?x=1&y=%C3%A4 HTTP/1.1\r\nHost: x\r\nX-One: 1\r\nX-One: 2\r\n\r\n"


async def test_request_is_told_in_full() -> None:
    """Method, decoded path, query, joined headers and body reach the handler."""
    async with serving() as listener, raw(listener) as client:
        status, headers, body = await client.ask(GET)
    shown = json.loads(body)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert (shown["method"], shown["path"], shown["query"]) == ("GET", "/a b", {"x": "1", "y": "ä"})
    assert shown["headers"]["x-one"] == "1, 2"


async def test_post_with_length() -> None:
    """A body with Content-Length arrives whole, however it is cut on the way."""
    async with serving() as listener, raw(listener) as client:
        for part in (b"POST /p HTTP/1.1\r\nHo", b"st: x\r\nContent-Length: 5\r\n\r", b"\nhe", b"llo"):
            client.send(part)
            await client.writer.drain()
        _, _, body = await client.answer()
    assert json.loads(body)["body"] == "hello"


async def test_post_chunked() -> None:
    """A chunked body arrives joined."""
    async with serving() as listener, raw(listener) as client:
        _, _, body = await client.ask(
            b"POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
        )
    assert json.loads(body)["body"] == "hello"


async def test_expect_continue() -> None:
    """A client that asks first is told to go on, and only then sends."""
    async with serving() as listener, raw(listener) as client:
        client.send(b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n")
        status, _, _ = await client.answer()
        assert status == 100
        _, _, body = await client.ask(b"z" * 100_000)
    assert json.loads(body)["body"] == "z" * 100_000


async def test_keep_alive_thrice() -> None:
    """One connection serves requests one after the other."""
    async with serving() as listener, raw(listener) as client:
        for _ in range(3):
            status, headers, _ = await client.ask(GET)
            assert status == 200
            assert "connection" not in headers


async def test_pipelined_in_order() -> None:
    """Requests that are sent at once are answered in their order, though the first takes longest."""
    first_may_end = asyncio.Event()

    async def handler(request: Request) -> Response:
        if request.path == "/0":
            await first_may_end.wait()
        if request.path == "/1":
            assert first_may_end.is_set()
        return Response(200, request.path.encode(), "text/plain")

    async with serving(http_handler=handler) as listener, raw(listener) as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(20)))
        first_may_end.set()
        assert [(await client.answer())[2] for _ in range(20)] == [b"/%d" % n for n in range(20)]


async def test_many_pipelined_posts_are_bounded_and_whole() -> None:
    """Input far above the inbox's bound waits outside and arrives unharmed."""
    post = b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"y" * 100_000
    async with serving() as listener, raw(listener) as client:
        client.send(post * 20)
        for _ in range(20):
            assert len(json.loads((await client.answer())[2])["body"]) == 100_000


async def test_head_has_no_body() -> None:
    """HEAD is GET without its body, length and all, and the connection goes on."""
    async with serving() as listener, raw(listener) as client:
        client.send(b"HEAD /h HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await within(client.reader.readuntil(b"\r\n\r\n"))
        assert b"content-length: " in head
        status, _, body = await client.ask(GET)
    assert (status, json.loads(body)["method"]) == (200, "GET")


async def test_connection_close_is_kept() -> None:
    """A client that asks for the end gets it, behind the whole answer."""
    async with serving() as listener, raw(listener) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await client.until_closed()).endswith(b"}")


async def test_http10_and_half_closed_client() -> None:
    """A client that says its request is all it will send still reads the answer."""
    async with serving() as listener, raw(listener) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        client.writer.write_eof()
        assert b" 200 " in await client.until_closed()


@pytest.mark.parametrize(
    "bad",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
        b"GET /%FF HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /?a=%FF HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_malformed_is_400_and_closed(bad: bytes) -> None:
    """What is no request gets 400 with a reason in JSON, and the end."""
    async with serving() as listener, raw(listener) as client:
        status, headers, body = await client.ask(bad)
        assert (status, headers["connection"], json.loads(body)["code"]) == (400, "close", "invalid")
        assert await client.until_closed() == b""


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 20_000,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: a\r\n" * 101 + b"\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_large_head_is_431(head: bytes) -> None:
    """A head above its bound is refused, whole or not."""
    async with serving() as listener, raw(listener) as client:
        status, _, body = await client.ask(head)
        assert (status, json.loads(body)["code"]) == (431, "too_large")
        assert await client.until_closed() == b""


async def test_body_at_the_bound_and_one_more() -> None:
    """A body of exactly the bound passes; one byte more is 413 before it is read."""
    limits = HttpLimits(body_max=1000, linger_s=0.3)
    async with serving(http_limits=limits) as listener, raw(listener) as client:
        at_bound = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + b"b" * 1000
        assert (await client.ask(at_bound))[0] == 200
        above = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n"
        status, headers, body = await client.ask(above)
        assert (status, headers["connection"], json.loads(body)["code"]) == (413, "close", "too_large")


async def test_large_chunked_body_is_413_though_the_client_goes_on_sending() -> None:
    """A body that grows over the bound is refused, and the sender can read why."""
    limits = HttpLimits(body_max=100_000, linger_s=2.0)
    async with serving(http_limits=limits) as listener, raw(listener) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send((b"10000\r\n" + b"c" * 0x10000 + b"\r\n") * 40)
        assert (await client.answer())[0] == 413


async def test_slow_head_is_408_at_the_deadline() -> None:
    """A head that never ends is cut at its deadline, the first on a connection and a later one."""
    limits = HttpLimits(head_timeout_s=0.1, linger_s=0.1)
    async with serving(open_timeout_s=0.1, http_limits=limits) as listener:
        async with raw(listener) as client:
            assert (await client.ask(b"GET / HT"))[0] == 408
            assert await client.until_closed() == b""
        async with raw(listener) as client:
            assert (await client.ask(GET))[0] == 200
            assert (await client.ask(b"GET / HT"))[0] == 408
            assert await client.until_closed() == b""


async def test_head_that_ends_after_its_deadline_is_not_served() -> None:
    """What comes behind a 408 is thrown away, though it completes the request."""
    asked: list[Request] = []

    async def handler(request: Request) -> Response:
        asked.append(request)
        return Response(200)

    limits = HttpLimits(linger_s=0.3)
    async with (
        serving(http_handler=handler, open_timeout_s=0.1, http_limits=limits) as listener,
        raw(listener) as client,
    ):
        assert (await client.ask(b"GET / HT"))[0] == 408
        client.send(b"TP/1.1\r\nHost: x\r\n\r\n")
        assert await client.until_closed() == b""
    assert asked == []


async def test_slow_body_is_408_at_the_deadline() -> None:
    """A body that never ends is cut at its deadline."""
    async with (
        serving(http_limits=HttpLimits(body_timeout_s=0.1, linger_s=0.1)) as listener,
        raw(listener) as client,
    ):
        status, _, _ = await client.ask(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
        assert status == 408
        assert await client.until_closed() == b""


async def test_idle_connection_is_closed_without_a_word() -> None:
    """Between two requests a connection may rest for the idle timeout."""
    async with (
        serving(http_limits=HttpLimits(idle_timeout_s=0.1)) as listener,
        raw(listener) as client,
    ):
        assert (await client.ask(GET))[0] == 200
        assert await client.until_closed() == b""


async def test_http_outlives_the_opening_timeout() -> None:
    """A handler may take longer than a handshake may."""

    async def slow(request: Request) -> Response:
        later = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, later.set)
        await later.wait()
        return await show_request(request)

    async with serving(http_handler=slow, open_timeout_s=0.1) as listener, raw(listener) as client:
        assert (await client.ask(GET))[0] == 200
        assert (await client.ask(GET))[0] == 200


async def test_handler_exception_is_one_500_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """A bug costs one answer that says nothing of it, one log line without its message, and not the connection."""

    async def broken(_request: Request) -> Response:
        raise RuntimeError("the secret is 4711")

    with caplog.at_level(logging.DEBUG, logger="server"):
        async with serving(http_handler=broken) as listener, raw(listener) as client:
            status, _, body = await client.ask(GET)
            assert (status, json.loads(body)["code"]) == (500, "unavailable")
            assert b"4711" not in body
            assert (await client.ask(GET))[0] == 500
    lines = [record.getMessage() for record in caplog.records if record.name == "server.gateway"]
    assert len(lines) == 2
    assert "RuntimeError at test_http1.py" in lines[0]
    assert "4711" not in caplog.text


async def test_answer_that_cannot_be_written_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    """A header with a line break in it splits no answer: the connection is cut, the log says so."""

    async def splitting(_request: Request) -> Response:
        return Response(200, headers=(("x", "a\r\nset-cookie: b"),))

    async with serving(http_handler=splitting) as listener, raw(listener) as client:
        client.send(GET)
        assert await client.until_closed() == b""
    assert "http response failed" in caplog.text


async def test_stream_arrives_chunked_and_connection_goes_on() -> None:
    """A streamed answer is chunked, whole, and followed by the next."""

    async def chunks() -> AsyncIterator[bytes]:
        for n in range(5):
            yield b"%d\n" % n
            yield b""

    async with serving(http_handler=stream_of(chunks)) as listener, raw(listener) as client:
        for _ in range(2):
            _, headers, body = await client.ask(GET)
            assert (headers["transfer-encoding"], body) == ("chunked", b"0\n1\n2\n3\n4\n")


async def test_stream_to_a_slow_reader_waits_and_ends_with_it() -> None:
    """A reader that stops holds up its own stream only; when it leaves, the source is closed."""
    made = 0
    closed = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal made
        try:
            while True:
                made += 1
                yield b"x" * 65536
        finally:
            closed.set()

    limits = HttpLimits(stall_timeout_s=60.0)
    async with serving(http_handler=stream_of(chunks), http_limits=limits) as listener:
        sock = socket.create_connection(("127.0.0.1", listener.port or 0))
        sock.sendall(GET)
        await asyncio.to_thread(sock.recv, 100)
        assert made < 500  # kernel buffers of a few MB, not all of memory
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        await within(closed.wait())


async def test_stalled_reader_is_cut() -> None:
    """A reader that takes nothing for the stall timeout is cut off."""
    closed = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            closed.set()

    limits = HttpLimits(stall_timeout_s=0.2)
    async with (
        serving(http_handler=stream_of(chunks), http_limits=limits) as listener,
        raw(listener) as client,
    ):
        client.stop_reading()
        client.send(GET)
        await within(closed.wait())


async def test_stream_that_fails_is_cut_short(caplog: pytest.LogCaptureFixture) -> None:
    """A source that raises never looks like a whole answer."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"one\n"
        raise OSError("disk")

    async with serving(http_handler=stream_of(chunks)) as listener, raw(listener) as client:
        client.send(GET)
        assert not (await client.until_closed()).endswith(b"0\r\n\r\n")
    assert "http stream failed: OSError" in caplog.text


async def test_peer_that_leaves_does_not_cancel_its_action() -> None:
    """A handler that was begun runs to its end."""
    begun, ended, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(_request: Request) -> Response:
        begun.set()
        await go_on.wait()
        ended.set()
        return Response(200)

    async with serving(http_handler=handler) as listener:
        async with raw(listener) as client:
            client.send(GET)
            await within(begun.wait())
        go_on.set()
        await within(ended.wait())


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", {}),
        ("//evil/x", "//evil/x", {}),
        ("http://host/p?a=b", "/p", {"a": "b"}),
        ("*", "*", {}),
        ("/a%2Fb?a=1&a=2&c", "/a/b", {"a": "2", "c": ""}),
    ],
)
def test_target_forms(target: str, path: str, query: dict[str, str]) -> None:
    """Origin, absolute and asterisk form give a path and a query."""
    split = split_target(target)
    assert split is not None
    assert (split[0], dict(split[1])) == (path, query)
