"""`obelisk-server`: the command line of the server.

Duty: read arguments, word what goes wrong in one sentence, exit codes.
Must not know: how anything is done.

1. Nothing but the ready line, or what a command is for, goes to stdout; log lines go to stderr.
2. Exit 0 done, 1 it cannot be done (the sentence says why), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import ipaddress
import json
import logging
import os
import re
import signal
import ssl
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Final, NoReturn

from protocol import VERSION, limits

log = logging.getLogger("obelisk.cli")

SETTABLE_LIMITS: Final = ("actions_per_s_max",)


class UsageError(Exception):
    """The arguments do not fit together; the text is the sentence for the person."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit code."""
    if sys.flags.optimize:
        return _fail("python -O switches off the checks that guard the ledger; start without it")
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        return int(parsed.run(parsed))
    except UsageError as error:
        print(f"obelisk-server: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="obelisk-server", description="The server of Obelisk.")
    parser.add_argument("--version", action="version", version=f"obelisk-server {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run a server on a data folder")
    _add_data(serve)
    serve.add_argument("--listen", metavar="HOST:PORT", help="TCP address; port 0 picks a free one")
    serve.add_argument("--unix", metavar="PATH", type=Path, help="path of a Unix socket")
    serve.add_argument("--tls-cert", metavar="FILE", type=Path)
    serve.add_argument("--tls-key", metavar="FILE", type=Path)
    serve.add_argument(
        "--limit", metavar="NAME=VALUE", action="append", default=[], help=", ".join(SETTABLE_LIMITS)
    )
    serve.set_defaults(run=_serve)
    _add_token_commands(commands.add_parser("token", help="credentials"))
    verify = commands.add_parser("verify", help="rebuild every workspace from its ledger and compare")
    _add_data(verify)
    verify.set_defaults(run=_verify)
    return parser


def _add_token_commands(token: argparse.ArgumentParser) -> None:
    commands = token.add_subparsers(required=True, metavar="COMMAND")
    create = commands.add_parser("create", help="print a new token and set its member")
    _add_data(create)
    create.add_argument("--actor", metavar="NAME")
    create.add_argument("--workspace", metavar="NAME")
    create.add_argument("--role", choices=("owner", "editor", "viewer"), default="editor")
    create.add_argument("--gateway", action="store_true", help="may act for any member (Obelisk-Actor)")
    create.set_defaults(run=_token_create)
    listed = commands.add_parser("list", help="all tokens, a line each")
    _add_data(listed)
    listed.set_defaults(run=_token_list)
    revoke = commands.add_parser("revoke", help="end a token")
    _add_data(revoke)
    revoke.add_argument("token_id", metavar="TOKEN_ID")
    revoke.set_defaults(run=_token_revoke)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", metavar="DIR", type=Path, required=True, help="the data folder")


def _fail(message: str) -> int:
    print(f"obelisk-server: {message}", file=sys.stderr)
    return 1


# serve


def _serve(parsed: argparse.Namespace) -> int:
    actions_per_s = _limits(parsed.limit)
    if parsed.listen is None and parsed.unix is None:
        raise UsageError("say where to listen: --listen HOST:PORT, --unix PATH, or both")
    tcp = _address(parsed.listen) if parsed.listen is not None else None
    tls = _tls(parsed.tls_cert, parsed.tls_key)
    if tcp is not None and tls is None and not _is_loopback(tcp[0]):
        raise UsageError(f"{tcp[0]} is not loopback: it needs --tls-cert and --tls-key")

    from server.app import Settings
    from server.folder import FolderError, prepare
    from server.ledger.port import LedgerError

    settings = Settings(tcp=tcp, unix=parsed.unix, tls=tls, actions_per_s=actions_per_s)
    try:
        folder = prepare(parsed.data)
        _run(lambda: _serve_until_stopped(folder, settings))
    except (FolderError, LedgerError) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(_worded(error, parsed))
    return 0


async def _serve_until_stopped(folder: object, settings: object) -> None:
    from server.app import Settings, running
    from server.folder import DataFolder

    assert isinstance(folder, DataFolder)
    assert isinstance(settings, Settings)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with running(folder, settings) as server:
        gc.freeze()  # what start-up made stays; the collector need not walk it again
        ready = {
            "ready": True,
            "listen": server.url,
            "unix": str(settings.unix) if settings.unix else None,
            "pid": os.getpid(),
        }
        print(json.dumps(ready), flush=True)
        log.info("ready: %s", server.url or settings.unix)
        await stopped.wait()
        log.info("stopping")
        _end_within(limits.drain_s)
    log.info("stopped")


def _end_within(seconds: float) -> None:
    """End the process even if something hangs (a disk, a client). What was acknowledged is on disk."""

    def end() -> None:
        log.error("not stopped in %g s; ending all the same", seconds)
        os._exit(0)

    watchdog = threading.Timer(seconds, end)
    watchdog.daemon = True
    watchdog.start()


def _run(main_coroutine: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run on uvloop where it is installed, else on asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main_coroutine())
    else:
        uvloop.run(main_coroutine())


def _limits(given: list[str]) -> float:
    actions_per_s = float(limits.actions_per_s_max)
    for one in given:
        name, _, value = one.partition("=")
        if name not in SETTABLE_LIMITS:
            raise UsageError(f"{name!a} is no limit that can be set: {', '.join(SETTABLE_LIMITS)}")
        try:
            actions_per_s = float(value)
        except ValueError:
            raise UsageError(f"{name} must be a number") from None
        if not 0 <= actions_per_s < 1e9:
            raise UsageError(f"{name} must not be negative; 0 lifts it")
    return actions_per_s


def _address(listen: str) -> tuple[str, int]:
    host, separator, port = listen.rpartition(":")
    if not separator or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise UsageError(f"{listen!a} is no address: write HOST:PORT, for example 127.0.0.1:8700")
    return host.strip("[]") or "127.0.0.1", int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise UsageError("--tls-cert and --tls-key go together")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"the certificate cannot be used: {error}") from error
    return context


