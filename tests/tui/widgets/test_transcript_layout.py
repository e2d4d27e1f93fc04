"""The transcript's layout against a model that folds everything each time."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protocol.text import NOTHING, inert
from tui.widgets.transcript_layout import (
    CHUNK,
    INDENT,
    MARGIN,
    Anchor,
    Entry,
    EntryState,
    HeightIndex,
    TranscriptLayout,
)
from tui.widgets.wrapping import wrap

TEXTS = st.text(alphabet="ab 世\n", max_size=60)
HEIGHTS = st.lists(st.integers(1, 9), min_size=1, max_size=3 * CHUNK)


def entry(key: object, text: str = "some words of a message", state: EntryState = "complete") -> Entry:
    """An entry whose text is `text` made inert."""
    return Entry(str(key), 1, inert("ana"), "user", inert(text), NOTHING, state)


def naive_height(each: Entry, width: int) -> int:
    return 2 + (len(wrap(each.text, max(1, width - INDENT - MARGIN))) if each.text else 0)


def rows_of(layout: TranscriptLayout) -> list[tuple[str, str, str]]:
    rows = (layout.row(line) for line in range(layout.total))
    return [(row.entry.key, row.part, row.text) for row in rows if row is not None]


def naive_rows(entries: list[Entry], width: int) -> list[tuple[str, str, str]]:
    rows: list[tuple[str, str, str]] = []
    for each in entries:
        lines = wrap(each.text, max(1, width - INDENT - MARGIN)) if each.text else []
        rows.append((each.key, "header", ""))
        rows += [(each.key, "text", each.text[start:end]) for start, end in lines]
        rows.append((each.key, "gap", ""))
    return rows


@given(HEIGHTS, st.data())
def test_both_look_ups_of_heights_agree_with_sums(heights, data):
    """`top` is the sum of what is above, and `find` its inverse, after changes and appends too."""
    index = HeightIndex(heights[: len(heights) // 2])
    for height in heights[len(heights) // 2 :]:
        index.append(height)
    changed = data.draw(st.integers(0, len(heights) - 1))
    index[changed] = heights[changed] = data.draw(st.integers(1, 50))
    at = data.draw(st.integers(0, len(heights) - 1))
    assert index.total == sum(heights)
    assert index.top(at) == sum(heights[:at])
    assert index.find(index.top(at) + heights[at] - 1) == (at, heights[at] - 1)


class LayoutMachine(RuleBasedStateMachine):
    """Entries come, grow, change, go and are folded anew; the model holds a list and does all the work each time."""

    @initialize(width=st.integers(4, 40))
    def start(self, width):
        self.layout = TranscriptLayout(width)
        self.model: list[Entry] = []
        self.width = width
        self.made = 0

    def fresh(self, text: str, state: EntryState = "complete") -> Entry:
        self.made += 1
        return entry(self.made, text, state)

    @rule(text=TEXTS, state=st.sampled_from(["complete", "streaming"]))
    def append(self, text, state):
        self.model.append(self.fresh(text, state))
        assert self.layout.upsert(self.model[-1])

    @rule(texts=st.lists(TEXTS, max_size=4))
    def prepend(self, texts):
        self.model = [self.fresh(text) for text in texts] + self.model
        self.layout.set_entries(self.model)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), text=TEXTS)
    def change(self, data, text):
        at = data.draw(st.integers(0, len(self.model) - 1))
        self.model[at] = replace(self.model[at], text=inert(text), state="complete", version=2)
        assert not self.layout.upsert(self.model[at])

    @precondition(lambda self: any(each.state == "streaming" for each in self.model))
    @rule(text=TEXTS)
    def grow(self, text):
        at = next(at for at, each in enumerate(self.model) if each.state == "streaming")
        grown = replace(self.model[at], text=inert(self.model[at].text + text))
        self.model[at] = replace(grown, version=grown.version + 1)
        self.layout.grow(grown.key, grown.text)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data):
        gone = self.model.pop(data.draw(st.integers(0, len(self.model) - 1)))
        self.layout.remove(gone.key)

    @rule(width=st.integers(4, 40))
    def resize(self, width):
        self.width = width
        self.layout.resize(width)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), above=st.integers(0, 20), below=st.integers(1, 20))
    def look(self, data, above, below):
        """Around an anchor, what is drawn is what the model draws."""
        each = data.draw(st.sampled_from(self.model))
        anchor = Anchor(each.key, 0)
        self.layout.settle(anchor, above, below)
        naive = naive_rows(self.model, self.width)
        here = self.layout.top_of(anchor)
        there = naive.index((each.key, "header", ""))
        for offset in range(-min(above, there), min(below, len(naive) - there)):
            row = self.layout.row(here + offset)
            assert row is not None
            assert (row.entry.key, row.part, row.text) == naive[there + offset]

    @invariant()
    def settled_all_it_is_the_model(self):
        """A layout that has seen everything is the naive one, line by line."""
        copy = TranscriptLayout(self.width)
        copy.set_entries(self.layout.entries)
        copy.settle_end(10**9)
        assert rows_of(copy) == naive_rows(self.model, self.width)


LayoutMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
test_layout_agrees_with_the_model = LayoutMachine.TestCase


def test_ten_thousand_entries_end_where_the_model_ends():
    """Estimates far away, truth near: the tail of a long history is exact, and so is the whole once seen."""
    entries = [entry(number, "words and more of them " * (number % 17)) for number in range(10_000)]
    layout = TranscriptLayout(60)
    layout.set_entries(entries)
    layout.settle_end(100)
    tail = naive_rows(entries[-50:], 60)[-100:]
    assert rows_of_range(layout, layout.total - 100) == tail
    layout.settle_end(10**9)
    assert layout.total == sum(naive_height(each, 60) for each in entries)
    for key in ("0", "255", "256", "4999", "9999"):
        assert layout.locate(layout.top_of(Anchor(key, 1))) == Anchor(key, 1)


def rows_of_range(layout: TranscriptLayout, first: int) -> list[tuple[str, str, str]]:
    rows = (layout.row(line) for line in range(first, layout.total))
    return [(row.entry.key, row.part, row.text) for row in rows if row is not None]


@given(st.lists(TEXTS, min_size=1, max_size=30), st.lists(TEXTS, max_size=30), st.integers(4, 60), st.data())
def test_an_anchor_keeps_its_place_through_prepend_and_width(texts, older, width, data):
    """Whatever comes before it, and however all is folded, the anchor's line shows its entry."""
    entries = [entry(number, text) for number, text in enumerate(texts)]
    layout = TranscriptLayout(30)
    layout.set_entries(entries)
    anchor = Anchor(data.draw(st.sampled_from(entries)).key, 0)
    layout.set_entries([entry(f"old{number}", text) for number, text in enumerate(older)] + entries)
    layout.resize(width)
    layout.settle(anchor, 10, 20)
    row = layout.row(layout.top_of(anchor))
    assert row is not None
    assert (row.entry.key, row.part) == (anchor.key, "header")


def test_an_anchor_whose_entry_went_falls_to_the_next():
    """The reader lands on the entry that took the place, or nowhere where none is left."""
    layout = TranscriptLayout()
    layout.set_entries([entry(number) for number in range(5)])
    kept = [entry(0), entry(4)]
    assert layout.survivor(Anchor("2", 1), kept) == Anchor("4", 0)
    assert layout.survivor(Anchor("4", 1), kept) == Anchor("4", 1)
    assert layout.survivor(Anchor("2", 1), [entry(9)]) is None


def test_a_streaming_text_never_gets_shorter():
    """A state that lags behind its tokens does not take words back; the end of the stream may."""
    layout = TranscriptLayout()
    layout.upsert(entry("a", "some wo", "streaming"))
    layout.upsert(entry("a", "", "streaming"))
    layout.set_entries([entry("a", "some", "streaming")])
    assert layout.entry("a").text == "some wo"
    layout.upsert(entry("a", "some", "interrupted"))
    assert layout.entry("a").text == "some"
