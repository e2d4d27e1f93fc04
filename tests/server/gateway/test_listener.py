"""One port, two languages: opening, refusing, back-pressure, keep-alive and the end, over real sockets."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import shutil
import socket as sockets
import ssl
import stat
import struct
import subprocess
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from server.gateway.http1 import Request, Response
from server.gateway.listener import (
    SUBPROTOCOL,
    HandshakeRequest,
    Listener,
    SocketClosed,
    WebSocket,
    encode_text_frame,
    listen,
)
from tests.server.gateway.kit import (
    WEBSOCKET_HEAD,
    Held,
    open_gate,
    raw,
    serving,
    short_folder,
    show_request,
    within,
)

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on each kind of loop: their transports differ."""

    def run_on_loop(coroutine: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(coroutine, 30))

    return run_on_loop


def open_client(listener: Listener, **options: Any) -> connect:
    return connect(f"ws://127.0.0.1:{listener.port}/workspaces/home", compression=None, **options)


async def close_code(client: ClientConnection) -> int:
    """Read to the end; the code that the server closed with."""
    try:
        while True:
            await within(client.recv())
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd is not None else 1006


# Both loops.


def test_one_port_speaks_both(run: Run) -> None:
    """WebSocket and HTTP are told apart on TCP and on a Unix socket."""

    async def scenario() -> None:
        with short_folder() as folder:
            async with serving(unix=folder / "s") as listener:
                async with open_client(listener) as client:
                    await client.send("hällo")
                    assert await within(client.recv()) == "hällo"
                    async with raw(listener) as http:
                        assert (await http.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 200
                async with unix_connect(str(folder / "s"), "ws://x/workspaces/home") as client:
                    await client.send("unix")
                    assert await within(client.recv()) == "unix"
                async with raw(folder / "s") as http:
                    _, _, body = await http.ask(b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
                    shown = json.loads(body)
                    assert (shown["body"], shown["uid"]) == ("hi", os.getuid())

    run(scenario())


def test_slow_reader_fills_its_own_buffer_only(run: Run) -> None:
    """To a reader that stops, the buffer grows and can be aborted, while another is served."""

    async def scenario() -> None:
        held, other = Held(), Held()
        handlers = {"/slow": held, "/other": other}

        async def route(socket: WebSocket) -> None:
            await handlers[socket.path](socket)

        async with (
            serving(socket_handler=route) as listener,
            raw(listener) as slow,
            connect(f"ws://127.0.0.1:{listener.port}/other") as client,
        ):
            slow.stop_reading()
            slow.send(WEBSOCKET_HEAD.replace(b"/workspaces/home", b"/slow") + b"\r\n")
            slow_socket, quick_socket = await held.socket(), await other.socket()
            frame = encode_text_frame(b"x" * 65536)
            for _ in range(500):
                slow_socket.send_frames([frame])
            assert slow_socket.buffered() > 10_000_000
            quick_socket.send_frames([encode_text_frame(b"still here")])
            assert await within(client.recv()) == "still here"
            draining = asyncio.create_task(slow_socket.drained())
            slow_socket.abort()
            with pytest.raises(SocketClosed):
                await within(draining)
            await within(held.left.wait())
            assert held.ended == [1006]
            quick_socket.send_frames([encode_text_frame(b"and on")])
            assert await within(client.recv()) == "and on"

    run(scenario())


def test_drained_waits_for_the_reader(run: Run) -> None:
    """`drained` returns when the reader has taken what was buffered, not before."""

    async def scenario() -> None:
        held = Held()
        async with serving(socket_handler=held) as listener, raw(listener) as slow:
            slow.stop_reading()
            slow.send(WEBSOCKET_HEAD + b"\r\n")
            socket = await held.socket()
            await within(socket.drained())
            for _ in range(200):
                socket.send_frames([encode_text_frame(b"x" * 65536)])
            draining = asyncio.create_task(socket.drained())
            assert socket.buffered() > 64 * 1024
            slow.go_on_reading()
            reading = asyncio.create_task(slow.until_closed())
            await within(draining)
            assert socket.buffered() <= 16 * 1024
            socket.abort()
            await reading

    run(scenario())


def test_close_of_a_stuck_peer_is_bounded(run: Run) -> None:
    """Closing a peer that reads nothing ends within the close timeout, by force."""

    async def scenario() -> None:
        held = Held()
        async with serving(socket_handler=held) as listener, raw(listener) as slow:
            slow.stop_reading()
            slow.send(WEBSOCKET_HEAD + b"\r\n")
            socket = await held.socket()
            for _ in range(300):
                socket.send_frames([encode_text_frame(b"x" * 65536)])
            await asyncio.wait_for(socket.close(4000, "slow consumer"), 2.0)
            assert socket.closed
            await within(held.left.wait())

    run(scenario())


def test_too_large_a_frame_is_1009(run: Run) -> None:
    """A message of exactly the bound passes; one byte more closes with 1009, in fragments too."""

    async def scenario() -> None:
        async with serving(frame_max=100_000) as listener:
            async with open_client(listener) as client:
                await client.send("x" * 100_000)
                assert len(await within(client.recv())) == 100_000
                await client.send("x" * 100_001)
                assert await close_code(client) == 1009
            async with open_client(listener) as client:
                await client.send(["x" * 60_000, "x" * 60_000])
                assert await close_code(client) == 1009

    run(scenario())


def test_graceful_close_says_1001(run: Run) -> None:
    """Closing the listener tells every client 1001, ends every handler and refuses new connections."""

    async def scenario() -> None:
        held = Held()
        async with serving(socket_handler=held) as listener:
            clients = [await open_client(listener) for _ in range(5)]
            port = listener.port
            codes = asyncio.gather(*(close_code(client) for client in clients))
            await asyncio.wait_for(listener.close(1001, "going away"), 5.0)
            assert await codes == [1001] * 5
            assert held.ended == [1001] * 5
            assert listener.connections == 0
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)

    run(scenario())


def test_dead_peer_is_found_by_ping(run: Run) -> None:
    """A peer that answers no ping is cut after ping interval and timeout; one that answers stays."""

    async def scenario() -> None:
        held = Held()
        async with (
            serving(socket_handler=held, ping_interval_s=0.1, ping_timeout_s=0.2) as listener,
            open_client(listener) as living,
            raw(listener) as dead,
        ):
            dead.send(WEBSOCKET_HEAD + b"\r\n")
            received = await dead.until_closed()
            assert received.endswith(b"\x89\x00")
            await within(held.left.wait())
            assert held.ended == [1006]
            assert living.state.name == "OPEN"

    run(scenario())


def test_idle_half_open_connections_do_not_stop_service(run: Run) -> None:
    """200 connections that say nothing, or half a head, are closed at the deadline; others are served meanwhile."""

    async def scenario() -> None:
        async with serving(open_timeout_s=4.0) as listener:
            silent = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(200)]
            for _, writer in silent[::2]:
                writer.write(b"GET /workspaces/home HTTP/1.1\r\nHo")
            async with open_client(listener) as client:
                await client.send("served")
                assert await within(client.recv()) == "served"
                assert listener.connections > 100
                ends = await within(asyncio.gather(*(reader.read() for reader, _ in silent)))
                assert [end[9:12] for end in ends] == [b"408", b""] * 100
            for _, writer in silent:
                writer.close()

    run(scenario())


