"""The zone of the machine: found without asking anybody, given once to a fresh workspace of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from protocol.client.sent import Sent
from protocol.state import Settings
from tests.support.clients import FakeClient
from tests.support.fixtures import a_state
from tui.zone import ACTION_ID, machine_zone, set_zone, set_zone_when_live

BERLIN = "Europe/Berlin"
NO_FILE = Path("/nowhere")


class Remembers(FakeClient):
    """A client that knows under which id something was done."""

    def act(
        self, action_type: str, payload: Mapping[str, object], *, client_action_id: str | None = None
    ) -> Sent:
        self.name = client_action_id
        return super().act(action_type, payload)


def linked(folder: Path, target: str) -> Path:
    link = folder / "localtime"
    link.symlink_to(target)
    return link


@pytest.mark.parametrize(
    "given,found",
    [
        (BERLIN, BERLIN),
        (f":{BERLIN}", BERLIN),
        ("UTC", None),
        ("Etc/UTC", None),
        ("CET-1CEST", None),
        ("../../etc/passwd", None),
        ("Mars/Olympus", None),
    ],
)
def test_the_variable_counts_first(given: str, found: str | None, tmp_path: Path) -> None:
    """A zone of the database in TZ, else none; what the machine itself is set to does not count then."""
    link = linked(tmp_path, "/usr/share/zoneinfo/Asia/Tokyo")
    assert machine_zone({"TZ": given}, link, NO_FILE) == found


def test_the_link_counts_before_the_file(tmp_path: Path) -> None:
    """Of the two that systems have."""
    named = tmp_path / "timezone"
    named.write_text(f"{BERLIN}\n")
    link = linked(tmp_path, "../usr/share/zoneinfo/America/Argentina/Salta")
    assert machine_zone({}, link, named) == "America/Argentina/Salta"
    assert machine_zone({}, NO_FILE, named) == BERLIN
    assert machine_zone({}, NO_FILE, NO_FILE) is None


def test_a_machine_on_utc_sets_nothing(tmp_path: Path) -> None:
    """Whatever its UTC is called."""
    for name in ("UTC", "Etc/UTC", "Etc/GMT+3", "Zulu"):
        link = tmp_path / name.replace("/", "-")
        link.symlink_to(f"/usr/share/zoneinfo/{name}")
        assert machine_zone({}, link, NO_FILE) is None


def test_a_fresh_workspace_gets_it_once() -> None:
    """With a fixed id, so that two clients that are first at once do it once."""
    client = Remembers(a_state(), seq=1)
    assert set_zone(client, BERLIN) is not None
    assert client.acted == [("user.update_settings", {"timezone": BERLIN})]
    assert client.name == ACTION_ID
    assert client.replica.view.settings.timezone == BERLIN
    assert set_zone(client, "Asia/Tokyo") is None


def test_whoever_set_something_is_not_overruled() -> None:
    """Neither a setting, nor a workspace in which anything has happened, nor without a zone."""
    theirs = msgspec.structs.replace(a_state(), settings=Settings(timezone="Asia/Tokyo"))
    for client, zone in (
        (Remembers(theirs, seq=1), BERLIN),
        (Remembers(a_state(), seq=2), BERLIN),
        (Remembers(a_state(), seq=1), None),
    ):
        assert set_zone(client, zone) is None
        assert not client.acted


def test_it_waits_until_everything_is_known() -> None:
    """A client that is still connecting knows no workspace; the second time it is live is not the first."""
    client = Remembers(a_state(), seq=1)
    client.phase("connecting")
    set_zone_when_live(client, BERLIN)
    assert not client.acted
    client.phase("live")
    assert len(client.acted) == 1
    client.phase("offline")
    client.phase("live")
    assert len(client.acted) == 1
