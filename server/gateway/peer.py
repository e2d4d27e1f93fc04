"""Who is at the other end of an accepted connection, as far as the operating system knows.

It must not know what the answer is worth: who may do what is decided by the gate.

1. The uid of a Unix peer is the kernel's word, taken when the connection is made, or None where it has none.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from dataclasses import dataclass
from typing import Any, Literal

# <sys/un.h> and <sys/ucred.h> of macOS; Python's socket module names neither.
_SOL_LOCAL = 0
_LOCAL_PEERCRED = 0x001
_XUCRED_SIZE = 76


@dataclass(frozen=True, slots=True)
class Peer:
    """One end of a connection.

    `address` is for people and logs: `host:port`, or `unix`. `uid` is the owner of the process behind a Unix
    socket, None over TCP or where the kernel does not say. `secure`: nobody on the way can read along.
    """

    kind: Literal["unix", "tcp"]
    address: str
    uid: int | None
    secure: bool


def peer_of(transport: asyncio.BaseTransport) -> Peer:
    """Describe the peer of a transport that was just connected."""
    sock = transport.get_extra_info("socket")
    if sock.family == socket.AF_UNIX:
        return Peer("unix", "unix", _uid_behind(sock.fileno()), secure=True)
    address = _spelled(transport.get_extra_info("peername"))
    return Peer("tcp", address, None, secure=transport.get_extra_info("sslcontext") is not None)


def _spelled(name: Any) -> str:
    if name is None:  # the peer was gone before its name could be asked
        return "gone"
    host, port = name[0], name[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _uid_behind(descriptor: int) -> int | None:
    # A duplicate, because neither loop's transport socket offers all of getsockopt.
    try:
        with socket.fromfd(descriptor, socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            return _peer_uid(sock)
    except OSError:
        return None


def _peer_uid(sock: socket.socket) -> int | None:
    if sys.platform == "linux":
        _pid, uid, _gid = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(uid)
    elif sys.platform == "darwin":
        _version, uid = struct.unpack_from("II", sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_SIZE))
        return int(uid)
    else:
        return None
