"""Which schema may follow which: the rules, and by brute force that nothing that was legal becomes illegal."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import InvalidSchema
from bus.evolution import why_incompatible
from bus.schemas import Checker, document, named, registration, uri

ITEM = {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]}
BASE = {
    "type": "object",
    "properties": {
        "order": {"type": "integer", "minimum": 0},
        "state": {"enum": ["new", "paid"]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/item"}},
        "note": {"type": "string", "maxLength": 80},
    },
    "required": ["order"],
    "$defs": {"item": ITEM},
}


def changed(**properties: Any) -> dict[str, Any]:
    return BASE | {"properties": BASE["properties"] | properties}  # type: ignore[operator]


def without(name: str, **more: Any) -> dict[str, Any]:
    return BASE | {"properties": {key: value for key, value in BASE["properties"].items() if key != name}} | more  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "new",
    [
        BASE,
        changed(extra={"type": "string"}),
        changed(order={"type": "number", "minimum": -5}),
        changed(state={"enum": ["new", "paid", "sent"]}),
        changed(note={"anyOf": [{"type": "string"}, {"type": "null"}]}),
        changed(note={"type": ["string", "null"], "title": "said"}),
        changed(lines={"type": "array", "items": ITEM}),
        without("note"),
        BASE | {"required": []},
        BASE | {"description": "an order"},
    ],
)
def test_these_may_follow(new: dict[str, Any]) -> None:
    assert why_incompatible(BASE, new) == ""


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (BASE | {"required": ["order", "note"]}, "note: it is required now, and was not"),
        (without("order", required=[]), "order: it was required, and is gone"),
        (changed(order={"type": "string"}), "order: integer was allowed, and string is now"),
        (changed(order={"type": "integer", "minimum": 1}), "order: minimum is 1 now, and was 0"),
        (changed(state={"enum": ["new"]}), "state: the value 'paid' was allowed"),
        (changed(note={"type": "string", "maxLength": 10}), "note: maxLength is 10 now, and was 80"),
        (changed(note={"type": "string", "maxLength": 80, "pattern": "^a"}), "note: pattern was changed"),
        (changed(lines={"type": "array", "items": ITEM | {"required": ["sku", "n"]}}), "lines[].n: it is required now"),
        (BASE | {"additionalProperties": False}, "unknown fields were allowed, and are not any more"),
        (BASE | {"oneOf": [{}]}, "oneOf was changed"),
        (changed(lines={"$ref": "#/$defs/gone"}), "lines: a $ref leads nowhere"),
        ({"type": "array"}, "object was allowed, and array is now"),
    ],
)
def test_these_may_not_and_the_field_is_named(new: dict[str, Any], why: str) -> None:
    assert why in why_incompatible(BASE, new)


def test_a_closed_schema_may_not_lose_a_field() -> None:
    closed = BASE | {"additionalProperties": False}
    assert why_incompatible(closed, closed | {"properties": closed["properties"] | {"more": {}}}) == ""  # type: ignore[operator]
    gone = without("note", additionalProperties=False)
    assert "note: it is gone, and unknown fields are refused" in why_incompatible(closed, gone)


def test_a_type_that_contains_itself_is_compared() -> None:
    tree = {"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}}}
    assert why_incompatible(tree, tree | {}) == ""
    narrower = {"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "properties": {"next": {"type": "null"}}}}}
    assert "next: " in why_incompatible(tree, narrower)


values = st.sampled_from([None, True, 0, 1, 7, -3, 1.5, "", "new", "paid", "x" * 9, [], ["a"], [1], {}, {"a": 1}])
plain = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["integer", "number", "string", "null", ["string", "null"], "array", "object"]),
        "enum": st.lists(values, min_size=1, max_size=3, unique_by=repr),
        "minimum": st.integers(-3, 3),
        "maxLength": st.integers(0, 4),
        "items": st.sampled_from([{"type": "string"}, {"type": "integer"}, True]),
        "pattern": st.sampled_from(["^n", "d$"]),
    },
)
schemas = st.fixed_dictionaries(
    {"type": st.just("object")},
    optional={
        "properties": st.dictionaries(st.sampled_from("ab"), plain, max_size=2),
        "required": st.lists(st.sampled_from("ab"), max_size=2, unique=True),
        "additionalProperties": st.sampled_from([True, False, {"type": "string"}]),
        "anyOf": st.lists(st.fixed_dictionaries({"required": st.just(["a"])}), min_size=1, max_size=1),
    },
)


def added(old: dict[str, Any], new: dict[str, Any], payload: dict[str, Any]) -> bool:
    """Whether a payload has, as an unknown field, one that the new version has got: that one case is let pass."""
    return any(name in payload for name in new.get("properties", {}).keys() - old.get("properties", {}).keys())


@given(schemas, schemas, st.dictionaries(st.sampled_from("abc"), values, max_size=3))
def test_what_was_legal_stays_legal_under_whatever_may_follow(
    old: dict[str, Any], new: dict[str, Any], payload: dict[str, Any]
) -> None:
    if jsonschema_rs.is_valid(old, payload) and why_incompatible(old, new) == "" and not added(old, new, payload):
        assert jsonschema_rs.is_valid(new, payload)


def test_problems_name_the_field() -> None:
    (problem,) = Checker(BASE).problems({"order": 1, "lines": [{"sku": "a"}, {"sku": 2}]})
    assert problem.startswith("lines[1].sku: ")
    assert Checker(BASE).problems({"order": 1}) == []
    (problem,) = Checker({"type": "object"}).problems([])
    assert problem.startswith("[] is not")


def test_names_and_registrations() -> None:
    assert named(uri("a b.c/d", 12)) == ("a b.c/d", 12)
    assert named("http://example.com/x/1") is None and named("signalbox:schema/a.b/x") is None
    good = {"type": "a.b", "version": 1, "compatibility": "none", "schema": {"type": "string"}}
    assert registration(good) is not None
    for change in ({"version": 0}, {"type": "a..b"}, {"compatibility": "some"}, {"schema": 1}, {"version": "x"}):
        assert registration(good | change) is None
    with pytest.raises(InvalidSchema):
        document({"$ref": "file:///etc/passwd"})


def chained(depth: int, leaf: dict[str, Any]) -> dict[str, Any]:
    """A type that has the next one twice, and so on: a path for each way down would be two to the power of `depth`."""
    links = {
        f"t{number}": {"type": "object", "properties": {one: {"$ref": f"#/$defs/t{number + 1}"} for one in "ab"}}
        for number in range(depth)
    }
    return {"$ref": "#/$defs/t0", "$defs": {**links, f"t{depth}": leaf}}


def test_what_is_referred_to_twice_is_compared_once() -> None:
    old = chained(31, {"type": "integer"})
    assert why_incompatible(old, chained(31, {"type": "number"})) == ""
    assert why_incompatible(old, chained(31, {"type": "string"})).endswith("integer was allowed, and string is now")


def test_a_type_that_contains_itself_is_not_taken_for_another_that_stands_in_it() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    old = {"type": "object", "properties": {"next": {"type": "object", "properties": {"next": {"type": "string"}}}}}
    new = {"$ref": "#/$defs/node", "$defs": {"node": node}}
    assert why_incompatible(old, new) == "next.next: string was allowed, and object is now"


def test_what_was_granted_on_account_of_what_is_refused_is_refused() -> None:
    defs = {
        "a": {"type": "object", "properties": {"b": {"$ref": "#/$defs/b"}, "z": {"type": "integer"}}},
        "b": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}},
    }
    narrow = {**defs, "a": {"type": "object", "properties": {"b": {"$ref": "#/$defs/b"}, "z": {"type": "null"}}}}
    old = {"type": "object", "properties": {"x": {"$ref": "#/$defs/a"}, "y": {"$ref": "#/$defs/b"}}, "$defs": defs}
    either = {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "object"}]}
    new = {"type": "object", "properties": {"x": either, "y": {"$ref": "#/$defs/b"}}, "$defs": narrow}
    assert why_incompatible(old, new) == "y.a.z: integer was allowed, and null is now"


def test_a_payload_deeper_than_can_be_checked_is_a_problem_and_no_failure() -> None:
    data: list[Any] = []
    for _ in range(300):
        data = [data]
    (problem,) = Checker({"properties": {"a": {"type": "integer"}}}).problems({"a": data})
    assert problem == "it cannot be held against its schema: recursion limit reached"


def test_an_integer_that_no_answer_can_carry_is_in_no_schema() -> None:
    with pytest.raises(InvalidSchema, match="more than 64 bits"):
        document({"maximum": 10**20})
    assert document({"maximum": 1e20}) == {"maximum": 1e20}
    assert registration({"type": "a", "version": 1, "compatibility": "none", "schema": {"maximum": 10**20}}) is None
