"""Widgets of the terminal client; each takes values and posts messages, none knows the wire or the store."""
