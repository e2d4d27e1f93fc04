"""What a real terminal may send, through a real pseudo-terminal's bytes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from textual import events
from textual.message import Message

from tests.support.wait import until
from tui.terminal_driver import TerminalDriver


@dataclass
class Asked:
    """Stands for the app: what the reading thread asks of it."""

    exits: int = 0

    def exit(self) -> None:
        self.exits += 1

    def call_later(self, callback: object) -> None:
        assert callback == self.exit
        self.exit()


@dataclass
class Reading:
    """A driver that reads one end of a pipe; what it understood."""

    write: int
    driver: TerminalDriver
    app: Asked
    heard: list[Message] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(one.character or "" for one in self.heard if isinstance(one, events.Key))


@pytest.fixture
def reading() -> Iterator[Reading]:
    read, write = os.pipe()
    driver = object.__new__(TerminalDriver)
    driver.fileno, driver._debug, driver.exit_event = read, False, threading.Event()
    reader = Reading(write, driver, Asked())
    driver._app = reader.app  # type: ignore[assignment]  # all that is asked of an app here
    driver.process_message = reader.heard.append  # type: ignore[method-assign,assignment]  # listens
    thread = threading.Thread(target=driver.run_input_thread)
    thread.start()
    try:
        yield reader
    finally:
        driver.exit_event.set()
        thread.join(5)
        os.close(read)


async def test_bytes_that_are_no_text_end_nothing(reading: Reading) -> None:
    """Each becomes a sign that stands for it, and the letters around it are all there."""
    os.write(reading.write, b"a\x9bb\xffc")
    await until(lambda: len(reading.text) == 5)
    assert reading.text == "a\ufffdb\ufffdc"
    os.close(reading.write)


async def test_half_a_character_waits_for_its_other_half(reading: Reading) -> None:
    """However the terminal cuts them."""
    letters = "牛é🥛".encode()
    for at in range(len(letters)):
        os.write(reading.write, letters[at : at + 1])
    await until(lambda: reading.text == "牛é🥛")
    os.close(reading.write)


async def test_a_bad_byte_in_a_paste_is_in_the_paste(reading: Reading) -> None:
    """The paste arrives as one event."""
    os.write(reading.write, b"\x1b[200~one\n\x9btwo\x1b[201~")
    await until(lambda: bool(reading.heard))
    (paste,) = reading.heard
    assert isinstance(paste, events.Paste)
    assert paste.text == "one\n\ufffdtwo"
    os.close(reading.write)


async def test_a_terminal_that_goes_ends_the_program(reading: Reading) -> None:
    """As if it had been told to leave, and the thread does not spin."""
    os.close(reading.write)
    await until(lambda: reading.app.exits == 1)


async def test_an_escape_in_a_paste_acts_as_no_key(reading: Reading) -> None:
    """A copied text with colours and a title in it arrives whole; nothing of it is a key."""
    text = "red \x1b[31mq\x1b[0m\n\x1b]0;title\x07 i r \x1b"
    os.write(reading.write, f"\x1b[200~{text}\x1b[201~z".encode())
    await until(lambda: reading.text == "z")
    assert [one.text for one in reading.heard if isinstance(one, events.Paste)] == [text]
    assert len(reading.heard) == 2
    os.close(reading.write)


async def test_the_lines_of_a_paste_are_lines(reading: Reading) -> None:
    """However the terminal ends them; most send returns."""
    os.write(reading.write, b"\x1b[200~one\rtwo\r\nthree\nfour\x1b[201~")
    await until(lambda: bool(reading.heard))
    (paste,) = reading.heard
    assert isinstance(paste, events.Paste)
    assert paste.text == "one\ntwo\nthree\nfour"
    os.close(reading.write)
