"""The transcript on a terminal: what is seen, who keeps his place, and when it paints."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.pilot import Pilot

from protocol.text import NOTHING, inert
from tests.support.terminal import on_terminal, shown_text
from tui.widgets import transcript as subject
from tui.widgets.transcript import Entry, EntryState, Transcript


def entry(key: object, text: str = "words of a message", state: EntryState = "complete") -> Entry:
    role = "assistant" if state == "streaming" else "user"
    return Entry(str(key), 1, inert("ana"), role, inert(text), inert("13:05"), state)


class TranscriptApp(App[None]):
    """A transcript and nothing else."""

    def __init__(self, *entries: Entry) -> None:
        super().__init__()
        self.transcript = Transcript(entries)

    def compose(self) -> ComposeResult:
        yield self.transcript

    def rows(self) -> list[str]:
        """What stands in each row of the window."""
        lines = (self.transcript.render_line(y).text for y in range(self.transcript.size.height))
        return [line.rstrip() for line in lines]


def many(count: int, start: int = 0) -> list[Entry]:
    return [entry(number, f"message {number}\nsecond line") for number in range(start, start + count)]


async def scrolled_up(pilot: Pilot, pages: int = 1) -> None:
    for _ in range(pages):
        await pilot.press("pageup")
    await pilot.pause()


async def test_an_entry_shows_author_time_state_and_text():
    """The header names who and when, the state stands there as a word, the text below it."""
    app = TranscriptApp(
        entry(1, "hello world"), entry(2, "half an ans", "interrupted"), entry(3, "", "waiting")
    )
    async with app.run_test(size=(40, 12)) as pilot:
        await pilot.pause()
        assert app.rows()[:8] == [
            "ana  13:05",
            "  hello world",
            "",
            "ana  13:05  ■ interrupted",
            "  half an ans",
            "",
            "ana  13:05  ◌ waiting",
            "",
        ]


async def test_brackets_and_wide_signs_are_drawn_as_they_are():
    """Text is text, and a line of wide signs folds by cells."""
    app = TranscriptApp(entry(1, "[b]x[/] 世界世界世界世界"))
    async with on_terminal(app, (20, 6)) as terminal:
        await terminal.pilot.pause()
        assert app.rows()[1:3] == ["  [b]x[/] 世界世界", "  世界世界"]
        assert "[b]x[/] 世界世界" in shown_text(terminal.output)


async def test_the_window_follows_the_newest_line():
    """A reader at the tail sees each new entry without doing anything."""
    app = TranscriptApp(*many(30))
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.pause()
        app.transcript.upsert(entry("new", "the newest"))
        await pilot.pause()
        assert app.rows()[-2:] == ["  the newest", ""]
        assert app.transcript.following
        assert app.transcript.new_below == 0


async def test_a_reader_elsewhere_keeps_his_place_and_is_told_how_many_came():
    """New entries move nothing in a window that was scrolled up; a marker counts them until the reader returns."""
    app = TranscriptApp(*many(30))
    async with app.run_test(size=(40, 10)) as pilot:
        app.transcript.focus()
        await scrolled_up(pilot)
        before = app.rows()
        app.transcript.upsert(entry("n1"))
        app.transcript.upsert(entry("n2"))
        await pilot.pause()
        assert app.rows()[:-1] == before[:-1]
        assert app.rows()[-1].endswith("↓ 2 new")
        assert app.transcript.new_below == 2
        await pilot.press("G")
        await pilot.pause()
        assert app.transcript.following
        assert app.transcript.new_below == 0
        assert not app.rows()[-1].endswith("new")


async def test_older_entries_put_before_do_not_move_the_reader():
    """Paging in history leaves the top line of the window where it is."""
    app = TranscriptApp(*many(30, start=500))
    async with app.run_test(size=(40, 10)) as pilot:
        app.transcript.focus()
        await scrolled_up(pilot, 3)
        before = app.rows()
        app.transcript.set_entries(many(530))
        await pilot.pause()
        assert app.rows() == before


async def test_another_width_keeps_the_entry_at_the_top():
    """After a resize the first row still belongs to the entry that was there."""
    app = TranscriptApp(*(entry(number, f"{number} " + "word " * 40) for number in range(200)))
    async with app.run_test(size=(80, 20)) as pilot:
        app.transcript.focus()
        await scrolled_up(pilot, 5)
        top = app.transcript.entry_at(0)
        for width in (40, 60, 120):
            await pilot.resize_terminal(width, 20)
            await pilot.pause()
            assert app.transcript.entry_at(0) == top


async def test_a_lower_or_higher_window_still_shows_the_tail():
    """A composer that grows takes rows from above, never the newest line."""
    app = TranscriptApp(*many(30))
    async with app.run_test(size=(40, 20)) as pilot:
        await pilot.pause()
        for height in (8, 14, 5):
            await pilot.resize_terminal(40, height)
            await pilot.pause()
            assert app.transcript.following
            assert app.rows()[-3:] == ["  message 29", "  second line", ""]


async def test_scrolling_up_shows_every_line_once():
    """Heights that were only estimated never make the window jump: the rows seen on the way up are the text."""
    entries = [
        entry(number, f"{number} " + "word and " * (number * 7 % 23) + "\n" * (number % 3))
        for number in range(60)
    ]
    app = TranscriptApp(*entries)
    async with app.run_test(size=(37, 8)) as pilot:
        app.transcript.focus()
        await pilot.pause()
        seen = app.rows()
        while app.transcript.scroll_offset.y > 0:
            app.transcript.action_step(-1)
            seen.insert(0, app.rows()[0])
        app.transcript.follow()
        await pilot.press("home")
        await pilot.pause()
        down = app.rows()
        while not app.transcript.following:
            app.transcript.action_step(1)
            down.append(app.rows()[-1])
        assert seen == down
        assert [row for row in seen if row.startswith("ana")] == ["ana  13:05"] * 60


async def test_growing_text_is_painted_at_once_and_then_joined():
    """The first words come without delay, later ones together, and no timer is left when it ends."""
    app = TranscriptApp(entry("a", "", "streaming"))
    async with app.run_test(size=(40, 8)) as pilot:
        await pilot.pause()
        transcript = app.transcript
        transcript.stream_text("a", inert("one"))
        assert app.rows()[1] == f"  one{subject.CURSOR}"
        transcript.stream_text("a", inert("one two"))
        transcript.stream_text("a", inert("one two three"))
        assert app.rows()[1] == f"  one{subject.CURSOR}"
        await pilot.pause(4 * subject.PAINT_EVERY_S)
        assert app.rows()[1] == f"  one two three{subject.CURSOR}"
        assert transcript._paint_timer is None


async def test_the_end_of_a_stream_stands_against_late_words():
    """Words still waiting for their paint do not come over the final text."""
    app = TranscriptApp(entry("a", "", "streaming"))
    async with app.run_test(size=(40, 8)) as pilot:
        await pilot.pause()
        app.transcript.stream_text("a", inert("one"))
        app.transcript.stream_text("a", inert("one two"))
        app.transcript.upsert(entry("a", "the whole answer"))
        await pilot.pause(3 * subject.PAINT_EVERY_S)
        assert app.rows()[:2] == ["ana  13:05", "  the whole answer"]
        app.transcript.stream_text("unknown", inert("x"))


async def test_a_growing_answer_pushes_the_tail_and_leaves_a_reader_alone():
    """At the tail the newest line stays in sight; elsewhere nothing moves."""
    app = TranscriptApp(*many(20), entry("a", "", "streaming"))
    async with app.run_test(size=(40, 8)) as pilot:
        app.transcript.focus()
        await pilot.pause()
        app.transcript.stream_text("a", inert("word " * 60 + "tail"))
        await pilot.pause(2 * subject.PAINT_EVERY_S)
        assert "tail" in app.rows()[-2]
        await scrolled_up(pilot, 3)
        before = app.rows()
        app.transcript.stream_text("a", inert("word " * 60 + "tail" + " more" * 100))
        await pilot.pause(3 * subject.PAINT_EVERY_S)
        assert app.rows() == before


async def test_another_conversation_opens_at_its_end():
    """Entries that have nothing of the old ones start at the newest line, whatever was scrolled before."""
    app = TranscriptApp(*many(40))
    async with app.run_test(size=(40, 10)) as pilot:
        app.transcript.focus()
        await scrolled_up(pilot, 2)
        app.transcript.set_entries(many(40, start=1000))
        await pilot.pause()
        assert app.transcript.following
        assert app.rows()[-3:] == ["  message 1039", "  second line", ""]


async def test_removed_entries_leave_and_the_empty_transcript_is_blank():
    """Nothing is left of what was taken out, and nothing breaks where nothing is."""
    app = TranscriptApp(entry(1), entry(2))
    async with app.run_test(size=(40, 6)) as pilot:
        await pilot.pause()
        app.transcript.remove_entry("1")
        app.transcript.remove_entry("no such")
        assert [each.key for each in app.transcript.entries] == ["2"]
        app.transcript.set_entries([])
        await pilot.press("up", "end", "home", "pageup")
        assert app.rows() == [""] * 6
        assert app.transcript.entry_at(3) is None


async def test_an_idle_transcript_keeps_no_timer():
    """Where nothing grows, nothing ticks."""
    app = TranscriptApp(*many(5))
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.pause()
        assert list(app.transcript._timers) == []


async def test_the_header_of_a_long_name_keeps_room_for_the_state():
    """A name as long as the line cannot push its own state out of sight."""
    long = Entry("1", 1, inert("n" * 200), "user", NOTHING, NOTHING, "rejected")
    app = TranscriptApp(long)
    async with app.run_test(size=(60, 4)) as pilot:
        await pilot.pause()
        assert "✗ not accepted" in app.rows()[0]
