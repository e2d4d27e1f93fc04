"""scripts/obelisk as a person calls it: in a copy of the checkout, with an installer that needs no network.

The stand-in installer speaks as much of uv's command line as scripts/lib/environment.py uses, and writes down
each call. What pip and uv really do to a package is theirs to test.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.style.tree import ROOT

CLIENT = """\
import sys

def main():
    print("client", *sys.argv[1:])
    return 7
"""

INSTALLER = """\
#!/bin/sh
printf '%s\\n' "$1" >>"$INSTALLER_LOG"
case $1 in
    venv)
        for folder; do :; done
        exec "$REAL_PYTHON" -m venv --without-pip "$folder"
        ;;
    pip)
        if [ -e "$INSTALLER_LOG.fail" ]; then echo "error: no route to the index"; exit 2; fi
        [ -p "$INSTALLER_LOG.go" ] || exit 0
        echo started >"$INSTALLER_LOG.started"
        read -r _ <"$INSTALLER_LOG.go"
        ;;
esac
"""

TOOLS = ("sh", "dirname", "readlink", "cmp")
"""What the scripts may use of the system besides Python and an installer."""


@dataclass(frozen=True, slots=True)
class Barrier:
    """Two pipes to an installer that is held in the middle of an install."""

    started: int
    go: int

    def wait_until_started(self) -> None:
        assert select.select([self.started], [], [], 60)[0], "no install began within 60 s"

    def let_go(self) -> None:
        os.write(self.go, b"go\n")


@dataclass(frozen=True, slots=True)
class Desk:
    """A copy of the checkout and a PATH of our making."""

    root: Path
    bin: Path
    log: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": str(self.bin),
            "HOME": str(self.root.parent),
            "INSTALLER_LOG": str(self.log),
            "REAL_PYTHON": os.path.realpath(sys.executable),
        }

    def start(self, *arguments: str, command: Path | None = None, **extra: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [command or self.root / "scripts" / "obelisk", *arguments],
            cwd=self.bin,
            env=self.environment | extra,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, command: Path | None = None, **extra: str) -> tuple[int, str, str]:
        """(exit code, stdout, stderr) of one call."""
        with self.start(*arguments, command=command, **extra) as process:
            out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def installs(self) -> int:
        """How often packages were installed."""
        return self.log.read_text().split().count("pip") if self.log.exists() else 0

    @contextmanager
    def held_installer(self) -> Iterator[Barrier]:
        """Within it the installer stops in the middle of an install."""
        started, go = Path(f"{self.log}.started"), Path(f"{self.log}.go")
        os.mkfifo(started)
        os.mkfifo(go)
        # Open for both directions, so that neither end waits for the other to open.
        barrier = Barrier(os.open(started, os.O_RDWR), os.open(go, os.O_RDWR))
        try:
            yield barrier
        finally:
            barrier.let_go()
            go.unlink()
            started.unlink()
            os.close(barrier.started)
            os.close(barrier.go)

    @property
    def fail(self) -> Path:
        """The installer fails while this file is there."""
        return Path(f"{self.log}.fail")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    root, tools = tmp_path / "a check out", tmp_path / "bin"
    for folder in ("scripts", "requirements"):
        shutil.copytree(ROOT / folder, root / folder)
    shutil.copy(ROOT / "pyproject.toml", root)
    for package in ("tui", "server"):
        (root / package).mkdir()
        (root / package / "cli.py").write_text(CLIENT)
    tools.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (tools / tool).symlink_to(found)
    write_program(tools / "uv", INSTALLER)
    (tools / "python3").symlink_to(os.path.realpath(sys.executable))
    return Desk(root, tools, tmp_path / "installer.log")


def write_program(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_first_use_makes_the_environment_and_becomes_the_client(desk: Desk) -> None:
    """One call on a bare checkout ends in the client, with its arguments, its stdout alone and its exit code."""
    code, out, err = desk.run("add", "two words")
    assert (code, out) == (7, "client add two words\n")
    assert "making the environment" in err
    assert "is ready" in err


def test_the_second_start_needs_no_python_of_its_own(desk: Desk) -> None:
    """Once the environment is there, no other Python and no installer is looked for, and nothing is said."""
    desk.run()
    (desk.bin / "python3").unlink()
    (desk.bin / "uv").unlink()
    assert desk.run("list") == (7, "client list\n", "")


def test_the_second_start_is_quick(desk: Desk) -> None:
    """A start costs under 0.3 s of the script's own, the best of five and the client's Python included."""
    desk.run()
    took = []
    for _ in range(5):
        began_at = time.perf_counter()
        desk.run()
        took.append(time.perf_counter() - began_at)
    assert min(took) < 0.3


def test_a_link_to_the_command_works(desk: Desk) -> None:
    """The checkout is found through a chain of links, from any folder."""
    (desk.bin / "first").symlink_to(desk.root / "scripts" / "obelisk")
    (desk.bin / "second").symlink_to("first")
    assert desk.run("x", command=desk.bin / "second")[:2] == (7, "client x\n")


def test_the_environment_has_the_commands(desk: Desk) -> None:
    """`.venv/bin/obelisk` and `.venv/bin/obelisk-server` start by themselves, and the version is known."""
    desk.run()
    for command in ("obelisk", "obelisk-server"):
        assert desk.run("x", command=desk.root / ".venv/bin" / command)[:2] == (7, "client x\n")
    assert desk.run("x", command=desk.root / "scripts/obelisk-server")[:2] == (7, "client x\n")
    probe = "import importlib.metadata as m; print(m.version('obelisk'), *m.files('obelisk'))"
    asked = desk.run("-c", probe, command=desk.root / ".venv/bin/python")
    assert asked[1].startswith("0.1.0 obelisk.pth ../../../bin/obelisk ")


def test_changed_requirements_are_installed(desk: Desk) -> None:
    """The environment follows the requirements, once."""
    desk.run()
    with (desk.root / "requirements" / "run.txt").open("a") as file:
        file.write("# one more\n")
    assert "making the environment" in desk.run()[2]
    assert desk.run()[2] == ""
    assert desk.installs() == 2


def test_a_moved_checkout_is_linked_anew(desk: Desk) -> None:
    """A checkout that was moved, or whose version changed, starts from its new place without an install."""
    desk.run()
    moved = Desk(desk.root.with_name("elsewhere"), desk.bin, desk.log)
    desk.root.rename(moved.root)
    assert moved.run("x") == (7, "client x\n", "")
    assert moved.run("x", command=moved.root / ".venv/bin/obelisk")[:2] == (7, "client x\n")
    assert desk.installs() == 1


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_install_that_was_cut_short_is_repaired(desk: Desk, how: signal.Signals) -> None:
    """Whatever ends the first start in the middle, the next one starts anew and gets through."""
    with desk.held_installer() as barrier, desk.start() as process:
        barrier.wait_until_started()
        os.killpg(process.pid, how)
        process.communicate(timeout=60)
    assert process.returncode not in {0, 7}
    code, out, err = desk.run("x")
    assert (code, out) == (7, "client x\n")
    assert "cut short" in err


def test_two_starts_make_one_environment(desk: Desk) -> None:
    """The second terminal says that it waits, and both end in the client after one install."""
    with desk.held_installer() as barrier, desk.start("a") as first:
        barrier.wait_until_started()
        with desk.start("b") as second:
            assert second.stderr is not None
            assert "waiting" in second.stderr.readline()
            barrier.let_go()
            assert first.communicate(timeout=60)[0] == "client a\n"
            assert second.communicate(timeout=60)[0] == "client b\n"
    assert (first.returncode, second.returncode) == (7, 7)
    assert desk.installs() == 1


def test_a_failed_install_says_what_the_installer_said(desk: Desk) -> None:
    """Without packages there is no start: the reason is on stderr, and the next call tries again."""
    desk.fail.touch()
    # A Python that can make no environment of its own leaves nothing to fall back to.
    write_program(desk.bin / "python3", without_ensurepip(desk))
    code, out, err = desk.run()
    assert (code, out) == (69, "")
    assert "uv could not install the packages" in err
    assert "ensurepip is missing" in err
    assert "Traceback" not in err
    desk.fail.unlink()
    assert desk.run("x")[:2] == (7, "client x\n")


def without_ensurepip(desk: Desk) -> str:
    """A python3 as Debian's is without its venv package: `import ensurepip` finds nothing."""
    site = desk.bin.parent / "site"
    site.mkdir()
    (site / "hide.py").write_text(
        "import importlib.util, runpy, sys\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'ensurepip' else real(name, *rest)\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    real = os.path.realpath(sys.executable)
    return f'#!/bin/sh\n[ "$1" = -I ] || exec "{real}" "$@"\nshift\nexec "{real}" "{site}/hide.py" "$@"\n'


def test_a_missing_venv_package_is_named(desk: Desk) -> None:
    """Where Debian's Python lacks venv and there is no uv, the package to install is named."""
    write_program(desk.bin / "python3", without_ensurepip(desk))
    write_program(desk.bin / "apt-get", "#!/bin/sh\nexit 1\n")
    (desk.bin / "uv").unlink()
    code, out, err = desk.run()
    assert (code, out) == (69, "")
    assert f"sudo apt install python{sys.version_info.major}.{sys.version_info.minor}-venv" in err


def test_a_missing_python_is_named(desk: Desk) -> None:
    """Without any Python, one sentence says which one is needed and how to get it."""
    (desk.bin / "python3").unlink()
    (desk.bin / "uv").unlink()
    write_program(desk.bin / "apt-get", "#!/bin/sh\nexit 1\n")
    code, out, err = desk.run()
    assert (code, out) == (69, "")
    assert err.count("\n") == 1
    assert "needs Python 3.11 or later and found none" in err
    assert "sudo apt install python3" in err


def test_an_old_python_is_passed_over(desk: Desk) -> None:
    """A `python3` that is too old is not used while a newer one stands beside it."""
    write_program(desk.bin / "python3", "#!/bin/sh\nexit 1\n")
    (desk.bin / "python3.11").symlink_to(os.path.realpath(sys.executable))
    assert desk.run("x")[:2] == (7, "client x\n")


def test_a_named_python_is_the_one(desk: Desk) -> None:
    """OBELISK_PYTHON is used or refused, never silently replaced."""
    code, _, err = desk.run(OBELISK_PYTHON="/nowhere/python")
    assert code == 69
    assert "OBELISK_PYTHON=/nowhere/python" in err
    (desk.bin / "python3").unlink()
    assert desk.run(OBELISK_PYTHON=os.path.realpath(sys.executable))[0] == 7


def test_a_checkout_that_cannot_be_written_says_so(desk: Desk) -> None:
    """One sentence names the file, without a traceback."""
    (desk.root / ".venv.lock").mkdir()
    code, out, err = desk.run()
    assert (code, out) == (69, "")
    assert err.count("\n") == 1
    assert ".venv.lock" in err
