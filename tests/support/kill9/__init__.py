"""kill -9 loops: real processes, real sockets, real SQLite, judged by the simulator's history checker."""
