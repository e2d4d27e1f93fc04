"""`obelisk server status|stop`: the local server."""

from __future__ import annotations

import argparse

import msgspec

from tui.exits import Ended, Exit
from tui.local import CannotStart, Running, find, stop
from tui.output import Printer
from tui.places import Places, find_places


def run(asked: argparse.Namespace, printer: Printer) -> int:
    """Say how it stands with the local server, or end it."""
    if asked.server is not None:
        raise Ended(Exit.USAGE, "this is about the local server; leave --server away")
    places = find_places()
    try:
        return _stop(places, printer) if asked.what == "stop" else _status(places, printer)
    except CannotStart as problem:
        raise Ended(Exit.NOT_REACHED, str(problem)) from problem


def _status(places: Places, printer: Printer) -> int:
    running = find(places)
    printer.record(_record(places, running))
    if running is None:
        printer.text("no local server runs; any command starts one")
        return Exit.NOT_REACHED
    printer.text(
        f"the local server runs: process {running.pid}, socket {running.socket}, data {places.server}"
    )
    return Exit.DONE


def _stop(places: Places, printer: Printer) -> int:
    stopped = stop(places)
    printer.record(_record(places, None))
    printer.text("no local server runs" if stopped is None else "the local server has stopped")
    return Exit.DONE


def _record(places: Places, running: Running | None) -> bytes:
    return msgspec.json.encode(
        {
            "running": running is not None,
            "pid": running.pid if running else None,
            "unix": str(running.socket) if running else None,
            "data": str(places.server),
        }
    )
