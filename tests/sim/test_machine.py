"""Short histories by hypothesis: what fails shrinks to a script of a few steps; what once failed is played first."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from server.ledger.port import Record
from server.workspace import Workspace
from tests.sim.disk import SimLedger
from tests.sim.facts import Violation
from tests.sim.house import Parts
from tests.sim.machine import PEOPLE, REGRESSIONS, Step, play, read, told
from tests.sim.planted import PLANTED
from tests.sim.world import Cast

SCRIPTS = sorted(REGRESSIONS.glob("*.json"))
STEPS_MAX = 30
SHORT = 8
"""No more steps than this has what the machine finds of a planted bug."""


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_what_once_failed(path: Path) -> None:
    """No kept script fails any more."""
    assert not play(read(path).steps)


CAUGHT = [(path, name) for path in SCRIPTS for name in read(path).planted]


@pytest.mark.parametrize("path, name", CAUGHT, ids=lambda one: one if isinstance(one, str) else one.stem)
def test_a_kept_script_still_looks(path: Path, name: str) -> None:
    """A kept script meets the place that was wrong: with the bug planted again it fails as it did."""
    kept = read(path)
    spoke = {one.invariant for one in play(kept.steps, cast_of(name))}
    assert spoke & set(kept.expected)


class NothingNew(set[str]):
    """Keeps no ids."""

    def update(self, *_: Iterable[str]) -> None:
        """Nothing is kept."""


class ForgetsNewIds(Workspace):
    """Does not know the ids of entities that came and went while nothing of them was durable."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._new_in_flight = NothingNew()


class LaxLedger(SimLedger):
    """Takes every id."""

    def _check_ids(self, record: Record, taken: set[tuple[object, ...]]) -> None:
        """Nothing is unique."""


def cast_of(name: str) -> Cast:
    """The world with a planted bug."""
    if name == "new ids forgotten":
        return Cast(parts=Parts(ledger=LaxLedger), patches={"server.registry.Workspace": ForgetsNewIds})
    return next(one.cast for one in PLANTED if one.name == name)


# The machine


class BrokenHistory(AssertionError):  # noqa: N818  what happened
    """A script after which something does not hold."""

    def __init__(self, steps: list[Step], violations: list[Violation]) -> None:
        self.steps = steps
        self.violations = violations
        shown = "\n".join(f"  {one}" for one in violations[:5])
        about = f"kept as {REGRESSIONS.name}/NAME.json it is played first"
        super().__init__(f"{shown}\n{told(steps, about=about)}")


def of(*names: str) -> st.SearchStrategy[str]:
    return st.sampled_from(names)


people = of(*PEOPLE)
tasks = st.fixed_dictionaries({"task_id": of("t1", "t2")})
memories = st.fixed_dictionaries({"memory_id": of("m1", "m2")})
messages = st.fixed_dictionaries({"message_id": of("q1", "q2")})


def deed(kind: str, *fields: st.SearchStrategy[dict[str, Any]], **fixed: Any) -> st.SearchStrategy[Step]:
    """An action with what the fields draw and what is always the same."""
    payload = st.tuples(*fields).map(lambda drawn: {name: one[name] for one in drawn for name in one} | fixed)
    return payload.map(lambda payload: {"type": kind, "payload": payload})


moments = st.one_of(st.integers(1, 100), st.just(1000))
"""In milliseconds: an action takes some 50 to its ack; a server that crashed is back after 300."""


changes = st.fixed_dictionaries({}, optional={"title": of("A", "B"), "status": of("open", "done", "doing")})
on_tasks = st.one_of(
    deed("user.create_task", tasks, title="Task"),
    deed("user.update_task", tasks, changes),
    deed("user.delete_task", tasks),
)
deeds = st.one_of(
    on_tasks,
    st.lists(on_tasks, min_size=1, max_size=3).map(
        lambda some: {"type": "user.batch", "payload": {"actions": some}}
    ),
    deed("user.remember", memories, text="Fact"),
    deed("user.forget", memories),
    deed("user.message", messages, text="Why?"),
    deed("user.interrupt", messages),
)
wrongs = st.one_of(
    deed("user.create_task", title=""),
    deed("user.no_such_action"),
    deed("assistant.complete", messages, text="x"),
)


