"""An event loop without time, threads or sockets: the same seed gives the same run, callback by callback.

Duty: run callbacks in a seeded order on a virtual clock; let a node die in the middle of whatever it does.
Must not know: the project, faults, networks.

1. Time moves only when nothing is ready, and then to the next timer. A callback takes no time.
2. Callbacks run in the order in which they were handed in, as asyncio promises; only the steps of tasks that
   are ready in the same turn change places, because nobody promised theirs. Timers of one instant keep their order.
3. What belongs to a dead node never runs again: no `finally`, no `except`, as after `kill -9`.
4. Whatever would bring in the machine (threads, executors, file descriptors) raises; sockets are only those that
   were handed in.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import random
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, Protocol, TypeVar

T = TypeVar("T")

STEPS_MAX = 3_000_000
"""Callbacks of one run; more is an endless loop."""


class Stuck(Exception):  # noqa: N818  what happened
    """Nothing is ready, no timer is set, and yet the run is not over."""


class EndlessLoop(Exception):  # noqa: N818  what happened
    """More callbacks than any honest run needs."""


class Node:
    """A process of the simulated world. What runs in its context dies with it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True

    def context(self) -> contextvars.Context:
        """A context whose tasks and callbacks belong to this node."""
        context = contextvars.Context()
        context.run(_NODE.set, self)
        return context

    def __repr__(self) -> str:
        return f"Node({self.name})"


_NODE: contextvars.ContextVar[Node | None] = contextvars.ContextVar("node", default=None)
OUTSIDE = contextvars.Context()
"""The context of what belongs to no node: the network, the disks, the fates."""


def is_alive(context: contextvars.Context) -> bool:
    """Whether the node of a context lives; what belongs to no node always does."""
    node = context.get(_NODE)
    return node is None or node.alive


class Sockets(Protocol):
    """What stands in for the machine's sockets, where a run needs any."""

    async def listen(self, factory: Callable[[], asyncio.BaseProtocol]) -> Any:
        """As `create_server`."""

    async def connect(self, factory: Callable[[], asyncio.BaseProtocol], port: int) -> Any:
        """As `create_connection`."""


class Step(asyncio.Task[Any]):
    """A task whose place in a set follows from the run and not from its address."""

    def __init__(self, *args: Any, serial: int, **options: Any) -> None:
        self._serial = serial
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return self._serial

    def __eq__(self, other: object) -> bool:
        return self is other


