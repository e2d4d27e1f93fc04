"""What a one-shot command pays for the client before it has done anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_importing_the_client_loads_no_websocket_library():
    """Sockets are loaded with the first connection; pydantic, textual and slow id packages never."""
    program = "import sys, protocol.client.client; print(*sys.modules)"
    asked = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in asked.stdout.split()}
    assert not loaded & {"websockets", "pydantic", "textual", "aiosqlite", "uuid6", "importlib_metadata"}
