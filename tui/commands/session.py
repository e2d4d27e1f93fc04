"""A client for the length of one command.

Duty: reach the server, do one action and learn what became of it, follow what comes after; the exit codes
of all that.
Must not know: what a command prints.

1. `NOT_REACHED` is said only of what never left this machine; what may have arrived is `UNANSWERED`, and
   kept.
2. Nothing is written to the outbox but what has to wait: with `--queue`, and what was left unanswered.
3. What an earlier command left there goes first.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from protocol import VERSION
from protocol.client.client import Client
from protocol.client.clock import SystemClock
from protocol.client.errors import CannotKeep, NotAllowed, Stopped
from protocol.client.sent import Acked, Sent
from protocol.client.target import Target
from protocol.errors import CloseCode, Refused
from protocol.events import Event
from protocol.ids import is_client_action_id
from protocol.replica import Pending
from protocol.state import State
from tui.commands import kept
from tui.commands.feed import Feed, Piece, Silence
from tui.commands.ledger import Ledger, Unread
from tui.exits import Ended, Exit
from tui.local import watch
from tui.output import Printer
from tui.places import NoPlace, Places, find_places, make_folder
from tui.where import Where, find_target, read_where, unreached_target
from tui.wording import Moment
from tui.zone import machine_zone, set_zone

OFFLINE_GRACE_S: Final = 2.0
"""A server elsewhere that cannot be reached may be restarting; for longer than this nobody waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What every command was told. `timeout_s`: how long to wait for a server that says nothing."""

    where: Where
    places: Places
    action_id: str | None = None
    queue: bool = False
    timeout_s: float = 10.0
    uses_kept: bool = True
    """Whether what an earlier command left is sent first."""


Command = Callable[["Session", argparse.Namespace], Awaitable[int]]


async def run_command(command: Command, asked: argparse.Namespace, printer: Printer) -> int:
    """Run a command in a session; its exit code. Ended where it cannot be done."""
    # What the client logs is for programs; what a person must know is said in sentences.
    logging.getLogger("obelisk").addHandler(logging.NullHandler())
    options = _options(asked)
    try:
        return await _attempt(command, asked, options, printer)
    except Stopped as stopped:
        raise ended_by(stopped, options.where) from stopped
    except Silence as silence:
        raise Ended(
            Exit.UNANSWERED, f"the rest of the answer did not come ({_bare(str(silence))}); ask again later"
        ) from silence
    except Unread as problem:
        raise Ended(Exit.NOT_REACHED, f"{_bare(str(problem))}; try again") from problem


async def _attempt(command: Command, asked: argparse.Namespace, options: Options, printer: Printer) -> int:
    try:
        async with opened(options, printer) as session:
            return await command(session, asked)
    except ForeignOutbox as foreign:
        printer.note(f"{_bare(str(foreign))}; open the full-screen client to decide about them")
    async with opened(replace(options, uses_kept=False), printer) as session:
        return await command(session, asked)


def _options(asked: argparse.Namespace) -> Options:
    if asked.id is not None and not is_client_action_id(asked.id):
        raise Ended(Exit.USAGE, "--id takes 1 to 128 printable ASCII characters")
    return Options(
        where=read_where(asked.server, asked.workspace, asked.token_file),
        places=find_places(),
        action_id=asked.id,
        queue=asked.queue,
        timeout_s=asked.timeout,
    )


@contextlib.asynccontextmanager
async def opened(options: Options, printer: Printer) -> AsyncIterator[Session]:
    """A session whose client is connecting; at its end what is unsettled stays in its outbox."""
    target = await asyncio.to_thread(_find_target, options, printer)
    folder = _outbox_folder(options, target)
    client = await _opened_client(target, folder)
    ledger = Ledger(target)
    session = Session(client, target, ledger, Feed(client, ledger), printer, options, folder)
    watcher = asyncio.create_task(_watched(options, client, printer))
    try:
        yield session
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
        session.note_what_waits()
        await client.close()


def _find_target(options: Options, printer: Printer) -> Target:
    try:
        return find_target(options.where, options.places, printer.note)
    except Ended as ended:
        if options.queue and ended.code is Exit.NOT_REACHED:
            return unreached_target(options.where, options.places)
        raise


def _outbox_folder(options: Options, target: Target) -> Path | None:
    folder = options.places.client
    if not options.queue and not (options.uses_kept and kept.is_something_kept(folder, target)):
        return None
    try:
        make_folder(folder)
    except NoPlace as problem:
        raise Ended(Exit.NOT_REACHED, str(problem)) from problem
    return folder


async def _opened_client(target: Target, folder: Path | None) -> Client:
    try:
        return await Client.open(target, cache=folder, client_name=f"obelisk/{VERSION}")
    except CannotKeep as problem:
        raise Ended(Exit.NOT_REACHED, f"{_bare(str(problem))}; nothing was sent") from problem


async def _watched(options: Options, client: Client, printer: Printer) -> None:
    if options.where.is_local:
        await watch(options.places, client, lambda sentence: printer.note(_bare(sentence)))


def ended_by(stopped: Stopped, where: Where) -> Ended:
    """How a command ends whose link has given up."""
    if isinstance(stopped, NotAllowed):
        return Ended(Exit.NOT_ALLOWED, _bare(stopped.message))
    if stopped.code == CloseCode.PROTOCOL_VERSION and where.is_local:
        return Ended(
            Exit.NOT_REACHED,
            "the local server that runs is of another version; run obelisk server stop, then try again",
        )
    return Ended(Exit.NOT_REACHED, _bare(stopped.message))


def _bare(sentence: str) -> str:
    return sentence.removesuffix(".")


class ForeignOutbox(Exception):  # noqa: N818  says what is the matter, as it reads at the raise
    """What waits in the outbox was written as somebody else; this command was not to use it."""


class Session:
    """What a command works with. `outbox`: the folder of the outbox where this command uses it."""

    def __init__(
        self,
        client: Client,
        target: Target,
        ledger: Ledger,
        feed: Feed,
        printer: Printer,
        options: Options,
        outbox: Path | None,
    ) -> None:
        self.client = client
        self.ledger = ledger
        self.printer = printer
        self.options = options
        self._target = target
        self._feed = feed
        self._outbox = outbox

    @property
    def state(self) -> State:
        """What is known; all of it after `reach`."""
        return self.client.replica.view

    @property
    def moment(self) -> Moment:
        """Now, in the zone of the workspace."""
        return Moment(SystemClock().now(), self.state.settings.timezone)

    @property
    def lists(self) -> Path:
        """The file that remembers the list that this person saw last."""
        return self.options.places.client / f"{self._target.cache_name}.list"

    async def reach(self) -> None:
        """Wait until everything is known. Ended where the server cannot be reached, unless `--queue`."""
        where = self.options.where
        patience_s = self.options.timeout_s if where.is_local else OFFLINE_GRACE_S
        try:
            async with asyncio.timeout(self.options.timeout_s):
                while self.client.link.phase != "live":
                    await self._feed.changed(patience_s)
        except (TimeoutError, Silence):
            if not self.options.queue:
                raise self._not_reached() from None
        except Stopped as stopped:
            if stopped.code is None and self._outbox is not None and not self.options.queue:
                raise ForeignOutbox(stopped.message) from stopped
            raise
        if where.is_local:
            await self._settle_zone()

    async def _settle_zone(self) -> None:
        sent = set_zone(self.client, machine_zone())
        if sent is not None:
            # A refusal, or no answer, changes nothing for the command: then the workspace stays on UTC.
            with contextlib.suppress(TimeoutError, Stopped):
                async with asyncio.timeout(self.options.timeout_s):
                    await sent.settled()
            self.client.dismiss_rejected(sent.client_action_id)

    def _not_reached(self) -> Ended:
        reason = _bare(self.client.link.reason or "The server does not answer")
        place = "the local server" if self.options.where.is_local else self._target.place
        return Ended(
            Exit.NOT_REACHED,
            f"{place} cannot be reached ({reason}); nothing was sent: check the address, or try again later",
        )

    # One action

    async def act(self, action_type: str, payload: Mapping[str, object]) -> Acked:
        """Do an action and wait for its outcome. Ended where it was refused, kept, or nobody answered."""
        sent = self.client.act(action_type, payload, client_action_id=self.options.action_id)
        pending = self.client.replica.find(sent.client_action_id)
        outcome = await self._outcome(sent)
        match outcome:
            case Acked():
                return outcome
            case Refused():
                self.client.dismiss_rejected(sent.client_action_id)
                raise _refused(outcome)
            case _:
                raise await self._unsettled(sent, pending)

    async def _outcome(self, sent: Sent) -> Acked | Refused | None:
        is_offline = self.options.queue and self.client.link.phase != "live"
        try:
            async with asyncio.timeout(0 if is_offline else self.options.timeout_s):
                return await sent.settled()
        except TimeoutError:
            return None
        except Stopped:
            if sent.was_sent:
                return None
            raise

    async def _unsettled(self, sent: Sent, pending: Pending | None) -> Ended:
        """What to say of an action without an outcome; what may have arrived, or waits, is made durable."""
        name = sent.client_action_id
        if not sent.was_sent and not self.options.queue:
            return self._not_reached()
        try:
            if self._outbox is not None:
                await sent.queued()
            else:
                held = self.client.replica.find(name) or pending
                assert held is not None, "an action without an outcome is pending"
                await self._kept(held)
        except (CannotKeep, NoPlace) as problem:
            return Ended(Exit.UNANSWERED, f"{_bare(str(problem))}; ask again with --id {name}")
        if not sent.was_sent:
            return Ended(Exit.DONE, f"the server cannot be reached; kept for later as {name}")
        self.printer.text(name)
        return Ended(
            Exit.UNANSWERED, f"the server did not answer in time; kept as {name}: repeat it with --id {name}"
        )

    async def _kept(self, pending: Pending) -> None:
        folder = self.options.places.client
        make_folder(folder)
        await kept.keep(folder, self._target, pending)

    def note_what_waits(self) -> None:
        """Remember for the next command whether something waits in the outbox."""
        if self._outbox is None:
            return
        if self.client.replica.pending:
            kept.mark_kept(self._outbox, self._target)
        else:
            kept.unmark_kept(self._outbox, self._target)

    async def events_of(self, acked: Acked) -> tuple[Event, ...]:
        """The events that an action gave; those of a repeat are fetched."""
        if len(acked.events) == len(acked.event_ids):
            return acked.events
        try:
            return await self.ledger.outcome(acked.client_action_id)
        except Unread as problem:
            self.printer.note(f"it is done, but its events cannot be shown: {problem}")
            return acked.events

    # What comes after

    def follow(self, after: int, *, for_ever: bool = False) -> AsyncIterator[Event | Piece]:
        """Everything after a seq. `for_ever`: however long the link is down."""
        return self._feed.items(after, None if for_ever else self.options.timeout_s)


def _refused(refused: Refused) -> Ended:
    code = Exit.NOT_ALLOWED if refused.code == "forbidden" else Exit.REJECTED
    return Ended(code, f"{_bare(refused.message)} ({refused.code})")
