"""The one-shot commands. Each module has `run`, which gets an open session and what was asked.

session   a client for the length of a command: reach, act, follow
ledger    what the link does not bring: stored outcomes and older events, over plain HTTP
kept      what is kept for later, and that there is something
tasks     which task a person means
server    the local server; it needs no session
"""
