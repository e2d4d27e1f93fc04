"""Frames that are built once, and the three cases in which the library sends them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode

from server.gateway.listener import HandshakeRequest, SocketClosed, WebSocket, encode_text_frame
from server.gateway.peer import Peer
from server.gateway.websocket import OpenSocket, text_of_frame
from tests.server.gateway.kit import Held, serving, within

SIZES = [0, 1, 125, 126, 127, 65535, 65536, 200_000]


@pytest.mark.parametrize("size", SIZES)
def test_frame_is_the_library_s(size: int) -> None:
    """A prebuilt frame is byte for byte what the library would have sent, and gives its payload back."""
    payload = b"x" * size
    frame = encode_text_frame(payload)
    assert frame == Frame(Opcode.TEXT, payload).serialize(mask=False)
    assert text_of_frame(frame) == payload


async def test_frames_arrive_whole_and_in_order() -> None:
    """Frames of every size, several in one write, arrive as messages in their order."""
    held = Held()
    async with (
        serving(socket_handler=held) as listener,
        connect(f"ws://127.0.0.1:{listener.port}/w", compression=None) as client,
    ):
        socket = await held.socket()
        texts = [f"{n}:" + "ä" * (size // 2) for n, size in enumerate(SIZES * 3)]
        frames = [encode_text_frame(text.encode()) for text in texts]
        socket.send_frames(frames[:12])
        for frame in frames[12:]:
            socket.send_frames([frame])
        assert [await within(client.recv()) for _ in texts] == texts


class CountingTransport:
    """A transport that notes what is written, and passes it on."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self.transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


async def test_several_frames_are_one_write() -> None:
    """A group of frames reaches the transport in one piece."""
    held = Held()
    async with (
        serving(socket_handler=held) as listener,
        connect(f"ws://127.0.0.1:{listener.port}/w", compression=None) as client,
    ):
        socket = await held.socket()
        assert isinstance(socket, OpenSocket)
        counting = CountingTransport(socket._connection.transport)
        socket._connection.transport = cast(asyncio.Transport, counting)
        socket.send_frames([encode_text_frame(b"a"), encode_text_frame(b"b")])
        assert counting.writes == [b"\x81\x01a\x81\x01b"]
        assert [await within(client.recv()), await within(client.recv())] == ["a", "b"]


async def _with_open_socket(connection: ServerConnection) -> OpenSocket:
    request = HandshakeRequest("/", {}, {}, Peer("tcp", "", None, secure=False))
    return OpenSocket(connection, request, 1.0)


async def test_negotiated_extension_is_respected() -> None:
    """Where an extension was negotiated the library sends, and the client understands."""
    sockets: asyncio.Queue[OpenSocket] = asyncio.Queue()

    async def handler(connection: ServerConnection) -> None:
        await sockets.put(await _with_open_socket(connection))
        await connection.wait_closed()

    async with serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}") as client:
            socket = await within(sockets.get())
            assert socket._connection.protocol.extensions
            socket.send_frames([encode_text_frame(b"one" * 1000), encode_text_frame(b"two")])
            assert await within(client.recv()) == "one" * 1000
            assert await within(client.recv()) == "two"


async def test_fragmented_message_is_not_cut_into() -> None:
    """Frames that come while a fragmented message is under way follow behind it, in order."""
    go_on, begun = asyncio.Event(), asyncio.Event()

    async def fragments() -> AsyncIterator[str]:
        yield "frag"
        begun.set()
        await go_on.wait()
        yield "ment"

    async def handler(connection: ServerConnection) -> None:
        socket = await _with_open_socket(connection)
        sending = asyncio.create_task(connection.send(fragments()))
        await begun.wait()
        socket.send_frames([encode_text_frame(b"one")])
        socket.send_frames([encode_text_frame(b"two")])
        assert socket.buffered() > 0
        go_on.set()
        await sending
        await connection.wait_closed()

    async with serve(handler, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", compression=None) as client:
            assert [await within(client.recv()) for _ in range(3)] == ["fragment", "one", "two"]


async def test_frames_for_a_closed_socket_are_dropped() -> None:
    """After the end nothing is written and nothing raises, except where one waits or reads."""
    held = Held()
    async with serving(socket_handler=held) as listener:
        async with connect(f"ws://127.0.0.1:{listener.port}/w") as client:
            socket = await held.socket()
            was_open = not socket.closed
            await client.close(4123, "enough")
        await within(held.left.wait())
        assert held.ended == [4123]
        assert was_open
        assert socket.closed
        socket.send_frames([encode_text_frame(b"late")])
        with pytest.raises(SocketClosed) as closed:
            await socket.recv()
        assert (closed.value.code, closed.value.reason) == (4123, "enough")
        with pytest.raises(SocketClosed):
            await socket.drained()


def test_open_socket_is_a_web_socket() -> None:
    """What the listener hands out has all that the session may use."""
    for name in vars(WebSocket):
        assert hasattr(OpenSocket, name) or name.startswith("_")


async def test_reason_of_any_length_can_be_given() -> None:
    """A close reason is cut to what a control frame holds, at a character."""
    held = Held()
    async with (
        serving(socket_handler=held) as listener,
        connect(f"ws://127.0.0.1:{listener.port}/w") as client,
    ):
        socket = await held.socket()
        await socket.close(4400, "ä" * 200)
        await within(client.wait_closed())
        assert (client.close_code, client.close_reason) == (4400, "ä" * 61)


async def test_handler_sees_path_headers_and_the_gate_s_request() -> None:
    """The socket carries the request that the gate judged, decoded."""
    judged: list[HandshakeRequest] = []

    async def gate(request: HandshakeRequest) -> None:
        judged.append(request)

    held = Held()
    async with (
        serving(socket_handler=held, gate=gate) as listener,
        connect(
            f"ws://127.0.0.1:{listener.port}/workspaces/a%20b?x=1", additional_headers={"X-Who": "ana"}
        ) as client,
    ):
        socket = await held.socket()
        assert socket.request is judged[0]
        assert (socket.path, socket.headers["x-who"], socket.peer.kind) == ("/workspaces/a b", "ana", "tcp")
        assert dict(socket.request.query) == {"x": "1"}
        assert json.dumps(dict(socket.headers))
        await client.close()
