"""Typed payloads: what fits comes typed, what does not names its field."""

import dataclasses
from typing import Any, Optional

import msgspec
import pytest
from hypothesis import given

from bus.agents.payloads import Payload, payload_of
from bus.errors import ClientError, InvalidEvent
from bus.event import Event
from tests.bus.strategies import events, json_values


class Step(msgspec.Struct):
    name: str
    n: int = 0


class Request(msgspec.Struct):
    goal: str
    steps: list[Step] = []


@dataclasses.dataclass
class Plain:
    goal: str


def event(data: Any) -> Event:
    return Event(type="a", source="s", id="1", data=data)


def test_what_fits_comes_as_its_type() -> None:
    data = {"goal": "g", "steps": [{"name": "a", "n": 2}], "more": 1}
    assert Payload(Request).read(event(data)) == Request("g", [Step("a", 2)])
    assert Payload(Plain).read(event({"goal": "g"})) == Plain("g")
    assert Payload(list[int]).read(event([1, 2])) == [1, 2]
    assert Payload(bytes).read(event(b"\0")) == b"\0"
    assert Payload(Optional[Request]).read(event(None)) is None  # noqa: UP045


@pytest.mark.parametrize(
    ("data", "field", "why"),
    [
        ({"goal": 7}, "data.goal", "expected `str`, got `int`"),
        (
            {"goal": "g", "steps": [{"name": "a"}, {"name": "b", "n": "x"}]},
            "data.steps[1].n",
            "expected `int`, got `str`",
        ),
        ({}, "data.goal", "is missing"),
        ({"goal": "g", "steps": [{"n": 1}]}, "data.steps[0].name", "is missing"),
        ([1], "data", "expected `object`, got `array`"),
        (None, "data", "is missing, and Request is wanted"),
        (b"\0", "data", "is binary, and Request is wanted"),
    ],
)
def test_what_does_not_fit_names_its_field(data: Any, field: str, why: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        Payload(Request).read(event(data))
    assert (caught.value.attribute, caught.value.why) == (field, why)


@given(events)
def test_any_event_fits_or_is_refused(one: Event) -> None:
    try:
        found = Payload(Request).read(one)
    except InvalidEvent as error:
        assert error.attribute.startswith("data")
    else:
        assert isinstance(found, Request)


@given(json_values.filter(lambda value: value is not None))
def test_without_a_type_it_is_what_was_published(value: Any) -> None:
    assert Payload(Any).read(event(value)) == event(value).data


def test_the_third_parameter_says_the_type() -> None:
    async def two(event: Event, context: Any) -> None: ...

    async def typed(event: Event, context: Any, request: Request) -> None: ...

    async def bare(event: Event, context: Any, data) -> None: ...  # type: ignore[no-untyped-def]

    async def more(event: Event, context: Any, request: "Request", tries: int = 3) -> None: ...

    class Planner:
        async def plan(self, event: Event, context: Any, request: Request) -> None: ...

    assert payload_of(two) is None
    for function in (typed, more, Planner().plan):
        found = payload_of(function)
        assert found is not None and found.read(event({"goal": "g"})) == Request("g")
    untyped = payload_of(bare)
    assert untyped is not None and untyped.read(event([1])) == [1]


def test_what_cannot_be_a_handler_is_refused_with_what_to_do() -> None:
    def plain(event: Event, context: Any) -> None: ...

    async def short(event: Event) -> None: ...

    async def long(event: Event, context: Any, request: Request, more: int) -> None: ...

    async def unknown(event: Event, context: Any, request: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    async def odd(event: Event, context: Any, request: type[Request] | complex | bytearray) -> None: ...

    for function, said in (
        (plain, "async def"),
        (short, "1 parameter"),
        (long, "4 parameters"),
        (unknown, "define it at the module's level"),
        (odd, "no type of payload"),
        ("text", "cannot be called"),
    ):
        with pytest.raises(ClientError, match=said):
            payload_of(function)  # type: ignore[arg-type]


class Closed(msgspec.Struct, forbid_unknown_fields=True):
    counts: dict[int, int] = {}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"count": {}}, "data.count: is unknown"),
        ({"counts": {"a": 1}}, "data.counts: of a key: expected `int`, got `str`"),
        ({"counts": {"1": "a"}}, "data.counts[...]: expected `int`, got `str`"),
    ],
)
def test_fields_and_keys_that_are_not_wanted_are_named(data: object, told: str) -> None:
    with pytest.raises(InvalidEvent) as raised:
        Payload(Closed).read(Event(type="a", source="s", data=data))
    assert str(raised.value) == told and raised.value.attribute == told.partition(": ")[0]