def test_unix_socket_is_private_and_removed(run: Run) -> None:
    """The socket's file has mode 0600 whatever the mask, and is gone after the close."""

    async def scenario() -> None:
        with short_folder() as folder:
            path = folder / "s"
            before = os.umask(0)
            try:
                async with serving(tcp=None, unix=path) as listener:
                    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
                    assert (listener.port, listener.addresses, listener.unix) == (None, (), path)
            finally:
                os.umask(before)
            assert not path.exists()

    run(scenario())


# Opening.

ORIGINS = [
    "https://evil.example",
    "http://evil.example",
    "null",
    "NULL",
    "",
    " ",
    "http://localhost",
    "http://localhost:80",
    "http://127.0.0.1",
    "https://127.0.0.1",
    "http://[::1]",
    "file://",
    "chrome-extension://abcdefghijklmnop",
    "moz-extension://0",
    "ws://127.0.0.1",
    "obelisk",
    "*",
    "None",
    "undefined",
    "http://user@127.0.0.1, http://other",
]


@pytest.mark.parametrize("origin", ORIGINS)
async def test_origin_is_403(origin: str) -> None:
    """A request with an Origin, of whatever value, is refused before the gate is asked."""

    async def gate(_request: HandshakeRequest) -> Response | None:
        raise AssertionError("the gate was asked")

    async with serving(gate=gate) as listener, raw(listener) as client:
        status, headers, body = await client.ask(WEBSOCKET_HEAD + b"oRiGiN: " + origin.encode() + b"\r\n\r\n")
    assert (status, headers["content-type"]) == (403, "application/json")
    assert json.loads(body)["code"] == "forbidden"


