"""The generated half of the contract: it has not drifted, and what really travels fits it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from referencing import Registry, Resource

from protocol import errors, limits
from protocol.actions import ACTIONS, is_internal, payload_of
from protocol.codec import (
    encode_action,
    encode_event,
    encode_server_frame,
    encode_state,
    events_frame,
    snapshot_frames,
)
from protocol.events import EVENTS, Unknown
from protocol.frames import Ack, ErrorFrame, HeadFrame, Reject, Synced
from scripts.lib import contract
from tests.support.fixtures import an_event
from tests.support.strategies import INTENTS, PAYLOADS, Story, stories

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("actions", "events", "frames", "state")
SCHEMAS = {name: json.loads((ROOT / f"docs/schema/{name}.json").read_text("utf-8")) for name in NAMES}
REGISTRY = Registry().with_resources(
    (f"{name}.json", Resource.from_contents(schema)) for name, schema in SCHEMAS.items()
)
VALIDATORS = {
    name: jsonschema.Draft202012Validator(schema, registry=REGISTRY) for name, schema in SCHEMAS.items()
}


def fits(name: str, data: bytes) -> bool:
    return VALIDATORS[name].is_valid(json.loads(data))


def test_nothing_has_drifted() -> None:
    """The schemas and the tables are what the types make of them now; `scripts/schema` writes them anew."""
    assert contract.stale(ROOT) == []


def test_the_check_says_what_is_stale(tmp_path: Path) -> None:
    """A file that was edited by hand, and one that is missing, are named; the prose is nobody's business."""
    (tmp_path / "docs").mkdir()
    text = (ROOT / contract.DOCUMENT).read_text("utf-8")
    (tmp_path / contract.DOCUMENT).write_text(
        text.replace("| `not_found` | 404 |", "| `not_found` | 405 |"), "utf-8"
    )
    assert contract.stale(tmp_path) == [*(f"docs/schema/{name}.json" for name in NAMES), contract.DOCUMENT]
    (tmp_path / contract.DOCUMENT).write_text(text.replace("The wire contract", "Our wire"), "utf-8")
    assert contract.DOCUMENT not in contract.stale(tmp_path)


def test_the_command_checks() -> None:
    """`scripts/schema --check` ends with 0 where all is as it should be, and writes nothing."""
    command = [sys.executable, "-m", "scripts.lib.contract", "--check"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_one(name: str) -> None:
    """Each file is a valid schema of its dialect."""
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])


@given(INTENTS)
def test_every_action_fits(named: tuple) -> None:
    """Whatever an intent holds, its frame fits the schema of actions, and that of client frames."""
    name, intent = named
    data = encode_action(name, "c1", payload_of(intent))
    assert fits("actions", data)
    assert fits("frames", data)


@given(PAYLOADS)
def test_every_event_fits(payload: object) -> None:
    """Any event, one from tomorrow too, fits the schema of events."""
    event = an_event(payload)  # type: ignore[arg-type]  # a payload
    assert fits("events", encode_event(event))


@settings(max_examples=20)
@given(stories())
def test_what_a_server_sends_fits(story: Story) -> None:
    """Events, snapshots and states of a story fit the schemas, references and all."""
    assert fits("state", encode_state(story.state))
    assert fits("frames", events_frame(0, [encode_event(event) for event in story.events]))
    assert all(fits("frames", part) for part in snapshot_frames(story.state, story.head, "initial"))


def test_the_small_frames_fit() -> None:
    """Acks, rejects, heads and errors."""
    small = (
        Ack(client_action_id="c", status="duplicate", seq=None, event_ids=()),
        Reject(client_action_id="c", code="limit", message="No."),
        HeadFrame(seq=0, event_id=None),
        Synced(seq=1, event_id="e", digest="0" * 32),
        ErrorFrame(code="bad_frame", message="No."),
    )
    assert all(fits("frames", encode_server_frame(frame)) for frame in small)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("actions", {"type": "user.create_task", "client_action_id": "c", "payload": {}}),
        ("actions", {"type": "user.fly", "client_action_id": "c", "payload": {}}),
        ("actions", {"type": "user.request_plan", "client_action_id": "", "payload": {}}),
        ("events", json.loads(encode_event(an_event(Unknown(fields={})))) | {"type": "task.created"}),
        ("events", json.loads(encode_event(an_event(Unknown(fields={})))) | {"seq": "1"}),
        ("state", {"tasks": {"t1": {"task_id": "t1"}}}),
        ("frames", {"type": "hello"}),
        ("frames", {"type": "snapshot", "state": {}}),
    ],
)
def test_what_is_wrong_does_not_fit(name: str, value: object) -> None:
    """The schemas do not let everything through."""
    assert not VALIDATORS[name].is_valid(value)


def test_the_page_names_everything() -> None:
    """Every action, event, limit and code stands on the page."""
    text = (ROOT / contract.DOCUMENT).read_text("utf-8")
    bounds = [
        name for name in vars(limits) if name.islower() and not name.startswith("_") and name != "annotations"
    ]
    names = [*ACTIONS, *EVENTS, *bounds, *errors.HTTP_STATUS, *(str(code.value) for code in errors.CloseCode)]
    assert [name for name in names if name not in text] == []
    assert contract.filled(text) == text


def test_what_people_send_and_what_the_server_sends_are_apart() -> None:
    """Internal actions stand in a table of their own."""
    ours = contract.actions_table(internal=True)
    assert all((f"`{name}`" in ours) == is_internal(name) for name in ACTIONS)
