"""The poison corpus: text that tries to be more than text, to the terminal, to the markup, or to the eye.

Every screen is shown all of it. A payload's `trace` is what may not stand in the terminal's output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Poison:
    """A hostile text; `trace` is the part of it that does the harm, empty where only drawing it must not fail."""

    name: str
    text: str
    trace: str = ""


TERMINAL: Final = (
    Poison("clipboard write", "a\x1b]52;c;cG9pc29u\x07b", "\x1b]52"),
    Poison("clipboard write, string terminator", "a\x1b]52;c;cG9pc29u\x1b\\b", "\x1b]52"),
    Poison("window title", "a\x1b]0;owned\x07b", "\x1b]0"),
    Poison("window title, one-character form", "a\x9d0;owned\x9cb", "\x9d"),
    Poison("hyperlink", "a\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\b", "evil.example\x1b"),
    Poison("notification", "a\x1b]9;owned\x07b\x1b]777;notify;a;b\x07", "\x1b]9"),
    Poison("clear screen", "a\x1b[2Jb", "\x1b[2J"),
    Poison("clear screen, one-character form", "a\x9b2Jb", "\x9b"),
    Poison("cursor home and overwrite", "a\x1b[1;1Howned", "\x1b[1;1Howned"),
    Poison("scroll region", "a\x1b[2;3rb", "\x1b[2;3r"),
    Poison("blinking and hidden", "a\x1b[5;8mb\x1b[0m", "\x1b[5;8m"),
    Poison("leave the alternate screen", "a\x1b[?1049lb", "\x1b[?1049l"),
    Poison("mouse off", "a\x1b[?1000lb\x1b[?2004l", "\x1b[?1000l"),
    Poison("report back", "a\x1b[6nb\x1b[c", "\x1b[6n"),
    Poison("full reset", "a\x1bcb", "\x1bc"),
    Poison("device control string", "a\x1bP+q544e\x1b\\b", "\x1bP"),
    Poison("device control, one-character form", "a\x90+q544e\x9cb", "\x90"),
    Poison("program command", "a\x1b_Gf=100;AAAA\x1b\\b", "\x1b_G"),
    Poison("privacy message", "a\x1b^x\x1b\\b", "\x1b^"),
    Poison("start of string", "a\x1bXx\x1b\\b", "\x1bX"),
    Poison("character set", "a\x1b(0qqq\x0eqqq\x0f", "\x1b(0"),
    Poison("null", "a\x00b", "\x00"),
    Poison("bell", "a\x07b", "\x07b"),
    Poison("delete and backspace", "rm -rf\x08\x08\x08\x7f\x7fls", "\x08"),
    Poison("carriage return over", "harmless\rowned", "\rowned"),
    Poison("form feed and vertical tab", "a\x0cb\x0bc", "\x0c"),
    Poison("half a sequence at the end", "a\x1b[", "\x1b[\x1b"),
    Poison("half a string at the end", "a\x1b]52;c;", "\x1b]52"),
    Poison("escape at the end", "a\x1b", "\x1b\x1b"),
    Poison("nested", "\x1b\x1b]0;a\x1b]52;c;QQ==\x07\x07", "\x1b]52"),
    Poison("every control", "".join(map(chr, [*range(32), *range(127, 160)])), "\x9f"),
)
"""What a terminal would act on."""

EYE: Final = (
    Poison("right-to-left override", "invoice\u202egnp.exe", "\u202e"),
    Poison("isolates", "a\u2066b\u2069c\u2067d\u2068e", "\u2066"),
    Poison("embedding", "a\u202ab\u202bc\u202cd\u202de", "\u202a"),
    Poison("tags that hide a message", "hi" + "".join(chr(0xE0000 + ord(c)) for c in "obey"), "\U000e006f"),
    Poison("line separators", "a\u2028b\u2029c\x85d", "\u2028"),
    Poison("zero width", "a\u200bb\u2060c\ufeffd", "\u200b"),
    Poison("annotation", "a\ufff9b\ufffac\ufffbd", "\ufff9"),
    Poison("lone surrogates", "a\ud83d b\udc00", "\ud83d"),
    Poison("tower of marks", "Z" + "\u0351" * 400, "\u0351" * 9),
    Poison("non-characters", "a\ufffe\uffffb"),
    Poison("private use", "\ue000\U000f0000"),
)
"""What would make a reader see something else than what is there."""

MARKUP: Final = (
    Poison("action", "[@click=app.quit]press me[/]"),
    Poison("action, long form", "[@click=app.bell()]press me[/@click=]"),
    Poison("closing tag alone", "[/]"),
    Poison("closing tag of nothing", "done [/b] and [/red] and [/]"),
    Poison("open tag alone", "[b"),
    Poison("link", "[link=https://evil.example]x[/link]"),
    Poison("style", "[bold red on blue blink]x"),
    Poison("variables", "[$primary]x[/] $[1] [[x]] \\[b]"),
    Poison("brackets", "a[0] = b[i][j] # [1, 2]"),
    Poison("braces and percent", "{0} {x!r} %s %(a)s ${HOME} `id`"),
)
"""What markup would take for its own: shown as it stands."""

CORPUS: Final = TERMINAL + EYE + MARKUP
"""All of it."""
