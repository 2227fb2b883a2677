"""Schemas: registered, looked up, held against payloads, evolved."""

import asyncio
from typing import Any

import msgspec
import pytest

import bus
from tests.bus.conformance.conftest import World

ORDER = {
    "type": "object",
    "properties": {"order": {"type": "integer"}, "lines": {"type": "array", "items": {"type": "string"}}},
    "required": ["order"],
}


class Order(msgspec.Struct):
    order: int
    note: str | None = None


async def test_a_payload_that_does_not_fit_is_refused_naming_the_field(world: World) -> None:
    schema = await world.fleet.schemas.register(f"{world.name}.order", ORDER)
    assert (schema.version, schema.compatibility) == (1, "backward")
    await world.publish("order", data={"order": 1, "lines": ["a"]})
    with pytest.raises(bus.InvalidEvent, match="data: lines\\[1\\]: ") as caught:
        await world.publish("order", data={"lines": ["a", 2]})
    assert [name for name, _ in caught.value.errors] == ["data", "data"]
    assert any("order" in why and "required" in why for _, why in caught.value.errors)
    for data in (None, b"raw"):
        with pytest.raises(bus.InvalidEvent, match="version 1 is JSON"):
            await world.publish("order", data=data)
    with pytest.raises(bus.PublishError) as many:
        await world.fleet.publish_many([world.event("order", data={"order": n}) for n in (1, "x", 3)])
    assert [type(one).__name__ for one in many.value.results] == ["Receipt", "InvalidEvent", "Receipt"]
    await world.publish("other", data={"order": "x"})


async def test_the_same_schema_is_registered_once_and_known_to_all(world: World) -> None:
    name = f"{world.name}.order"
    first = await world.fleet.schemas.register(name, Order)
    other = await world.client()
    assert await other.schemas.register(name, Order) == first
    assert await other.schemas.get(name) == first
    with pytest.raises(bus.InvalidEvent, match="order"):
        await other.publish(world.event("order", data={"order": "x"}))
    assert len([event async for event in world.fleet.read("schema.registered") if event.partitionkey == name]) == 1


async def test_versions_follow_each_other_only_if_they_may(world: World) -> None:
    name, schemas = f"{world.name}.order", world.fleet.schemas
    await schemas.register(name, ORDER)
    wider = ORDER | {"properties": ORDER["properties"] | {"note": {"type": "string"}}}  # type: ignore[operator]
    second = await schemas.register(name, wider)
    assert second.version == 2 and await schemas.get(name) == second
    assert (await schemas.get(name, 1)).schema == ORDER
    for broken, why in (
        (wider | {"required": ["order", "note"]}, "note: it is required now"),
        ({"type": "object", "properties": {}}, "order: it was required, and is gone"),
        (wider | {"properties": wider["properties"] | {"order": {"type": "string"}}}, "order: integer was allowed"),  # type: ignore[operator]
        (wider | {"additionalProperties": False}, "unknown fields"),
    ):
        with pytest.raises(bus.InvalidSchema, match=why):
            await schemas.register(name, broken)
    third = await schemas.register(name, {"type": "string"}, compatibility="none")
    assert third.version == 3
    await world.publish("order", data="text")
    await world.publish("order", data={"order": 1}, dataschema=second.uri)
    with pytest.raises(bus.InvalidEvent, match="data: "):
        await world.publish("order", data="text", dataschema=second.uri)
    with pytest.raises(bus.InvalidEvent, match="dataschema: names a schema of"):
        await world.publish("order", data="text", dataschema="signalbox:schema/else/1")
    with pytest.raises(bus.InvalidSchema, match="versions: 1, 2, 3"):
        await schemas.get(name, 9)
    with pytest.raises(bus.InvalidSchema, match=r"never\.seen has no schema: nobody has registered one"):
        await schemas.get("never.seen")


async def test_of_two_that_register_at_once_each_has_a_version_of_its_own(world: World) -> None:
    name, other = f"{world.name}.order", await world.client()
    one = {"properties": {"a": {"type": "string"}}}
    two = {"properties": {"b": {"type": "string"}}}
    made = await asyncio.gather(world.fleet.schemas.register(name, one), other.schemas.register(name, two))
    assert sorted(schema.version for schema in made) == [1, 2]
    third = await world.client()
    for schema in made:
        assert await third.schemas.get(name, schema.version) == schema


async def test_what_is_no_schema_is_refused(world: World) -> None:
    register = world.fleet.schemas.register
    for schema, why in (
        ({"type": "nonsense"}, "no JSON Schema"),
        ({"$ref": "http://example.com/x"}, "refers to its own parts"),
        ({"$schema": "http://example.com/x"}, "dialects"),
        ({"description": "x" * 70_000}, "bytes of JSON"),
        (7, "a dict, or a msgspec.Struct"),
    ):
        with pytest.raises(bus.InvalidSchema, match=why):
            await register(f"{world.name}.x", schema)  # type: ignore[arg-type]
    with pytest.raises(bus.InvalidSchema, match="a topic"):
        await register("a..b", {})


async def test_what_stands_first_in_the_log_has_the_version(world: World) -> None:
    name = f"{world.name}.order"
    for title in ("first", "second"):
        data = {"type": name, "version": 1, "compatibility": "none", "schema": {"title": title}}
        await world.fleet.publish(bus.Event(type="schema.registered", source="agent/x", partitionkey=name, data=data))
    assert (await world.fleet.schemas.get(name, 1)).schema == {"title": "first"}
    with pytest.raises(bus.InvalidSchema, match="another schema than 1's"):
        await world.fleet.schemas.register(name, {"title": "second"}, version=1)


@pytest.mark.parametrize("schema", [5, None, {"maximum": 10**20}, {"enum": ["x" * 70_000]}])
async def test_what_cannot_be_told_has_no_version_and_keeps_nobody_from_the_others(world: World, schema: Any) -> None:
    name = f"{world.name}.order"
    data = {"type": name, "version": 1, "compatibility": "none", "schema": schema}
    await world.fleet.publish(bus.Event(type="schema.registered", source="agent/x", partitionkey=name, data=data))
    assert (await world.fleet.schemas.register(name, {"title": "good"})).version == 1
    assert (await (await world.client()).schemas.get(name)).schema == {"title": "good"}


@pytest.mark.parametrize("schema", [{"type": 5}, {"anyOf": 5}, {"type": [[1]]}])
async def test_what_is_no_schema_stands_in_nobodys_way(world: World, schema: Any) -> None:
    name = f"{world.name}.order"
    data = {"type": name, "version": 1, "compatibility": "none", "schema": schema}
    await world.fleet.publish(bus.Event(type="schema.registered", source="agent/x", partitionkey=name, data=data))
    with pytest.raises(bus.InvalidSchema, match="version 1 is no JSON Schema"):
        await world.fleet.schemas.register(name, {"title": "good"})
    made = await world.fleet.schemas.register(name, {"title": "good"}, compatibility="none")
    assert made.version == 2
