"""The registry of keys as Textual's bindings.

Must not know: what a command does; every binding asks the app to do it by its id.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual.binding import Binding

from tui.keymap import BY_ID, Place, commands_of


def bindings_of(place: Place, *, priority: bool = False) -> list[Binding]:
    """The bindings of a place, but for the keys that a widget knows itself."""
    return [
        Binding(
            ",".join(command.keys),
            f"app.command('{command.id}')",
            command.words,
            show=False,
            id=command.id,
            priority=priority,
        )
        for command in commands_of(place)
        if not command.own
    ]


def own_bindings(actions: Mapping[str, str]) -> list[Binding]:
    """Bindings to a widget's own actions, by the ids of their commands."""
    return [
        Binding(",".join(BY_ID[name].keys), action, BY_ID[name].words, show=False, id=name)
        for name, action in actions.items()
    ]
