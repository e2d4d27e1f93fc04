"""The rules of members and settings."""

from __future__ import annotations

import pytest
from hypothesis import given

from protocol import limits
from protocol.decide import decide
from protocol.errors import Refused
from protocol.events import MemberRemoved, MemberSet, SettingsFields, SettingsUpdated
from protocol.state import INITIAL, Settings
from tests.support.fixtures import a_context, a_member, a_state, an_action, decided, refusal
from tests.support.strategies import Story, stories


def test_a_member_is_set() -> None:
    """A new one, and a role that changes; by whom and when."""
    payloads, state = decided(a_state(), an_action("user.set_member", actor="bob", role="viewer"))
    assert payloads == (MemberSet(entity=a_member("bob", "viewer", set_by="ana")),)
    payloads, _ = decided(state, an_action("user.set_member", actor="bob", role="owner"))
    assert payloads == (MemberSet(entity=a_member("bob", "owner", set_by="ana")),)


def test_a_role_that_is_so_already_gives_no_event() -> None:
    """Also the last owner's own."""
    assert decided(a_state(), an_action("user.set_member", actor="ed", role="editor"))[0] == ()
    assert decided(a_state(), an_action("user.set_member", actor="ana", role="owner"))[0] == ()


def test_the_system_founds_a_workspace() -> None:
    """Nobody is a member of an empty ledger: the first owner is set by the server itself."""
    action = an_action("system.set_member", actor="ana", role="owner")
    assert decided(INITIAL, action, a_context("system"))[1].members["ana"].role == "owner"


def test_a_member_is_removed() -> None:
    """With all that it was; one who is none is not found."""
    payloads, state = decided(a_state(), an_action("user.remove_member", actor="vi"))
    assert payloads == (MemberRemoved(actor="vi", was=a_member("vi", "viewer")),)
    assert refusal(state, an_action("user.remove_member", actor="vi")).code == "not_found"


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("user.remove_member", {"actor": "ana"}),
        ("user.set_member", {"actor": "ana", "role": "editor"}),
        ("user.set_member", {"actor": "ana", "role": "viewer"}),
    ],
)
def test_the_last_owner_stays(name: str, payload: dict) -> None:
    """Removed or lowered, it is a conflict that names them; with a second owner both go."""
    action = an_action(name, **payload)
    refused = refusal(a_state(), action)
    assert (refused.code, refused.message) == ("conflict", "ana is the last owner of this workspace.")
    assert decided(a_state(a_member("bob", "owner")), action)[0]


@given(stories())
def test_a_workspace_never_loses_its_last_owner(story: Story) -> None:
    """Whatever is wished, once there was an owner there is one."""
    for step in story.steps[1:]:
        assert any(one.role == "owner" for one in step.after.members.values())


def test_members_are_full() -> None:
    """The 1,000th is taken, one more is refused; roles still change."""
    many = [a_member(f"n{place}", "viewer") for place in range(limits.members_max - 3)]
    state, new = a_state(*many), an_action("user.set_member", actor="bob", role="viewer")
    assert refusal(state, new).code == "limit"
    assert decided(a_state(*many[1:]), new)[0]
    assert decided(state, an_action("user.set_member", actor="n1", role="editor"))[0]


def test_settings_change_by_what_differs() -> None:
    """`set` and `was`; nothing changed gives no event; `null` takes a time away."""
    action = an_action(
        "user.update_settings", timezone="Europe/Berlin", model="builtin", daily_plan_at="08:30"
    )
    payloads, state = decided(a_state(), action)
    wanted = SettingsFields(timezone="Europe/Berlin", daily_plan_at="08:30")
    assert payloads == (SettingsUpdated(set=wanted, was=SettingsFields(timezone="UTC", daily_plan_at=None)),)
    assert state.settings == Settings(timezone="Europe/Berlin", daily_plan_at="08:30")
    assert decided(state, action)[0] == ()
    payloads, _ = decided(state, an_action("user.update_settings", daily_plan_at=None))
    assert payloads == (
        SettingsUpdated(set=SettingsFields(daily_plan_at=None), was=SettingsFields(daily_plan_at="08:30")),
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timezone", "Nowhere/Here"),
        ("timezone", "../../etc/passwd"),
        ("timezone", ""),
        ("daily_plan_at", "25:00"),
        ("digest_at", "noon"),
        ("model", ""),
        ("model", "m" * 101),
    ],
)
def test_settings_that_cannot_be(field: str, value: str) -> None:
    """A zone, a time of day and a model are held to what they are; the field is named."""
    decision = decide(a_state(), an_action("user.update_settings", **{field: value}), a_context())
    assert isinstance(decision, Refused)
    assert (decision.code, decision.field) == ("invalid", field)
