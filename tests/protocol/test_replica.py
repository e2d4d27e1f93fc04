"""What the replica promises, alone and against a model of a server.

Shorthand: `c1` an action, `e3` a committed event, `e3'` a predicted one.
"""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import replica as subject
from protocol.actions import Action
from protocol.errors import Refused
from protocol.events import Event, Head
from protocol.frames import Ack
from protocol.replica import (
    Gap,
    Opaque,
    Pending,
    Replica,
    Step,
    apply_events,
    apply_snapshot,
    bind,
    mark_sent,
    pending_of,
    queue,
    restored,
    settle_ack,
    settle_reject,
)
from protocol.state import State
from tests.support.fake_server import NOW, Ledger

ME = "ana"


def pending(name: str, action_type: str, payload: object, *, actor: str = ME) -> Pending:
    """A pending action; its shape is right."""
    found = pending_of(action_type, name, msgspec.json.encode(payload), actor=actor, queued_at=NOW)
    assert isinstance(found, Pending), found
    return found


def create(name: str, *, actor: str = ME) -> Pending:
    return pending(name, "user.create_task", {"task_id": f"t-{name}", "title": name}, actor=actor)


def update(name: str, task: str, **changed: object) -> Pending:
    return pending(name, "user.update_task", {"task_id": task, **changed})


@pytest.fixture
def ledger() -> Ledger:
    """A ledger in which ana and bea are owners (e1, e2)."""
    made = Ledger()
    made.add_member(ME)
    made.add_member("bea")
    return made


def replica_of(ledger: Ledger) -> Replica:
    return apply_snapshot(Replica(), ledger.state, ledger.head).replica


def commit(ledger: Ledger, one: Pending) -> tuple[Event, ...]:
    """The events that an action gives at the server."""
    assert isinstance(one.action, Action)
    return ledger.decide(one.actor, one.action)[1]


def stepped(result: Step | Gap) -> Step:
    assert isinstance(result, Step)
    return result


def names(step: Step) -> list[str]:
    return [one.pending.client_action_id for one in step.settled]


# One step at a time


def test_a_queued_action_shows_at_once(ledger):
    """c1 is in the view as e3', marked, and not in the confirmed state."""
    one = queue(replica_of(ledger), create("c1"))
    assert one.view.tasks["t-c1"].title == "c1"
    assert "t-c1" not in one.confirmed.tasks
    assert dict(one.marks) == {"c1": "pending"}
    assert one.predicted_ids == {"t-c1"}


def test_its_event_settles_an_action(ledger):
    """e3 of c1 replaces e3'; the settled action comes back with its events."""
    c1 = create("c1")
    step = stepped(apply_events(queue(replica_of(ledger), c1), commit(ledger, c1)))
    assert names(step) == ["c1"]
    assert [one.seq for one in step.settled[0].events] == [3]
    assert step.replica.pending == ()
    assert step.replica.view == step.replica.confirmed == ledger.state
    assert not step.replica.marks
    assert not step.replica.predicted_ids


def test_the_event_of_another_actor_with_the_same_action_id_settles_nothing(ledger):
    """An action id is unique per actor only."""
    mine, theirs = create("c1"), pending("c1", "user.create_task", {"title": "theirs"}, actor="bea")
    step = stepped(apply_events(queue(replica_of(ledger), mine), commit(ledger, theirs)))
    assert step.settled == ()
    assert step.replica.marks["c1"] == "pending"


def test_pending_actions_are_decided_again_on_what_others_did(ledger):
    """After bea deleted the task, ana's change to it is no longer shown, but still pending."""
    commit(ledger, create("c0"))
    one = queue(replica_of(ledger), update("c1", "t-c0", title="changed"))
    assert one.view.tasks["t-c0"].title == "changed"
    deleted = commit(ledger, pending("b1", "user.delete_task", {"task_id": "t-c0"}, actor="bea"))
    after = stepped(apply_events(one, deleted)).replica
    assert "t-c0" not in after.view.tasks
    assert dict(after.marks) == {"c1": "unpredicted"}


def test_what_stands_behind_an_unpredicted_action_is_still_predicted(ledger):
    """c2 shows although c1 in front of it is refused here."""
    one = queue(queue(replica_of(ledger), update("c1", "nowhere", title="x")), create("c2"))
    assert dict(one.marks) == {"c1": "unpredicted", "c2": "pending"}
    assert "t-c2" in one.view.tasks


def test_a_prediction_that_raises_costs_only_itself(ledger, monkeypatch):
    """A bug in a rule is a mark and a note for the log, never an exception."""
    monkeypatch.setattr(subject, "decide", lambda *_: 1 / 0)
    one = queue(replica_of(ledger), create("c1"))
    assert dict(one.marks) == {"c1": "unpredicted"}
    assert dict(one.prediction.faults) == {"c1": "ZeroDivisionError"}
    assert one.view == ledger.state


