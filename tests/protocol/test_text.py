"""What the text module promises: inert, total, a fixed point, and kind to what people write."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import text as subject
from protocol.text import MARKS_MAX, cells, clip, inert, inert_line, is_inert

ROOT = Path(__file__).parents[2]

TRICKY = st.sampled_from(
    list("a1# \t\n\r\x00\x07\x1b\x7f\x85\x9b\xad世界क्مé\u0301\u0316\u034f\u061c\u115f\u1160\u180e")
    + list(
        "\u200b\u200c\u200d\u200e\u202e\u2028\u2029\u2060\u2066\u2069\ufe0e\ufe0f\ufeff\ufffd\uffff\ud800\udfff"
    )
    + list("👩🚀❤🏽🏴\U000e0067\U000e0062\U000e007f\U000e0101\U000e0001\U0001d173\U00011046\U0001e000葛")
)
ANY_TEXT = st.text() | st.text(alphabet=TRICKY, max_size=60)
"""All of Unicode, surrogates too, and strings made of the characters that the rules are about."""

FORBIDDEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
VISIBLE_FORMATS = set(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
"""Signs that Unicode counts as format characters although they are drawn: numbers and verses in Arabic."""


@given(ANY_TEXT)
def test_the_result_holds_no_control_no_direction_change_and_no_surrogate(text):
    """Nothing that could begin, end or bend a terminal's line is left, whatever came in."""
    assert not FORBIDDEN.search(inert(text))
    assert "\n" not in inert_line(text)
    inert(text).encode("utf-8")


@given(ANY_TEXT)
def test_inert_text_is_a_fixed_point(text):
    """What is inert stays as it is, so that a second call does no harm."""
    assert is_inert(inert(text))
    assert inert_line(inert_line(text)) == inert_line(text)


@given(ANY_TEXT, ANY_TEXT)
def test_each_line_is_judged_by_itself(before, after):
    """A text cut at a newline gives the same lines as the whole, so growing text needs only its open line."""
    assert inert(before + "\n" + after) == inert(before + "\n") + inert(after)


@given(ANY_TEXT)
def test_no_run_of_marks_is_longer_than_its_bound(text):
    """No letter carries a tower of marks into the lines above it."""
    runs = re.findall("m+", "".join("m" if unicodedata.category(c)[0] == "M" else "." for c in inert(text)))
    assert max(map(len, runs), default=0) <= MARKS_MAX


def test_every_format_character_is_dealt_with():
    """No invisible format character of this Unicode version passes alone, but those that are drawn."""
    formats = {c for c in map(chr, range(0x110000)) if unicodedata.category(c) == "Cf"}
    assert {c for c in formats if c in inert(f"a{c}b")} <= VISIBLE_FORMATS


def test_a_tower_of_marks_beyond_the_basic_plane_is_cut():
    """Rare scripts get no exception from the bound."""
    assert inert("\U00011013" + "\U00011046" * 40) == "\U00011013" + "\U00011046" * MARKS_MAX


@pytest.mark.parametrize(
    "legitimate",
    [
        "plain words, punctuation & symbols: <b> [i] {x} `y` $z",
        "世界 你好 こんにちは 안녕하세요",
        "한글",  # decomposed, as file names from macOS are
        "مرحبا بالعالم שלום עולם",
        "می\u200cخواهم",  # Persian needs the non-joiner
        "क्\u200dष क्ष हिन्दी",
        "ไทย ภาษาไทยมีสระ",
        "e\u0301 Vie\u0323\u0302t Z\u0335",
        "👩\u200d🚀 👨\u200d👩\u200d👧\u200d👦 👩🏽\u200d🔬 🏳\ufe0f\u200d🌈 ❤\ufe0f\u200d🔥 🐻\u200d❄\ufe0f",
        "❤\ufe0f ☎\ufe0e #\ufe0f\u20e3 1\ufe0f\u20e3 🇩🇪",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",  # Scotland
        "葛\U000e0100城市",  # one of two forms of a name
        "─┼━ ░▒▓ ⠿ → ✓ ① ﬁ ½",
        "first\nsecond\n\nthird",
        "",
    ],
)
def test_what_people_write_survives(legitimate):
    """Letters, marks, joined emoji, flags and frames come out as they went in."""
    assert inert(legitimate) == legitimate


@pytest.mark.parametrize(
    "hostile,shown",
    [
        ("\x1b]52;c;AAAA\x07", "␛]52;c;AAAA␇"),
        ("\x1b[2J", "␛[2J"),
        ("\x9b2J\x9d0;t\x9c", "\ufffd2J\ufffd0;t\ufffd"),
        ("a\x00b\x7f", "a␀b␡"),
        ("pay\u202egnp.exe", "pay\ufffdgnp.exe"),
        ("a\r\nb\rc", "a\nb␍c"),
        ("a\u2028b\u2029c", "a\nb\nc"),
        ("a\u200bb\u2060c\ufeffd\u00ade", "abcde"),
        ("hi" + "".join(chr(0xE0000 + ord(c)) for c in "obey me"), "hi\ufffd"),
        ("a\U000e0101\U000e0102b", "a\ufffdb"),
        ("a\u200db\u200cc\u200d", "abc"),
        ("👩\u200d\u200d🚀", "👩🚀"),
        ("a\ufe0fb", "ab"),
        ("x\ty", "x   y"),
        ("\ud83d", "\ufffd"),
        ("h" + "\u0301" * 50, "h" + "\u0301" * MARKS_MAX),
    ],
)
def test_what_is_hostile_is_shown(hostile, shown):
    """Each kind of payload turns into the signs that the module's table names."""
    assert inert(hostile) == shown


def test_one_line_shows_its_newlines_and_narrows_its_tabs():
    """A title with a newline stays one row and hides nothing."""
    assert inert_line("a\r\nb\tc\u2028d") == "a⏎b c⏎d"


@given(ANY_TEXT, st.integers(-3, 40))
def test_a_clipped_line_fits_and_is_a_beginning(text, cells_max):
    """A clip takes no more cells than it may, and is the text or a beginning of it with an ellipsis."""
    line = inert_line(text)
    clipped = clip(line, cells_max)
    assert cells(clipped) <= max(cells_max, 0)
    assert clipped in ("", line) or (clipped.endswith("…") and line.startswith(clipped[:-1]))


@pytest.mark.parametrize(
    "line,count",
    [("abc", 3), ("世界", 4), ("e\u0301", 1), ("👩\u200d🚀", 2), ("❤\ufe0f", 2), ("한", 2), ("", 0)],
)
def test_cells_are_what_a_terminal_takes(line, count):
    """Wide letters take two cells, marks and joined parts none."""
    assert cells(line) == count


def test_a_clip_cuts_between_characters():
    """Half a wide letter is never shown, nor a joiner before the ellipsis."""
    assert clip(inert_line("世界你好"), 6) == "世界…"
    assert clip(inert_line("ab👩\u200d🚀cd"), 5) == "ab👩\u200d🚀…"


def test_only_the_text_module_makes_safe_text():
    """Nobody declares a string safe by hand: the word is a promise that one module keeps."""
    makers = re.compile(r"\bSafeText\(")
    sources = [path for part in ("protocol", "server", "tui") for path in (ROOT / part).rglob("*.py")]
    guilty = [path for path in sources if makers.search(path.read_text("utf-8"))]
    assert guilty == [Path(subject.__file__)]


def test_safe_text_is_a_plain_string_at_run_time():
    """The promise costs nothing: it is a type for the checker, not a class."""
    assert type(inert("x")) is str
