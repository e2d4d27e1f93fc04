"""Which task is meant by what a person typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.state import Task
from tests.support.fixtures import NOW, a_task
from tui.commands.tasks import in_order, open_tasks, remember_list, remembered_list, resolve, short_ids
from tui.exits import Ended, Exit
from tui.wording import Moment

MOMENT = Moment(NOW, "UTC")
MILK = "0199aaaa-0000-5000-8000-00000000beef"
RENT = "0199bbbb-0000-5000-8000-0000000dbeef"
CALL = "0199cccc-0000-5000-8000-000000001234"


def tasks(*closed: str) -> dict[str, Task]:
    return {one: a_task(one, status="done" if one in closed else "open") for one in (MILK, RENT, CALL)}


def refused(given: str, known: dict[str, Task], shown: list[str]) -> Exit:
    with pytest.raises(Ended) as caught:
        resolve(given, known, shown)
    return caught.value.code


def test_any_unique_end_of_four_characters_names_a_task() -> None:
    """The end of an id, in either case, or all of it."""
    assert resolve("1234", tasks(), []) == CALL
    assert resolve("dBEEF", tasks(), []) == RENT
    assert resolve(MILK, tasks(), []) == MILK


def test_a_number_means_the_list_that_was_shown() -> None:
    """Whatever has changed since: the second of that list is the second."""
    assert resolve("2", tasks(), [CALL, MILK]) == MILK
    assert resolve("1", {}, [CALL]) == CALL


def test_what_could_be_two_tasks_is_refused() -> None:
    """An end that two open tasks share, or a number that is also an end, is not guessed."""
    assert refused("beef", tasks(), []) is Exit.USAGE
    assert refused("1234", tasks(), [MILK] * 1234) is Exit.USAGE


def test_an_open_task_goes_before_a_closed_one() -> None:
    """An end that only closed tasks share with the one open task names the open one."""
    assert resolve("beef", tasks(MILK), []) == RENT


def test_what_names_no_task_is_told_apart() -> None:
    """Too short is wrong usage; what is not there is a refusal, as the server would say."""
    assert refused("eef", tasks(), []) is Exit.USAGE
    assert refused("ffff", tasks(), []) is Exit.REJECTED
    assert refused("7", tasks(), [MILK]) is Exit.REJECTED


def test_an_id_that_is_not_known_here_is_the_servers_to_judge() -> None:
    """A whole uuid goes on as it is: the ledger may know a task that the state has let go."""
    trimmed = "0199dddd-0000-5000-8000-000000000000"
    assert resolve(trimmed, {}, []) == trimmed


def test_the_order_of_a_list_is_the_tasks_own() -> None:
    """By position, then id; closed ones are not to be done."""
    known = [a_task("b", position="m"), a_task("a", position="m"), a_task("c", position="a", status="done")]
    assert [task.task_id for task in in_order(known, MOMENT)] == ["a", "b", "c"]
    assert [task.task_id for task in open_tasks(known, MOMENT)] == ["a", "b"]


@pytest.mark.parametrize("turn", range(3))
def test_what_presses_comes_first(turn: int) -> None:
    """Late, then today, then by date, then the undated; hours before the whole day; however they came in."""
    known = [
        a_task("long late", due="2026-11-01"),
        a_task("late by an hour", due="2026-11-22T00:30:00.000Z"),
        a_task("tonight", due="2026-11-22T20:00:00.000Z"),
        a_task("today", due="2026-11-22", position="b"),
        a_task("today as well", due="2026-11-22", position="c"),
        a_task("tomorrow", due="2026-11-23"),
        a_task("next year", due="2027-01-01"),
        a_task("any time", position="a"),
        a_task("any time too", position="m"),
        a_task("what nobody can read", due="soon", position="x"),
    ]
    mixed = known[turn * 3 :] + known[: turn * 3]
    assert [one.task_id for one in open_tasks(mixed, MOMENT)] == [one.task_id for one in known]


def test_short_ids_tell_tasks_apart() -> None:
    """Four characters where they suffice, more where they do not."""
    assert short_ids([MILK, RENT, CALL]) == {MILK: "0beef", RENT: "dbeef", CALL: "1234"}
    assert short_ids(["beef", "xbeef", "t1"]) == {"beef": "beef", "xbeef": "xbeef", "t1": "t1"}


def test_a_list_is_remembered(tmp_path: Path) -> None:
    """As it was shown, for its owner alone; a damaged file is as none."""
    file = tmp_path / "home.list"
    assert remembered_list(file) is None
    remember_list(file, [MILK, CALL])
    assert remembered_list(file) == [MILK, CALL]
    assert file.stat().st_mode & 0o077 == 0
    file.write_text('{"not": "a list"}')
    assert remembered_list(file) is None
