"""What can be a server, and what a token may never get into."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.client.errors import BadTarget
from protocol.client.target import Target

SOCKET = Path("o.sock")


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("http://localhost:8080", "ws://localhost:8080/workspaces/home"),
        ("https://obelisk.example/", "wss://obelisk.example/workspaces/home"),
        ("ws://[::1]:1/base/", "ws://[::1]:1/base/workspaces/home"),
        ("wss://obelisk.example", "wss://obelisk.example/workspaces/home"),
    ],
)
def test_an_address_becomes_that_of_the_workspace(url, uri):
    """http and https are what people paste; a path in front stays."""
    assert Target(workspace="home", url=url).uri == uri


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"url": "ws://a", "unix": SOCKET},
        {"url": "obelisk.example"},
        {"url": "ftp://obelisk.example"},
        {"url": "ws://a:port"},
        {"url": "ws://ana:secret@a"},
        {"url": "ws://a/?token=secret"},
        {"unix": SOCKET, "workspace": "../home"},
        {"unix": SOCKET, "acts_as": "Ana\r\nX: y"},
        {"unix": SOCKET, "token": "a\r\nX: y"},
    ],
)
def test_what_is_no_target_is_said_before_anything_is_tried(wrong):
    """One sentence, and no secret in it."""
    with pytest.raises(BadTarget) as caught:
        Target(**{"workspace": "home", **wrong})
    assert "X: y" not in str(caught.value) or "\\r" in str(caught.value)
    assert "token=secret" not in str(caught.value)


def test_the_token_is_in_the_headers_and_nowhere_else():
    """Not in the address, the cache's name, or what a log prints."""
    target = Target(workspace="home", url="https://a", token="secret", acts_as="bea")
    assert target.headers == {"Authorization": "Bearer secret", "Obelisk-Actor": "bea"}
    assert "secret" not in f"{target!r} {target.uri} {target.cache_name} {target.place}"


def test_another_server_workspace_or_actor_has_another_cache():
    """A new token for the same has the same."""
    names = {
        Target(workspace="home", url="https://a").cache_name,
        Target(workspace="work", url="https://a").cache_name,
        Target(workspace="home", url="https://b").cache_name,
        Target(workspace="home", url="https://a", acts_as="bea").cache_name,
        Target(workspace="home", unix=SOCKET).cache_name,
    }
    assert len(names) == 5
    assert Target(workspace="home", url="https://a", token="new").cache_name in names


@pytest.mark.parametrize(("url", "local"), [("http://127.0.0.1:1", True), ("https://a", False), (None, True)])
def test_a_server_on_this_machine_is_asked_without_a_proxy(url, local):
    """Loopback and sockets are local."""
    target = Target(workspace="home", url=url) if url else Target(workspace="home", unix=SOCKET)
    assert target.is_local == local
