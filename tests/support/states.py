"""States made of a few words: tasks with defaults, as if they had been created long ago."""

from __future__ import annotations

from typing import Any

from protocol.state import INITIAL, Member, Settings, State, Task, put, put_settings

CREATED = "2026-11-01T08:00:00.000Z"


def make_task(title: str, **fields: Any) -> Task:
    """A task whose id is `t-` and its title; `position` follows the title unless named."""
    defaults: dict[str, Any] = {
        "task_id": "t-" + "-".join(title.lower().split()),
        "position": "i",
        "created_at": CREATED,
        "created_by": "ana",
        "updated_at": CREATED,
    }
    return Task(title=title, **{**defaults, **fields})


def make_state(*tasks: Task, zone: str = "Europe/Berlin", members: tuple[str, ...] = ("ana",)) -> State:
    """A state with these tasks, a zone, and owners."""
    state = put_settings(INITIAL, Settings(timezone=zone))
    for task in tasks:
        state = put(state, "tasks", task)
    for actor in members:
        state = put(state, "members", Member(actor=actor, role="owner"))
    return state