async def test_library_client_with_origin_is_403() -> None:
    """The refusal reaches a real client as a status."""
    async with serving() as listener:
        with pytest.raises(InvalidStatus) as refused:
            await open_client(listener, origin=Origin("https://evil.example"))
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("status", [401, 403, 404, 503])
async def test_gate_refuses_with_its_own_answer(status: int) -> None:
    """What the gate answers is what the client gets, status, headers and body."""

    async def gate(_request: HandshakeRequest) -> Response | None:
        return Response(status, b'{"code": "x"}', headers=(("WWW-Authenticate", "Bearer"),))

    async with serving(gate=gate) as listener, raw(listener) as client:
        got, headers, body = await client.ask(WEBSOCKET_HEAD + b"\r\n")
        client.writer.write_eof()
        assert await client.until_closed() == b""
    assert (got, headers["www-authenticate"], body) == (status, "Bearer", b'{"code": "x"}')


async def test_broken_gate_is_500_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """A bug of the gate refuses one peer, without a word of what it was."""

    async def gate(_request: HandshakeRequest) -> Response | None:
        raise RuntimeError("the secret is 4711")

    async with serving(gate=gate) as listener, raw(listener) as client:
        status, _, body = await client.ask(WEBSOCKET_HEAD + b"\r\n")
    assert status == 500
    assert b"4711" not in body
    assert [record.getMessage() for record in caplog.records] == [
        f"handshake failed: RuntimeError at test_listener.py:{gate.__code__.co_firstlineno + 1}"
    ]


@pytest.mark.parametrize(
    ("offered", "selected"),
    [(None, None), (["obelisk.v1"], "obelisk.v1"), (["v2", "obelisk.v1"], "obelisk.v1")],
)
async def test_subprotocol_is_selected_where_offered(offered: list[str] | None, selected: str | None) -> None:
    """`obelisk.v1` is selected where it is offered; offering none means it."""
    subprotocols = None if offered is None else [Subprotocol(name) for name in offered]
    async with serving() as listener, open_client(listener, subprotocols=subprotocols) as client:
        assert client.subprotocol == selected
    assert SUBPROTOCOL == "obelisk.v1"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (WEBSOCKET_HEAD + b"Sec-WebSocket-Protocol: other, more\r\n\r\n", 400),
        (WEBSOCKET_HEAD.replace(b"AAAA==", b"") + b"\r\n", 400),
        (WEBSOCKET_HEAD.replace(b"Version: 13", b"Version: 8") + b"\r\n", 400),
        (WEBSOCKET_HEAD.replace(b"Connection: Upgrade\r\n", b"") + b"\r\n", 426),
        (WEBSOCKET_HEAD.replace(b"GET", b"PUT") + b"\r\n", 405),
        (WEBSOCKET_HEAD.replace(b"/workspaces/home", b"/%FF") + b"\r\n", 400),
    ],
)
async def test_bad_handshake_is_refused_in_json(head: bytes, status: int) -> None:
    """An opening that is none gets a status and a reason in JSON."""
    async with serving() as listener, raw(listener) as client:
        got, headers, body = await client.ask(head)
    assert (got, headers["content-type"]) == (status, "application/json")
    assert json.loads(body)["code"] == "invalid"


async def test_upgrade_with_a_body_is_plain_http() -> None:
    """An upgrade that brings a body is read as a request."""
    async with serving() as listener, raw(listener) as client:
        _, _, body = await client.ask(WEBSOCKET_HEAD + b"Content-Length: 2\r\n\r\nhi")
    assert json.loads(body)["body"] == "hi"


async def test_head_in_single_bytes_opens() -> None:
    """However a head is cut on the way, it opens."""
    async with serving() as listener, raw(listener) as client:
        for byte in WEBSOCKET_HEAD + b"\r\n":
            client.send(bytes([byte]))
            await client.writer.drain()
        assert (await client.answer())[0] == 101


async def test_reset_in_the_handshake_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    """A client that resets before, in, or right after its head is nothing to log."""
    asked = asyncio.Event()

    async def gate(_request: HandshakeRequest) -> Response | None:
        asked.set()
        return None

    with caplog.at_level(logging.INFO):
        async with serving(gate=gate) as listener:
            for head in (b"", WEBSOCKET_HEAD[:40], WEBSOCKET_HEAD + b"\r\n"):
                sock = sockets.create_connection(("127.0.0.1", listener.port or 0))
                sock.sendall(head)
                sock.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
            await within(asked.wait())
            async with open_client(listener) as client:
                await client.send("on")
                assert await within(client.recv()) == "on"
    assert [record.getMessage() for record in caplog.records if record.name.startswith("server")] == []
    assert "Traceback" not in caplog.text


