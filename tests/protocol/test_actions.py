"""Actions: every road's payload becomes a typed action, or a refusal that a person can read."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from hypothesis import given

from protocol.actions import (
    ACTIONS,
    Action,
    CreateTask,
    UpdateTask,
    answer_id,
    check,
    derived_id,
    is_internal,
    new_ids,
    parse,
    payload_of,
)
from protocol.errors import Refused
from protocol.events import TaskFields
from tests.support.fixtures import an_action, parsed
from tests.support.strategies import INTENTS

CONTRACT = """
user.message user.interrupt user.create_task user.update_task user.delete_task user.batch user.request_plan
user.remember user.update_memory user.forget user.set_reminder user.dismiss_reminder user.snooze_reminder
user.create_thread user.update_thread user.update_settings user.set_member user.remove_member
user.approve_proposal user.decline_proposal user.undo
"""


def test_the_actions_of_the_contract() -> None:
    """Every `user.*` action that the contract names is there, and no other; the rest is internal."""
    people = {name for name in ACTIONS if not is_internal(name)}
    assert people == set(CONTRACT.split())
    assert all(name.startswith(("assistant.", "system.")) for name in ACTIONS.keys() - people)


@given(INTENTS)
def test_a_payload_is_read_back_as_it_was_written(named: tuple) -> None:
    """What `payload_of` writes, `parse` reads as the same intent, or refuses for its values, not its shape."""
    name, intent = named
    action = Action(type=name, client_action_id="c1", intent=intent)
    result = parse(name, "c1", payload_of(intent))
    assert result == check(action)
    assert result == action or isinstance(result, Refused)


@given(INTENTS)
def test_a_refusal_is_a_sentence(named: tuple) -> None:
    """Whatever is wrong, the message begins, ends, is of a readable length, and shows nothing unprintable."""
    name, intent = named
    result = parse(name, "c1", payload_of(intent))
    if isinstance(result, Refused):
        assert result.message.endswith(".")
        assert len(result.message) < 250
        assert result.message.isprintable()
        assert result.code in ("invalid", "too_large")


def test_absent_fields_are_not_written() -> None:
    """An update speaks of nothing that it does not change."""
    assert json.loads(payload_of(UpdateTask(task_id="t", due=None))) == {"task_id": "t", "due": None}
    assert UpdateTask(task_id="t", due=None).fields == TaskFields(due=None)


def test_unknown_fields_are_ignored() -> None:
    """A client from tomorrow can talk to a server of today."""
    assert parsed("user.create_task", title="x", tomorrow=[1.5]) == an_action("user.create_task", title="x")


@pytest.mark.parametrize(
    ("name", "payload", "message", "field"),
    [
        ("user.fly", "{}", "There is no action 'user.fly'.", "type"),
        ("\x1b[2J\ud800", "{}", "There is no action '\\x1b[2J\\ud800'.", "type"),
        ("user.create_task", "{}", "title is missing.", "title"),
        ("user.create_task", "[]", "The payload must be an object, not a list.", None),
        ("user.create_task", "null", "The payload must be an object, not null.", None),
        ("user.create_task", '{"title":1}', "title must be text, not a whole number.", "title"),
        ("user.create_task", '{"title":null}', "title must be text, not null.", "title"),
        ("user.create_task", '{"title":"x","due":1}', "due must be text or null, not a whole number.", "due"),
        (
            "user.create_task",
            '{"title":"x","tags":[1]}',
            "tags[0] must be text, not a whole number.",
            "tags[0]",
        ),
        (
            "user.create_task",
            '{"title":"x","minutes":1.5}',
            "minutes must be a whole number or null, not a number.",
            "minutes",
        ),
        (
            "user.create_task",
            '{"title":"x","priority":"huge"}',
            "priority cannot be 'huge'; it can be low, normal, high, urgent.",
            "priority",
        ),
        (
            "user.update_task",
            '{"task_id":"t","status":"later"}',
            "status cannot be 'later'; it can be open, doing, done, dropped.",
            "status",
        ),
        ("user.create_task", '{"title":"  "}', "The title is empty.", "title"),
        ("user.message", '{"text":"\\n"}', "The text is empty.", "text"),
        ("user.message", '{"text":"\\ud800"}', "The payload is not text that can be read.", None),
        ("user.message", "{", "The payload is not text that can be read.", None),
        (
            "user.message",
            '{"text":"x","message_id":"a b"}',
            "message_id must be 1 to 128 visible ASCII characters.",
            "message_id",
        ),
        (
            "user.message",
            '{"text":"x","thread_id":""}',
            "thread_id must be 1 to 128 visible ASCII characters.",
            "thread_id",
        ),
        (
            "user.create_task",
            '{"title":"x","position":"A"}',
            "position must be made of 0-9 and a-z.",
            "position",
        ),
        (
            "user.create_task",
            '{"title":"x","position":""}',
            "position must be made of 0-9 and a-z.",
            "position",
        ),
        ("user.create_task", '{"title":"x","minutes":0}', "minutes must be between 1 and 10080.", "minutes"),
        ("user.create_task", '{"title":"x","tags":[" "]}', "A tag is empty.", "tags"),
        (
            "user.create_task",
            '{"title":"x","assignee":"A B"}',
            "'A B' cannot be a member's name.",
            "assignee",
        ),
        (
            "user.set_member",
            '{"actor":"assistant","role":"owner"}',
            "'assistant' cannot be a member's name.",
            "actor",
        ),
        (
            "user.set_member",
            '{"actor":"bob","role":"god"}',
            "role cannot be 'god'; it can be owner, editor, viewer.",
            "role",
        ),
        (
            "assistant.plan",
            '{"plan_id":"p","blocks":[{}],"summary":"","source":""}',
            "blocks[0].task_id is missing.",
            "blocks[0].task_id",
        ),
        (
            "user.undo",
            '{"client_action_id":""}',
            "client_action_id must be 1 to 128 printable ASCII characters.",
            "client_action_id",
        ),
    ],
)
def test_what_is_wrong_is_said_plainly(name: str, payload: str, message: str, field: str | None) -> None:
    """The message says what is wrong and, where there is a choice, what would be right."""
    assert parse(name, "c1", payload.encode()) == Refused("invalid", message, field)


def test_the_assistant_s_actions_can_be_undone() -> None:
    """`user.undo` may name the assistant, although it is no member."""
    assert isinstance(parsed("user.undo", client_action_id="c1", actor="assistant"), Action)


@pytest.mark.parametrize(
    ("name", "payload", "count"),
    [
        ("user.message", {"text": "x"}, 2),
        ("user.create_task", {"title": "x"}, 1),
        ("assistant.create_task", {"title": "x"}, 1),
        ("user.remember", {"text": "x"}, 1),
        ("user.create_thread", {"title": "x"}, 1),
        ("user.set_reminder", {"at": "x", "text": "x"}, 1),
        ("user.request_plan", {}, 1),
        ("user.delete_task", {"task_id": "t"}, 0),
        ("user.update_settings", {}, 0),
    ],
)
def test_ids_that_are_absent_are_derived(name: str, payload: dict, count: int) -> None:
    """The same action makes the same ids, again and elsewhere; another id or actor makes others."""
    made = new_ids(an_action(name, "c1", **payload), "ana")
    assert len(made) == len(set(made)) == count
    assert made == new_ids(an_action(name, "c1", **payload), "ana")
    assert all(UUID(one).version == 5 for one in made)
    if count:
        assert not set(made) & set(new_ids(an_action(name, "c2", **payload), "ana"))
        assert not set(made) & set(new_ids(an_action(name, "c1", **payload), "ed"))


def test_an_id_that_is_given_is_used() -> None:
    """A question's answer has an id that follows from the question's."""
    assert new_ids(an_action("user.create_task", title="x", task_id="t9"), "ana") == ("t9",)
    assert new_ids(an_action("user.message", text="x", message_id="m9"), "ana") == ("m9", answer_id("m9"))
    assert derived_id("ana", an_action("user.create_task", title="x")) != "t9"


def test_a_program_s_own_action_passes_the_same_check() -> None:
    """An intent that was built and not parsed is held to the same bounds."""
    good = Action(type="user.create_task", client_action_id="c", intent=CreateTask(title="x"))
    assert check(good) is good
    long = Action(type="user.create_task", client_action_id="c", intent=CreateTask(title="x" * 501))
    refused = check(long)
    assert isinstance(refused, Refused)
    assert refused.code == "too_large"
