"""Makes the environment in `.venv` of a checkout, and says on stderr how far it is.

Started by scripts/lib/start.sh with any Python from 3.11 on, before a package of ours or of others is there:
standard library only. It knows nothing of what runs in the environment afterwards.

1. One at a time: a lock on `.venv.lock`, which the installer inherits. It is free again when the last of them
   has ended, however that happened.
2. The copies of the requirements in `.venv/.obelisk` are written last. What was cut short never looks ready.
3. `.venv.lock` holds a line while an install is under way. Whoever finds one there after getting the lock
   knows that an install was cut short, trusts nothing of it and starts anew.
4. Nothing is written to stdout: it belongs to the command that runs next.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

EXIT_UNAVAILABLE = 69
"""Not one of the client's own exit codes, so that a script can tell the two apart."""
EXIT_INTERRUPTED = 130

TICK_S = 0.2
PLAIN_LINE_EVERY_S = 10.0
"""How often progress is said where stderr is not a terminal."""
OUTPUT_TAIL_MAX = 12
"""Lines of an installer's output that are shown when it failed."""

SETS = {"run": ("run",), "test": ("test", "run")}
"""Which requirement files are met once a set is installed: test.txt holds everything that run.txt does."""


class SetupError(Exception):
    """A sentence for the person: what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """Where things are in one checkout."""

    root: Path

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def made(self) -> Path:
        """What the environment was made from; start.sh compares these files."""
        return self.venv / ".obelisk"

    @property
    def lock_file(self) -> Path:
        return self.root / ".venv.lock"

    def requirements(self, name: str) -> Path:
        return self.root / "requirements" / f"{name}.txt"


# --- what is there already ---


def same(left: Path, right: Path) -> bool:
    """Whether both files exist and hold the same bytes."""
    return left.is_file() and right.is_file() and left.read_bytes() == right.read_bytes()


def is_installed(checkout: Checkout, name: str) -> bool:
    """Whether the packages of the set are there."""
    return os.access(checkout.python, os.X_OK) and same(
        checkout.requirements(name), checkout.made / f"{name}.txt"
    )


def is_linked(checkout: Checkout) -> bool:
    """Whether the environment knows this checkout, at this place and in this version."""
    place = checkout.made / "root"
    return (
        place.is_file()
        and place.read_text(encoding="utf-8") == f"{checkout.root}\n"
        and same(checkout.root / "pyproject.toml", checkout.made / "pyproject.toml")
    )


def is_usable(python: Path) -> bool:
    """Whether the environment's Python starts and is new enough, whoever made the environment."""
    probe = "import sys; sys.exit(sys.version_info < (3, 11) or sys.prefix == sys.base_prefix)"
    try:
        return (
            subprocess.run([str(python), "-I", "-c", probe], check=False, capture_output=True).returncode == 0
        )
    except OSError:
        return False


def has_pip(python: Path) -> bool:
    probe = [str(python), "-I", "-m", "pip", "--version"]
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0


# --- one at a time ---


@contextmanager
def only_one(checkout: Checkout) -> Iterator[IO[str]]:
    """Holds the lock, waiting for another terminal if need be. Yields the lock file."""
    with checkout.lock_file.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another terminal is making the environment; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def note_under_way(lock: IO[str], note: str) -> None:
    """Leaves the note for whoever comes next; an empty note means that all is well."""
    lock.seek(0)
    lock.truncate()
    lock.write(note)
    lock.flush()
    os.fsync(lock.fileno())


def was_cut_short(lock: IO[str]) -> bool:
    lock.seek(0)
    return bool(lock.read().strip())


# --- progress ---


def say(sentence: str) -> None:
    print(f"obelisk: {sentence}", file=sys.stderr, flush=True)


