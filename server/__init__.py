"""The server: one state machine a workspace, one ledger under all of them, one port for everything.

cli -> app        reads the command line; wires the parts together
gateway/          bytes: WebSocket and HTTP on one port; sessions and routes on top of it
auth              who is it?
registry          which workspaces are open
workspace         the only writer: decides, stamps, reduces, and lets nothing out before its commit
hub, streams      who listens to a workspace; the answers that are open in it
ledger/           the append-only ledger and its group commit
assistant/, workflows/   producers: they watch commits and submit actions as any client does
clock             time and ids, the only place where they come from
"""
