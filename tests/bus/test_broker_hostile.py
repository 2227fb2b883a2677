"""Whatever a peer sends, the loop goes on: garbage frames, and well-formed messages with nonsense in them."""

import logging
import types
import typing
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus import batch, limits, wire
from bus.attributes import JSON, Extras
from bus.event import Event, make
from bus.record import EVENTS, Header, seal
from bus.semantic import Rule
from bus.session import State
from tests.bus.rig import FLEET
from tests.bus.stage import BODY, CLAIM, PARTITIONS, Stage, staged


@pytest.fixture
def stage() -> Iterator[Stage]:
    with staged() as made:
        yield made


# ------------------------------------------------------------------------------------------------ any bytes

INTEGERS = st.sampled_from([0, 1, 2, -1, 7, 2**31, 2**62, 2**63 - 1, 2**64 - 1, -(2**63)])
TEXTS = st.sampled_from(
    [
        "",
        "b1",
        "b2",
        "client",
        "plane",
        "quorum",
        "none",
        ">",
        "a.*",
        "a..b",
        "signalbox.>",
        "ack",
        "claim",
        "\0",
        "x" * 300,
    ]
)
BLOBS = st.sampled_from(
    [
        b"",
        b"x",
        BODY,
        BODY[:-1],
        b"\xff" * 200,
        seal(Header(EVENTS, 0, 1, 0, 3, 1), BODY),
        bytes(limits.PRODUCER_BYTES_MAX + 1),
    ]
)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation, most of them nonsense to whoever takes them."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is int:
        return INTEGERS
    if hint is str:
        return TEXTS
    if hint is bytes:
        return BLOBS
    if hint is bool:
        return st.booleans()
    if origin is typing.Annotated:  # beyond the bounds, too
        return values(arguments[0])
    if origin is list:
        return st.lists(values(arguments[0]), max_size=3)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    if origin is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=2)
    if origin is types.UnionType:
        return st.one_of([st.none() if part is type(None) else values(part) for part in arguments])
    assert issubclass(hint, msgspec.Struct), hint
    fields = {field.name: values(field.type) for field in msgspec.structs.fields(hint)}
    return st.builds(hint, **fields)


VERBS = [kind for kind in typing.get_args(wire.AnyMessage) if kind is not wire.Bye]
NONSENSE = st.one_of([values(kind) for kind in VERBS])
GARBAGE = st.one_of(
    st.lists(st.binary(max_size=40), min_size=1, max_size=4),
    st.binary(max_size=40).map(lambda tail: [wire.MAGIC + tail]),
    st.recursive(st.one_of(st.none(), st.booleans(), INTEGERS, TEXTS), lambda inner: st.lists(inner, max_size=4)).map(
        lambda value: [wire.MAGIC + msgspec.msgpack.encode([1, 0, value])]
    ),
)
QUIET = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def serves(stage: Stage) -> None:
    """A well-behaved client is served as if nothing had happened."""
    good = stage.peer()
    described = stage.ask(good, wire.Describe(1, []), wire.Described)
    assert all(extent.partition in range(PARTITIONS) for extent in described.extents)
    good.close()


@QUIET
@given(st.lists(GARBAGE, min_size=1, max_size=20))
def test_garbage_is_counted_and_the_broker_serves_on(frames: list[list[bytes]]) -> None:
    with staged() as stage:
        bad = stage.peer()
        for parts in frames:
            bad.write(parts)
        serves(stage)
        assert stage.broker.peers.malformed >= 1
        assert stage.broker.control.halted == ""


