"""Limits: each bound of what clients send, at the bound and one more, with its code."""

from __future__ import annotations

import pytest

from protocol import limits
from protocol.actions import Action
from protocol.errors import Refused
from tests.support.fixtures import parsed

TASK = {"title": "x"}
MESSAGE = {"text": "x"}
KIB = 1024

AT_THE_BOUND = [
    # action, a valid payload, field, the largest value, one more, code of one more
    ("user.create_task", TASK, "title", "x" * 500, "x" * 501, "too_large"),
    ("user.create_task", TASK, "title", "😀" * 500, "😀" * 501, "too_large"),
    ("user.create_thread", TASK, "title", "x" * 500, "x" * 501, "too_large"),
    ("user.update_task", {"task_id": "t"}, "title", "x" * 500, "x" * 501, "too_large"),
    ("user.update_thread", {"thread_id": "t"}, "title", "x" * 500, "x" * 501, "too_large"),
    ("user.create_task", TASK, "notes", "x" * 64 * KIB, "x" * (64 * KIB + 1), "too_large"),
    ("user.update_task", {"task_id": "t"}, "notes", "é" * 32 * KIB, "é" * 32 * KIB + "x", "too_large"),
    ("user.create_task", TASK, "tags", ["x"] * 64, ["x"] * 65, "too_large"),
    ("user.create_task", TASK, "tags", ["é" * 64], ["é" * 65], "too_large"),
    ("user.remember", MESSAGE, "tags", ["x"] * 64, ["x"] * 65, "too_large"),
    ("user.create_task", TASK, "task_id", "x" * 128, "x" * 129, "invalid"),
    ("user.create_task", TASK, "position", "a" * 64, "a" * 65, "too_large"),
    ("user.create_task", TASK, "minutes", 7 * 24 * 60, 7 * 24 * 60 + 1, "invalid"),
    ("user.create_task", TASK, "minutes", 1, 0, "invalid"),
    ("user.message", MESSAGE, "text", "x" * 64 * KIB, "x" * (64 * KIB + 1), "too_large"),
    ("user.message", MESSAGE, "text", "😀" * 16 * KIB, "😀" * 16 * KIB + "x", "too_large"),
    ("user.message", MESSAGE, "message_id", "x" * 128, "x" * 129, "invalid"),
    ("user.remember", MESSAGE, "text", "x" * 64 * KIB, "x" * (64 * KIB + 1), "too_large"),
    ("user.update_memory", {"memory_id": "m"}, "text", "x" * 64 * KIB, "x" * (64 * KIB + 1), "too_large"),
    (
        "user.set_reminder",
        {"at": "x", "text": "x"},
        "text",
        "x" * 64 * KIB,
        "x" * (64 * KIB + 1),
        "too_large",
    ),
    ("user.update_settings", {}, "instructions", "x" * 16 * KIB, "x" * (16 * KIB + 1), "too_large"),
    ("user.batch", {}, "actions", [{}] * 200, [{}] * 201, "too_large"),
    ("user.set_member", {"role": "owner"}, "actor", "a" * 63, "a" * 64, "invalid"),
    ("assistant.complete", {"message_id": "m"}, "text", "x" * 256 * KIB, "x" * (256 * KIB + 1), "too_large"),
    (
        "system.interrupt",
        {"message_id": "m", "reason": "error"},
        "text",
        "x" * 256 * KIB,
        "x" * (256 * KIB + 1),
        "too_large",
    ),
]


@pytest.mark.parametrize(
    ("action", "payload", "field", "most", "more", "code"),
    AT_THE_BOUND,
    ids=[f"{action}-{field}-{place}" for place, (action, _, field, *_) in enumerate(AT_THE_BOUND)],
)
def test_the_bound_is_in_and_one_more_is_out(
    action: str, payload: dict[str, object], field: str, most: object, more: object, code: str
) -> None:
    """What is exactly as large as allowed is taken; one more is refused with its code, and names the field."""
    assert isinstance(parsed(action, **{**payload, field: most}), Action)
    refused = parsed(action, **{**payload, field: more})
    assert isinstance(refused, Refused)
    assert (refused.code, refused.field) == (code, field)
    assert refused.message.endswith(".")
    assert len(refused.message) < 200


def test_an_empty_text_is_allowed_where_it_means_none() -> None:
    """Notes and instructions can be emptied; an answer may end without a word."""
    assert isinstance(parsed("user.create_task", title="x", notes=""), Action)
    assert isinstance(parsed("user.update_settings", instructions=""), Action)
    assert isinstance(parsed("assistant.complete", message_id="m", text=""), Action)


def test_the_numbers_of_the_contract() -> None:
    """What the contract names by number is that number."""
    assert (
        limits.frame_bytes_max == limits.snapshot_part_bytes_max == limits.events_frame_bytes_max == 262_144
    )
    assert (limits.text_bytes_max, limits.title_characters_max) == (65_536, 500)
    assert (limits.tags_max, limits.tag_characters_max, limits.batch_actions_max) == (64, 64, 200)
    assert (limits.thread_messages_max, limits.thread_text_bytes_max) == (500, 1_048_576)
    assert (limits.closed_tasks_max, limits.plans_max, limits.digests_max) == (1_000, 60, 60)
    assert (limits.fired_reminders_max, limits.settled_proposals_max) == (200, 100)
    assert (limits.open_tasks_max, limits.threads_max, limits.memories_max) == (10_000, 1_000, 5_000)
    assert (limits.replay_events_max, limits.http_events_max) == (20_000, 10_000)
    assert (limits.hello_timeout_s, limits.head_interval_s, limits.typing_s) == (10, 15, 6)
    assert (limits.connections_per_actor_max, limits.connections_max) == (256, 10_000)
    assert limits.connections_without_hello_max == 1_000
    assert (limits.actions_per_s_max, limits.actions_burst_max, limits.presence_members_max) == (
        200,
        2_000,
        100,
    )
