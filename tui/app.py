"""The full-screen client.

Duty: tie the client to the screens: changes become frames, at most one each thirtieth of a second; commands
become intents, and intents actions. Must not know: how anything is drawn, bytes of the wire.

1. No widget and no screen touches the client; they get frames and hand back intents.
2. Nothing moves unless something happened: no timer runs but the one of the minute, and those that wait for a
   person or a burst to end.
3. What is unconfirmed is marked once it has been so for longer than a round trip takes, or at once while the
   link is not live.
4. A draft is in its file within a second of its last letter, and when the screen ends, however it ends.
5. Everything drawn passes the filter of `safety`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import ClassVar, Final

from textual.binding import BindingType
from textual.timer import Timer
from textual.worker import Worker, WorkerState
from typing_extensions import override

from protocol import VERSION, times
from protocol.client.client import Client
from protocol.client.clock import SystemClock
from protocol.client.errors import CannotKeep
from protocol.client.status import Change
from protocol.client.target import Target
from protocol.errors import Refused
from protocol.text import SafeText, inert_line
from tui.bindings import bindings_of
from tui.config import Config, find_config
from tui.drafts import Drafts
from tui.intents import Wanted, checked
from tui.keymap import Place, clashes
from tui.local import watch
from tui.mishap import FailsPlainly
from tui.palette import Commands, Palette
from tui.places import Places
from tui.port import ClientPort
from tui.safety import install_filter, notify_safely
from tui.screens.base import Frame
from tui.screens.dialogs import Added, Ask, QuickAdd
from tui.screens.lists import HelpScreen, MemoryScreen, RejectedScreen
from tui.screens.main import MainScreen
from tui.terminal_driver import TerminalDriver
from tui.typeahead import TypeAhead
from tui.wording import Moment, counted, words
from tui.zone import machine_zone, set_zone_when_live

FRAME_S: Final = 1 / 30
DRAFT_S: Final = 0.5
MARK_S: Final = 0.7
"""How long a live link may take before what is unconfirmed says so."""
TYPING_S: Final = 5.0
"""After the last letter, nobody is typing."""
AGAIN_S: Final = 2.0
"""Within this a second ctrl+c quits."""
MINUTE_S: Final = 60.0

Performing = MainScreen | MemoryScreen | RejectedScreen | HelpScreen
Say = Callable[[str], None]
Watcher = Callable[[Say], Awaitable[None]]


class ObeliskApp(TypeAhead, FailsPlainly):
    """The screen of one workspace."""

    TITLE = "obelisk"
    CSS_PATH = "styles/app.tcss"
    COMMANDS = {Commands}
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        # With priority: a dialog shuts out the app's other bindings.
        *bindings_of("everywhere", priority=True)
    ]

    def __init__(
        self,
        client: ClientPort,
        *,
        now: Callable[[], str],
        drafts: Drafts | None = None,
        config: Config | None = None,
        keeps: bool = True,
        watcher: Watcher | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__()
        install_filter(self)
        self.animation_level = "none"
        self._client = client
        self._now = now
        self._drafts = drafts or Drafts(None)
        self._config = config or Config()
        self._keeps = keeps
        self._watcher = watcher
        self._hint = hint
        self._line = ""
        self._unsubscribe: Callable[[], None] | None = None
        self._main: MainScreen | None = None
        self._grown: set[str] = set()
        self._due = False
        self._gate: Timer | None = None
        self._late: Timer | None = None
        self._is_late = False
        self._draft_timer: Timer | None = None
        self._typing_timer: Timer | None = None
        self._leaving: Timer | None = None
        self._pane: Place = "tasks"
        self._refused: frozenset[str] = frozenset()
        self._asking_foreign = False

    # Life

    def on_mount(self) -> None:
        self.theme = self._config.theme
        self.set_keymap(dict(self._config.keys))
        self._refused = self._refused_ids()
        self._main = MainScreen(self._drafts.get("main"))
        self.push_screen(self._main)
        self._unsubscribe = self._client.subscribe(self._changed)
        self._note_unconfirmed()
        self._note_foreign()
        local = times.parse_instant(self._now())
        self.set_timer(MINUTE_S - (local.second if local else 0), self._first_minute)
        if self._hint:
            self.tell(inert_line(self._hint))
        if self._watcher is not None:
            self.run_worker(self._watch(self._watcher), name="local server", exit_on_error=False)

    async def _watch(self, watcher: Watcher) -> None:
        await watcher(lambda sentence: self.tell(inert_line(sentence)))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Nobody watches over the local server any more: that is worth a word."""
        if event.state is WorkerState.ERROR:
            self.tell(
                inert_line(f"The local server is not watched any more: {event.worker.error}"), trouble=True
            )

    def on_unmount(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._drafts.save()

    def _first_minute(self) -> None:
        self.set_interval(MINUTE_S, self._show)
        self._show()

    # Frames

    @property
    def frame(self) -> Frame:
        """What is to be shown now."""
        replica, link = self._client.replica, self._client.link
        marked = link.phase != "live" or self._is_late
        return Frame(
            view=replica.view,
            predicted=replica.predicted_ids,
            marked=marked,
            pending=len(replica.pending) if marked else 0,
            streams=self._client.streams,
            link=link,
            present=self._client.present,
            rejected=self._client.rejected,
            moment=self.moment,
        )

    @property
    def moment(self) -> Moment:
        """From where things are seen: this minute, in the zone of the workspace."""
        minute = f"{self._now()[:17]}00.000Z"
        return Moment(minute, self._client.replica.view.settings.timezone)

    @property
    def bound(self) -> Mapping[str, str]:
        """Keys by command id, where the configuration has others."""
        return self._config.keys

    def _changed(self, change: Change) -> None:
        """The client has something new; it is called wherever the client is, so nothing is drawn here."""
        self._grown |= change.streams
        self._due = self._due or change.view or change.link or change.presence or change.rejected
        if self._gate is None:
            self.call_later(self._paint)

    def _paint(self) -> None:
        if not self.is_running or self._gate is not None or not (self._due or self._grown):
            return  # also on the way out, when there is nothing left to draw in
        self._gate = self.set_timer(FRAME_S, self._open_gate)
        due, self._due = self._due, False
        grown, self._grown = frozenset(self._grown), set()
        if due:
            self._note_unconfirmed()
            self._show()
            self._note_refused()
            self._note_foreign()
        if grown and self._main is not None:
            self._main.show_streams(self.frame, grown)

    def _open_gate(self) -> None:
        self._gate = None
        self._paint()

    def _show(self) -> None:
        frame = self.frame
        for screen in self.screen_stack if self.is_running else ():
            if isinstance(screen, Performing) and screen.is_mounted:
                screen.show(frame)

    def _note_unconfirmed(self) -> None:
        """What waits for longer than a round trip is late; when nothing waits, nothing is."""
        if not self._client.replica.pending:
            self._is_late = False
            if self._late is not None:
                self._late.stop()
                self._late = None
        elif self._late is None and not self._is_late:
            self._late = self.set_timer(MARK_S, self._be_late)

    def _be_late(self) -> None:
        self._late, self._is_late = None, True
        self._show()

    def _note_refused(self) -> None:
        refused = self._refused_ids()
        fresh = refused - self._refused
        self._refused = refused
        for one in self._client.rejected:
            if one.action.client_action_id in fresh:
                self.tell(inert_line(f"Not accepted: {one.refused.message} (r shows it)"), trouble=True)

    def _note_foreign(self) -> None:
        """What waits was written as somebody else: the person says what becomes of it."""
        foreign = self._client.foreign
        if not foreign or self._client.link.phase != "stopped" or self._asking_foreign:
            return
        self._asking_foreign = True

        def done(yes: bool | None) -> None:
            self._asking_foreign = False
            if not yes:
                self.exit()
                return
            count = self._client.set_aside_foreign()
            self.tell(words(f"{counted(count, 'action')} set aside; r shows them with their text."))

        said = f"{counted(len(foreign), 'unsent action was', 'unsent actions were')} written as someone else"
        question = words(f"{said}, or for another workspace. Nothing of it was sent.")
        self.push_screen(Ask(question, words("set it aside and go on"), words("quit and keep it")), done)

    def _refused_ids(self) -> frozenset[str]:
        return frozenset(one.action.client_action_id for one in self._client.rejected)

    # What screens ask for

    def do(self, wanted: Wanted) -> bool:
        """Do something; False where it was refused at once, and then it was said why."""
        good = checked(wanted)
        outcome: object = good
        if not isinstance(good, Refused):
            before = frozenset(self._client.replica.view.tasks)
            outcome = self._client.act(good.type, good.payload).outcome
            if not isinstance(outcome, Refused):
                self._go_to_new(before)
                return True
        assert isinstance(outcome, Refused)
        self.tell(inert_line(outcome.message), trouble=True)
        return False

    def _go_to_new(self, before: frozenset[str]) -> None:
        """A new task is under the cursor, so that one sees where it went."""
        self._show()
        new = frozenset(self._client.replica.view.tasks) - before
        if new and self._main is not None:
            self._main.show_task(next(iter(new)))

    def tell(self, message: SafeText, *, trouble: bool = False) -> None:
        """Say something for a while."""
        notify_safely(self, message, severity="error" if trouble else "information")

    def compose_text(self, text: str) -> None:
        """Put a text into the composer, behind what is in it, and go there."""
        if self._main is None:
            return
        composer = self._main.composer
        composer.put("\n".join(part for part in (composer.text, text) if part))
        self._main.go_to("composer")

    def dismiss_rejected(self, client_action_id: str) -> None:
        """A refusal was seen."""
        self._client.dismiss_rejected(client_action_id)

    def keep_draft(self, thread_id: str, text: str) -> None:
        """Keep what is being written in a thread, and let others know that it is."""
        if self._drafts.set(thread_id, text) and self._draft_timer is None:
            self._draft_timer = self.set_timer(DRAFT_S, self._save_drafts)
        self._client.set_presence(bool(text), self._pane)
        if self._typing_timer is not None:
            self._typing_timer.stop()
        self._typing_timer = self.set_timer(TYPING_S, self._stop_typing) if text else None

    def _save_drafts(self) -> None:
        self._draft_timer = None
        had_problem = self._drafts.problem is not None
        self._drafts.save()
        if self._drafts.problem is not None and not had_problem:
            self.tell(inert_line(self._drafts.problem), trouble=True)

    def _stop_typing(self) -> None:
        self._typing_timer = None
        self._client.set_presence(False, self._pane)

    def at_pane(self, place: Place) -> None:
        """The person is at another pane."""
        if place != self._pane:
            self._pane = place
            self._client.set_presence(self._typing_timer is not None, place)

    # Commands

    def action_command(self, command_id: str) -> None:
        """A key of the registry was pressed."""
        if not isinstance(self.screen, Palette) or command_id == "app.interrupt":
            self.command(command_id)

    def command(self, command_id: str) -> None:
        """Perform a command of the registry where the focus is."""
        screen = self.screen
        if isinstance(screen, Performing) and screen.perform(command_id):
            return
        own = self._own_commands.get(command_id)
        if own is not None:
            own()

    @property
    def _own_commands(self) -> Mapping[str, Callable[[], object]]:
        return {
            "tasks.add": self._add_task,
            "tasks.add_typing": self._add_task,
            "memory.open": lambda: self.push_screen(MemoryScreen()),
            "rejected.open": lambda: self.push_screen(RejectedScreen()),
            "palette.open": self._open_palette,
            "help.open": self._open_help,
            "help.open_typing": self._open_help,
            "link.retry": self._retry,
            "app.leave": self._leave,
            "app.interrupt": self._interrupt,
        }

    def _add_task(self) -> None:
        if isinstance(self.screen, QuickAdd):
            return

        def done(added: Added | None) -> None:
            self._line = added.line if added is not None else ""
            if added is not None and added.wanted is not None:
                self.do(added.wanted)

        self.push_screen(QuickAdd(self._line), done)

    def _open_palette(self) -> None:
        if not isinstance(self.screen, Palette):
            self.push_screen(Palette(placeholder="What to do?"))

    def _open_help(self) -> None:
        screen = self.screen
        if isinstance(screen, HelpScreen):
            screen.leave()
            return
        place: Place = getattr(screen, "place", "main")
        self.push_screen(HelpScreen(place))

    def _retry(self) -> None:
        if self._client.link.phase == "live":
            self.tell(words("This is live."))
        else:
            self._client.retry()

    # Leaving

    @override
    async def action_quit(self) -> None:
        self._leave()

    def _leave(self) -> None:
        unsent = len(self._client.replica.pending)
        if self._keeps or not unsent:
            self.exit()
            return
        question = f"{counted(unsent, 'action is', 'actions are')} unsent and cannot be kept. Quit?"

        def done(yes: bool | None) -> None:
            if yes:
                self.exit()

        self.push_screen(Ask(words(question), words("quit and lose them"), words("stay")), done)

    def _interrupt(self) -> None:
        """Copy what is selected; where nothing is, a second time quits."""
        selected = self._selected_text()
        if selected:
            self.copy_to_clipboard(selected)
            self.tell(words("Sent to the terminal's clipboard; not every terminal takes it."))
        elif self._leaving is not None:
            self.exit()
        else:
            self._leaving = self.set_timer(AGAIN_S, self._stay)
            self.tell(words("ctrl+c again quits; nothing is lost."))

    def _stay(self) -> None:
        self._leaving = None

    def _selected_text(self) -> str:
        own: object = getattr(self.focused, "selected_text", "")
        return own if isinstance(own, str) and own else self.screen.get_selected_text() or ""


# Running


def run(target: Target, *, places: Places, is_local: bool) -> int:
    """Show the workspace of `target` until the person leaves; the exit code."""
    return asyncio.run(_run(target, places, is_local))


async def _run(target: Target, places: Places, is_local: bool) -> int:
    config, problem = find_config()
    client, cannot_keep = await _opened(target, places.client)
    keeps = cannot_keep is None
    drafts = Drafts(places.client / f"{target.cache_name}.drafts.json" if keeps else None)

    async def watcher(say: Say) -> None:
        await watch(places, client, say)

    app = ObeliskApp(
        client,
        now=SystemClock().now,
        drafts=drafts,
        config=config,
        keeps=keeps,
        watcher=watcher if is_local else None,
        hint=_first_words(cannot_keep, problem, config),
    )
    app.report = places.client / "failed.log" if keeps else None
    app.driver_class = TerminalDriver
    if is_local:
        set_zone_when_live(client, machine_zone())
    try:
        await app.run_async()
    finally:
        drafts.save()
        unsent = len(client.replica.pending)
        await client.close()
    if unsent and keeps:
        print(f"obelisk: {counted(unsent, 'action')} unsent: kept, and sent the next time.")
    return app.return_code or 0


async def _opened(target: Target, cache: Path) -> tuple[Client, str | None]:
    """The client, and why it keeps nothing where it does not."""
    name = f"obelisk/{VERSION}"
    try:
        return await Client.open(target, cache=cache, client_name=name), None
    except CannotKeep as problem:
        return await Client.open(target, cache=None, client_name=name), str(problem)


def _first_words(cannot_keep: str | None, problem: str | None, config: Config) -> str | None:
    clash = clashes(config.keys)
    said = [cannot_keep, problem, f"In the configuration {clash[0]}." if clash else None]
    return " ".join(one for one in said if one) or None