@QUIET
@given(
    st.sampled_from(["client", "plane", "broker"]),
    st.lists(st.tuples(NONSENSE, st.lists(BLOBS, max_size=2)), min_size=1, max_size=25),
)
def test_nonsense_in_good_form_is_answered_and_never_a_surprise(
    caplog: pytest.LogCaptureFixture, role: str, said: list[tuple[wire.Message, list[bytes]]]
) -> None:
    caplog.clear()
    with staged() as stage:
        bad = stage.peer(role, "b2")
        claimed = False
        for message, blobs in said:
            if bad.session.state is not State.OPEN:
                bad = stage.peer(role, "b2")
                claimed = False
            if role == "plane" and not claimed:
                bad.say(wire.Claim(1, *CLAIM))
                claimed = True
            number = bad.session.sent
            bad.session.sent = number + 1
            bad.write(wire.encode(bad.session.id, number, message, blobs))
            stage.broker.turn()
            while bad.socket.poll(0):
                bad.session.receive(bad.socket.recv_multipart())
        stage.broker.control.halted = ""
        serves(stage)
    surprises = [record for record in caplog.records if record.exc_info or record.levelno >= logging.CRITICAL]
    assert not surprises, surprises[0].getMessage()


# ------------------------------------------------------------------------------------------------ publishing

FORGED = b'1}\n{"specversion":"1.0","id":"forged","source":"x","type":"forged"'
ROUGH: list[dict[str, Any]] = [
    *({"payload": payload} for payload in (b"", b'{"a":', b"nope", b'"\xff"', b"1 2", b"[" * 100_000, FORGED)),
    *({"id": id} for id in ("", "a\rb", "\x1b[2J", "\0", "x" * (limits.EVENT_BYTES_MAX + 1))),
    *(
        {name: text}
        for name in ("subject", "correlationid", "causationid", "traceparent")
        for text in ("a\x7f", "a\nb")
    ),
    *({"type": "a.\x1b[31m"}, {"source": "s\x1b]0;title\x07"}),
    *({"extras": Extras(extensions={name: "x"})} for name in ("type", "id", "data", "Bad", "a\nb", "")),
    {"extras": Extras(extensions={f"e{number}": 1 for number in range(limits.EXTENSIONS_MAX + 1)})},
    {"extras": Extras(extensions={"big": 2**63})},
    {"extras": Extras(priority="urgent")},
    {"extras": Extras(requires=["a b"])},
    {"extras": Extras(time_text="now"), "time": 5},
    {"extras": Extras(time_text="1970-01-01T00:00:00.0Z"), "time": 5},
    {"extras": Extras(expirytime=5, expiry_text="\0")},
]
"""Attributes that no event may have, each made without being checked, as a publisher of another make might."""


def rough(type: str = "a.b", source: str = "s", id: str = "1", payload: bytes = b"{}", **given: Any) -> Event:
    names = ("subject", "time", "correlationid", "causationid", "traceparent", "extras")
    return make(type, source, id, *(given.get(name) for name in names), JSON, payload)


def section(count: int = 3, partition: int = 0, producer: bytes = b"", sequence: int = 0) -> wire.Section:
    return wire.Section(partition, producer, sequence, count)


def events(*made: Event) -> bytes:
    return batch.encode(list(made))


