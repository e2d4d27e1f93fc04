"""The persistent map that state is made of, behind one name.

Duty: `Table[K, V]`: an immutable map whose `set` and `delete` share structure with the old one.
Must not know: what is stored.

`immutables.Map` sets in 0.5 us and gets in 0.08 us at 10,000 entries, where copying a dict costs 50 us.
"""

from __future__ import annotations

from immutables import Map as Table

__all__ = ["Table"]
