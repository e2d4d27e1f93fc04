"""`obelisk-server`: what it prints, how it exits, and how it says what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.cli import main
from server.folder import prepare
from tests.support.raw import Where, http_request, open_client
from tests.support.servers import ServerProcess, command, environment, server_process, short_folder

pytestmark = pytest.mark.e2e


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name."""
    with short_folder() as path:
        yield path


@pytest.fixture(autouse=True)
def process() -> Iterator[None]:
    """Commands that run in this process leave its mask, and what it logs, as they were."""
    log = logging.getLogger("obelisk")
    before, level = os.umask(0o022), log.level
    yield
    os.umask(before)
    log.setLevel(level)


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str, status: int) -> str:
    """The one sentence on stderr of a command that cannot be done; nothing on stdout, no traceback."""
    assert main(list(arguments)) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("obelisk-server: ")]
    assert len(lines) == 1, err
    assert err.strip().splitlines()[-1] == lines[0]
    return lines[0].removeprefix("obelisk-server: ")


# serve


def test_the_ready_line() -> None:
    """One JSON line on stdout says where it listens; a port of 0 is a free one; SIGTERM ends it with 0."""
    with server_process("--unix", "{folder}/o.sock") as process:
        assert list(process.ready) == ["ready", "listen", "unix", "pid"]
        assert process.ready["ready"] is True
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", process.ready["listen"])
        assert process.ready["unix"] == str(process.data.parent / "o.sock")
        assert process.ready["pid"] == process.pid
        assert process.terminate() == 0
        assert "Traceback" not in process.errors.read_text()


async def test_sigterm_says_goodbye() -> None:
    """On SIGTERM clients get 1001, one that reads nothing included, and the process ends within 15 s with 0."""
    with server_process() as process:
        token = await asyncio.to_thread(process.token)
        async with (
            open_client(process.where, token=token) as good,
            open_client(process.where, token=token) as deaf,
        ):
            await good.hello()
            await good.synced()
            deaf.stop_reading()
            assert await asyncio.to_thread(process.terminate) == 0
            assert await good.closed() == 1001


def test_only_a_unix_socket() -> None:
    """Without `--listen` there is no TCP port; the files are its owner's alone and gone at the end."""
    with server_process("--unix", "{folder}/o.sock", listen=None) as process:
        path = Path(process.ready["unix"])
        assert process.ready["listen"] is None
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for one in process.data.iterdir():
            assert stat.S_IMODE(one.stat().st_mode) & 0o077 == 0
        assert process.terminate() == 0
        assert not path.exists()


def test_a_stale_socket_is_no_hindrance() -> None:
    """After a kill -9 the same command starts again on the same folder and socket."""
    with server_process("--unix", "{folder}/o.sock", listen=None) as process:
        process.kill9()
        assert process.start()["ready"] is True


