"""What people do in a run: actions of every kind, right ones and wrong ones.

Duty: draw the next action from a generator and from ids that anybody may know.
Must not know: clients, servers, the project's types; payloads are plain JSON objects.

1. Ids are drawn here, so that one person's deed may name another's task, before or after it is there.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

Deed = tuple[str, dict[str, Any]]


class Deeds:
    """The actions of one run; shared by everybody in it."""

    def __init__(self, chance: random.Random, *, talk: float, rude: float) -> None:
        self.tasks: list[str] = []
        self.messages: list[str] = []
        self.memories: list[str] = []
        self.done: list[tuple[str, str]] = []
        """(actor, key) of what was done, for undo."""
        self._chance = chance
        self._count = 0
        kinds: list[tuple[Callable[[], Deed], float]] = [
            (self._create, 8),
            (self._update, 6),
            (self._delete, 1.5),
            (self._batch, 1),
            (self._remember, 1.5),
            (self._forget, 0.7),
            (self._undo, 1.5),
            (self._plan, 0.4),
            (self._say, 6 * talk),
            (self._interrupt, 2 * talk),
            (self._wrong, 3 * rude),
        ]
        self._kinds = [kind for kind, _ in kinds]
        self._weights = [weight for _, weight in kinds]

    def next(self) -> Deed:
        """An action type and its payload."""
        return self._chance.choices(self._kinds, self._weights)[0]()

    def new_key(self, client: str) -> str:
        """A client_action_id that nobody used."""
        self._count += 1
        return f"{client}-c{self._count}"

    def _id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._count}-{self._chance.getrandbits(32):08x}"

    def _some(self, known: list[str], kind: str) -> str:
        recent = known[-20:]
        return self._chance.choice(recent) if recent else self._id(kind)

    def _create(self) -> Deed:
        task_id = self._id("task")
        self.tasks.append(task_id)
        fields: dict[str, Any] = {"task_id": task_id, "title": f"Task {self._count}"}
        if self._chance.random() < 0.3:
            fields["due"] = self._chance.choice(["2026-11-23", "2026-11-30T10:00:00.000Z"])
        if self._chance.random() < 0.2:
            fields["repeat"] = "FREQ=DAILY"
        if self._chance.random() < 0.2:
            fields["tags"] = ["a", "b"]
        return "user.create_task", fields

    def _update(self) -> Deed:
        changes = {
            "title": f"Title {self._count} {self._chance.getrandbits(8)}",
            "status": self._chance.choice(["open", "doing", "done", "dropped"]),
            "priority": self._chance.choice(["low", "normal", "high"]),
        }
        fields: dict[str, Any] = {"task_id": self._some(self.tasks, "task")}
        fields |= {name: value for name, value in changes.items() if self._chance.random() < 0.5}
        if self._chance.random() < 0.1:
            fields["if_version"] = self._chance.randint(1, 3)
        return "user.update_task", fields

    def _delete(self) -> Deed:
        return "user.delete_task", {"task_id": self._some(self.tasks, "task")}

    def _batch(self) -> Deed:
        deeds = [self._create() if self._chance.random() < 0.7 else self._update() for _ in range(3)]
        return "user.batch", {"actions": [{"type": kind, "payload": fields} for kind, fields in deeds]}

    def _remember(self) -> Deed:
        memory_id = self._id("memory")
        self.memories.append(memory_id)
        return "user.remember", {"memory_id": memory_id, "text": f"Fact {self._count}"}

    def _forget(self) -> Deed:
        return "user.forget", {"memory_id": self._some(self.memories, "memory")}

    def _undo(self) -> Deed:
        actor, key = self._chance.choice(self.done[-20:]) if self.done else ("ana", "nothing")
        return "user.undo", {"client_action_id": key, "actor": actor}

    def _plan(self) -> Deed:
        return "user.request_plan", {"date": self._chance.choice(["2026-11-22", "2026-11-23"])}

    def _say(self) -> Deed:
        message_id = self._id("message")
        self.messages.append(message_id)
        fields: dict[str, Any] = {"message_id": message_id, "text": f"Question {self._count} é 🙂"}
        if self._chance.random() < 0.2:
            fields["supersede"] = True
        return "user.message", fields

    def _interrupt(self) -> Deed:
        return "user.interrupt", {"message_id": self._some(self.messages, "message")}

    def _wrong(self) -> Deed:
        deeds: list[Deed] = [
            ("user.create_task", {"task_id": self._some(self.tasks, "task"), "title": "Twice"}),
            ("user.create_task", {"title": ""}),
            ("user.no_such_action", {"x": 1}),
            ("user.set_reminder", {"reminder_id": self._id("reminder"), "at": "no time", "text": "x"}),
            ("assistant.complete", {"message_id": self._some(self.messages, "message"), "text": "x"}),
        ]
        return self._chance.choice(deeds)
