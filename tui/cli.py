"""`obelisk`: the command line of the client.

Duty: read arguments, pick the command, turn whatever ends it into an exit code and at most one sentence.
Must not know: how any command is done.

1. A one-shot command loads only what it needs: its module, never the full-screen client.
2. No traceback for anything that was expected; a bug keeps its own.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from protocol import VERSION
from protocol.text import inert_line
from tui.exits import Ended, Exit
from tui.output import PROGRAM, Printer, complain, prepare_streams, silence_stdout

ANSWER_WAIT_S: Final = 10.0

_ADD = "tui.commands.add"
_DONE = "tui.commands.done"
_LIST = "tui.commands.list"
_PLAN = "tui.commands.plan"
_SAY = "tui.commands.say"
_SEND = "tui.commands.send"
_SERVER = "tui.commands.server"
_STATE = "tui.commands.state"
_TAIL = "tui.commands.tail"


def main(argv: list[str] | None = None) -> int:
    """Run a command; its exit code."""
    prepare_streams()
    try:
        return int(_run(argv))
    except Ended as ended:
        if ended.sentence:
            complain(ended.sentence)
        return int(ended.code)
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:
        silence_stdout()
        return int(Exit.BROKEN_PIPE)
    except SystemExit as left:  # argparse after --help and --version
        return left.code if isinstance(left.code, int) else int(Exit.DONE)


def _run(argv: Sequence[str] | None) -> int:
    asked = build_parser().parse_args(argv)
    os.umask(0o077)
    if asked.command is None:
        return _full_screen(asked)
    module = importlib.import_module(asked.module)
    if asked.module == _SERVER:
        return int(module.run(asked, Printer(json=asked.json)))
    import asyncio

    from tui.commands.session import run_command

    return asyncio.run(run_command(module.run, asked, Printer(json=asked.json)))


def _full_screen(asked: argparse.Namespace) -> int:
    if asked.json:
        raise Ended(Exit.USAGE, "--json goes with a command; see obelisk --help")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Ended(
            Exit.USAGE,
            "the full-screen client needs a terminal; for scripts there are commands: obelisk --help",
        )
    from tui.places import find_places
    from tui.where import find_target, read_where

    places = find_places()
    where = read_where(asked.server, asked.workspace, asked.token_file)
    target = find_target(where, places, complain)
    from tui.app import run

    return run(target, places=places, is_local=where.is_local)


# The parser


class _Parser(argparse.ArgumentParser):
    """One sentence instead of a page; no abbreviations, which would break scripts when options are added."""

    def __init__(self, **options: object) -> None:
        super().__init__(allow_abbrev=False, **options)  # type: ignore[arg-type]  # argparse's own keywords, passed on

    def error(self, message: str) -> NoReturn:
        raise Ended(Exit.USAGE, f"{inert_line(message)}; see {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = _Parser(
        prog=PROGRAM,
        description="Tasks, plans, memory and an assistant in the terminal; without a command: full screen.",
        epilog="Exit codes: 0 done, 1 rejected, 2 wrong usage, 3 cannot be reached, 4 not allowed, "
        "5 sent but unanswered.",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {VERSION}")
    _add_common(parser, first=True)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    _add_actions(commands)
    _add_readers(commands)
    _add_server(commands)
    return parser


def _add_common(parser: argparse.ArgumentParser, *, first: bool = False) -> None:
    """Options that stand before or after the command; after it they win."""

    def default(value: object) -> object:
        return value if first else argparse.SUPPRESS

    parser.add_argument("--server", metavar="URL", default=default(None), help="a server elsewhere")
    parser.add_argument("--workspace", metavar="NAME", default=default(None), help="default: home")
    parser.add_argument("--token-file", metavar="FILE", type=Path, default=default(None))
    parser.add_argument("--json", action="store_true", default=default(False), help="one object a line")


_Commands = argparse._SubParsersAction  # the only name argparse has for what add_subparsers gives


def _command(commands: _Commands[_Parser], name: str, module: str, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(module=module, id=None, queue=False)
    _add_common(parser)
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=ANSWER_WAIT_S,
        help="how long to wait for the server",
    )
    return parser


def _action(commands: _Commands[_Parser], name: str, module: str, text: str) -> argparse.ArgumentParser:
    parser = _command(commands, name, module, text)
    parser.add_argument("--id", metavar="KEY", help="the action's id: a repeat with it is done once")
    parser.add_argument("--queue", action="store_true", help="keep it for later when the server is not there")
    return parser


def _add_actions(commands: _Commands[_Parser]) -> None:
    add = _action(commands, "add", _ADD, "add a task: words, with !high #tag @name ~30m and a date")
    add.add_argument("text", metavar="TEXT", nargs="+")
    say = _action(commands, "say", _SAY, "say something to the assistant and read its answer")
    say.add_argument("text", metavar="TEXT", nargs="+")
    done = _action(commands, "done", _DONE, "complete a task")
    done.add_argument("task", metavar="ID", help="the end of its id (four characters), or its number in list")
    plan = _action(commands, "plan", _PLAN, "make the plan of a day")
    plan.add_argument("--date", metavar="YYYY-MM-DD", help="default: today")
    send = _action(commands, "send", _SEND, "send any action")
    send.add_argument("type", metavar="TYPE", help="such as user.remember")
    send.add_argument("payload", metavar="JSON", nargs="?", default="{}", help="- reads it from stdin")


def _add_readers(commands: _Commands[_Parser]) -> None:
    listed = _command(commands, "list", _LIST, "show the open tasks")
    listed.add_argument("--all", action="store_true", help="closed ones too")
    _command(commands, "state", _STATE, "show the workspace")
    tail = _command(commands, "tail", _TAIL, "show the last events, then each as it happens")
    tail.add_argument(
        "--since", metavar="SEQ", help="everything after this seq or event id; 0: from the first"
    )


def _add_server(commands: _Commands[_Parser]) -> None:
    server = _command(commands, "server", _SERVER, "the local server")
    server.add_argument("what", metavar="status|stop", choices=("status", "stop"))


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86_400:
        raise ValueError(text)
    return value


if __name__ == "__main__":
    sys.exit(main())
