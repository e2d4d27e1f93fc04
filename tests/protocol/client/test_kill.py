"""A client process that is killed: whatever it said was durable is there, in its order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from protocol.client.client import Client
from protocol.client.target import Target
from tests.support.fake_server import FakeServer, Ledger, running
from tests.support.wait import until

ROOT = Path(__file__).parents[3]


def killed_after(lines: int, folder: Path) -> list[str]:
    """The ids that a process printed before and while it was killed."""
    command = [sys.executable, "-m", "tests.protocol.client.queuing_process", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = [process.stdout.readline().strip() for _ in range(lines)]
        process.kill()
        return printed + process.stdout.read().split()


@pytest.mark.e2e
@pytest.mark.parametrize("lines", [1, 20, 61])
async def test_what_was_durable_when_the_process_was_killed_is_sent_by_the_next(tmp_path, lines):
    """kill -9 in the middle of queueing: every printed id is in the outbox, in order, and reaches the ledger once."""
    printed = killed_after(lines, tmp_path)
    ledger = Ledger()
    ledger.add_member("ana")
    target = Target(workspace="home", unix=tmp_path / "none.sock")
    client = await Client.open(target, cache=tmp_path / "cache", client_name="test/1")
    kept = [one.client_action_id for one in client.replica.pending]
    assert kept[: len(printed)] == printed
    assert len(client.replica.view.tasks) == len(kept)
    async with running(FakeServer(ledger), unix=target.unix) as server:
        client.retry()
        await until(lambda: not client.replica.pending)
        assert server.received == kept
        assert [event.client_action_id for event in ledger.events[1:]] == kept
        await client.close()
