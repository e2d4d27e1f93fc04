"""`obelisk send TYPE [JSON]`: any action, as it is."""

from __future__ import annotations

import argparse
import sys

import msgspec

from protocol import limits
from tui.commands.session import Session
from tui.exits import Ended, Exit
from tui.output import event_line


async def run(session: Session, asked: argparse.Namespace) -> int:
    """Send the action and print the events that it gave."""
    payload = read_payload(asked.payload)
    await session.reach()
    acked = await session.act(asked.type, payload)
    events = await session.events_of(acked)
    session.printer.events(events)
    for event in events:
        session.printer.text(event_line(event))
    if not events:
        session.printer.text("done; nothing changed")
    return Exit.DONE


def read_payload(given: str) -> dict[str, object]:
    """The JSON object that was given, or stands on stdin. Ended with USAGE where it is none."""
    try:
        text = sys.stdin.buffer.read(limits.http_body_bytes_max) if given == "-" else given.encode()
        value: object = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Ended(Exit.USAGE, f"the payload is not JSON ({error}); quote it for the shell") from error
    if not isinstance(value, dict):
        raise Ended(Exit.USAGE, 'the payload must be a JSON object, such as \'{"text": "…"}\'')
    return value
