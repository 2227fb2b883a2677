"""Facts and intents as bytes, and old forms through their upcasters."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.semantic import Rule
from bus.wire import GroupSample, ReplicaSample, Sampled, Seat, Topology
from controlplane import facts
from controlplane.errors import FactUnreadable
from controlplane.facts import AnyFact, AnyIntent, Fact, Intent, decode_fact, decode_intent, encode_fact, encode_intent

st.register_type_strategy(int, st.integers(-(2**63), 2**63 - 1))
st.register_type_strategy(
    Seat, st.builds(Seat, epoch=st.integers(-1, 1 << 48), stores=st.lists(st.text(max_size=3), max_size=3))
)
st.register_type_strategy(Topology, st.builds(Topology, rules=st.lists(st.builds(Rule), max_size=2)))
any_fact = st.one_of([st.builds(kind) for kind in AnyFact.__args__ if kind is not facts.BrokerSampled])
any_intent = st.one_of([st.builds(kind) for kind in AnyIntent.__args__])


@given(any_fact)
def test_facts_survive_and_give_the_same_bytes_again(fact: Fact) -> None:
    data = encode_fact(fact)
    assert decode_fact(data) == fact
    assert encode_fact(decode_fact(data)) == data


@given(any_intent)
def test_intents_survive_and_give_the_same_bytes_again(intent: Intent) -> None:
    data = encode_intent(intent)
    assert decode_intent(data) == intent
    assert encode_intent(decode_intent(data)) == data


def test_samples_survive_with_their_maps_in_order() -> None:
    replica = ReplicaSample(0, 1, True, 5, 5, 4, 4, {"b3": 5, "b2": 4}, {"b3": 1, "b2": 2})
    group = GroupSample("g", 0, ">", 1, 0, 0, 0, 1, 1, 0, 0, 0, {9: 1, 3: 2})
    fact = facts.BrokerSampled(Sampled(1, "b1", 7, [replica], [group], 1, 2, 3, 4, 5, 6, 7, 8, 9, 10))
    data = encode_fact(fact)
    assert encode_fact(decode_fact(data)) == data


def test_intents_name_seats_and_topologies() -> None:
    seat = Seat(1, 2, "b1", ["b1", "b2"], 2)
    for intent in (
        facts.PlaceSeat(seat, ["b1"], 3),
        facts.SpreadTopology(Topology(1, "f", 4096, [], [seat]), 3),
        facts.PublishEvent("12:0", b"{}"),
    ):
        assert decode_intent(encode_intent(intent)) == intent


@given(st.binary(max_size=60))
def test_garbage_is_unreadable_and_nothing_else(data: bytes) -> None:
    try:
        decode_fact(data)
    except FactUnreadable:
        pass


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(FactUnreadable) as caught:
        decode_fact(msgspec.msgpack.encode({"type": "FromTheFuture", "x": 1}))
    assert caught.value.kind == "FromTheFuture"
    assert "newer" in str(caught.value)


def test_an_old_form_is_read_through_its_upcaster(monkeypatch: pytest.MonkeyPatch) -> None:
    def upcast(old: dict[str, object]) -> dict[str, object]:
        return {"type": "BrokerLost", "id": old["broker"], "why": "unknown"}

    monkeypatch.setitem(facts.UPCASTERS, "BrokerGone", upcast)
    old = msgspec.msgpack.encode({"type": "BrokerGone", "broker": "b2"})
    assert decode_fact(old) == facts.BrokerLost("b2", "unknown")


def test_every_fact_and_intent_is_in_its_union() -> None:
    assert set(Fact.__subclasses__()) == set(AnyFact.__args__)
    assert set(Intent.__subclasses__()) == set(AnyIntent.__args__)