def test_nothing_to_listen_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither address is wrong usage."""
    assert "--listen" in complaint(capsys, "serve", "--data", str(folder / "data"), status=2)
    assert not (folder / "data").exists()


@pytest.mark.parametrize(
    "listen",
    ["", "nonsense", "127.0.0.1", "127.0.0.1:", ":x", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:²"],
)
def test_a_bad_address(folder: Path, listen: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no HOST:PORT is wrong usage, with an example."""
    said = complaint(capsys, "serve", "--data", str(folder / "data"), f"--listen={listen}", status=2)
    assert "HOST:PORT" in said


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "192.0.2.1:0", "[::]:0", "example.invalid:0"])
def test_not_loopback_without_tls(folder: Path, listen: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An address that is not loopback needs TLS."""
    said = complaint(capsys, "serve", "--data", str(folder / "data"), "--listen", listen, status=2)
    assert "--tls-cert" in said


@pytest.mark.parametrize(
    "limit",
    [
        "nonsense=1",
        "actions_per_s_max",
        "actions_per_s_max=x",
        "actions_per_s_max=-1",
        "actions_per_s_max=nan",
        "actions_per_s_max=inf",
    ],
)
def test_a_bad_limit(folder: Path, limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit that is none, or no number that it can have, is wrong usage."""
    complaint(
        capsys, "serve", "--data", str(folder / "data"), "--listen=127.0.0.1:0", "--limit", limit, status=2
    )


def test_a_port_in_use(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A port in use is said, with what to do."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = complaint(capsys, "serve", "--data", str(folder / "data"), "--listen", address, status=1)
    assert said == f"{address} is in use; stop what listens there or choose another address"


def test_a_socket_in_use(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A Unix socket that is a file, or somebody's, is said by its own name, though the port is fine."""
    (folder / "o.sock").touch()
    arguments = ("--listen", "127.0.0.1:0", "--unix", str(folder / "o.sock"))
    said = complaint(capsys, "serve", "--data", str(folder / "data"), *arguments, status=1)
    assert said.startswith(f"{folder / 'o.sock'} is in use")


def test_a_socket_in_no_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A Unix socket whose folder is not there, or whose path is too long, is said."""
    for path in (folder / "nowhere" / "o.sock", folder / ("x" * 120)):
        said = complaint(capsys, "serve", "--data", str(folder / "data"), "--unix", str(path), status=1)
        assert str(path) in said


def test_an_address_of_another_machine(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address that this machine does not have is said."""
    certificate, key = self_signed(tmp_path)
    arguments = ("--listen", "192.0.2.1:0", "--tls-cert", str(certificate), "--tls-key", str(key))
    said = complaint(capsys, "serve", "--data", str(folder / "data"), *arguments, status=1)
    assert said == "192.0.2.1:0 is no address of this machine"


def test_a_folder_that_is_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A data folder that is a file is said, with what to do."""
    (folder / "data").touch()
    said = complaint(capsys, "serve", "--data", str(folder / "data"), "--listen=127.0.0.1:0", status=1)
    assert "is a file" in said
    assert "name a folder" in said


def test_a_folder_that_others_can_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A data folder that others can read is said, with the command that mends it."""
    (folder / "data").mkdir()
    (folder / "data").chmod(0o755)
    said = complaint(capsys, "serve", "--data", str(folder / "data"), "--listen=127.0.0.1:0", status=1)
    assert f"chmod 700 {folder / 'data'}" in said


def test_a_folder_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    """A data folder that another server uses is said."""
    with server_process() as process:
        arguments = ("serve", "--data", str(process.data), "--listen=127.0.0.1:0")
        assert "in use" in complaint(capsys, *arguments, status=1)


def test_a_folder_that_cannot_be_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A data folder that cannot be made or written is said."""
    if os.getuid() == 0:
        where = "/proc/obelisk"  # root may write everywhere but here
    else:
        folder.chmod(0o500)
        where = str(folder / "data")
    said = complaint(capsys, "serve", "--data", where, "--listen=127.0.0.1:0", status=1)
    folder.chmod(0o700)
    assert where in said


@pytest.mark.parametrize(
    "content", [b"this is no ledger, but a letter to somebody", b"SQLite format 3\x00" + bytes(4_000)]
)
def test_a_ledger_that_is_none(folder: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is no ledger is said, and left as it is."""
    data = prepare(folder / "data")
    data.ledger.write_bytes(content)
    data.ledger.chmod(0o600)
    said = complaint(capsys, "serve", "--data", str(data.path), "--listen=127.0.0.1:0", status=1)
    assert str(data.ledger) in said
    assert data.ledger.read_bytes() == content


# TLS


def self_signed(where: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl command here")
    certificate, key = where / "cert.pem", where / "key.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
        timeout=30,
    )
    return certificate, key


async def test_tls(tmp_path: Path) -> None:
    """With a certificate the same address speaks wss and https, and says so in the ready line."""
    certificate, key = self_signed(tmp_path)
    with server_process("--tls-cert", str(certificate), "--tls-key", str(key)) as process:
        assert process.ready["listen"].startswith("https://127.0.0.1:")
        token = await asyncio.to_thread(process.token)
        trusting = Where(process.ready["listen"], tls=ssl.create_default_context(cafile=str(certificate)))
        async with open_client(trusting, token=token) as client:
            await client.hello()
            await client.synced()
            await client.done("user.remember", "c1", text="x" * 60_000)
        answer = await http_request(trusting, "GET", "/workspaces/home/actions/c1", token=token)
        assert answer.json["status"] == "applied"
        plain = Where(process.ready["listen"].replace("https", "http"))
        with pytest.raises((OSError, http.client.HTTPException)):
            await http_request(plain, "GET", "/healthz")
        assert await asyncio.to_thread(process.terminate) == 0


def test_half_of_tls(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A certificate without a key, or files that are none, are wrong usage."""
    certificate, key = self_signed(tmp_path)
    start = ("serve", "--data", str(folder / "data"), "--listen=127.0.0.1:0")
    assert "go together" in complaint(capsys, *start, "--tls-cert", str(certificate), status=2)
    assert "go together" in complaint(capsys, *start, "--tls-key", str(key), status=2)
    for wrong in (tmp_path / "nowhere", Path(__file__)):
        complaint(capsys, *start, "--tls-cert", str(wrong), "--tls-key", str(key), status=2)


# token and verify


def test_token_create(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`token create` prints the token and nothing else, and makes what is not there."""
    arguments = ("--data", str(folder / "data"), "--actor", "ana", "--workspace", "home", "--role", "owner")
    assert main(["token", "create", *arguments]) == 0
    out, err = capsys.readouterr()
    assert re.fullmatch(r"obk_[A-Za-z0-9_-]{43}\n", out)
    assert err == ""
    assert main(["token", "list", "--data", str(folder / "data")]) == 0
    listed = capsys.readouterr().out
    assert "ana" in listed
    assert out.strip() not in listed


def test_token_revoke(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`token revoke` ends a token by its id; another id is an error."""
    data = str(folder / "data")
    main(["token", "create", "--data", data, "--gateway"])
    capsys.readouterr()
    main(["token", "list", "--data", data])
    token_id = capsys.readouterr().out.split()[0]
    assert main(["token", "revoke", "--data", data, token_id]) == 0
    capsys.readouterr()
    main(["token", "list", "--data", data])
    assert "revoked" in capsys.readouterr().out
    assert "no token" in complaint(capsys, "token", "revoke", "--data", data, "none", status=1)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("--actor", "ana"), 2),
        (("--workspace", "home"), 2),
        ((), 2),
        (("--actor", "system", "--workspace", "home"), 1),
        (("--actor", "Ana", "--workspace", "home"), 1),
        (("--actor", "ana", "--workspace", "No Name"), 1),
    ],
)
def test_a_token_that_cannot_be(
    folder: Path, arguments: tuple[str, ...], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is missing or cannot be is said in a sentence."""
    complaint(capsys, "token", "create", "--data", str(folder / "data"), *arguments, status=status)


def test_verify(capsys: pytest.CaptureFixture[str]) -> None:
    """`verify` prints a line a workspace and exits with 0, beside a server and without one."""
    with server_process() as process:
        process.token()
        process.token(workspace="other")
        for _ in range(2):
            assert main(["verify", "--data", str(process.data)]) == 0
            lines = capsys.readouterr().out.splitlines()
            assert [line.partition(":")[0] for line in lines] == ["home", "other"]
            process.stop()


def test_verify_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a ledger `verify` exits with 1 and makes none."""
    complaint(capsys, "verify", "--data", str(folder / "data"), status=1)
    assert not (folder / "data").exists()


# The process itself


@pytest.mark.parametrize(
    "arguments", [(), ("serve",), ("nonsense",), ("token",), ("serve", "--data"), ("verify", "--nonsense")]
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    """Arguments that make no sense exit with 2, nothing on stdout, no traceback."""
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert "usage" in done.stderr


def test_a_complaint_of_the_real_process() -> None:
    """The real process says the same one sentence and exits with the same code."""
    with server_process() as process:
        done = command("serve", "--data", str(process.data), "--listen", "127.0.0.1:0")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("obelisk-server: the data folder")


def test_without_assertions() -> None:
    """Under `-O` the guards are off: it does not start."""
    done = subprocess.run(
        [sys.executable, "-P", "-O", "-m", "server.cli", "verify", "--data", "x"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env=environment(),
    )
    assert done.returncode == 1
    assert "-O" in done.stderr


def test_help_and_version() -> None:
    """`--help` and `--version` go to stdout and exit with 0."""
    for option in ("--help", "--version"):
        done = command(option)
        assert done.returncode == 0
        assert "obelisk-server" in done.stdout


def test_stdout_holds_the_ready_line_alone() -> None:
    """Log lines go to stderr; stdout holds the one line."""
    with server_process() as process:
        assert isinstance(process, ServerProcess)
        inner = process._process
        assert inner is not None
        assert inner.stdout is not None
        descriptor = os.dup(inner.stdout.fileno())
        assert process.terminate() == 0
        with os.fdopen(descriptor, "rb") as rest:
            assert rest.read() == b""
        assert json.dumps(process.ready)
        assert "ready" in process.errors.read_text()


def test_a_stop_ends_whatever_hangs() -> None:
    """A server whose stop hangs ends all the same, with status 0."""
    hanging = "import threading, server.cli; server.cli._end_within(0.05); threading.Event().wait()"
    done = subprocess.run(
        [sys.executable, "-c", hanging], env=environment(), capture_output=True, timeout=20, check=False
    )
    assert done.returncode == 0
