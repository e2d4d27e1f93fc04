"""One address that speaks WebSocket and plain HTTP: bytes and connections, nothing of what they mean."""
