"""Every bound of the system: its name, its unit, and what happens at one more.

Duty: the one place where a number that bounds something is written down.
Must not know: anything; it imports nothing of the project.

1. A name ends in its unit or in `_max`; sizes are bytes of UTF-8 unless the name says characters.
2. What the contract names is the contract's; the rest may be tuned without touching the wire.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# What clients send. One more gives the reject `too_large` (a frame: close 1009).
frame_bytes_max: Final = 256 * KIB
text_bytes_max: Final = 64 * KIB
title_characters_max: Final = 500
tags_max: Final = 64
tag_characters_max: Final = 64
client_action_id_characters_max: Final = 128
entity_id_characters_max: Final = 128
batch_actions_max: Final = 200
instructions_bytes_max: Final = 16 * KIB
focus_characters_max: Final = 200
client_name_characters_max: Final = 100
minutes_max: Final = 7 * 24 * 60
position_characters_max: Final = 64
payload_depth_max: Final = 32

# Collections of the state that are full with the reject `limit`.
open_tasks_max: Final = 10_000
threads_max: Final = 1_000
memories_max: Final = 5_000
members_max: Final = 1_000
open_reminders_max: Final = 5_000
open_proposals_max: Final = 100
waiting_messages_max: Final = 100

# Collections of the state that `reduce` trims, oldest first; what is trimmed stays in the ledger.
thread_messages_max: Final = 500
thread_text_bytes_max: Final = 1 * MIB
closed_tasks_max: Final = 1_000
plans_max: Final = 60
digests_max: Final = 60
fired_reminders_max: Final = 200
settled_proposals_max: Final = 100

# Replay and snapshots.
replay_events_max: Final = 20_000
"""Further behind than this, a reader of `want: state` gets a snapshot."""
snapshot_part_bytes_max: Final = 256 * KIB
events_frame_bytes_max: Final = 256 * KIB
replay_page_events_max: Final = 1_000
http_events_max: Final = 10_000
http_body_bytes_max: Final = 1 * MIB

# Connections. One more than these is opened and closed with 4429.
connections_max: Final = 10_000
connections_per_actor_max: Final = 256
connections_without_hello_max: Final = 1_000
actions_per_s_max: Final = 200
actions_burst_max: Final = 2_000
actions_in_flight_max: Final = 1_024
"""Actions of one connection that wait for their outcome; with more it is read no further."""
outgoing_bytes_max: Final = 8 * MIB
"""A connection whose write buffer is larger is aborted; it comes back with its cursor."""
catch_up_buffer_bytes_max: Final = 1 * MIB
"""A connection that is catching up is fed only while its write buffer is smaller."""
presence_members_max: Final = 100

# Times of the connection.
hello_timeout_s: Final = 10.0
head_interval_s: Final = 15.0
typing_s: Final = 6.0
presence_interval_s: Final = 1.0
welcome_timeout_s: Final = 10.0
silence_s: Final = 20.0
"""A client that has heard nothing for so long takes the link for dead."""
open_timeout_s: Final = 10.0
"""From the first byte of a connection to the end of its head."""
close_timeout_s: Final = 5.0
"""What clients get to take their close before they are cut."""
drain_s: Final = 14.0
"""A server that was asked to stop ends within this, whatever hangs; the contract gives it 15."""

# Streams of an answer.
token_join_s: Final = 0.040
segment_interval_s: Final = 0.250
stalled_s: Final = 60.0
"""An answer that makes no progress for so long is interrupted."""
answer_bytes_max: Final = 256 * KIB
open_streams_max: Final = 32
"""Answers that one workspace has open at a time; further questions wait."""

# The server's own queues.
outcomes_cached_max: Final = 4_096
"""Stored outcomes kept in memory a workspace; a miss is looked up in the ledger."""
group_rows_max: Final = 4_096
"""Rows of one commit; what is more waits for the next. A record is never divided."""
group_bytes_max: Final = 8 * MIB
"""Bytes of event data and text in one commit; what is more waits for the next."""
inbox_batch_max: Final = 256
"""Actions that one locked step decides before it lets others have the loop."""

# The client.
outbox_actions_max: Final = 10_000
backoff_first_s: Final = 0.5
backoff_max_s: Final = 15.0
"""With the ten seconds of a try that nobody answers: back within 30 s once there is a server again."""
healthy_s: Final = 60.0
"""A link that held so long starts its backoff anew."""