@pytest.mark.parametrize(
    ("given_section", "body", "code"),
    [
        (section(partition=9), BODY, "UnknownPartition"),
        (section(partition=-1), BODY, "UnknownPartition"),
        (section(partition=1), BODY, "NotLeader"),
        (section(count=4), BODY, "ProtocolError"),
        (section(count=-3), BODY, "ProtocolError"),
        (section(), BODY[:-1], "CorruptRecord"),
        (section(), b"", "CorruptRecord"),
        (section(), b"\0" * (limits.BATCH_BYTES_MAX + 1), "EventTooLarge"),
        (section(producer=b"p" * 17), BODY, "ProtocolError"),
        (wire.Section(0, b"", 0, 3, b"\x07\0"), BODY, "ProtocolError"),
        (wire.Section(0, b"", 0, 3, b"\x0f"), BODY, "ProtocolError"),
        (section(producer=b"p" * 16, sequence=3), BODY, "UnknownProducer"),
        (section(1), events(Event(type="signalbox.x", source="s", id="1")), "AccessDenied"),
        (section(1), events(Event(type="a", source="signalbox/b1", id="1")), "AccessDenied"),
        (section(1), events(Event(type="a", source="s", id="1", extensions={"redriveto": "g"})), "AccessDenied"),
        (section(1), events(Event(type="a..b", source="s", id="1")), "InvalidEvent"),
        (section(1), events(Event(type="a.*", source="s", id="1")), "InvalidEvent"),
        (section(1), events(Event(type="a", source="", id="1")), "InvalidEvent"),
        (section(1), events(Event(type="a", source="s", id="1", data="x" * limits.EVENT_BYTES_MAX)), "EventTooLarge"),
    ],
)
def test_a_bad_section_is_refused_by_name_and_appends_nothing(
    stage: Stage, given_section: wire.Section, body: bytes, code: str
) -> None:
    peer = stage.peer()
    outcome = stage.publish(peer, given_section, body)
    assert outcome.code == code and outcome.message
    assert stage.store.mark(0).end_offset == 0
    assert stage.publish(peer, section(), BODY).base_offset == 0


@pytest.mark.parametrize("given", ROUGH, ids=lambda given: "-".join(given))
def test_what_no_event_may_hold_is_not_appended(stage: Stage, given: dict[str, Any]) -> None:
    peer = stage.peer()
    outcome = stage.publish(peer, section(2), events(rough(id="0"), rough(**given)))
    assert outcome.code in ("InvalidEvent", "EventTooLarge") and outcome.message
    assert stage.store.mark(0).end_offset == 0
    assert stage.publish(peer, section(2), events(rough(id="0"), rough())).base_offset == 0


def test_sections_and_bodies_must_pair_and_acks_be_known(stage: Stage) -> None:
    peer = stage.peer()
    for request, bodies in (
        (wire.Publish(1, "quorum", [section()]), []),
        (wire.Publish(2, "maybe", [section()]), [BODY]),
    ):
        fault = stage.ask(peer, request, wire.Fault, bodies)
        assert (fault.request, fault.code) == (request.request, "ProtocolError")


def test_the_plane_and_nobody_else_publishes_what_is_reserved(stage: Stage) -> None:
    for event in (
        Event(type="signalbox.tick", source="signalbox/plane", id="1"),
        Event(type="a", source="s", id="2", extensions={"redriveto": "g"}),
    ):
        assert stage.publish(stage.plane, section(1), events(event)).code == ""


@pytest.mark.parametrize(("acks", "replicas"), [("quorum", 1), ("leader", 1), ("none", 0)])
def test_acks_say_on_how_many_replicas_an_event_is(stage: Stage, acks: str, replicas: int) -> None:
    outcome = stage.publish(stage.peer(), section(), BODY, acks)
    assert (outcome.code, outcome.base_offset, outcome.replicas) == ("", 0, replicas)


def test_a_repeated_batch_is_answered_as_the_first_and_appended_once(stage: Stage) -> None:
    peer = stage.peer()
    first = stage.publish(peer, section(producer=b"p" * 16), BODY)
    again = stage.publish(stage.peer(), section(producer=b"p" * 16), BODY)
    assert again == first
    assert stage.store.mark(0).end_offset == 3
    assert stage.publish(peer, section(producer=b"p" * 16, sequence=2), BODY).code == "OutOfSequence"


# ------------------------------------------------------------------------------------------------ the plane's verbs