def test_an_action_of_an_unknown_type_is_kept_unpredicted(ledger):
    """A type from tomorrow is the server's to judge."""
    one = queue(replica_of(ledger), pending("c1", "user.from_tomorrow", {"x": 1}))
    assert isinstance(one.pending[0].action, Opaque)
    assert dict(one.marks) == {"c1": "unpredicted"}


def test_a_bad_shape_is_refused_but_a_stored_one_is_kept():
    """What is typed in is judged; what lies in an outbox is never thrown away."""
    assert isinstance(pending_of("user.create_task", "c1", b"{}", queued_at=NOW), Refused)
    kept = restored("user.create_task", "c1", b"{}", actor=ME, workspace_id="w", queued_at=NOW)
    assert isinstance(kept.action, Opaque)
    assert kept.payload == b"{}"


def test_the_same_id_is_queued_once(ledger):
    """A second Enter on one draft changes nothing."""
    one = queue(replica_of(ledger), create("c1"))
    assert queue(one, create("c1")) is one


@pytest.mark.parametrize("seq", [None, 1, 2])
def test_an_ack_at_or_below_the_head_settles(ledger, seq):
    """An ack that names nothing new, or nothing at all, is the end of the action."""
    step = settle_ack(queue(replica_of(ledger), create("c1")), "c1", seq)
    assert names(step) == ["c1"]
    assert step.replica.view == ledger.state


def test_an_ack_ahead_waits_for_its_seq(ledger):
    """The view does not flicker between an early ack and its event, whoever brings the head there."""
    c1 = create("c1")
    one = settle_ack(queue(replica_of(ledger), c1), "c1", 3)
    assert one.settled == ()
    assert "t-c1" in one.replica.view.tasks
    commit(ledger, c1)
    step = apply_snapshot(one.replica, ledger.state, ledger.head)
    assert names(step) == ["c1"]
    assert not step.replica.acked


def test_a_late_ack_is_ignored(ledger):
    """After its event an action is gone; its ack, or another one, changes nothing."""
    c1 = create("c1")
    one = stepped(apply_events(queue(replica_of(ledger), c1), commit(ledger, c1))).replica
    assert settle_ack(one, "c1", 3) == Step(one)
    assert settle_reject(one, "c1") == Step(one)


def test_a_reject_rolls_back(ledger):
    """What c1 predicted is gone, what c2 predicted is decided without it."""
    one = queue(queue(replica_of(ledger), create("c1")), update("c2", "t-c1", title="more"))
    step = settle_reject(one, "c1")
    assert names(step) == ["c1"]
    assert "t-c1" not in step.replica.view.tasks
    assert dict(step.replica.marks) == {"c2": "unpredicted"}


def test_a_snapshot_keeps_what_is_pending(ledger):
    """Another base is only a base; the outbox outlives it."""
    one = queue(replica_of(ledger), create("c1"))
    other = Ledger("restored")
    other.add_member(ME)
    step = apply_snapshot(one, other.state, other.head)
    assert step.settled == ()
    assert "t-c1" in step.replica.view.tasks


def test_events_twice_change_nothing(ledger):
    """What is at or below the head is skipped, also when only a part of a frame is."""
    before = replica_of(ledger)
    events = commit(ledger, create("c1")) + commit(ledger, create("c2"))
    first = stepped(apply_events(before, events[:1])).replica
    both = stepped(apply_events(first, events)).replica
    assert both.confirmed == ledger.state
    assert stepped(apply_events(both, events)).replica is both


def test_a_gap_is_a_value_and_applies_nothing(ledger):
    """e4 does not follow e2, and another e2 is not this one."""
    before = replica_of(ledger)
    events = commit(ledger, create("c1")) + commit(ledger, create("c2"))
    assert apply_events(before, events[1:]) == Gap(Head(2, before.head.event_id), 4)
    stranger = msgspec.structs.replace(ledger.events[1], event_id="another")
    assert isinstance(apply_events(before, [stranger]), Gap)


def test_before_the_first_connection_a_sender_predicts_as_an_owner():
    """The first task of a new workspace shows; nobody becomes a member of anything by it."""
    one = queue(Replica(), create("c1", actor=""))
    assert "t-c1" in one.view.tasks
    assert not one.view.members
    bound = bind(one, ME, "w")
    assert [(each.actor, each.workspace_id) for each in bound.pending] == [(ME, "w")]
    assert bound.view.tasks["t-c1"].created_by == ME


def test_the_roles_of_the_ledger_hold_once_they_are_known(ledger):
    """A viewer's change is not shown."""
    ledger.add_member("cal", "viewer")
    one = queue(replica_of(ledger), create("c1", actor="cal"))
    assert dict(one.marks) == {"c1": "unpredicted"}