class SimLoop(asyncio.BaseEventLoop):
    """A simulated loop; `shuffle` is the share of turns in which ready tasks change places."""

    def __init__(self, chance: random.Random, *, shuffle: float = 1.0) -> None:
        super().__init__()
        self.steps = 0
        self.faults: list[dict[str, Any]] = []
        """What reached the loop's exception handler from a living node."""
        self.sockets: Sockets | None = None
        self._chance = chance
        self._shuffle = shuffle
        self._virtual_s = 0.0
        self._serial = itertools.count()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._last_rites = False
        self._unrun: list[asyncio.Handle] = []
        """What dead nodes would have done next."""
        self._tasks: list[asyncio.Task[Any]] = []
        """All, so that the collector does not end a dead node's tasks in the middle of a run."""
        self.set_debug(False)
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]  # the stub wants one T for all
        self.set_exception_handler(self._keep_fault)

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], **options: Any
    ) -> asyncio.Task[T]:
        task = Step(coroutine, loop=loop, serial=next(self._serial), **options)
        self._tasks.append(task)
        return task

    def _keep_fault(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.faults.append(context)

    def time(self) -> float:
        return self._virtual_s

    def call_at(  # type: ignore[override]  # the stub's TypeVarTuple says nothing more than this
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._serial), timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are thrown away when their time comes."""

    def _run_once(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]  # asyncio's own queue of handles
        if not ready and not self._stopping:  # type: ignore[attr-defined]  # set by `stop`
            self._move_time()
        while self._timers and self._timers[0][0] <= self._virtual_s:
            ready.append(heapq.heappop(self._timers)[2])
        turn = [handle for handle in ready if self._may_run(handle)]
        ready.clear()
        if len(turn) > 1 and self._chance.random() < self._shuffle:
            self._change_places(turn)
        self.steps += len(turn)
        if self.steps > STEPS_MAX and not self._last_rites:
            raise EndlessLoop(f"{self.steps} callbacks at {self._virtual_s} s")
        for handle in turn:
            # Somebody earlier in this turn may have cancelled it, or ended its node.
            if self._may_run(handle):
                handle._run()

    def _move_time(self) -> None:
        while self._timers and (self._timers[0][2].cancelled() or not self._is_alive(self._timers[0][2])):
            heapq.heappop(self._timers)
        if not self._timers:
            raise Stuck(f"nothing can happen any more at {self._virtual_s} s")
        self._virtual_s = max(self._virtual_s, self._timers[0][0])

    def _change_places(self, turn: list[asyncio.Handle]) -> None:
        places = [place for place, handle in enumerate(turn) if _is_step(handle)]
        order = places[:]
        self._chance.shuffle(order)
        for place, handle in zip(places, [turn[one] for one in order], strict=True):
            turn[place] = handle

    def _may_run(self, handle: asyncio.Handle) -> bool:
        if handle.cancelled():
            return False
        if not self._is_alive(handle):
            self._unrun.append(handle)
            return False
        return True

    def _is_alive(self, handle: asyncio.Handle) -> bool:
        # A handle's context has no public name.
        return is_alive(handle._context) or self._last_rites  # type: ignore[attr-defined]  # said above

    def unseen(self) -> list[BaseException]:
        """What ended tasks of living nodes, and nobody has asked for."""
        ended = [task for task in self._tasks if task.done() and not task.cancelled()]
        # asyncio would complain when it frees them.
        return [error for task in ended if task._log_traceback and (error := task.exception()) is not None]

    def bury(self) -> None:
        """End the tasks that are left, the dead ones too: their `finally` may run now, nobody looks any more."""
        self._last_rites = True
        self._ready.extend(self._unrun)  # type: ignore[attr-defined]  # asyncio's own queue of handles
        for _ in range(20):
            left = [task for task in self._tasks if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            self.run_until_complete(OUTSIDE.copy().run(self.create_task, _give_way()))
        self.close()

    def call_soon_threadsafe(  # type: ignore[override]  # the stub's TypeVarTuple says nothing more than this
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """There is one thread; asyncio itself calls this when an async generator is left behind."""
        return self.call_soon(callback, *args, context=context)

    def serial(self) -> int:
        """A number that no other call gives."""
        return next(self._serial)

    async def create_server(self, factory: Any, *_address: Any, **_options: Any) -> Any:  # type: ignore[override]  # of all the ways to call it, the one that is used
        assert self.sockets is not None, "there are no sockets in here"
        return await self.sockets.listen(factory)

    async def create_connection(  # type: ignore[override]  # of all the ways to call it, the one that is used
        self, factory: Any, host: str, port: int, **_options: Any
    ) -> Any:
        assert self.sockets is not None, "there are no sockets in here"
        return await self.sockets.connect(factory, port)

    def run_in_executor(self, *_args: Any) -> NoReturn:  # type: ignore[override]  # whatever it is called with
        raise AssertionError("there are no threads in here")

    def _process_events(self, _events: object) -> None:
        raise AssertionError("there are no file descriptors in here")


def _is_step(handle: asyncio.Handle) -> bool:
    callback = handle._callback  # type: ignore[attr-defined]  # as asyncio's own debug output finds it
    return isinstance(getattr(callback, "__self__", None), asyncio.Task)


async def pause(seconds: float) -> None:
    """Let virtual time pass."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    timer = loop.call_later(seconds, _ring, over)
    try:
        await over
    finally:
        timer.cancel()


def _ring(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


def run(loop: SimLoop, main: Coroutine[Any, Any, T]) -> T:
    """What `main` gives. Everything else is as it stands then; `SimLoop.bury` ends it."""
    return loop.run_until_complete(OUTSIDE.copy().run(loop.create_task, main))


async def _give_way() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
