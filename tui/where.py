"""Which server is meant: what was given on the command line or in the environment, as a target.

Duty: the options and variables that name a server, a workspace and a token; the local server where none is.
Must not know: what is done there.

1. An option beats its variable; `--token-file` beats `OBELISK_TOKEN`.
2. A token is in no message and no `repr`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from protocol import ids
from tui.exits import Ended, Exit
from tui.local import CannotStart, join_or_start
from tui.places import Places

if TYPE_CHECKING:
    from protocol.client.target import Target

LOCAL_WORKSPACE: Final = "home"
_TOKEN_BYTES_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Where:
    """A server (None: the local one), a workspace on it, and the token for it."""

    server: str | None
    workspace: str
    token: str | None = field(default=None, repr=False)

    @property
    def is_local(self) -> bool:
        return self.server is None


def read_where(
    server: str | None,
    workspace: str | None,
    token_file: Path | None,
    environ: Mapping[str, str] | None = None,
) -> Where:
    """What was given, with what the environment adds. Ended with USAGE where it cannot be used."""
    environ = os.environ if environ is None else environ
    named = workspace or environ.get("OBELISK_WORKSPACE") or LOCAL_WORKSPACE
    if not ids.is_workspace(named):
        raise Ended(
            Exit.USAGE,
            f"{named!a} cannot be the name of a workspace; use lower-case letters, digits and hyphens",
        )
    token = _read_token(token_file) if token_file else environ.get("OBELISK_TOKEN", "").strip()
    where = Where(server or environ.get("OBELISK_SERVER") or None, named, token or None)
    if not where.is_local:
        _target(where, None)
    return where


def _read_token(file: Path) -> str:
    try:
        with file.expanduser().open("rb") as opened:
            token = opened.read(_TOKEN_BYTES_MAX).decode("ascii").strip()
    except OSError as error:
        raise Ended(
            Exit.USAGE, f"the token file {file} cannot be read ({error.strerror}); check --token-file"
        ) from error
    except UnicodeDecodeError:
        token = ""
    if not token or len(token.split()) != 1:
        raise Ended(Exit.USAGE, f"the token file {file} does not hold a token; it is one word on one line")
    return token


def find_target(where: Where, places: Places, note: Callable[[str], None]) -> Target:
    """The target to connect to; the local server is joined or started first. Ended where that fails."""
    if not where.is_local:
        return _target(where, None)
    try:
        running = join_or_start(places)
    except CannotStart as problem:
        raise Ended(Exit.NOT_REACHED, str(problem)) from problem
    if running.died:
        note("the local server had died; it was started again")
    return _target(where, running.socket)


def unreached_target(where: Where, places: Places) -> Target:
    """The target as it is while no local server runs: for what is kept for later."""
    return _target(where, places.socket)


def _target(where: Where, socket: Path | None) -> Target:
    from protocol.client.errors import BadTarget
    from protocol.client.target import Target

    try:
        if where.server is None:
            return Target(workspace=where.workspace, unix=socket)
        if where.server.startswith("unix:"):
            return Target(workspace=where.workspace, unix=Path(where.server.removeprefix("unix:")))
        return Target(workspace=where.workspace, url=where.server, token=where.token)
    except BadTarget as problem:
        raise Ended(Exit.USAGE, str(problem).removesuffix(".")) from problem
