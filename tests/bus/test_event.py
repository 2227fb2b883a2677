"""The event as CloudEvents JSON: vectors, round trips, garbage, and the CloudEvents SDK as the oracle."""

import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import batch
from bus.errors import ClientError, EventTooLarge, InvalidEvent
from bus.event import JSON, Event, from_json, from_object, is_internal, is_reserved, make, to_json, to_object, validate
from bus.limits import BATCH_EVENTS_MAX, EVENT_BYTES_MAX
from tests.bus.strategies import events, json_values

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "cloudevents.json").read_text())
LOGS = Path(__file__).parents[2].parent / "shared" / "data"
LEAST: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/", "type": "test"}
NAMES = st.sampled_from([*LEAST, "time", "data", "ext", "deps", "requires", "priority", "Bad"])


@pytest.mark.parametrize("case", VECTORS["events"], ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any]) -> None:
    text = json.dumps(case["event"])
    if case["valid"]:
        event = from_json(text)
        assert json.loads(to_json(event)) == case["event"]
        assert to_object(event) == case["event"]
        validate(event)
    else:
        with pytest.raises(InvalidEvent) as refused:
            from_json(text)
        named = refused.value.attribute
        assert named in case["event"] or named in LEAST


@given(events)
def test_json_round_trip(event: Event) -> None:
    validate(event)
    line = to_json(event)
    assert b"\n" not in line
    assert from_json(line) == event
    assert from_json(line.decode()) == event
    assert from_object(to_object(event)) == event


@given(
    st.dictionaries(
        st.sampled_from([*LEAST, "time", "data", "ext", "deps", "requires", "priority", "Bad"]), json_values
    )
)
def test_any_object_is_an_event_or_names_what_is_wrong(fields: dict[str, Any]) -> None:
    line = json.dumps(LEAST | fields)
    try:
        event = from_json(line)
    except InvalidEvent as refused:
        assert refused.attribute
        return
    validate(event)
    kept = {name: value for name, value in (LEAST | fields).items() if value is not None or name == "data"}
    assert json.loads(to_json(event)) == kept


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_garbage_is_refused(data: bytes | str) -> None:
    with pytest.raises(InvalidEvent):
        from_json(data)


@given(events, st.data())
def test_damaged_lines_are_refused_or_events(event: Event, data: st.DataObject) -> None:
    line = bytearray(to_json(event))
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] = data.draw(st.integers(0, 255))
    try:
        validate(from_json(bytes(line)))
    except ClientError as refused:
        assert str(refused)


@given(events)
def test_the_cloudevents_sdk_reads_what_we_write(event: Event) -> None:
    from cloudevents.core.formats.json import JSONFormat

    read = JSONFormat().read(None, to_json(event))
    assert (read.get_id(), read.get_source(), read.get_type()) == (event.id, event.source, event.type)
    assert read.get_subject() == event.subject
    assert read.get_extension("correlationid") == event.correlationid
    for name, value in event.extensions.items():
        assert read.get_extension(name) == value
    assert read.get_data() == event.data


@pytest.mark.parametrize("name", ["id", "source", "type", "specversion"])
def test_a_missing_attribute_is_named(name: str) -> None:
    with pytest.raises(InvalidEvent, match=f"{name}: is missing"):
        from_object({key: value for key, value in LEAST.items() if key != name})


