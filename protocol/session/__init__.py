"""A connection as a machine without I/O, one half for each end.

Frames and clock readings go in; frames, results and the next deadline come out. `server` and `client` hold
the order of frames, the deadlines and what ends a connection; the shells around them only move bytes.
"""
