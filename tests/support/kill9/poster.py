"""A script over plain HTTP: it posts each action until it is answered, and reads the ledger page by page.

Duty: keep an action until its answer came, retry with the same id, write down answers and pages.
Must not know: the product; why a request failed.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import Any

from tests.sim.people import Who
from tests.support.kill9.diary import Diary
from tests.support.kill9.wires import Dialer
from tests.support.raw import Answer, Where, http_request


class Poster:
    """One person with a script. `where` is set whenever the server listens elsewhere."""

    def __init__(self, who: Who, diary: Diary, dialer: Dialer, token: str) -> None:
        self.who = who
        self.where: Where | None = None
        self.seq = 0
        self.outbox: dict[str, dict[str, Any]] = {}
        self._cursor: str | None = None
        self._diary = diary
        self._dialer = dialer
        self._token = token
        self._news = asyncio.Event()
        nothing = {"outbox": [], "rejected": [], "seq": 0, "event_id": None, "state": None}
        self._add("start", **self._place, **nothing)

    def act(self, key: str, action_type: str, payload: dict[str, Any]) -> None:
        """Keep an action; it is posted in its turn."""
        self._add("invoke", **self._place, key=key, type=action_type, payload=payload)
        self._add("queued", key=key)
        self.outbox[key] = {"type": action_type, "client_action_id": key, "payload": payload}
        self._news.set()

    def found(self, where: Where) -> None:
        """The server listens there now."""
        self.where = where
        self._news.set()

    def is_settled(self, seq: int) -> bool:
        return not self.outbox and self.seq == seq

    def read_on(self) -> None:
        """Look whether there is more to read."""
        self._news.set()

    def tell_end(self) -> None:
        self._add(
            "final_client",
            workspace=self.who.workspace,
            phase="live",
            seq=self.seq,
            pending=list(self.outbox),
            rejected=None,
            confirmed=None,
            view=None,
            streams={},
        )

    async def run(self) -> None:
        """Post and read for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                while self.outbox:
                    await self._post(next(iter(self.outbox)))
                await self._read()
            except (OSError, http.client.HTTPException, TimeoutError):
                self.where = None  # until someone says where the server is

    async def _ask(self, method: str, path: str, body: Any = None) -> Answer:
        if self.where is None:
            raise ConnectionError("there is no server")
        return await http_request(
            self.where, method, f"/workspaces/{self.who.workspace}/{path}", token=self._token, body=body
        )

    async def _post(self, key: str) -> None:
        self._diary.add("post", client=self.who.client, key=key)
        answer = await self._ask("POST", "events", self.outbox[key])
        told = answer.json
        if answer.status == 503:
            raise ConnectionError("the server is not available")
        if answer.status == 200:
            self._add("answered", key=key, **self._place, **told)
            if told["seq"] is None:
                conn = self._dialer.number(self.who)
                self._write("down", conn, {"type": "ack", "client_action_id": key, **told})
        else:
            self._add("answered", key=key, **self._place, status="refused", code=told["code"])
            self._add("settled", key=key, status="refused", code=told["code"], sent=True)
        del self.outbox[key]

    @property
    def _place(self) -> dict[str, str]:
        return {"actor": self.who.actor, "workspace": self.who.workspace}

    async def _read(self) -> None:
        """A page of the ledger, written down as a reader's frames: it must keep what they promise."""
        answer = await self._ask("GET", f"events?after={self._cursor or 0}&limit=1000")
        assert answer.status == 200, answer
        events = answer.lines
        if not events:
            return
        conn = self._dialer.number(self.who)
        head = {"seq": events[-1]["seq"], "event_id": events[-1]["event_id"]}
        self._write("up", conn, {"type": "hello", "since": self._cursor, "want": "events"})
        self._write("down", conn, {"type": "welcome", "head": head})
        self._write("down", conn, {"type": "events", "after": self.seq, "events": events})
        self.seq, self._cursor = head["seq"], head["event_id"]

    def _write(self, kind: str, conn: str, frame: dict[str, Any]) -> None:
        self._diary.add(kind, conn=conn, frame=json.dumps(frame))

    def _add(self, kind: str, **fields: Any) -> None:
        self._diary.add(kind, client=self.who.client, **fields)