@pytest.mark.parametrize(
    ("change", "attribute"),
    [
        ({"type": "a..b"}, "type"),
        ({"type": "a.*"}, "type"),
        ({"id": "a\nb"}, "id"),
        ({"subject": ""}, "subject"),
        ({"priority": "urgent"}, "priority"),
        ({"deps": "0=1,0=2"}, "deps"),
        ({"requires": "a  b"}, "requires"),
        ({"requires": "a\u00a0b"}, "requires"),
        ({"expirytime": "soon"}, "expirytime"),
        ({"ext": 2**31}, "ext"),
        ({"ext": 1.5}, "ext"),
        ({"data": 1, "data_base64": "AA=="}, "data_base64"),
        ({"specversion": "0.3"}, "specversion"),
    ],
)
def test_refusals_name_the_attribute(change: dict[str, Any], attribute: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        from_object(LEAST | change)
    assert refused.value.attribute == attribute


@pytest.mark.parametrize(
    ("change", "attribute"),
    [
        ({"type": 5}, "type"),
        ({"id": "\ud800"}, "id"),
        ({"time": 1.5}, "time"),
        ({"time": 2**63}, "time"),
        ({"deps": {0: -1}}, "deps"),
        ({"requires": ["a b"]}, "requires"),
        ({"requires": ["\u00a0"]}, "requires"),
        ({"extensions": {"type": "x"}}, "type"),
        ({"extensions": {"Name": "x"}}, "Name"),
        ({"subject": "\x1b[2J"}, "subject"),
    ],
)
def test_validate_names_the_attribute(change: dict[str, Any], attribute: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        validate(Event(**({"type": "test", "source": "/", "id": "1"} | change)))
    assert refused.value.attribute == attribute


BROKEN: dict[str, tuple[str, Any]] = {
    "type": ("type", "a..b"),
    "source": ("source", ""),
    "id": ("id", "x\n"),
    "subject": ("subject", ""),
    "time": ("time", 1.5),
    "correlationid": ("correlationid", "\x00"),
    "traceparent": ("traceparent", ""),
    "partitionkey": ("partitionkey", ""),
    "deps": ("deps", {0: -1}),
    "priority": ("priority", "urgent"),
    "requires": ("requires", []),
    "expirytime": ("expirytime", 2**63),
    "extensions": ("Name", {"Name": "x", "fine": 1}),
}


@given(st.sets(st.sampled_from(sorted(BROKEN)), min_size=1))
def test_everything_that_is_wrong_is_named_and_nothing_else(wrong: set[str]) -> None:
    fine: dict[str, Any] = {
        "type": "test",
        "source": "/",
        "id": "1",
        "subject": "s",
        "priority": "low",
        "requires": ["x"],
    }
    with pytest.raises(InvalidEvent) as refused:
        validate(Event(**fine | {name: BROKEN[name][1] for name in wrong}))
    assert {name for name, _ in refused.value.errors} == {BROKEN[name][0] for name in wrong}
    assert len(refused.value.errors) == len(wrong)
    assert (refused.value.attribute, refused.value.why) == refused.value.errors[0]
    assert str(refused.value) == "; ".join(f"{name}: {why}" for name, why in refused.value.errors)


@pytest.mark.parametrize("said", ["now", "", "Wait", True, 1, "x" * 1_000])
def test_what_dispatch_is_asked_for_is_a_rule_for_publishers_alone(said: Any) -> None:
    wrong = Event(type="t", source="/", id="1", priority="urgent", extensions={"nocapable": said, "sticky": 2**40})
    with pytest.raises(InvalidEvent) as refused:
        validate(wrong)
    assert [name for name, _ in refused.value.errors] == ["priority", "sticky", "nocapable"]
    assert "wait, dead-letter, escalate" in refused.value.errors[2][1] and len(refused.value.errors[2][1]) < 200
    asked = Event(type="t", source="/", id="1", extensions={"nocapable": said})
    with pytest.raises(InvalidEvent):
        validate(asked)
    for copy in ("importof", "redriveto"):
        validate(asked.replace(extensions={"nocapable": said, copy: "x"}))
    assert from_json(to_json(asked)) == asked, "what was published already is read"


def test_it_may_be_asked_for_what_there_is() -> None:
    for policy in ("wait", "dead-letter", "escalate"):
        validate(Event(type="t", source="/", id="1", extensions={"nocapable": policy}))


def test_data_survives_to_the_character() -> None:
    data = '{"a" : 1.00000000000000000001, "b":12345678901234567890123, "c":1e999, "d":"\\u00e9"}'
    event = from_json(f'{{"specversion":"1.0","id":"1","source":"/","type":"t","data":{data}}}')
    assert to_json(event).endswith(b'"data":' + data.encode() + b"}")
    assert event.data["b"] == 12345678901234567890123
    assert event.data["c"] == float("inf")


def test_no_data_and_null_are_different_outside_and_none_inside() -> None:
    absent, null = from_object(LEAST), from_object(LEAST | {"data": None})
    assert absent.data is None and null.data is None
    assert "data" not in to_object(absent) and to_object(null)["data"] is None


def test_pretty_printed_json_becomes_one_line() -> None:
    event = from_json(json.dumps(LEAST | {"data": {"text": "two\nlines", "more": [1, 2]}}, indent=2))
    assert b"\n" not in to_json(event)
    assert event.data == {"text": "two\nlines", "more": [1, 2]}


def test_data_nested_beyond_reason_is_refused_not_followed() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    with pytest.raises(InvalidEvent):
        from_json(f'{{"specversion":"1.0","id":"1","source":"/","type":"t","data":{deep}}}')
    looped: list[Any] = []
    looped.append(looped)
    with pytest.raises(InvalidEvent):
        Event(type="t", data=looped)


def test_too_large() -> None:
    with pytest.raises(EventTooLarge):
        from_object(LEAST | {"data": "x" * EVENT_BYTES_MAX})
    with pytest.raises(EventTooLarge):
        validate(Event(type="t", source="/", id="1", data=b"x" * (EVENT_BYTES_MAX + 1)))


def test_import_marks_the_log() -> None:
    first, second = (from_json(json.dumps(LEAST), importof="receipt") for _ in range(2))
    assert first.extensions == {"importof": "receipt"}
    assert first.extras is second.extras
    assert from_json(json.dumps(LEAST | {"ext": 1}), importof="receipt").extensions == {"ext": 1, "importof": "receipt"}


@given(events, events)
def test_replace_changes_what_it_says(event: Event, other: Event) -> None:
    assert event.replace() == event
    changed = event.replace(type=other.type, data=other.data, extensions=other.extensions)
    assert (changed.type, changed.data, changed.extensions) == (other.type, other.data, other.extensions)
    assert changed.id == event.id


def test_replacing_the_time_forgets_its_old_text() -> None:
    event = from_object(LEAST | {"time": "2024-01-01T00:00:00Z"})
    assert to_object(event)["time"] == "2024-01-01T00:00:00Z"
    assert to_object(event.replace(time=0))["time"] == "1970-01-01T00:00:00.000Z"


def test_key_and_saga() -> None:
    event = Event(type="t", source="s")
    assert (event.key, event.saga) == ("s", "")
    event = event.replace(subject="x")
    assert (event.key, event.saga) == ("x", "x")
    event = event.replace(partitionkey="k", correlationid="c")
    assert (event.key, event.saga) == ("k", "c")


def test_reserved_and_internal() -> None:
    assert is_reserved("signalbox.deadletter", "x") and is_reserved("x", "signalbox/b1")
    assert not is_reserved("signalbox", "signalboxes")
    assert is_internal("agent.lifecycle.joined", {}) and is_internal("a", {"redriveto": "g"})
    assert not is_internal("agent.message", {"importof": "g"})


@pytest.mark.parametrize(
    "name",
    [
        "agent_traces/whowhen_algorithm.jsonl.gz",
        "process_logs/receipt.jsonl.gz",
        "process_logs/bpic2012.jsonl.gz",
        "system_events/openstack.jsonl.gz",
    ],
)
def test_real_logs_come_back_exactly(name: str) -> None:
    path = LOGS / name
    if not path.exists():
        pytest.skip(f"{path} is not here: the real log {name} is not part of the project")
    with gzip.open(path) as log:
        lines = log.read().splitlines()
    for start in range(0, len(lines), BATCH_EVENTS_MAX):
        part = lines[start : start + BATCH_EVENTS_MAX]
        stored = batch.decode(batch.encode([from_json(line) for line in part])).events()
        for number, (line, event) in enumerate(zip(part, stored, strict=True), start + 1):
            if to_json(event) != line:
                assert json.loads(to_json(event)) == json.loads(line), f"line {number}"


@pytest.mark.parametrize("text", [b"", b"nope", b'{"a":', b"1 2", b'"\xff"'])
def test_ready_made_json_has_to_be_json(text: bytes) -> None:
    with pytest.raises(InvalidEvent, match="data"):
        Event(type="a.b", data=msgspec.Raw(text))


def test_an_event_is_one_line_whatever_its_payload_was_written_with() -> None:
    event = make("a.b", "s", "1", None, None, None, None, None, None, JSON, b'{"a":\r\n1}')
    line = to_json(event)
    assert b"\n" not in line and b"\r" not in line and from_json(line).data == {"a": 1}