def _worded(error: OSError, parsed: argparse.Namespace) -> str:
    import errno

    named = error.filename or str(parsed.unix)
    where = parsed.unix if parsed.unix is not None and named == str(parsed.unix) else parsed.listen
    match error.errno:
        case errno.EADDRINUSE:
            return f"{where} is in use; stop what listens there or choose another address"
        case errno.EADDRNOTAVAIL:
            return f"{where} is no address of this machine"
        case errno.EACCES | errno.EPERM:
            return f"{where} may not be used by this user; choose another address"
        case _:
            return f"cannot listen on {where}: {error.strerror or error}"


# token, verify


def _token_create(parsed: argparse.Namespace) -> int:
    from server.offline import with_admin

    if parsed.gateway:
        asked = {"kind": "gateway"}
    elif parsed.actor is None or parsed.workspace is None:
        raise UsageError("say who and where: --actor NAME --workspace NAME")
    else:
        asked = {
            "kind": "actor",
            "actor": parsed.actor,
            "workspace": parsed.workspace,
            "role": parsed.role,
        }
    return _administer(lambda: with_admin(parsed.data, "POST", "/tokens", asked), lambda body: body["token"])


def _token_list(parsed: argparse.Namespace) -> int:
    from server.offline import with_admin

    return _administer(lambda: with_admin(parsed.data, "GET", "/tokens"), _token_lines)


def _token_lines(tokens: list[dict[str, str | None]]) -> str:
    return "\n".join(
        f"{one['token_id']}  {one['kind']:<8} {one['actor'] or '-':<16} made {one['created_at']}"
        + (f"  revoked {one['revoked_at']}" if one["revoked_at"] else "")
        for one in tokens
    )


def _token_revoke(parsed: argparse.Namespace) -> int:
    from server.offline import with_admin

    return _administer(
        lambda: with_admin(parsed.data, "DELETE", f"/tokens/{parsed.token_id}"), lambda _: "revoked"
    )


def _administer(ask: Callable[[], Coroutine[None, None, object]], show: Callable[..., str | None]) -> int:
    from server.admin import AdminError
    from server.folder import FolderError
    from server.ledger.port import LedgerError

    logging.getLogger("obelisk").setLevel(logging.ERROR)
    try:
        text = show(asyncio.run(ask()))
    except (AdminError, FolderError, LedgerError) as error:
        return _fail(str(error))
    if text:
        print(text)
    return 0


def _verify(parsed: argparse.Namespace) -> int:
    from server.folder import FolderError
    from server.ledger.port import LedgerError
    from server.offline import verify

    try:
        reports = asyncio.run(verify(parsed.data))
    except (FolderError, LedgerError) as error:
        return _fail(str(error))
    for report in reports:
        print(report.line)
    return 0 if all(report.sound for report in reports) else 1


def _exit() -> NoReturn:
    sys.exit(main())


if __name__ == "__main__":
    _exit()
