"""What was chosen becomes an action, or a sentence about why it cannot."""

from __future__ import annotations

import pytest

from protocol.decide import decide
from protocol.errors import Refused
from tests.support.fixtures import NOW, a_context, a_memory, a_state, a_task, an_action
from tui import intents
from tui.intents import TaskForm, Wanted, edit_task, form_of, read_due, read_minutes, read_priority
from tui.wording import Moment

HERE = Moment(NOW, "Europe/Berlin")
TASK = a_task(
    title="Pay rent",
    due="2026-11-27",
    priority="high",
    tags=("home", "money"),
    minutes=20,
    notes="IBAN\nbelow",
)


def test_a_line_becomes_a_task_with_what_was_understood() -> None:
    """Only what the line says is in the payload."""
    assert intents.quick_add("pay rent friday !high #home ~20m @bo", HERE) == Wanted(
        "user.create_task",
        {
            "title": "pay rent",
            "due": "2026-11-27",
            "priority": "high",
            "tags": ("home",),
            "minutes": 20,
            "assignee": "bo",
        },
    )
    assert intents.quick_add("milk", HERE) == Wanted("user.create_task", {"title": "milk"})


@pytest.mark.parametrize("line", ["", "   ", "x" * 501])
def test_a_line_without_a_title_or_with_too_long_a_one_is_refused_here(line: str) -> None:
    """Nothing is sent that the server would not take."""
    assert isinstance(intents.quick_add(line, HERE), Refused)


def test_half_a_character_is_refused_and_does_not_raise() -> None:
    """A lone surrogate cannot travel; whoever wrote it is told."""
    assert isinstance(intents.checked(intents.send_message("a\ud83d", "main")), Refused)


@pytest.mark.parametrize(
    "status,toggled,started",
    [
        ("open", "done", "doing"),
        ("doing", "done", "open"),
        ("done", "open", "doing"),
        ("dropped", "open", "doing"),
    ],
)
def test_toggling_and_starting(status: str, toggled: str, started: str) -> None:
    """Open tasks are completed, closed ones opened; doing is begun and left."""
    task = a_task(status=status)
    assert intents.toggle(task).payload == {"task_id": "t1", "status": toggled}
    assert intents.start(task).payload == {"task_id": "t1", "status": started}


def test_every_intent_is_one_that_the_rules_take() -> None:
    """Each payload passes the check of the contract, and gives events on a state that has its subject."""
    memory = a_memory()
    state = a_state(TASK, memory)
    wanted = [
        intents.send_message("hello", "main"),
        intents.toggle(TASK),
        intents.start(TASK),
        intents.delete(TASK),
        intents.plan(HERE),
        intents.remember("tea"),
        intents.edit_memory(memory, "coffee"),
        intents.pin(memory),
        intents.forget(memory),
    ]
    for number, one in enumerate(wanted):
        assert isinstance(one, Wanted)
        decision = decide(state, an_action(one.type, f"c{number}", **one.payload), a_context())
        assert not isinstance(decision, Refused), decision
        assert decision


def test_a_memory_that_stays_the_same_is_no_action() -> None:
    """Nothing changed, nothing is sent."""
    assert intents.edit_memory(a_memory(text="tea"), " tea ") is None
    assert isinstance(intents.edit_memory(a_memory(text="tea"), " "), Refused)


# --- the form ---


def changed(**fields: str) -> Wanted | Refused | None:
    form = form_of(TASK, HERE)
    typed = {name: getattr(form, name) for name in TaskForm.__slots__}
    return edit_task(TASK, TaskForm(**{**typed, **fields}), HERE)


def test_an_unchanged_form_is_no_action() -> None:
    """Opening a form and saving it does nothing."""
    assert changed() is None


@pytest.mark.parametrize(
    "fields,payload",
    [
        ({"title": " Pay the rent "}, {"title": "Pay the rent"}),
        ({"due": ""}, {"due": None}),
        ({"due": "tomorrow"}, {"due": "2026-11-23"}),
        ({"due": "2026-12-01 17:00"}, {"due": "2026-12-01T16:00:00.000Z"}),
        ({"priority": ""}, {"priority": "normal"}),
        ({"priority": "u"}, {"priority": "urgent"}),
        ({"tags": "#home, garden  "}, {"tags": ["home", "garden"]}),
        ({"tags": ""}, {"tags": []}),
        ({"minutes": "1h30"}, {"minutes": 90}),
        ({"minutes": ""}, {"minutes": None}),
        ({"notes": "IBAN"}, {"notes": "IBAN"}),
        ({"title": "Rent", "minutes": "5"}, {"title": "Rent", "minutes": 5}),
    ],
)
def test_only_what_was_changed_is_sent(fields: dict[str, str], payload: dict[str, object]) -> None:
    """Other fields are not spoken of, so that others' changes of them stay."""
    wanted = changed(**fields)
    assert isinstance(wanted, Wanted)
    assert wanted.payload == {"task_id": "t1", **payload}


@pytest.mark.parametrize(
    "fields,field",
    [
        ({"title": "  "}, "title"),
        ({"due": "someday maybe"}, "due"),
        ({"due": "friday or so"}, "due"),
        ({"priority": "x"}, "priority"),
        ({"minutes": "long"}, "minutes"),
        ({"minutes": "0"}, "minutes"),
        ({"tags": "x" * 65}, "tags"),
    ],
)
def test_a_field_that_cannot_be_read_is_named(fields: dict[str, str], field: str) -> None:
    """The sentence says what would be right, and the screen knows where to go."""
    refused = changed(**fields)
    assert isinstance(refused, Refused)
    assert refused.field == field
    assert refused.message


def test_hostile_text_in_a_form_is_shown_inert_and_stays_as_it_is() -> None:
    """What is shown differs from what is stored; saving another field does not rewrite it."""
    task = a_task(title="a\x1b[2Jb\nc", notes="\x07")
    form = form_of(task, HERE)
    assert (form.title, form.notes) == ("a␛[2Jb⏎c", "␇")
    assert edit_task(task, form, HERE) is None


def test_fields_read_alone() -> None:
    """Words and digits; nothing is no value."""
    assert read_due(" ", HERE) is None
    assert read_due("2026-11-27", HERE) == "2026-11-27"
    assert [read_priority(text) for text in ("", "HIGH", "!low", "norm")] == [
        "normal",
        "high",
        "low",
        "normal",
    ]
    assert [read_minutes(text) for text in ("", "45", "45 min", "2h", "~1h30")] == [None, 45, 45, 120, 90]
