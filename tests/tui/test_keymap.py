"""One registry of keys, from which everything else is made."""

from __future__ import annotations

import re

import pytest
from textual.binding import Binding

from tui.bindings import bindings_of
from tui.keymap import (
    BY_ID,
    COMMANDS,
    MAIN_PLACES,
    PLACE_WORDS,
    at_hand,
    clashes,
    footer,
    help_sections,
    key_words,
    keys_words,
)
from tui.rows import help_rows
from tui.widgets.line_list import LineList
from tui.widgets.transcript import Transcript


def test_ids_are_unique_and_stable_in_form() -> None:
    """A configuration names commands by them."""
    assert len(BY_ID) == len(COMMANDS)
    assert not [name for name in BY_ID if not re.fullmatch(r"[a-z]+\.[a-z_]+", name)]


def test_no_key_stands_for_two_commands() -> None:
    """In no place; a configuration that would do so is told which."""
    assert clashes({}) == []
    assert clashes({"tasks.edit": "d"}) == ["d stands for tasks.edit and for tasks.delete"]
    assert clashes({"tasks.edit": "a"}) == ["a stands for tasks.edit and for tasks.add"]


def test_keys_that_hold_while_typing_are_no_letters() -> None:
    """A letter that somebody types is never a command."""
    typing = [command for place in ("everywhere", "panes") for command in COMMANDS if command.place == place]
    assert not [key for command in typing for key in command.keys if len(key) == 1]


def test_no_command_needs_a_key_that_terminals_keep() -> None:
    """Flow control, job control and the prefix of a multiplexer stay theirs."""
    kept = {"ctrl+s", "ctrl+q", "ctrl+z", "ctrl+b"}
    assert not [command.id for command in COMMANDS if kept & set(command.keys)]


@pytest.mark.parametrize("place", MAIN_PLACES)
def test_the_footer_begins_with_what_is_at_hand(place: str) -> None:
    """In 58 columns there is room for what belongs to the place, and for the way to help or out."""
    short, used = [], 1
    for command in footer(place):  # type: ignore[arg-type]  # one of the places
        used += len(key_words(command.keys[0])) + 1 + len(command.short) + 2
        if used <= 60:
            short.append(command.id)
    assert short
    assert BY_ID[short[0]].place == place
    assert {"help.open", "composer.leave"} & set(short)


def test_help_tells_of_every_command_of_a_place() -> None:
    """What can be pressed is written down, nearest first."""
    for place in PLACE_WORDS:
        told = [command.id for _, commands in help_sections(place) for command in commands]
        assert {command.id for command in at_hand(place)} <= set(told) | {
            command.id for command in at_hand("main")
        }
        assert len(help_rows(place, {})) > len(told)


def test_a_bound_key_is_told_instead() -> None:
    """Help and footer follow the configuration."""
    assert keys_words(BY_ID["help.open"]) == "?"
    assert keys_words(BY_ID["help.open"], {"help.open": "h,question_mark"}) == "h or ?"


def test_bindings_come_from_the_registry() -> None:
    """Each asks the app for its command by id."""
    (quit_,) = [one for one in bindings_of("main") if one.id == "app.leave"]
    assert (quit_.key, quit_.action) == ("q", "app.command('app.leave')")


@pytest.mark.parametrize("kind", [LineList, Transcript])
def test_reading_keys_are_those_of_the_widgets(kind: type[LineList | Transcript]) -> None:
    """What help says of moving holds in lists and in the conversation."""
    bound = {
        key for binding in kind.BINDINGS if isinstance(binding, Binding) for key in binding.key.split(",")
    }
    told = {
        key
        for command in COMMANDS
        if command.place == "reading" and "half" not in command.id
        for key in command.keys
    }
    assert told <= bound
