"""kill -9 of servers and clients under load, a hundred times: what a history checker finds afterwards is nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.sim.facts import Json, Violation
from tests.support.kill9.campaign import Judged, judged
from tests.support.kill9.processes import Programs
from tests.support.kill9.verdict import check, log_records

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

WORLDS = 10
"""Of ten kills of the server each."""
TRIES = 4
"""A planted bug shows in most worlds, not in all: the machine decides what a kill meets."""


@pytest.mark.parametrize("number", range(WORLDS))
def test_what_was_promised_outlives_kills(number: int) -> None:
    """After ten kills of the server, and as many of clients, the ledger file holds what everybody was told."""
    one = judged(number)
    assert not one.violations
    assert one.met["server kills"] == 10
    assert one.met["acks"] > 0
    assert one.met["answers over HTTP"] > 0


def until_it_speaks(invariant: str, run: Callable[[int], Judged]) -> set[str]:
    """What spoke in the worlds up to the one in which the invariant did."""
    spoke: set[str] = set()
    for number in range(TRIES):
        spoke |= run(number).spoke
        if invariant in spoke:
            break
    return spoke


def test_an_ack_before_its_commit_is_caught() -> None:
    """A server that acks first loses what it acked when it is killed behind an ack, and the checker says so."""
    programs = Programs(server="tests.support.kill9.ack_first_server")
    assert "L4" in until_it_speaks("L4", lambda number: judged(number, 5, programs, {"down:ack": 5}))


def test_a_forgotten_outbox_row_is_caught() -> None:
    """A client that forgets an action when it is sent starts again without it, and the checker says so."""
    programs = Programs(residents="tests.support.kill9.forgetful_residents")
    assert "C2" in until_it_speaks("C2", lambda number: judged(number, 5, programs))


def answered(**fields: object) -> Json:
    """An answer over HTTP that came to the action c1."""
    known = {
        "workspace": "home",
        "actor": "ana",
        "key": "c1",
        "status": "applied",
        "seq": 1,
        "event_ids": ["e1"],
    }
    return {"t": 1.0, "kind": "answered", **known, **fields}


EVENT = '{"seq": 1, "event_id": "e1", "type": "task.deleted", "actor": "system", "client_action_id": "c1", "payload": {}}'


@pytest.mark.parametrize(
    "invariant, records",
    [
        ("L4", [answered(actor="system", event_ids=["e2"])]),
        ("L5", [answered(), answered(seq=2)]),
        ("L6", [answered(actor="system", status="refused", code="conflict")]),
        ("X1", log_records("server", "Traceback (most recent call last):\nValueError: no")),
        ("X2", log_records("client", "the state at 3 is not the server's, again")),
    ],
)
def test_what_only_this_checker_judges(invariant: str, records: list[Json]) -> None:
    """Answers over HTTP and log files have a say, too."""
    row = {"seq": 1, "event_id": "e1", "type": "task.deleted", "event": EVENT}
    ledger = {"t": 9.0, "kind": "final_ledger", "workspace": "home", "key": 1, "rows": [row]}
    found: list[Violation] = check([*records, ledger])
    assert invariant in {one.invariant for one in found}
