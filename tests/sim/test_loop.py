"""The simulated loop: time without waiting, an order from the seed, nodes that die where they stand."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.sim.loop import EndlessLoop, Node, SimLoop, Stuck, pause, run


def simulated(main, seed: int = 1, shuffle: float = 1.0):
    loop = SimLoop(random.Random(seed), shuffle=shuffle)
    try:
        return run(loop, main), loop
    finally:
        loop.bury()


def test_time_moves_when_nothing_is_ready() -> None:
    """A day passes at once, and exactly."""

    async def main() -> float:
        await pause(86_400.0)
        return asyncio.get_running_loop().time()

    assert simulated(main())[0] == 86_400.0


def test_timers_of_one_instant_keep_their_order() -> None:
    """Equal deadlines fire in the order in which they were set, so that a pipe stays first in, first out."""

    async def main() -> list[int]:
        loop, fired = asyncio.get_running_loop(), list[int]()
        for number in range(50):
            loop.call_at(1.0, fired.append, number)
        await pause(2.0)
        return fired

    assert simulated(main())[0] == list(range(50))


async def _race() -> list[int]:
    order: list[int] = []

    async def runner(number: int) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
            order.append(number)

    await asyncio.gather(*(runner(number) for number in range(6)))
    return order


def test_the_seed_gives_the_order_of_tasks() -> None:
    """Tasks that are ready together run in the seed's order: the same seed the same, another seed another."""
    runs = [tuple(simulated(_race(), seed)[0]) for seed in (1, 1, 2, 3, 4)]
    assert runs[0] == runs[1]
    assert len(set(runs)) > 2


def test_callbacks_are_not_shuffled() -> None:
    """What is handed to `call_soon` runs in that order, whatever the seed."""

    async def main() -> list[int]:
        loop, ran = asyncio.get_running_loop(), list[int]()
        for number in range(50):
            loop.call_soon(ran.append, number)
        await pause(1.0)
        return ran

    assert simulated(main(), seed=5)[0] == list(range(50))


def test_a_dead_node_does_nothing_more() -> None:
    """No step, no `finally`, no timer of a dead node runs while the world goes on."""
    log: list[str] = []

    async def work(number: int) -> None:
        try:
            while True:
                await pause(1.0)
                log.append(f"step {number}")
        finally:
            log.append("finally")

    async def main() -> tuple[str, ...]:
        node, loop = Node("a"), asyncio.get_running_loop()
        for number in range(3):
            loop.create_task(work(number), context=node.context())
        await pause(1.5)
        node.alive = False
        await pause(100.0)
        return tuple(log)

    seen, _ = simulated(main())
    assert sorted(seen) == ["step 0", "step 1", "step 2"]


def test_a_node_can_die_within_a_turn() -> None:
    """What was ready in the same turn and belongs to the dead node does not run either."""

    async def main() -> list[int]:
        node, loop, ran = Node("a"), asyncio.get_running_loop(), list[int]()
        context = node.context()
        loop.call_soon(ran.append, 1, context=context)
        loop.call_soon(setattr, node, "alive", False)
        loop.call_soon(ran.append, 2, context=context)
        await pause(1.0)
        return ran

    assert simulated(main())[0] == [1]


def test_a_run_that_cannot_end_is_seen() -> None:
    """Waiting for nothing, and running for ever, are errors and no hang."""

    async def stuck() -> None:
        await asyncio.get_running_loop().create_future()

    async def endless() -> None:
        while True:
            await pause(0.0)

    with pytest.raises(Stuck):
        simulated(stuck())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.sim.loop.STEPS_MAX", 1_000)
        with pytest.raises(EndlessLoop):
            simulated(endless())


def test_threads_are_refused() -> None:
    """Nothing in a simulation leaves the loop."""

    async def main() -> None:
        await asyncio.get_running_loop().run_in_executor(None, print)

    with pytest.raises(AssertionError, match="no threads"):
        simulated(main())
