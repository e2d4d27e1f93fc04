"""The terminal: the full-screen client, and one-shot commands for people and scripts.

cli            reads the command line; a one-shot command loads only what it needs
commands/      one module a command, all on the headless client
local, places  the local server: joined or started, watched, stopped; where its files lie
output, exits  what a command prints, and with which code it ends
app            the full-screen client; only it knows Textual
"""