def test_to_mark_as_sent_shows_nothing_else(ledger):
    """`sent` is bookkeeping: the prediction is not even made again."""
    one = queue(replica_of(ledger), create("c1"))
    sent = mark_sent(one, frozenset({"c1"}))
    assert [each.sent for each in sent.pending] == [True]
    assert sent.prediction is one.prediction


# Any order of things

TASKS = [f"t{number}" for number in range(4)]
OPS = st.sampled_from(
    ["queue", "queue", "queue", "foreign", "decide", "deliver", "ack", "ack", "snapshot", "again", "lose"]
)
WANTED = st.tuples(
    st.sampled_from(["create", "update", "update", "delete", "message", "interrupt", "plan", "forget"]),
    st.sampled_from(TASKS),
    st.sampled_from(["a", "b", "c"]),
)


def wanted(name: str, what: tuple[str, str, str], actor: str = ME) -> Pending:
    kind, task, text = what
    match kind:
        case "create":
            return pending(name, "user.create_task", {"task_id": task, "title": text}, actor=actor)
        case "update":
            return pending(
                name,
                "user.update_task",
                {"task_id": task, "title": text, "status": "done" if text == "c" else "open"},
                actor=actor,
            )
        case "delete":
            return pending(name, "user.delete_task", {"task_id": task}, actor=actor)
        case "message":
            return pending(name, "user.message", {"message_id": f"m{task}", "text": text}, actor=actor)
        case "interrupt":
            return pending(name, "user.interrupt", {"message_id": f"m{task}"}, actor=actor)
        case "plan":
            return pending(name, "user.request_plan", {"date": "2026-11-22"}, actor=actor)
        case _:
            return pending(name, "user.forget", {"memory_id": task}, actor=actor)


class Model:
    """A client and its server, joined by what is on the way between them."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.ledger.add_member(ME)
        self.ledger.add_member("bea")
        self.replica = replica_of(self.ledger)
        self.unsent: list[Pending] = []
        self.answers: list[tuple[str, Ack | Refused]] = []
        self.settled: list[str] = []
        self.queued = 0

    def take(self, step: Step | Gap) -> None:
        step = stepped(step)
        self.replica = step.replica
        self.settled += names(step)

    def run(self, op: str, what: tuple[str, str, str]) -> None:
        match op:
            case "queue":
                self.queued += 1
                one = wanted(f"c{self.queued}", what)
                self.replica = queue(self.replica, one)
                self.unsent.append(one)
            case "foreign":
                commit(self.ledger, wanted(f"b{len(self.ledger.events)}-{self.queued}", what, "bea"))
            case "decide":
                self.decide()
            case "deliver":
                self.take(apply_events(self.replica, self.ledger.events[self.replica.head.seq :][:2]))
            case "again":
                self.take(apply_events(self.replica, self.ledger.events[: self.replica.head.seq]))
            case "ack" if self.answers:
                self.answer(*self.answers.pop(0))
            case "snapshot":
                self.take(apply_snapshot(self.replica, self.ledger.state, self.ledger.head))
            case "lose":
                # The connection drops: answers are lost, everything pending is sent again.
                self.answers.clear()
                self.unsent = list(self.replica.pending)
            case _:
                pass

    def decide(self) -> None:
        if self.unsent:
            one = self.unsent.pop(0)
            assert isinstance(one.action, Action)
            self.answers.append((one.client_action_id, self.ledger.decide(ME, one.action)[0]))

    def answer(self, name: str, outcome: Ack | Refused) -> None:
        if isinstance(outcome, Ack):
            self.take(settle_ack(self.replica, name, outcome.seq))
        else:
            self.take(settle_reject(self.replica, name))

    def quiet(self) -> None:
        """Everything that is on the way arrives."""
        self.run("lose", ("", "", ""))
        while self.unsent:
            self.decide()
        while self.answers:
            self.run("ack", ("", "", ""))
        self.take(apply_events(self.replica, self.ledger.events))


def from_nothing(one: Replica) -> State:
    """The view without anything remembered."""
    return Replica(confirmed=one.confirmed, head=one.head, pending=one.pending).view


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(OPS, WANTED), max_size=40))
def test_any_interleaving_ends_where_the_server_is(steps):
    """Whatever comes in whichever order: nothing raises, the view is recomputable, each action settles once, all agree."""
    model = Model()
    for op, what in steps:
        model.run(op, what)
        one = model.replica
        assert one.view == from_nothing(one)
        assert set(one.marks) == {each.client_action_id for each in one.pending}
        assert not one.prediction.faults
    model.quiet()
    assert model.replica.pending == ()
    assert not model.replica.acked
    assert model.replica.view == model.replica.confirmed == model.ledger.state
    assert sorted(model.settled) == sorted(f"c{number + 1}" for number in range(model.queued))