async def test_one_connection_too_many_is_cut() -> None:
    """Above `connections_max` a connection is cut at once; below it there is room again."""
    async with serving(connections_max=1) as listener:
        async with open_client(listener) as client:
            async with raw(listener) as other:
                assert await other.until_closed() == b""
            assert listener.connections == 1
            await client.close()
        async with raw(listener) as other:
            assert (await other.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 200


# Open.


async def test_binary_is_delivered_as_bytes() -> None:
    """The session can tell binary from text, and close."""

    async def handler(socket: WebSocket) -> None:
        assert await socket.recv() == "text"
        assert await socket.recv() == b"binary"
        socket.send_frames([encode_text_frame(b"error")])
        await socket.close(4400, "binary")

    async with serving(socket_handler=handler) as listener, open_client(listener) as client:
        await client.send("text")
        await client.send(b"binary")
        assert await within(client.recv()) == "error"
        assert await close_code(client) == 4400


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x82\x00\x00\x00\x00\xff\xfe", 1007),
        (b"\x81\x02hi", 1002),
        (b"\xf1\x80\x00\x00\x00\x00", 1002),
        (b"\x83\x80\x00\x00\x00\x00", 1002),
    ],
)
async def test_what_the_layer_itself_refuses(frame: bytes, code: int) -> None:
    """Text that is not UTF-8, an unmasked frame, reserved bits and opcodes end with the layer's own codes."""
    async with serving() as listener, raw(listener) as client:
        client.send(WEBSOCKET_HEAD + b"\r\n")
        assert (await client.answer())[0] == 101
        client.send(frame)
        assert (await client.until_closed())[2:4] == struct.pack("!H", code)


async def test_broken_handler_is_1011_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """A bug of a session closes its socket with 1011 and is one line without its message."""

    async def handler(_socket: WebSocket) -> None:
        raise RuntimeError("the secret is 4711")

    async with serving(socket_handler=handler) as listener, open_client(listener) as client:
        assert await close_code(client) == 1011
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("server")]
    assert len(messages) == 1
    assert "socket handler failed: RuntimeError at test_listener.py" in messages[0]
    assert "4711" not in caplog.text


async def test_handler_that_returns_closes_with_1000() -> None:
    """A session that is over ends its connection."""

    async def handler(_socket: WebSocket) -> None:
        return

    async with serving(socket_handler=handler) as listener, open_client(listener) as client:
        assert await close_code(client) == 1000


async def test_sender_is_read_no_faster_than_the_handler() -> None:
    """While the handler takes nothing, reading pauses, and the mute back-pressure is not taken for death."""
    held = Held(reads=False)
    options: dict[str, Any] = {"ping_interval_s": 0.05, "ping_timeout_s": 0.05}
    async with serving(socket_handler=held, **options) as listener, open_client(listener) as client:
        socket = await held.socket()

        async def flood() -> None:
            for _ in range(1000):
                await client.send("x" * 100_000)

        flooding = asyncio.create_task(flood())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(flooding), 1.0)
        assert not socket.closed
        held.release.set()
        await within(flooding)
        await client.close()


async def test_peer_that_never_finishes_its_close_is_cut() -> None:
    """A peer that says goodbye and keeps its connection is gone within the close timeout."""
    held = Held()
    async with serving(socket_handler=held) as listener, raw(listener) as client:
        client.send(WEBSOCKET_HEAD + b"\r\n")
        await held.socket()
        client.send(b"\x88\x82\x00\x00\x00\x00\x03\xe8")
        await asyncio.wait_for(held.left.wait(), 2.0)
        assert held.ended == [1000]


# The end.


