"""Where the server is, which workspace, and whom we act as.

Duty: check what a person gave, and say it as the wire needs it: an address, headers, the name of a cache
file. Must not know: sockets, files.

1. A token is never part of an address, a file name, a message or a `repr`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from protocol import ids
from protocol.client.errors import BadTarget

_SCHEMES: Final = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_TOKEN: Final = re.compile(r"[\x21-\x7e]+\Z")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One workspace on one server: `url` (ws, wss, http or https) or `unix`, the path of a socket.

    BadTarget where it is neither or both, or where a name cannot be one.
    """

    workspace: str
    url: str | None = None
    unix: Path | None = None
    token: str | None = field(default=None, repr=False)
    acts_as: str | None = None

    def __post_init__(self) -> None:
        if (self.url is None) == (self.unix is None):
            raise BadTarget("A server has an address or a socket, one of the two.")
        if not ids.is_workspace(self.workspace):
            raise BadTarget(f"{self.workspace!a} cannot be the name of a workspace.")
        if self.acts_as is not None and not ids.is_actor(self.acts_as):
            raise BadTarget(f"{self.acts_as!a} cannot be the name of an actor.")
        if self.token is not None and not _TOKEN.match(self.token):
            raise BadTarget("The token holds characters that no token has.")
        if self.url is not None:
            _checked(self.url)

    @property
    def uri(self) -> str:
        """The WebSocket address of the workspace."""
        if self.url is None:
            return f"ws://localhost/workspaces/{self.workspace}"
        return f"{_checked(self.url)}/workspaces/{self.workspace}"

    @property
    def headers(self) -> dict[str, str]:
        """What goes with the upgrade, the token included."""
        headers = {}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        if self.acts_as is not None:
            headers["Obelisk-Actor"] = self.acts_as
        return headers

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine: then no proxy is asked."""
        return self.url is None or urlsplit(self.url).hostname in _LOOPBACK

    @property
    def place(self) -> str:
        """The server in words."""
        return str(self.unix) if self.url is None else _checked(self.url)

    @property
    def cache_name(self) -> str:
        """How the cache files of this target begin: another server, workspace or `acts_as` has others."""
        key = "\0".join((self.place, self.workspace, self.acts_as or ""))
        return f"{self.workspace}-{blake2b(key.encode(), digest_size=6).hexdigest()}"


def _checked(url: str) -> str:
    """The address as ws or wss, without a slash at its end."""
    try:
        parts = urlsplit(url)
        scheme, _ = _SCHEMES.get(parts.scheme), parts.port
    except ValueError as error:
        raise BadTarget(f"{url!a} is no address: {error}.") from error
    if scheme is None or not parts.hostname:
        raise BadTarget(f"{url!a} is no address; one looks like https://obelisk.example.")
    if parts.username is not None or parts.query or parts.fragment:
        raise BadTarget("An address holds no credentials, no query and no fragment.")
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"
