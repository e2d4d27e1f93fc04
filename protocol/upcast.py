"""Old payloads in today's shape: what a ledger keeps for ever is read by a program that went on.

Duty: for an event type whose payload once looked otherwise, the numbered steps to its shape of now.
Must not know: state, rules, the wire.

1. A step is a pure function of the payload's JSON; steps are never changed once released.
2. What is already in today's shape passes through untouched, without being parsed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

Upcaster = Callable[[msgspec.Raw], msgspec.Raw]

UPCASTERS: Final[dict[str, tuple[Upcaster, ...]]] = {}
"""By event type, oldest step first. Empty as long as no payload has changed its shape."""


def current(event_type: str, payload: msgspec.Raw) -> msgspec.Raw:
    """The payload of an event in today's shape."""
    for step in UPCASTERS.get(event_type, ()):
        payload = step(payload)
    return payload
