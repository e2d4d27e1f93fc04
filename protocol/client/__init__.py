"""The headless client: the only part of the shared language that does I/O.

The terminal, one-shot commands, bots and scripts all stand on it. `client` is what they use; behind it:

    link      one connection after the other; backoff, what ends it for good
    wire      a WebSocket, and its errors as ours
    cache     the durable outbox and the last confirmed state: `slots` (who uses which file), `store` (SQLite)
    target    where the server is and whom we act as
    clock     time, chance and new ids
    errors    what a program above must know can go wrong

Importing it loads neither the WebSocket library nor pydantic: an offline one-shot command needs neither.
"""
