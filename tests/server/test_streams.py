"""The open answers of a workspace: what they have said, and who may still speak (the module's invariants by number)."""

from __future__ import annotations

import pytest

from protocol.codec import decode_server_frame
from protocol.frames import Token
from server.streams import Streams
from tests.support.workspaces_real import StepClock


@pytest.fixture
def sent() -> list[tuple[str, int, str]]:
    return []


@pytest.fixture
def streams(sent: list[tuple[str, int, str]]) -> Streams:
    def send(payload: bytes) -> None:
        frame = decode_server_frame(payload)
        assert isinstance(frame, Token)
        sent.append((frame.payload.message_id, frame.payload.offset, frame.payload.text))

    return Streams(StepClock(), send)


def test_only_an_open_answer_speaks(streams: Streams, sent: list[object]) -> None:
    """What was never opened, and what has ended, sends nothing and says so."""
    assert not streams.append("an1", "hello")
    streams.open("an1")
    assert streams.append("an1", "hello")
    streams.end("an1")
    assert not streams.append("an1", "again")
    assert sent == [("an1", 0, "hello")]
    assert "an1" not in streams.texts


def test_offsets_count_code_points(streams: Streams, sent: list[object]) -> None:
    """A token's offset is the number of code points before it, whatever they weigh."""
    streams.open("an1")
    for piece in ("a😀", "é", "̈x"):
        assert streams.append("an1", piece)
    assert sent == [("an1", 0, "a😀"), ("an1", 2, "é"), ("an1", 3, "̈x")]
    assert streams.texts["an1"] == "a😀é̈x"


def test_an_empty_piece_asks_and_sends_nothing(streams: Streams, sent: list[object]) -> None:
    """Appending nothing tells whether an answer may speak, without a frame."""
    streams.open("an1")
    assert streams.append("an1", "")
    assert streams.may_speak("an1")
    streams.freeze("an1")
    assert not streams.append("an1", "")
    assert not streams.may_speak("an1")
    assert sent == []


def test_a_frozen_answer_keeps_its_text(streams: Streams, sent: list[object]) -> None:
    """After a freeze nothing is sent, and the text is what was sent, for whoever ends the answer or comes new."""
    streams.open("an1")
    streams.append("an1", "Good")
    streams.freeze("an1")
    assert not streams.append("an1", " morning")
    assert sent == [("an1", 0, "Good")]
    assert streams.texts["an1"] == "Good"
    frame = decode_server_frame(streams.so_far("an1"))
    assert isinstance(frame, Token)
    assert (frame.payload.offset, frame.payload.text, frame.actor) == (0, "Good", "assistant")


def test_a_freeze_may_come_before_the_opening(streams: Streams, sent: list[object]) -> None:
    """An answer that was ended before its opening is durable is silent from its first moment."""
    streams.freeze("an1")
    streams.open("an1")
    assert not streams.append("an1", "hello")
    streams.end("an1")
    assert not streams.texts
    assert sent == []


def test_opening_twice_loses_nothing(streams: Streams) -> None:
    """An answer that is open keeps what it said when it is opened again."""
    streams.open("an1")
    streams.append("an1", "Good")
    streams.open("an1")
    assert streams.texts["an1"] == "Good"


def test_a_new_reader_gets_the_text_so_far_also_an_empty_one(streams: Streams) -> None:
    """The first frame of an open answer begins at offset 0 and may be empty."""
    streams.open("an1")
    frame = decode_server_frame(streams.so_far("an1"))
    assert isinstance(frame, Token)
    assert (frame.payload.message_id, frame.payload.offset, frame.payload.text) == ("an1", 0, "")


def test_nobody_changes_the_texts_from_outside(streams: Streams) -> None:
    """`texts` is a view, not the table."""
    with pytest.raises(TypeError):
        streams.texts["an1"] = "x"  # type: ignore[index]  # the point of the test
