"""A process that queues actions without a server, and prints the id of each once it is durable. It ends when killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from protocol.client.client import Client
from protocol.client.target import Target


async def main(folder: Path) -> None:
    target = Target(workspace="home", unix=folder / "none.sock")
    client = await Client.open(target, cache=folder / "cache", client_name="test/1")
    number = 0
    while True:
        batch = [client.act("user.create_task", {"title": f"task {number + place}"}) for place in range(3)]
        number += len(batch)
        for sent in batch:
            await sent.queued()
            print(sent.client_action_id, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
