"""Nothing of the poison corpus reaches the terminal as more than text, through any kind of widget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.color import Color
from textual.widgets import Input, Label, OptionList, Static, TextArea
from textual.widgets.option_list import Option

from protocol.text import NOTHING, SafeText, inert, inert_line
from tests.support.poison import CORPUS, EYE, MARKUP, TERMINAL, Poison
from tests.support.terminal import breaches, on_terminal, pieces, shown_text
from tui.safety import InertFilter, has_filter, install_filter, notify_safely, safe_content, safe_line
from tui.widgets.transcript import Entry, Transcript

SIZE = (100, 60)

LEFT_TO_THE_FIRST_WALL = ("tower of marks",)
"""A filter of lines strips characters; what is wrong with their number is judged before."""


def unchanged(text: str) -> SafeText:
    """What a view would do that forgot the first wall."""
    return text  # type: ignore[return-value]  # the very mistake that the type forbids


class PoisonApp(App[None]):
    """Shows a text in every kind of widget that the client uses."""

    CSS = """
    Transcript { height: 14; }
    TextArea, OptionList { height: 6; }
    """

    def __init__(self, *, first_wall: bool = True, second_wall: bool = True) -> None:
        super().__init__()
        self.inert = inert if first_wall else unchanged
        self.inert_line = inert_line if first_wall else unchanged
        if second_wall:
            install_filter(self)

    def compose(self) -> ComposeResult:
        yield Transcript()
        yield Static()
        yield Label()
        yield Input()
        yield TextArea()
        yield OptionList()

    def show(self, poison: str) -> None:
        """Put `poison` everywhere, in place of what was there."""
        text, line = self.inert(poison), self.inert_line(poison)
        transcript = self.query_one(Transcript)
        transcript.set_entries(
            [
                Entry("1", 1, line, "user", text, line),
                Entry("2", 1, line, "assistant", NOTHING, NOTHING, "streaming"),
            ]
        )
        transcript.stream_text("2", text)
        self.query_one(Static).update(safe_content(text))
        self.query_one(Label).update(safe_line(line, (line, "bold")))
        self.query_one(Input).value = line
        self.query_one(TextArea).text = text
        self.query_one(OptionList).clear_options().add_option(Option(safe_content(line)))
        self.query_one(OptionList).border_title = safe_content(line)
        self.clear_notifications()
        notify_safely(self, text, title=line)


@dataclass(frozen=True)
class Seen:
    """What a terminal got while one poison was shown."""

    poison: Poison
    output: str

    @property
    def harm(self) -> str:
        """What of it should not have come, in words; empty where all is well."""
        traced = [self.poison.trace] if self.poison.trace and self.poison.trace in self.output else []
        found = [piece.value for piece in breaches(self.output)] + traced
        return f"{self.poison.name}: {found}" if found else ""


async def show_all(app: PoisonApp, corpus: Sequence[Poison]) -> list[Seen]:
    """What the terminal gets for each poison of `corpus`, shown one after the other."""
    seen: list[Seen] = []
    async with on_terminal(app, SIZE) as terminal:
        for poison in corpus:
            terminal.driver.written.clear()
            app.show(poison.text)
            await terminal.pilot.pause()
            seen.append(Seen(poison, terminal.output))
    return seen


@pytest.mark.slow
async def test_no_poison_reaches_the_terminal_as_a_sequence():
    """With both walls, the bytes hold Textual's own sequences only, and nothing of any payload's."""
    seen = await show_all(PoisonApp(), CORPUS)
    assert [each.harm for each in seen if each.harm] == []
    for each in seen:
        assert len(each.output.encode("utf-8")) > 1_000


@pytest.mark.slow
@pytest.mark.parametrize("first,second", [(True, False), (False, True)], ids=["inert", "filter"])
async def test_each_wall_holds_alone(first: bool, second: bool):
    """Where one wall is forgotten, the other one still lets no sequence through."""
    seen = await show_all(PoisonApp(first_wall=first, second_wall=second), TERMINAL + EYE)
    strong = [each for each in seen if each.poison.name not in (LEFT_TO_THE_FIRST_WALL if second else ())]
    assert [each.harm for each in strong if each.harm] == []


@pytest.mark.slow
async def test_without_walls_the_poison_gets_through():
    """Negative control: the tests above would see the harm of every payload that has a trace."""
    seen = await show_all(PoisonApp(first_wall=False, second_wall=False), TERMINAL + EYE)
    assert [each.poison.name for each in seen if each.poison.trace and not each.harm] == []


async def test_markup_is_shown_as_it_stands():
    """Brackets are brackets: in every widget the tag is readable."""
    for seen in await show_all(PoisonApp(), MARKUP):
        assert shown_text(seen.output).count(seen.poison.text) >= 7, seen.poison


async def test_a_click_on_an_action_tag_does_nothing():
    """Text cannot bring its own button: the app is still there after the click."""
    app = PoisonApp()
    async with on_terminal(app, SIZE) as terminal:
        app.show("[@click=app.exit(7)]press me[/]")
        await terminal.pilot.pause()
        for widget in (Transcript, Static, Label, OptionList):
            await terminal.pilot.click(widget, offset=(4, 1))
        await terminal.pilot.pause()
        assert app.is_running
        assert app.return_value is None


async def test_the_filter_is_on_and_stays_on_through_a_change_of_theme():
    """The pinned Textual still keeps its filters where the second wall is put, once."""
    app = PoisonApp()
    async with on_terminal(app) as terminal:
        install_filter(app)
        app.theme = "textual-light"
        await terminal.pilot.pause()
        assert has_filter(app)
        assert sum(isinstance(line_filter, InertFilter) for line_filter in app.get_line_filters()) == 1
    assert not has_filter(App())


def test_the_judge_of_bytes_sees_each_kind_of_piece():
    """Text, allowed sequences, others and stray controls are told apart."""
    output = "a\x1b[1;31mb\x1b[2J\x9b5nc\x1b]22;pointer\x07\x00\x1b]52;c;QQ==\x1b\\d\x1b[3;4H"
    assert [piece.kind for piece in pieces(output)].count("text") == 4
    assert [piece.value for piece in breaches(output)] == [
        "\x1b[2J",
        "\x9b5n",
        "\x00",
        "\x1b]52;c;QQ==\x1b\\",
    ]


def test_a_filtered_line_keeps_its_cells():
    """The second wall takes away what has no width, and puts a sign of the same width for the rest."""
    for code in [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x202E, 0x2028, 0x2066, 0xFEFF, 0xD800, 0xE0041]:
        [segment] = InertFilter().apply([Segment(f"a{chr(code)}b")], Color(0, 0, 0))
        assert chr(code) not in segment.text
        assert segment.cell_length == cell_len(f"a{chr(code)}b")


@pytest.mark.parametrize(
    "link,kept",
    [
        ("https://example.org/a?b=c#d", True),
        ("mailto:ana@example.org", True),
        ("javascript:alert(1)", False),
        ("file:///etc/passwd", False),
        ("https://example.org/\x1b]52;c;QQ==\x07", False),
        ("https://example.org/\x9c", False),
        ("https://exämple.org", False),
    ],
)
def test_only_plain_links_pass_the_filter(link: str, kept: bool):
    """An address with a control character, or of a kind that could do more than open a page, is taken off."""
    [segment] = InertFilter().apply([Segment("x", Style(link=link, bold=True))], Color(0, 0, 0))
    assert segment.style is not None
    assert segment.style.link == (link if kept else None)
    assert segment.style.bold
