"""Schemas as the plane keeps them: the first of a version has it, nothing malformed harms, pages have all of them."""

import json
from pathlib import Path
from typing import Any

import pytest

import bus
from bus.client.calling import packed_payload
from bus.client.schemas import Page
from bus.limits import SCHEMA_BYTES_MAX
from bus.schemas import REGISTERED
from controlplane import limits
from controlplane import schemas as fold
from controlplane.catalogue import page
from controlplane.facts import Rows
from controlplane.schemas import Registered, beyond
from tests.controlplane.edge.lived import Lived
from tests.controlplane.logs import add
from tests.controlplane.made import Story


def registered(rows: Rows, type: str, version: Any = 1, key: str | None = None, **data: Any) -> None:
    """One registration at the end of the rows."""
    told = {"type": type, "version": version, "compatibility": "backward", "schema": {"type": "object"}} | data
    event = {"specversion": "1.0", "id": f"e{len(rows)}", "type": REGISTERED, "source": "agent/a", "data": told}
    rows.followed[len(rows)] = json.dumps(event | {"partitionkey": type if key is None else key}).encode()
    add(rows, REGISTERED, "agent/a", "", f"e{len(rows)}")


def kept(story: Story) -> dict[tuple[str, int], Registered]:
    return {(one.type, one.version): one for one in beyond(story.heart.states["schemas"], 0)}


def counts(story: Story) -> dict[str, int]:
    return {str(name): count for name, count in story.heart.states["schemas"].items("count") if name != "bytes"}


def test_the_first_of_a_version_has_it() -> None:
    story = Story()
    rows = story.rows()
    registered(rows, "a.b")
    registered(rows, "a.b", 2, schema={"type": "string"})
    registered(rows, "a.b", 1, schema={"type": "null"})
    step = story.record(rows)
    found = kept(story)
    assert [json.loads(found["a.b", version].schema) for version in (1, 2)] == [{"type": "object"}, {"type": "string"}]
    assert found["a.b", 1].position == step.first and found["a.b", 1].by == "agent/a"
    assert counts(story) == {"late": 1}


@pytest.mark.parametrize(
    "data",
    [
        {"version": 0},
        {"version": 10**30},
        {"version": "one"},
        {"version": 1.5},
        {"compatibility": "some"},
        {"key": "elsewhere"},
        {"type": None},
        {"type": "a..b"},
        {"schema": 5},
        {"schema": ["object"]},
        {"schema": None},
        {"schema": {"maximum": 10**20}},
        {"schema": {"enum": ["x" * SCHEMA_BYTES_MAX]}},
    ],
)
def test_what_is_malformed_is_counted_and_harms_nobody(data: dict[str, Any]) -> None:
    story = Story()
    rows = story.rows()
    registered(rows, **{"type": "a.b", **data})
    registered(rows, "c.d")
    story.record(rows)
    assert list(kept(story)) == [("c.d", 1)] and counts(story) == {"malformed": 1}
    assert not story.heart.quarantined


def test_what_is_beyond_the_bounds_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "SCHEMAS_MAX", 3)
    story = Story()
    rows = story.rows()
    for number in range(5):
        registered(rows, f"a.{number}")
    story.record(rows)
    assert len(kept(story)) == 3 and counts(story) == {"refused": 2}


async def test_a_page_is_what_can_be_told_however_long_its_numbers_are(tmp_path: Path) -> None:
    lived = Lived(tmp_path)
    try:
        for number in range(12):
            data = {"type": f"a.{number}", "version": 1, "compatibility": "none", "schema": {"enum": [0.5] * 16_000}}
            event = bus.Event(type=REGISTERED, source="agent/a", id=f"e{number}", partitionkey=f"a.{number}", data=data)
            lived.publish(0, [event])
        since, found = 0, 0
        while (told := await page(lived.turns, since))["schemas"]:
            packed_payload(told)
            since, found = told["position"], found + len(told["schemas"])
        assert found == 12
    finally:
        lived.close()


async def test_pages_have_all_that_is_new_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SCHEMAS_PAGE_BYTES", 100)
    lived = Lived(tmp_path)
    try:
        for number in range(7):
            data = {"type": f"a.{number}", "version": 1, "compatibility": "none", "schema": {"title": "x" * 40}}
            event = bus.Event(type=REGISTERED, source="agent/a", id=f"e{number}", partitionkey=f"a.{number}", data=data)
            lived.publish(number % 3, [event])
        found, since, pages = list[str](), 0, 0
        while True:
            told = await page(lived.turns, since)
            assert Page(**told).more == told["more"]
            found += [schema["type"] for schema in told["schemas"]]
            since, pages = told["position"], pages + 1
            if not told["more"]:
                break
        assert found == [f"a.{number}" for number in range(7)] and pages > 2
        assert told["cursor"] == {0: 3, 1: 2, 2: 2}
        assert (await page(lived.turns, since))["schemas"] == []
    finally:
        lived.close()
