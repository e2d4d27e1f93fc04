"""The shared language of Obelisk: what both ends of a connection, and the ledger between them, agree on.

Everything here is pure: no clock, no randomness, no file, no socket. Only `protocol.client` does I/O.

How a change travels, and which module holds each step:

    intent      actions     what can be wanted: `user.create_task`, … (imperative)
      │ decide              state + action + context -> events, or a refusal with its reason
      ▼
    fact        events      what can happen: `task.created`, … (past tense or a milestone)
      │ reduce              state + event -> state; total, bounded, the same on both ends
      ▼
    what is     state       tasks, threads, messages, memory, plans, … and `digest`, their fingerprint

    on the wire frames      hello, welcome, snapshot, events, ack, reject, …; `codec` makes and reads bytes
    on a link   session/    the connection as a machine without I/O, one half for each end
    in a client replica     confirmed state + pending actions = the view; rebase: decide these again

Around them: `limits` (every bound), `errors` (codes), `ids`, `times`, `text` (safe text), `table` (the
persistent map), `upcast` (old payloads), `quickadd` and `when` (one line of words -> a task), and `client/`,
the headless client that the terminal, the one-shot commands and scripts stand on.

Words: an action `c7` is decided into events `e3`; a predicted event is `e3'`; `A:e3'` is that one at A.
"""

from __future__ import annotations

PROTOCOL_VERSION = 1
"""What `hello` and `welcome` carry; another one is closed with 4409."""

REDUCER_VERSION = 1
"""The version of `reduce`: digests are compared only where both ends' are the same."""

SUBPROTOCOL = "obelisk.v1"

VERSION = "0.1.0"
"""The release, as in pyproject.toml; a test holds them together."""
