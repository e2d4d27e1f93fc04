"""Who may import whom. The directions are what makes the core testable without a clock, a file or a socket."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

from tests.style.tree import PACKAGES, ROOT, Module, calls, imports, is_within, modules, parse

EFFECTS = (
    *("asyncio", "concurrent", "multiprocessing", "queue", "sched", "select", "selectors", "threading"),
    *("aiosqlite", "http", "socket", "socketserver", "sqlite3", "ssl", "urllib.request", "websockets", "h11"),
    *("getpass", "glob", "io", "os", "pathlib", "platform", "shutil", "signal", "subprocess", "tempfile"),
    *("locale", "logging", "random", "secrets", "time", "uvloop"),
)
"""What the pure part of `protocol` must not touch."""

CLOCKS = ("server.clock", "protocol.client.clock")
"""The ports that hold the time, randomness and new ids."""

HIDDEN_INPUTS = {
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today"),
    *("time.time", "time.time_ns", "uuid.uuid1", "uuid.uuid4", "uuid1", "uuid4"),
    *("uuid6.uuid6", "uuid6.uuid7", "uuid6.uuid8", "uuid7"),
}

OWNERS = {
    "textual": ("tui",),
    "rich": ("tui",),
    "h11": ("server",),
    "asyncssh": ("tui.ssh",),
    "pydantic_ai": ("server.assistant",),
    "aiosqlite": ("server", "protocol.client"),
}
"""A package that only one part knows."""


def wrong_directions(module: Module) -> set[str]:
    """What a module imports although its part must not know it."""
    name, seen = module.name, imports(module)
    forbidden: tuple[str, ...] = ()
    if is_within(name, "protocol"):
        forbidden = ("server", "tui", "tests")
        if not is_within(name, "protocol.client"):
            forbidden += ("protocol.client", *EFFECTS)
    elif is_within(name, "server"):
        forbidden = ("tui", "protocol.client", "tests")
    elif is_within(name, "tui"):
        forbidden = ("server", "tests")
    return {imported for imported in seen if is_within(imported, *forbidden)}


def foreign_packages(module: Module) -> set[str]:
    """Imports of a package that belongs to another part."""
    return {
        imported
        for imported in imports(module)
        for package, owners in OWNERS.items()
        if is_within(imported, package) and not is_within(module.name, *owners)
    }


def hidden_inputs(module: Module) -> set[str]:
    """Time, randomness and new ids that are taken past the ports."""
    if is_within(module.name, *CLOCKS):
        return set()
    called = {name for _, name in calls(module) if name in HIDDEN_INPUTS}
    return called | {name for name in imports(module) if is_within(name, "random")}


def test_imports_go_one_way() -> None:
    """protocol knows neither end and no effect; server and tui know protocol, and not each other."""
    found = {module.where: wrong for module in modules(*PACKAGES) if (wrong := wrong_directions(module))}
    assert not found


def test_a_package_is_known_to_its_owner_only() -> None:
    """What the outside world is made of is known in one part each."""
    found = {module.where: wrong for module in modules(*PACKAGES) if (wrong := foreign_packages(module))}
    assert not found


def test_time_and_chance_come_through_ports() -> None:
    """Nothing reads the clock, draws a number or mints an id but the clock modules."""
    found = {module.where: wrong for module in modules(*PACKAGES) if (wrong := hidden_inputs(module))}
    assert not found


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("protocol.decide", "import asyncio"),
        ("protocol.decide", "import os.path"),
        ("protocol.decide", "from protocol.client import link"),
        ("protocol.client.link", "from server.app import serve"),
        ("server.app", "def late():\n    import tui.app"),
        ("server.app", "from protocol import client"),
        ("tui.app", "from server import cli"),
        ("tui.app", "from tests.support import wait"),
    ],
)
def test_a_wrong_direction_is_seen(name: str, source: str) -> None:
    """Late imports, submodules and `from … import module` are seen like any other."""
    assert wrong_directions(parse(name, source))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("protocol.client.link", "import asyncio, os\nfrom protocol.session import client"),
        ("protocol.decide", "from protocol.state import State\nimport datetime"),
        ("server.app", "from protocol.session import server"),
        ("tui.app", "from protocol.client import link"),
        ("server.osier", "import os"),
    ],
)
def test_a_right_direction_is_left_alone(name: str, source: str) -> None:
    """The rule does not stop what it is meant to allow."""
    assert not wrong_directions(parse(name, source))


def test_a_hidden_input_is_seen() -> None:
    """The clock is found however it is spelled, and is allowed in its port."""
    source = "import datetime\nnow = datetime.datetime.now()"
    assert hidden_inputs(parse("server.hub", source)) == {"datetime.datetime.now"}
    assert not hidden_inputs(parse("server.clock", source))


def test_no_dependency_takes_our_names() -> None:
    """No installed distribution but ours ships a top-level module with the name of one of our packages."""
    taken = {
        f"{distribution.metadata['Name']}: {file}"
        for distribution in importlib.metadata.distributions()
        if distribution.metadata["Name"] != "obelisk"
        for file in distribution.files or ()
        if file.parts[0].removesuffix(".py") in PACKAGES
    }
    assert not taken


def loaded_by(*names: str) -> set[str]:
    """Top-level names in sys.modules after a fresh Python imported these modules."""
    program = f"import sys, {', '.join(names)}; print(*sys.modules)"
    asked = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stderr
    return {name.partition(".")[0] for name in asked.stdout.split()}


@pytest.mark.parametrize(
    ("command", "heavy"),
    [
        ("tui.cli", {"textual", "rich", "pydantic", "pydantic_settings", "server", "asyncssh"}),
        ("server.cli", {"textual", "rich", "pydantic", "pydantic_settings", "tui", "pydantic_ai"}),
    ],
)
def test_a_command_starts_light(command: str, heavy: set[str]) -> None:
    """What a one-shot command or the way of `serve` to its first ack does not need is not even imported."""
    if not (ROOT / command.replace(".", "/")).with_suffix(".py").exists():
        pytest.skip(f"{command} is not there")
    assert not loaded_by(command) & heavy


def test_the_pure_part_loads_no_effects() -> None:
    """Importing all of protocol but its client brings in no event loop, socket library or database."""
    pure = [module.name for module in modules("protocol") if not is_within(module.name, "protocol.client")]
    if not pure:
        pytest.skip("protocol is not there")
    assert not loaded_by(*pure) & {
        "asyncio",
        "websockets",
        "aiosqlite",
        "sqlite3",
        "socket",
        "ssl",
        "pydantic",
    }