async def test_close_lets_an_answer_under_way_leave() -> None:
    """An HTTP request that is being served is answered, idle connections end, new ones are refused."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> Response:
        begun.set()
        await go_on.wait()
        return await show_request(request)

    async with serving(http_handler=slow) as listener, raw(listener) as busy, raw(listener) as idle:
        busy.send(b"GET /busy HTTP/1.1\r\nHost: x\r\n\r\n")
        await within(begun.wait())
        closing = asyncio.create_task(listener.close(timeout_s=5.0))
        assert await idle.until_closed() == b""
        go_on.set()
        status, headers, _ = await busy.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await busy.until_closed() == b""
        await within(closing)


async def test_close_is_bounded_whatever_handlers_do() -> None:
    """Handlers that do not end are cancelled when the time is up."""
    cancelled = asyncio.Event()

    async def stubborn(_argument: object) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serving(socket_handler=stubborn, http_handler=stubborn) as listener, raw(listener) as http:
        http.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with open_client(listener) as client:
            await asyncio.wait_for(listener.close(timeout_s=0.2), 5.0)
            assert await close_code(client) == 1001
    assert cancelled.is_set()


async def test_handshake_during_close_is_503() -> None:
    """A client that is at the gate when the listener closes is told to come back."""
    at_gate, go_on = asyncio.Event(), asyncio.Event()

    async def gate(_request: HandshakeRequest) -> Response | None:
        at_gate.set()
        await go_on.wait()
        return None

    async with serving(gate=gate) as listener, raw(listener) as client:
        client.send(WEBSOCKET_HEAD + b"\r\n")
        await within(at_gate.wait())
        closing = asyncio.create_task(listener.close(timeout_s=5.0))
        await asyncio.sleep(0)
        go_on.set()
        status, _, body = await client.answer()
        assert (status, json.loads(body)["code"]) == (503, "unavailable")
        await within(closing)


# Addresses.


def _listen(**where: Any) -> Awaitable[Listener]:
    addresses = {"tcp": None, "unix": None, **where}
    return listen(
        socket_handler=Held(),
        http_handler=show_request,
        gate=open_gate,
        ssl=None,
        frame_max=1000,
        open_timeout_s=1.0,
        **addresses,
    )


async def test_port_in_use_is_the_system_s_error() -> None:
    """A port that is taken raises OSError, and nothing stays bound."""
    with short_folder() as folder:
        async with serving() as listener:
            with pytest.raises(OSError) as taken:
                await _listen(tcp=("127.0.0.1", listener.port), unix=folder / "s")
        assert taken.value.errno == errno.EADDRINUSE
        assert not (folder / "s").exists()


async def test_live_unix_socket_is_not_stolen() -> None:
    """A path on which a server answers is in use, and that server goes on."""
    with short_folder() as folder:
        path = folder / "s"
        async with serving(tcp=None, unix=path):
            with pytest.raises(OSError) as taken:
                await _listen(unix=path)
            assert taken.value.errno == errno.EADDRINUSE
            async with raw(path) as client:
                assert (await client.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 200


async def test_stale_unix_socket_is_replaced() -> None:
    """A file that a dead server left behind is no obstacle."""
    with short_folder() as folder:
        path = folder / "s"
        with sockets.socket(sockets.AF_UNIX) as dead:
            dead.bind(str(path))
        assert path.exists()
        async with serving(tcp=None, unix=path), raw(path) as client:
            assert (await client.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 200


async def test_path_that_is_no_socket_is_kept() -> None:
    """A file of somebody's is not taken for a stale socket."""
    with short_folder() as folder:
        path = folder / "s"
        path.write_text("mine")
        with pytest.raises(OSError) as taken:
            await _listen(unix=path)
        assert taken.value.errno == errno.EADDRINUSE
        assert path.read_text() == "mine"


async def test_long_unix_path_is_named_as_such() -> None:
    """A path that the system would cut is refused with the reason."""
    with pytest.raises(OSError, match="longer than 100 bytes") as refused:
        await _listen(unix=Path("/" + "x" * 100))
    assert refused.value.errno == errno.ENAMETOOLONG


async def test_foreign_file_in_our_place_is_not_removed() -> None:
    """What another server has put at the path after us is left alone."""
    with short_folder() as folder:
        path = folder / "s"
        async with serving(tcp=None, unix=path):
            path.unlink()
            path.write_text("theirs")
        assert path.read_text() == "theirs"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_tls_speaks_both(run: Run, tmp_path: Path) -> None:
    """Under TLS, too, one port serves both, and the peer counts as secure."""
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        [*command.split(), *names],
        check=True,
        capture_output=True,
    )
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate, key)
    client_side = ssl.create_default_context(cafile=str(certificate))

    async def scenario() -> None:
        held = Held()
        async with serving(ssl=server_side, socket_handler=held) as listener:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", listener.port, ssl=client_side, server_hostname="localhost"
            )
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b" 200 " in await within(reader.read())
            writer.close()
            address = f"wss://localhost:{listener.port}/w"
            async with connect(address, host="127.0.0.1", ssl=client_side) as client:
                socket = await held.socket()
                assert socket.peer.secure
                socket.send_frames([encode_text_frame(b"a" * 200_000)])
                assert await within(client.recv()) == "a" * 200_000
                await listener.close()
                assert await close_code(client) == 1001

    run(scenario())
