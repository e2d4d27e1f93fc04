"""The second wall between text from elsewhere and the terminal, and the keeper of Textual's privates.

Duty: hand `SafeText` to Textual without markup, and strip from every drawn line what should never have come
so far. The first wall is `protocol.text`; this one holds where a widget shows text that nobody made inert,
such as what was just pasted. It knows no screen.

Invariants:
1. Nothing here reads markup: every text is drawn as it stands.
2. With the filter installed, no control character, direction change or hidden character of a drawn line
   reaches the terminal, and no link whose address is not plain http, https or mailto.
3. A filtered line keeps its cells.
4. `App._filters` is private to Textual: it is named here only, and a test holds the pinned version to it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.content import Content
from textual.filter import LineFilter
from typing_extensions import override

from protocol.text import NOTHING, SafeText

if TYPE_CHECKING:
    from textual.app import App

_DEADLY: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff]"
)
_HIDDEN: Final = re.compile("[\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]")
_SAFE_LINK: Final = re.compile(r"(?:https?://|mailto:)[!-~]{1,2000}", re.IGNORECASE)


def safe_content(text: SafeText, style: str = "") -> Content:
    """`text` as Textual draws it, all in one `style` of ours; brackets in it are brackets."""
    return Content.styled(text, style) if style else Content(text)


def safe_line(*parts: SafeText | tuple[SafeText, str]) -> Content:
    """Texts one behind the other, each with a style of ours where it has one."""
    return Content.assemble(*parts)


def notify_safely(
    app: App[Any],
    message: SafeText,
    *,
    title: SafeText = NOTHING,
    severity: Literal["information", "warning", "error"] = "information",
) -> None:
    """Show `message` for a while, without reading markup in it."""
    app.notify(message, title=title, severity=severity, markup=False)


def install_filter(app: App[Any]) -> None:
    """Put the second wall behind all that `app` draws; a second call changes nothing."""
    if not has_filter(app):
        app._filters.append(InertFilter())


def has_filter(app: App[Any]) -> bool:
    """Whether the lines of `app` go through the filter."""
    return any(isinstance(line_filter, InertFilter) for line_filter in app.get_line_filters())


class InertFilter(LineFilter):
    """Strips from drawn lines whatever could act on a terminal."""

    @override
    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        if all(_is_harmless(segment) for segment in segments):
            return segments
        return [_harmless(segment) for segment in segments]


def _is_harmless(segment: Segment) -> bool:
    text, style, control = segment
    plain = text.isascii() and text.isprintable()
    return (
        not control
        and (plain or not (_DEADLY.search(text) or _HIDDEN.search(text)))
        and (style is None or style.link is None or _SAFE_LINK.fullmatch(style.link) is not None)
    )


def _harmless(segment: Segment) -> Segment:
    text, style, _ = segment
    text = _HIDDEN.sub(_of_same_width, _DEADLY.sub(_of_same_width, text))
    return Segment(text, None if style is None else _without_bad_link(style))


def _of_same_width(match: re.Match[str]) -> str:
    return "\ufffd" * cell_len(match[0])


@lru_cache(maxsize=1024)
def _without_bad_link(style: Style) -> Style:
    if style.link is None or _SAFE_LINK.fullmatch(style.link):
        return style
    return style.update_link(None)
