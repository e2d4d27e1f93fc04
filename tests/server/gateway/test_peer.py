"""Who is at the other end."""

from __future__ import annotations

import json
import os

from tests.server.gateway.kit import raw, serving, short_folder


async def test_unix_peer_is_our_uid() -> None:
    """The uid behind a Unix socket is that of the process that connected."""
    with short_folder() as folder:
        path = folder / "s"
        async with serving(tcp=None, unix=path), raw(path) as client:
            _, _, body = await client.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    shown = json.loads(body)
    assert (shown["peer"], shown["uid"]) == ("unix", os.getuid())


async def test_tcp_peer_has_no_uid() -> None:
    """Over TCP nobody is known by uid."""
    async with serving() as listener, raw(listener) as client:
        _, _, body = await client.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    shown = json.loads(body)
    assert (shown["peer"], shown["uid"]) == ("tcp", None)
