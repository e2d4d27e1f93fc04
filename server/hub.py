"""Who listens to a workspace, and who is here.

Duty: bring each frame to every reader, cut the connections that must go, keep presence.
Must not know: what an action means, how a connection writes.

1. A frame is encoded once, down to its WebSocket header; a reader gets all of a commit group, and its own
   acks, in one write.
2. No reader is waited for: `push` and `flush` of a reader never block and never raise.
3. A reader is here from the moment it is live: it was given everything up to the head it joined at, and gets
   all after.
4. Presence is told at most once a second, and only when it changed; typing lapses by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from itertools import islice
from typing import Protocol

from msgspec.structs import replace

from protocol import limits
from protocol.codec import encode_server_frame
from protocol.errors import CloseCode
from protocol.events import Event, MemberRemoved, MemberSet
from protocol.frames import Presence, PresenceUpdate, Present
from server.gateway.websocket import encode_text_frame

log = logging.getLogger("obelisk.hub")


class Reader(Protocol):
    """A live connection, as the hub sees it."""

    @property
    def actor(self) -> str: ...
    @property
    def client_id(self) -> str: ...
    @property
    def token_id(self) -> str | None: ...
    def push(self, frame: bytes, seq: int | None = None) -> None:
        """Take an encoded WebSocket frame, written at `flush`; `seq` where it brings the reader there."""

    def flush(self) -> None:
        """Write what was pushed; a reader over its bound cuts itself off."""

    def leave(self, code: int, reason: str) -> None:
        """Begin to close."""


class Hub:
    """The connections of one workspace: those that are live, and those still catching up."""

    def __init__(self) -> None:
        self._live: dict[Reader, Present] = {}
        self._all: dict[tuple[str, str], Reader] = {}
        self._expected: set[Reader] = set()
        self._dirty: dict[Reader, None] = {}
        self._early: dict[Reader, PresenceUpdate] = {}
        self._typing: dict[Reader, asyncio.TimerHandle] = {}
        self._told: dict[Reader, bytes] = {}
        self._telling: asyncio.TimerHandle | None = None
        self._told_at = -limits.presence_interval_s

    @property
    def live(self) -> int:
        """Readers that get frames."""
        return len(self._live)

    @property
    def connected(self) -> int:
        """Readers in all, those that catch up included."""
        return len(self._all)

    def expect(self, reader: Reader) -> None:
        """A connection was opened and has not said hello: it may be cut like all others."""
        self._expected.add(reader)

    def enter(self, reader: Reader) -> None:
        """A connection said hello; an older one of the same actor and client is replaced."""
        self._expected.discard(reader)
        older = self._all.get((reader.actor, reader.client_id))
        self._all[reader.actor, reader.client_id] = reader
        if older is not None:
            self.drop(older)
            older.leave(CloseCode.REPLACED, "this client has connected again")

    def join(self, reader: Reader, present: Present) -> None:
        """A connection has caught up: from here on it gets everything."""
        self._live[reader] = present
        early = self._early.pop(reader, None)
        if early is not None:
            self.update(reader, early)
        self._tell_soon()
        self._told[reader] = presence = self._presence()
        reader.push(presence)

    def drop(self, reader: Reader) -> None:
        """A connection is gone or going: it gets nothing more."""
        if self._all.get((reader.actor, reader.client_id)) is reader:
            del self._all[reader.actor, reader.client_id]
        self._expected.discard(reader)
        self._dirty.pop(reader, None)
        self._told.pop(reader, None)
        self._early.pop(reader, None)
        timer = self._typing.pop(reader, None)
        if timer is not None:
            timer.cancel()
        if self._live.pop(reader, None) is not None:
            self._tell_soon()

    def publish(self, payloads: Iterable[tuple[bytes, int]]) -> None:
        """Give frames of committed events, each with the seq it leads to, to every reader; `flush_all`
        sends them.
        """
        frames = [(encode_text_frame(payload), seq) for payload, seq in payloads]
        for reader in self._live:
            for frame, seq in frames:
                reader.push(frame, seq)
        self._dirty.update(dict.fromkeys(self._live))

    def mark(self, reader: Reader) -> None:
        """Something was pushed to one reader, outside `publish`; `flush_all` sends it."""
        self._dirty[reader] = None

    def flush_all(self) -> None:
        """Write everything that was pushed, one write a reader."""
        dirty, self._dirty = self._dirty, {}
        for reader in dirty:
            reader.flush()

    def send(self, payload: bytes) -> None:
        """Give one transient frame to every reader, now."""
        frame = encode_text_frame(payload)
        for reader in list(self._live):
            reader.push(frame)
            reader.flush()

    def cut_changed_members(self, events: Iterable[Event]) -> None:
        """Members that were removed or changed feel it before they get another event."""
        for event in events:
            match event.payload:
                case MemberRemoved(actor=actor):
                    self._cut_actor(actor, CloseCode.NOT_A_MEMBER, "you are no longer a member")
                case MemberSet(entity=member):
                    self._cut_actor(member.actor, CloseCode.GOING_AWAY, "your role has changed")
                case _:
                    pass

    def cut_all(self, code: int, reason: str) -> None:
        """End every connection."""
        self._cut(self._everybody(), code, reason)

    def cut_token(self, token_id: str, code: int, reason: str) -> None:
        """End the connections that came with a token."""
        self._cut([one for one in self._everybody() if one.token_id == token_id], code, reason)

    def _cut_actor(self, actor: str, code: int, reason: str) -> None:
        self._cut([one for one in self._everybody() if one.actor == actor], code, reason)

    def _everybody(self) -> list[Reader]:
        return [*self._all.values(), *self._expected]

    def _cut(self, readers: Iterable[Reader], code: int, reason: str) -> None:
        for reader in readers:
            log.info("closing a connection of %s: %s", reader.actor, reason)
            self.drop(reader)
            reader.leave(code, reason)

    # Presence

    def update(self, reader: Reader, update: PresenceUpdate) -> None:
        """What a person does just now; of one who still catches up it is kept until he has joined."""
        if reader not in self._live:
            self._early[reader] = update
            return
        timer = self._typing.pop(reader, None)
        if timer is not None:
            timer.cancel()
        focus = update.focus[: limits.focus_characters_max] if update.focus is not None else None
        self._set(reader, typing=update.typing, focus=focus)
        if update.typing:
            loop = asyncio.get_running_loop()
            self._typing[reader] = loop.call_later(limits.typing_s, self._set_typing_over, reader)

    def _set_typing_over(self, reader: Reader) -> None:
        self._typing.pop(reader, None)
        present = self._live.get(reader)
        if present is not None:
            self._set(reader, typing=False, focus=present.focus)

    def _set(self, reader: Reader, *, typing: bool, focus: str | None) -> None:
        present = self._live.get(reader)
        if present is None or (present.typing, present.focus) == (typing, focus):
            return
        self._live[reader] = replace(present, typing=typing, focus=focus)
        self._tell_soon()

    def _presence(self) -> bytes:
        members = tuple(islice(self._live.values(), limits.presence_members_max))
        return encode_text_frame(encode_server_frame(Presence(members=members, count=len(self._live))))

    def _tell_soon(self) -> None:
        if self._telling is None:
            loop = asyncio.get_running_loop()
            due = max(loop.time(), self._told_at + limits.presence_interval_s)
            self._telling = loop.call_at(due, self._tell)

    def _tell(self) -> None:
        self._telling = None
        self._told_at = asyncio.get_running_loop().time()
        presence = self._presence()
        for reader in list(self._told):
            if self._told.get(reader, presence) != presence:  # a flush may have ended it
                self._told[reader] = presence
                reader.push(presence)
                reader.flush()
