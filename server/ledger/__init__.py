"""The ledger: what happened, in order, once, kept.

`port` is the interface, `sqlite` and `memory` stand behind it, `commit` is the output gate in front of it.
Nothing is imported here: whoever needs only the values does not pay for the engine.
"""
