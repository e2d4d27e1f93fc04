"""A history as a script: a few steps in a calm world, so that what failed can be made short, read and kept.

Duty: play steps on the simulator's world (production server and clients, fakes below), judge what came of it, read
and write scripts.
Must not know: who wrote the steps (hypothesis, a person, a file).

1. A script is JSON and says everything: the same steps give the same history.
2. After every step every client's confirmed state is the fold of a beginning of the durable ledger; at the end the
   whole checker judges.
3. A step that makes no sense just now (to cut what is not connected) does nothing: any part of a script is one.

| step | does |
| --- | --- |
| act: who, key, type, payload | somebody does something |
| again: who, back | a script sends once more what it sent so many actions ago |
| run: ms | time passes, frames are delivered |
| cut, stall, resume: who | what happens to the connection |
| hurry: who | asks for a connection now |
| kill, start: who | the client's process dies; comes back on its disk |
| crash | the server's process dies, and is restarted |
| disk: as `well`, `failing`, `full` | how the server's commits go from now on |
| newcomer | one more client, with nothing: it gets a snapshot |
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from protocol.client.errors import LinkClosed
from protocol.codec import encode_state
from tests.sim.checker import check
from tests.sim.facts import Violation, differences, folded
from tests.sim.fates import Fates
from tests.sim.loop import pause
from tests.sim.people import Person, Resident, Script
from tests.sim.regimes import Regime, regime_of
from tests.sim.world import Cast, simulate

Step = dict[str, Any]

REGRESSIONS = Path(__file__).parent / "regressions"
PEOPLE = {"r0": 0, "r1": 1, "s2": 2}
"""Two production clients and a script, by name and place."""
NEWCOMERS_MAX = 3


def calm(seed: int = 0) -> Regime:
    """A world in which nothing happens by itself."""
    rates: dict[str, Any] = dict.fromkeys(
        (
            *("server_crash", "client_crash", "cut", "cut_share", "stall", "commit_failed", "read_failed"),
            *("disk_full", "client_full", "clock_step", "visitor", "repeat", "shuffle", "gap_s"),
        ),
        0.0,
    )
    return replace(
        regime_of(seed),
        **rates,
        level=1,
        residents=2,
        scripts=1,
        workspaces=1,
        weight=1,
        delay_s=0.01,
        commit_s=0.02,
        read_s=0.001,
        sync_s=0.02,
        small_pages=True,
        impatient=True,
        away=False,
        idle=False,
        restored=False,
        membership=False,
    )


class Parrot(Script):
    """A script that repeats itself when told."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._said: list[tuple[str, str]] = []

    def act(self, key: str, action_type: str, payload: dict[str, Any]) -> None:
        super().act(key, action_type, payload)
        self._said.append((key, self.outbox[key]))

    async def again(self, back: int) -> None:
        """Send once more what was sent so many actions ago."""
        sent = [frame for key, frame in self._said if key not in self._unsent]
        if self._wire is not None and self._live and back < len(sent):
            with contextlib.suppress(LinkClosed):
                await self._wire.send(sent[-1 - back].encode())


class Puppets(Fates):
    """Fates that do what a script says, and nothing else."""

    script: Sequence[Step] = ()

    async def rage(self) -> None:
        """The first phase: step by step."""
        self._set_weather()
        await pause(0.5)
        for step in self.script:
            await self._play(step)
            self._look(step)

    async def _play(self, step: Step) -> None:
        world = self._world
        match step:
            case {"do": "run", "ms": ms}:
                await pause(ms / 1000)
            case {"do": "crash"}:
                world.crash()
            case {"do": "disk", "as": state}:
                world.disk.full = state == "full"
                world.disk.fail_share = 1.0 if state == "failing" else 0.0
            case {"do": "newcomer"}:
                if len(world.people) < len(PEOPLE) + NEWCOMERS_MAX:
                    world.invite()
            case {"who": who}:
                await self._play_to(world.people[PEOPLE[who]], step)
            case _:
                raise AssertionError(f"no step: {step}")

    async def _play_to(self, person: Person, step: Step) -> None:
        match step:
            case {"do": "act", "key": key, "type": kind, "payload": payload} if person.node is not None:
                person.act(key, kind, payload)
            case {"do": "again", "back": back} if isinstance(person, Parrot) and person.node is not None:
                await person.again(back)
            case {"do": "cut" | "stall" | "resume" as what}:
                self._each_connection(what, person)
            case {"do": "hurry"} if person.node is not None:
                person.hurry()
            case {"do": "kill"} if person.node is not None:
                person.kill()
                self._each_connection("cut", person)
            case {"do": "start"} if person.node is None:
                person.start()

    def _each_connection(self, what: str, person: Person) -> None:
        for connection in self._world.network.open:
            if connection.client == person.who.client:
                match what:
                    case "cut":
                        connection.cut()
                    case "stall":
                        connection.stall()
                    case "resume":
                        connection.resume()

    def _look(self, step: Step) -> None:
        """Invariant 2, told to the checker as a bug that was met."""
        for shelf in self._world.disk.shelves.values():
            events = [json.loads(row.data) for row in shelf.events]
            for person in self._world.people:
                wrong = _ahead(person, events)
                if wrong is not None:
                    text = f"after {json.dumps(step)} {person.who.client}: {wrong}"
                    self._world.history.add("log", text=text, trace=wrong)


def _ahead(person: Person, events: list[Any]) -> str | None:
    """What a client's confirmed state has that the durable ledger does not say."""
    client = person.client if isinstance(person, Resident) else None
    if client is None:
        return None
    seq = client.replica.head.seq
    if seq > len(events):
        return f"it is at {seq}, of which {len(events)} are durable"
    return differences(folded(events[:seq]), json.loads(encode_state(client.replica.confirmed)))


def play(steps: Sequence[Step], cast: Cast | None = None) -> list[Violation]:
    """What is wrong with the history of a script."""
    puppets = type("Puppets", (Puppets,), {"script": tuple(steps)})
    with (
        mock.patch("tests.sim.world.regime_of", calm),
        mock.patch("tests.sim.world.Fates", puppets),
        mock.patch("tests.sim.world.Script", Parrot),
    ):
        return check(simulate(0, cast).records)


# Files


@dataclass(frozen=True, slots=True)
class Regression:
    """A script that once failed. `planted`: the bugs (by their names there) that it must still find."""

    about: str
    steps: tuple[Step, ...]
    planted: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    """The invariants of which one spoke."""


def told(steps: Sequence[Step], **others: object) -> str:
    """A script as a file has it: one step a line."""
    head = [
        f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}," for name, value in others.items()
    ]
    lines = ",\n".join(f"    {json.dumps(step, ensure_ascii=False)}" for step in steps)
    return "\n".join(["{", *head, '  "steps": [', lines, "  ]", "}", ""])


def read(path: Path) -> Regression:
    """A script from its file."""
    fields: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    listed = {name: tuple(fields.get(name, ())) for name in ("steps", "planted", "expected")}
    return Regression(about=fields["about"], **listed)
