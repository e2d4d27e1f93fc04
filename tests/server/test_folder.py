"""The data folder: private, and one server's at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from server.folder import FolderError, FolderInUse, existing, prepare
from tests.support.servers import ROOT


@pytest.fixture(autouse=True)
def umask() -> object:
    """`prepare` sets the process's mask; it is put back."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_it_is_made_private(tmp_path: Path) -> None:
    """A folder that is not there is made for its owner alone, with its parents, and so is all that is made in it."""
    folder = prepare(tmp_path / "a" / "b")
    assert folder.path.stat().st_mode & 0o777 == 0o700
    with folder.locked():
        assert {one.stat().st_mode & 0o777 for one in folder.path.iterdir()} == {0o600}
    (folder.path / "later").touch()
    assert (folder.path / "later").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o770])
def test_others_can_read_it(tmp_path: Path, mode: int) -> None:
    """A folder that others can look into is refused, with the command that mends it."""
    path = tmp_path / "data"
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(FolderError, match=f"chmod 700 {path}"):
        prepare(path)


@pytest.mark.parametrize("name", ["ledger.db", "ledger.db-wal", "ledger.db-shm"])
def test_others_can_read_a_file(tmp_path: Path, name: str) -> None:
    """A ledger file that others can read is refused, with the command that mends it."""
    folder = prepare(tmp_path / "data")
    (folder.path / name).touch()
    (folder.path / name).chmod(0o640)
    with pytest.raises(FolderError, match=f"chmod 600 .*{name}"):
        prepare(folder.path)


def test_it_is_a_file(tmp_path: Path) -> None:
    """A path that is a file, or leads through one, is refused in one sentence."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(FolderError) as caught:
            prepare(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_it_cannot_be_written(tmp_path: Path) -> None:
    """A folder that its owner may not write is refused."""
    path = tmp_path / "data"
    path.mkdir(mode=0o500)
    with pytest.raises(FolderError, match="cannot be written"):
        prepare(path)


def test_it_is_in_use(tmp_path: Path) -> None:
    """The lock is one holder's at a time, and free when that one lets go."""
    folder = prepare(tmp_path / "data")
    with folder.locked(), pytest.raises(FolderInUse, match="in use"), folder.locked():
        pass
    with folder.locked():
        pass


def test_the_lock_goes_with_the_process(tmp_path: Path) -> None:
    """A holder that is killed leaves no lock behind."""
    folder = prepare(tmp_path / "data")
    code = (
        "import sys; from pathlib import Path; from server.folder import prepare\n"
        "with prepare(Path(sys.argv[1])).locked(): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code, str(folder.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(FolderInUse), folder.locked():
            pass
        holder.kill()
        holder.wait(10)
    with folder.locked():
        pass


def test_one_that_must_exist(tmp_path: Path) -> None:
    """Where a ledger is needed none is made."""
    with pytest.raises(FolderError, match="no ledger"):
        existing(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_home_is_spelled_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` is the home folder, and a relative path is from here."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert prepare(Path("~/one")).path == tmp_path / "one"
    assert prepare(Path("two")).path == tmp_path / "two"