def test_an_older_plane_and_one_of_the_same_epoch_are_refused_and_a_newer_one_is_obeyed(stage: Stage) -> None:
    for claim in ((0, "zero"), (1, "twin")):
        other = stage.peer("plane")
        answer = stage.ask(other, wire.Claim(1, *claim), wire.Message)
        assert isinstance(answer, wire.Fault) or (isinstance(answer, wire.Claimed) and not answer.accepted)
        fault = stage.ask(other, wire.Offer(2, *claim, 0, 9), wire.Fault)
        assert fault.code == "AccessDenied"
    newer = stage.peer("plane")
    claimed = stage.ask(newer, wire.Claim(1, 2, "newer"), wire.Claimed)
    assert claimed.accepted and claimed.seats[0].leader == "b1"
    assert stage.hear(stage.plane, wire.Bye)[0].code == "denied"
    fault = stage.ask(newer, wire.Offer(2, *CLAIM, 0, 9), wire.Fault)
    assert fault.code == "StaleEpoch", "the session is claimed, but the verb names the plane before it"


def test_only_a_plane_claims_and_only_the_claimed_session_operates(stage: Stage) -> None:
    client = stage.peer()
    seat = wire.Seat(0, 5, "b1", ["b1"], 1)
    for message in (
        wire.Claim(1, 7, "me"),
        wire.Offer(1, *CLAIM, 0, 5),
        wire.Place(1, *CLAIM, seat),
        wire.Spread(*CLAIM, wire.Topology(9, FLEET, 4096, [], [])),
        wire.Sample(1),
        wire.Keep(*CLAIM, {0: 1}),
        wire.Halt(*CLAIM, "because"),
    ):
        assert stage.ask(client, message, wire.Fault).code == "AccessDenied"
    assert stage.broker.control.halted == ""


def test_only_brokers_ship_and_only_in_their_own_name(stage: Stage) -> None:
    ship = wire.Ship(1, 5, "b2", -1, 0, 0)
    assert stage.ask(stage.peer(), ship, wire.Fault).code == "AccessDenied"
    assert stage.ask(stage.peer("broker", "b3"), ship, wire.Fault).code == "AccessDenied"
    begin = wire.Begin(1, 5, "b2", 4, 12, 0, [(5, 0)], 4)
    assert stage.ask(stage.peer(), begin, wire.Fault, [b"", b""]).code == "AccessDenied"
    assert stage.ask(stage.peer("broker", "b3"), begin, wire.Fault, [b"", b""]).code == "AccessDenied"
    assert stage.ask(stage.peer("broker", "b2"), begin, wire.Fault, [b"x"]).code == "ProtocolError"
    nonsense = [b"nonsense", b"", b""]
    assert stage.ask(stage.peer("broker", "b2"), begin, wire.Fault, nonsense).code == "CorruptRecord"
    nonsense = [*stage.broker.applied.snapshot(0)[1][:2], b"nonsense"]
    assert stage.ask(stage.peer("broker", "b2"), begin, wire.Fault, nonsense).code == "CorruptRecord"
    damaged = seal(Header(EVENTS, 1, 5, 0, 3, 1), BODY)[:-1] + b"X"
    assert stage.ask(stage.peer("broker", "b2"), ship, wire.Fault, [damaged]).code == "CorruptRecord"
    assert stage.store.mark(1).end == 0


def test_a_promise_binds_and_an_older_offer_is_refused(stage: Stage) -> None:
    answer = stage.ask(stage.plane, wire.Offer(4, *CLAIM, 0, 8), wire.Answered)
    assert (answer.accepted, answer.promised, answer.last_epoch, answer.end) == (True, 8, 1, 1)
    late = stage.ask(stage.plane, wire.Offer(5, *CLAIM, 0, 7), wire.Answered)
    assert (late.accepted, late.promised) == (False, 8)
    placed = stage.ask(stage.plane, wire.Place(6, *CLAIM, wire.Seat(0, 7, "b1", ["b1"], 1)), wire.Placed)
    assert not placed.accepted and placed.why
    assert stage.publish(stage.peer(), section(), BODY).code == "NotLeader", "a promise ends the leadership before it"