class Progress:
    """One line on stderr that moves: in place on a terminal, now and then elsewhere."""

    def __init__(self, total: int) -> None:
        self.total = total
        """How many packages there are, as far as the requirements tell."""
        self.count = 0
        self.detail = "starting"
        self.is_unpacking = False
        """Whether files of packages may have been written: only then a failure leaves half of something."""
        self.started_at = time.monotonic()
        self.on_terminal = sys.stderr.isatty()
        self.shown_at = self.started_at

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started_at

    def take(self, line: str) -> None:
        """Learns from a line of pip's or uv's output."""
        if found := re.match(r"\s*Collecting ([A-Za-z0-9._-]+)", line):
            self.count = min(self.count + 1, self.total)
            self.detail = f"fetching {found[1]}"
        elif line.startswith("Installing collected packages"):
            self.detail, self.is_unpacking = "unpacking", True
        elif found := re.match(
            r"(Resolved|Prepared|Installed|Downloading|Building|Uninstalled)\b", line.strip()
        ):
            self.detail = line.strip()[:60]

    def show(self) -> None:
        counted = f"{self.count} of {self.total}, " if self.count else ""
        line = f"obelisk: installing ({counted}{self.elapsed_s:.0f} s): {self.detail}"
        if self.on_terminal:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r{line[:width]}\x1b[K")
            sys.stderr.flush()
        elif time.monotonic() - self.shown_at >= PLAIN_LINE_EVERY_S:
            self.shown_at = time.monotonic()
            print(line, file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self.on_terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def count_pins(requirements: Path) -> int:
    """How many packages a file pins for this system; markers other than Windows' are taken to hold."""
    pins = re.findall(r"(?m)^[A-Za-z0-9._-]+==.*$", requirements.read_text(encoding="utf-8"))
    return sum("sys_platform == 'win32'" not in pin for pin in pins)


# --- the steps ---


def run_step(command: Sequence[str], progress: Progress, lock: IO[str]) -> list[str] | None:
    """Runs an installer with its output folded into the progress line.

    Returns None when it succeeded, else the last lines of what it said. The child keeps the lock while it
    lives.
    """
    tail: deque[str] = deque(maxlen=OUTPUT_TAIL_MAX)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(lock.fileno(),),
    ) as child:
        assert child.stdout is not None
        try:
            for line in lines_of(child.stdout, progress):
                progress.take(line)
                tail.append(line)
        except BaseException:
            child.terminate()
            raise
        finally:
            progress.clear()
    return None if child.returncode == 0 else list(tail)


def lines_of(output: IO[bytes], progress: Progress) -> Iterator[str]:
    """The lines of a child's output as they come; the progress line moves in between."""
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            progress.show()
            if not selector.select(TICK_S):
                continue
            chunk = os.read(output.fileno(), 65536)
            if not chunk:
                break
            *whole, pending = (pending + chunk).split(b"\n")
            yield from (line.decode(errors="replace").rstrip() for line in whole)
    if pending:
        yield pending.decode(errors="replace").rstrip()


def install(checkout: Checkout, name: str, lock: IO[str]) -> None:
    """Brings the packages of the set into the environment, with uv where there is one, else with pip.

    Raises SetupError with what the last installer said.
    """
    progress = Progress(count_pins(checkout.requirements(name)))
    uv = shutil.which("uv")
    said: list[str] | None = None
    if uv is not None:
        said = install_with_uv(uv, checkout, name, progress, lock)
        if said is None:
            return
        say("uv could not install the packages; trying with pip")
    if importlib.util.find_spec("ensurepip") is None and not has_pip_in(checkout):
        note_under_way(lock, "")
        raise SetupError(missing_ensurepip())
    said = install_with_pip(checkout, name, progress, lock)
    if said is not None:
        if not progress.is_unpacking:
            note_under_way(lock, "")
        raise SetupError(failed_install(said))


def has_pip_in(checkout: Checkout) -> bool:
    return is_usable(checkout.python) and has_pip(checkout.python)


def own_python() -> str:
    """This Python's own file: a link through `python3` would lead elsewhere after a system upgrade."""
    return os.path.realpath(sys.executable)


def install_with_uv(
    uv: str, checkout: Checkout, name: str, progress: Progress, lock: IO[str]
) -> list[str] | None:
    if not is_usable(checkout.python):
        make = [
            uv,
            "venv",
            "--quiet",
            "--no-project",
            "--clear",
            "--python",
            own_python(),
            str(checkout.venv),
        ]
        if (said := run_step(make, progress, lock)) is not None:
            return said
    target = ["--python", str(checkout.python), "--require-hashes"]
    target += ["--requirement", str(checkout.requirements(name))]
    return run_step([uv, "pip", "install", "--no-progress", *target], progress, lock)


def install_with_pip(checkout: Checkout, name: str, progress: Progress, lock: IO[str]) -> list[str] | None:
    if not has_pip_in(checkout):
        progress.detail = "making .venv"
        fresh = [] if is_usable(checkout.python) else ["--clear"]
        make = [own_python(), "-I", "-m", "venv", *fresh, str(checkout.venv)]
        if (said := run_step(make, progress, lock)) is not None:
            return said
    pip = [str(checkout.python), "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    options = ["--progress-bar", "off", "--require-hashes", "--requirement", str(checkout.requirements(name))]
    return run_step([*pip, *options], progress, lock)


def missing_ensurepip() -> str:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if shutil.which("apt-get"):
        remedy = f"sudo apt install python{version}-venv"
    else:
        remedy = f"your system's package for ensurepip of Python {version}, or uv"
    return (
        f"Python {version} cannot make an environment because ensurepip is missing; install it with: {remedy}"
    )


def failed_install(said: Sequence[str]) -> str:
    """The advice last, because the installer's lines push everything else off the screen."""
    shown = "\n".join(f"  {line}" for line in said if line)
    return f"the packages could not be installed; the installer said\n{shown}\nMend that, and run it again."


# --- the checkout inside its environment ---

WRAPPER = """\
import sys

from {module} import {function}

if __name__ == "__main__":
    sys.exit({function}())
"""


def link(checkout: Checkout) -> None:
    """Makes the checkout importable in its environment, its commands callable and its version known.

    An editable install without a build backend, in the files that PEP 376 and 627 name: one path file, which
    costs a start less than an import hook, and metadata with a RECORD, so that pip and uv can list and remove
    it.
    """
    project = tomllib.loads((checkout.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, version = project["name"], project["version"]
    packages = site_packages(checkout)
    for stale in packages.glob(f"{name}-*.dist-info"):
        shutil.rmtree(stale)
    metadata = packages / f"{name}-{version}.dist-info"
    metadata.mkdir()
    written = [packages / f"{name}.pth"]
    written[0].write_text(f"{checkout.root}\n", encoding="utf-8")
    for command, target in project["scripts"].items():
        written.append(write_command(checkout, command, target))
    entries = "".join(f"{command} = {target}\n" for command, target in project["scripts"].items())
    for file, text in (
        ("METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"),
        ("entry_points.txt", f"[console_scripts]\n{entries}"),
        ("INSTALLER", "obelisk\n"),
    ):
        (metadata / file).write_text(text, encoding="utf-8")
        written.append(metadata / file)
    written.append(metadata / "RECORD")
    record = "".join(f"{os.path.relpath(path, packages)},,\n" for path in written)
    written[-1].write_text(record, encoding="utf-8")


def site_packages(checkout: Checkout) -> Path:
    probe = "import sysconfig; print(sysconfig.get_path('purelib'))"
    asked = subprocess.run([checkout.python, "-I", "-c", probe], check=True, capture_output=True, text=True)
    return Path(asked.stdout.strip())


def write_command(checkout: Checkout, command: str, target: str) -> Path:
    """Writes `.venv/bin/COMMAND`. A path that a #! line cannot hold goes through sh, as pip does it."""
    module, _, function = target.partition(":")
    python = str(checkout.python)
    first = f"#!{python}\n"
    if " " in python or len(first) > 127:
        first = f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n"
    path = checkout.venv / "bin" / command
    path.write_text(first + WRAPPER.format(module=module, function=function), encoding="utf-8")
    path.chmod(0o755)
    return path


def remember(checkout: Checkout, name: str) -> None:
    """Writes down what the environment was made from."""
    checkout.made.mkdir(exist_ok=True)
    for met in SETS[name]:
        shutil.copyfile(checkout.requirements(met), checkout.made / f"{met}.txt")
    shutil.copyfile(checkout.root / "pyproject.toml", checkout.made / "pyproject.toml")
    (checkout.made / "root").write_text(f"{checkout.root}\n", encoding="utf-8")


# --- the whole ---


def make_ready(checkout: Checkout, name: str) -> None:
    """Does what is missing, and nothing when another terminal has done it meanwhile."""
    with only_one(checkout) as lock:
        if was_cut_short(lock):
            say("the last install was cut short; starting anew")
            shutil.rmtree(checkout.venv, ignore_errors=True)
        if not is_installed(checkout, name):
            began_at = time.monotonic()
            say(f"making the environment in {checkout.venv} (first use, or the requirements changed)")
            note_under_way(lock, f"installing in process {os.getpid()}\n")
            install(checkout, name, lock)
            note_under_way(lock, "")
            say(f"the environment is ready after {time.monotonic() - began_at:.0f} s")
        if not is_linked(checkout) or not (checkout.made / f"{name}.txt").is_file():
            link(checkout)
        remember(checkout, name)


def stop(_signum: int, _frame: object) -> NoReturn:
    """SIGTERM and SIGHUP end us as Ctrl-C does: the installer goes too, and what was half made is noted."""
    raise KeyboardInterrupt


def main(arguments: Sequence[str]) -> int:
    root, name = arguments
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    try:
        make_ready(Checkout(Path(root)), name)
    except KeyboardInterrupt:
        say("interrupted; the next start begins the install anew")
        return EXIT_INTERRUPTED
    except SetupError as error:
        say(str(error))
        return EXIT_UNAVAILABLE
    except OSError as error:
        say(f"the environment could not be made: {error.strerror}: {error.filename or root}")
        return EXIT_UNAVAILABLE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