class Machine(RuleBasedStateMachine):
    """Writes a script step by step; when it is written it is played and judged."""

    cast: Cast | None = None

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.done: list[tuple[str, str]] = []
        """(who, key) of what was done."""

    def _act(self, who: str, what: Step) -> None:
        self.done.append((who, f"k{len(self.done) + 1}"))
        self._add("act", who=who, key=self.done[-1][1], **what)

    def _add(self, do: str, **fields: Any) -> None:
        self.steps.append({"do": do, **fields})

    @rule(who=people, what=deeds)
    def act(self, who: str, what: Step) -> None:
        self._act(who, what)

    @rule(who=people, some=st.lists(on_tasks, min_size=2, max_size=4))
    def burst(self, who: str, some: list[Step]) -> None:
        for what in some:
            self._act(who, what)

    @rule(who=people, what=wrongs)
    def be_rejected(self, who: str, what: Step) -> None:
        self._act(who, what)

    @precondition(lambda self: self.done)
    @rule(who=people, back=st.integers(0, 3))
    def undo(self, who: str, back: int) -> None:
        _, key = self.done[-1 - min(back, len(self.done) - 1)]
        self._act(who, {"type": "user.undo", "payload": {"client_action_id": key}})

    @precondition(lambda self: any(who == "s2" for who, _ in self.done))
    @rule(back=st.integers(0, 2))
    def duplicate(self, back: int) -> None:
        self._add("again", who="s2", back=back)

    @rule(who=people, what=on_tasks, ms=moments, blow=of("cut", "stall", "kill", "crash"))
    def strike_amid(self, who: str, what: Step, ms: int, blow: str) -> None:
        """Something goes wrong while an action is on its way."""
        self._act(who, what)
        self._add("run", ms=ms)
        self._add(blow, **({} if blow == "crash" else {"who": who}))

    @rule(ms=moments)
    def deliver(self, ms: int) -> None:
        self._add("run", ms=ms)

    @rule(who=people, do=of("cut", "stall", "resume", "hurry"))
    def link(self, who: str, do: str) -> None:
        self._add(do, who=who)

    @rule(who=people, do=of("kill", "start"))
    def client(self, who: str, do: str) -> None:
        self._add(do, who=who)

    @rule()
    def crash_server(self) -> None:
        self._add("crash")

    @rule(state=of("well", "failing", "full"))
    def disk(self, state: str) -> None:
        self.steps.append({"do": "disk", "as": state})

    @rule()
    def snapshot(self) -> None:
        self._add("newcomer")

    def teardown(self) -> None:
        """Play what was written."""
        violations = play(self.steps, self.cast)
        if violations:
            raise BrokenHistory(self.steps, violations)


MANY = settings(
    stateful_step_count=STEPS_MAX,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
def test_no_short_history_fails() -> None:
    """Whatever a handful of steps does to production clients and a production server, every invariant holds."""
    run_state_machine_as_test(Machine, settings=settings(MANY, max_examples=10 * MANY.max_examples))


def shrunk(name: str) -> BrokenHistory:
    """The shortest history that the machine finds of a planted bug."""
    machine: Callable[[], Machine] = type("Planted", (Machine,), {"cast": cast_of(name)})
    wanted = settings(
        MANY, max_examples=500, phases=(Phase.generate, Phase.shrink), report_multiple_bugs=False
    )
    with pytest.raises(BrokenHistory) as caught:
        run_state_machine_as_test(machine, settings=wanted)
    return caught.value


@pytest.mark.slow
@pytest.mark.parametrize("name", ["replay/live gap", "dedupe in memory only"])
def test_a_planted_bug_becomes_a_short_script(name: str) -> None:
    """What is found shrinks to a few steps, which fail with the bug and not without it, also when read from a file."""
    found = shrunk(name)
    steps = json.loads(told(found.steps, about=name))["steps"]
    assert len(steps) <= SHORT, str(found)
    assert play(steps, cast_of(name))
    assert not play(steps)