def test_a_deposed_leader_doubts_what_it_appended_and_a_repetition_appends_once(stage: Stage) -> None:
    stage.ask(stage.plane, wire.Offer(4, *CLAIM, 1, 2), wire.Answered)
    stage.ask(stage.plane, wire.Place(5, *CLAIM, wire.Seat(1, 2, "b1", ["b1", "b2"], 2)), wire.Placed)
    peer = stage.peer()
    sent = section(partition=1, producer=b"p" * 16)
    peer.say(wire.Publish(7, "quorum", [sent]), [BODY])
    assert stage.ask(stage.plane, wire.Offer(8, *CLAIM, 1, 3), wire.Answered).end_offset == 3
    outcome = stage.hear(peer, wire.Published)[0].outcomes[0]
    assert outcome.code == "OutcomeUnknown", "appended, and not on enough disks"
    assert stage.publish(peer, sent, BODY).code == "NotLeader", "a sure refusal"
    stage.ask(stage.plane, wire.Place(9, *CLAIM, wire.Seat(1, 3, "b1", ["b1"], 1)), wire.Placed)
    assert stage.publish(peer, sent, BODY).base_offset == 0
    assert stage.store.mark(1).end_offset == 3


def test_a_newer_topology_reaches_every_session_and_an_older_one_nobody(stage: Stage) -> None:
    peer = stage.peer()
    nodes = [wire.Node("b1", stage.url, "store")]
    stage.plane.say(wire.Spread(*CLAIM, wire.Topology(5, FLEET, 4096, nodes, [])))
    assert stage.hear(peer, wire.Topology)[0].version == 5
    stage.plane.say(wire.Spread(*CLAIM, wire.Topology(4, FLEET, 4096, [], [])))
    stage.ask(peer, wire.Describe(1, []), wire.Described)
    assert stage.broker.control.topology is not None
    assert stage.broker.control.topology.version == 5
    assert not [message for message, _ in peer.inbox if isinstance(message, wire.Topology)]


@pytest.mark.parametrize(
    ("slots", "rules", "said"),
    [
        (4096, [Rule("", "g")], "needs a prefix"),
        (0, [], "slots"),
        (4096, [Rule(str(n), "g") for n in range(limits.SEMANTIC_RULES_MAX + 1)], "merge"),
        (4096, [Rule("b/", "g")], "one home for life"),
        (512, [Rule("a/", "g")], "one home for life"),
    ],
)
def test_a_topology_under_which_keys_would_get_other_homes_is_refused(
    stage: Stage, slots: int, rules: list[Rule], said: str
) -> None:
    nodes = [wire.Node("b1", stage.url, "store")]
    born = wire.Topology(5, FLEET, 4096, nodes, [], "", "semantic", [Rule("a/", "g")])
    stage.plane.say(wire.Spread(*CLAIM, born))
    peer = stage.peer()
    stage.plane.say(wire.Spread(*CLAIM, wire.Topology(6, FLEET, slots, nodes, [], "", "semantic", rules)))
    assert said in stage.hear(stage.plane, wire.Fault)[0].message
    stage.ask(peer, wire.Describe(1, []), wire.Described)
    assert stage.broker.control.topology == born


def test_a_sample_counts_since_the_last_one(stage: Stage) -> None:
    peer = stage.peer()
    stage.publish(peer, section(), BODY)
    stage.publish(peer, section(partition=9), BODY)
    peer.write([b"garbage"])
    serves(stage)
    sampled = stage.ask(stage.plane, wire.Sample(9), wire.Sampled)
    assert (sampled.events_in, sampled.refused, sampled.malformed) == (3, 1, 1)
    assert sampled.commits > 0 and sampled.fsync_p99_ns > 0 and sampled.ack_p99_ns > 0
    assert sampled.memory_bytes > 1_000_000 and sampled.store_bytes > 0 and sampled.sessions >= 2
    assert [(r.partition, r.leads, r.high_offset) for r in sampled.replicas] == [(0, True, 3), (1, False, 0)]
    assert stage.ask(stage.plane, wire.Sample(10), wire.Sampled).events_in == 0
