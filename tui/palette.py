"""The palette: every action with its key, found by a few letters of its words.

Must not know: what a command does.

1. Entries are words of the registry; nothing from elsewhere is ever one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import cast

from textual.command import CommandInput, CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from typing_extensions import override

from tui.keymap import COMMANDS, MAIN_PLACES, Command, Place, at_hand, keys_words
from tui.screens.base import Host


class Commands(Provider):
    """The registry as entries of the palette."""

    @property
    def _host(self) -> Host:
        return cast("Host", self.app)

    @override
    async def discover(self) -> Hits:
        for command in self._offered():
            yield DiscoveryHit(self._said(command), partial(self._host.command, command.id), command.words)

    @override
    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in self._offered():
            score = matcher.match(command.words)
            if score > 0:
                said = self._said(command, matcher.highlight(command.words))
                yield Hit(score, said, partial(self._host.command, command.id), command.words)

    def _offered(self) -> Iterator[Command]:
        """What can be done on the screen below: on the main screen, in all its panes."""
        place: Place = getattr(self.screen, "place", "main")
        nearest = at_hand(place)
        seen: set[str] = set()
        everywhere = COMMANDS if place in MAIN_PLACES else ()
        for command in (*nearest, *everywhere):
            wanted = command in nearest or command.place in (*MAIN_PLACES, "main")
            if wanted and command.id not in _NOT_OFFERED and command.words not in seen:
                seen.add(command.words)
                yield command

    def _said(self, command: Command, said: Content | None = None) -> Content:
        keys = keys_words(command, self._host.bound)
        return Content.assemble(said or Content(command.words), Content.styled(f"  {keys}", "$text-accent"))


_NOT_OFFERED = frozenset({"palette.open", "app.interrupt", "composer.newline", "composer.leave"})


class Palette(CommandPalette):
    """Textual's palette with a cursor that does not blink."""

    def on_mount(self) -> None:
        self.query_one(CommandInput).cursor_blink = False
