"""The session machine: what either side may say when, numbers, gaps, and any bytes at all."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import limits, wire
from bus.errors import ProtocolError
from bus.session import Greeted, Heard, Refused, Session, Sessions, State

MS = 1_000_000
ID = 0x5EED
TOPOLOGY = wire.Topology(1, "fleet", 4096, [], [])


def welcome(protocol: int = 1, principal: str = "anonymous") -> wire.Welcome:
    return wire.Welcome("fleet", "b1", "store", protocol, [], principal, 0, None)


def greet(opener: Session, listener: Sessions, identity: bytes = b"peer", **more: object) -> Session:
    """Bring an opener and a listener's side of it into OPEN; the listener's side."""
    hello: dict[str, object] = {"role": "client", "name": "tester", "fleet": "fleet"} | more
    arrival = listener.receive(identity, opener.hello(**hello), 0)  # type: ignore[arg-type]
    assert isinstance(arrival, Greeted)
    received = opener.receive(arrival.session.send(welcome()))
    assert received is not None
    return arrival.session


def opened() -> tuple[Session, Session, Sessions]:
    opener, listener = Session(ID), Sessions("fleet")
    return opener, greet(opener, listener), listener


def test_a_greeting_opens_both_sides() -> None:
    opener, session, _ = opened()
    assert opener.is_open and session.is_open
    assert (opener.name, session.name, session.id) == ("b1", "tester", ID)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2**63 - 1), st.lists(st.binary(max_size=20), max_size=4))))
def test_messages_arrive_as_they_were_said_in_both_directions(said: list[tuple[bool, int, list[bytes]]]) -> None:
    opener, session, listener = opened()
    for up, token, blobs in said:
        if up:
            arrival = listener.receive(b"peer", opener.send(wire.Ping(token), blobs), 0)
            assert isinstance(arrival, Heard)
            assert (arrival.session, arrival.message, arrival.blobs) == (session, wire.Ping(token), blobs)
        else:
            received = opener.receive(session.send(wire.Pong(token), blobs))
            assert received is not None
            assert (received.message, received.blobs) == (wire.Pong(token), blobs)


@given(st.integers(1, 12), st.data())
def test_any_lost_or_repeated_frame_ends_the_session(count: int, data: st.DataObject) -> None:
    opener, session, listener = opened()
    frames = [opener.send(wire.Ping(token)) for token in range(count)]
    wrong = data.draw(st.integers(0, count - 1))
    repeat = data.draw(st.booleans())
    delivered = frames[: wrong + 1] + frames[wrong:] if repeat else frames[:wrong] + frames[wrong + 1 :]
    ends: list[Refused] = []
    heard = 0
    for parts in delivered:
        arrival = listener.receive(b"peer", parts, 0)
        if isinstance(arrival, Refused):
            ends.append(arrival)
        else:
            assert not ends, "nothing is heard after a gap"
            heard += 1
    if not repeat and wrong == count - 1:
        assert not ends  # a lost last frame shows with the next one
        return
    assert ends[0].ended is session and not ends[0].malformed
    bye = wire.decode(ends[0].frames)[0].message
    assert isinstance(bye, wire.Bye)
    assert (bye.code, bye.expected) == ("gap", heard + 1)  # the Hello was 0
    assert all(isinstance(wire.decode(end.frames)[0].message, wire.Bye) for end in ends[1:])
    assert opener.receive(ends[0].frames) is not None
    assert opener.state is State.CLOSED and opener.ended_by == bye


def test_a_gap_towards_the_opener_raises_and_names_what_was_due() -> None:
    opener, session, _ = opened()
    session.send(wire.Pong(1))
    with pytest.raises(ProtocolError, match="frame 2 came where 1 was due"):
        opener.receive(session.send(wire.Pong(2)))
    assert opener.bye_code == "gap"
    assert wire.decode(opener.bye("gap", "lost"))[0].message == wire.Bye("gap", "lost", 1)


def test_an_unknown_session_is_told_so_but_its_bye_is_not_answered() -> None:
    _, session, listener = opened()
    stranger = wire.encode(7, 3, wire.Ping(1))
    arrival = listener.receive(b"peer", stranger, 0)
    assert isinstance(arrival, Refused) and arrival.ended is None and not arrival.malformed
    frame = wire.decode(arrival.frames)[0]
    assert isinstance(frame.message, wire.Bye)
    assert (frame.session, frame.message.code) == (7, "unknown")
    assert session.is_open
    silence = listener.receive(b"other", wire.encode(7, 0, wire.Bye("closing", "")), 0)
    assert isinstance(silence, Refused) and silence.frames == []


def test_frames_of_an_older_session_are_stale_for_the_opener() -> None:
    opener, _, _ = opened()
    assert opener.receive(wire.encode(ID - 1, 1, wire.Pong(1))) is None
    assert opener.is_open


def test_a_new_hello_of_the_same_peer_replaces_its_session() -> None:
    _, first, listener = opened()
    again = Session(ID + 1)
    arrival = listener.receive(b"peer", again.hello(role="client", name="tester", resumes=ID), 0)
    assert isinstance(arrival, Greeted)
    assert arrival.replaced is first and first.state is State.CLOSED
    assert arrival.hello.resumes == ID
    assert len(listener) == 1


@pytest.mark.parametrize(
    ("change", "code", "why"),
    [
        ({"role": "king"}, "protocol", "role 'king'"),
        ({"fleet": "other"}, "denied", "belongs to fleet 'fleet', not 'other'"),
        ({"name": "x" * 201}, "protocol", "201 characters"),
        ({"protocol_min": 2, "protocol_max": 3}, "protocol", "protocol 2 to 3"),
    ],
)
def test_a_hello_that_does_not_fit_is_refused_with_the_reason(change: dict[str, object], code: str, why: str) -> None:
    fields: dict[str, object] = {
        "role": "client",
        "name": "tester",
        "fleet": "",
        "store": "",
        "protocol_min": 1,
        "protocol_max": 1,
        "features": [],
        "principal": "anonymous",
    }
    listener = Sessions("fleet")
    arrival = listener.receive(b"peer", wire.encode(ID, 0, wire.Hello(**(fields | change))), 0)  # type: ignore[arg-type]
    assert isinstance(arrival, Refused)
    bye = wire.decode(arrival.frames)[0].message
    assert isinstance(bye, wire.Bye)
    assert bye.code == code and why in bye.reason
    assert len(listener) == 0


def test_sessions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SESSIONS_MAX", 2)
    listener = Sessions("fleet")
    for number in range(2):
        greet(Session(number), listener, bytes([number]))
    refused = listener.receive(b"third", Session(9).hello(role="client", name="third"), 0)
    assert isinstance(refused, Refused) and "2 sessions" in refused.why
    kept = listener.receive(b"\0", Session(10).hello(role="client", name="again"), 0)
    assert isinstance(kept, Greeted), "a peer that has a session may open its next"


@pytest.mark.parametrize(
    "misuse",
    [
        lambda opener, session: opener.send(wire.Topology(1, "f", 1, [], [])),
        lambda opener, session: session.send(wire.Sample(1)),
        lambda opener, session: session.send(welcome()),
        lambda opener, session: opener.hello(role="client", name="twice"),
        lambda opener, session: Session(1).send(wire.Ping(1)),
        lambda opener, session: (opener.bye("closing", ""), opener.send(wire.Ping(1))),
    ],
)
def test_a_side_may_not_say_what_is_not_its_own_to_say(misuse: Callable[[Session, Session], object]) -> None:
    opener, session, _ = opened()
    with pytest.raises(ProtocolError):
        misuse(opener, session)


@pytest.mark.parametrize(
    "message", [welcome(), TOPOLOGY, wire.Published(1, {}), wire.Claimed(1, True, 1, "", "", "", 1, 1, [])]
)
def test_a_verb_of_the_listener_from_an_opener_ends_the_session(message: wire.Message) -> None:
    _, session, listener = opened()
    arrival = listener.receive(b"peer", wire.encode(ID, 1, message), 0)
    assert isinstance(arrival, Refused)
    assert arrival.malformed and arrival.ended is session and len(listener) == 0


def test_an_opener_pings_when_it_was_quiet_and_a_silent_peer_is_gone() -> None:
    opener, session, listener = opened()
    assert opener.ping_due(limits.SESSION_PING_MS * MS - 1) is None
    now = limits.SESSION_PING_MS * MS
    ping = opener.ping_due(now)
    assert ping is not None
    assert opener.ping_due(now) is None
    listener.receive(b"peer", ping, now)
    late = now + limits.SESSION_SILENT_MS_MAX * MS
    assert listener.silent(late) == []
    assert listener.silent(late + 1) == [session]


ANY_FRAME = st.one_of(
    st.lists(st.binary(max_size=60), max_size=4),
    st.lists(st.binary(max_size=60), max_size=2).map(lambda parts: [wire.MAGIC + b"".join(parts)]),
    st.builds(
        lambda session, number, message: wire.encode(session, number, message),
        st.sampled_from([ID, 0, 2**64 - 1]),
        st.integers(-3, 5),
        st.sampled_from(
            [
                wire.Ping(0),
                wire.Bye("gap", ""),
                TOPOLOGY,
                wire.Hello("client", "n", "", "", 1, 1, [], ""),
                wire.Hello("", "", "", "", -1, -1, [], "", -1),
                wire.Publish(0, "", []),
            ]
        ),
    ),
)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from([b"peer", b"other"]), ANY_FRAME), max_size=12))
def test_no_bytes_make_a_listener_raise(arrivals: list[tuple[bytes, list[bytes]]]) -> None:
    _, _, listener = opened()
    for identity, parts in arrivals:
        arrival = listener.receive(identity, parts, 0)
        if isinstance(arrival, Refused) and arrival.frames:
            assert isinstance(wire.decode(arrival.frames)[0].message, wire.Bye)
        if isinstance(arrival, Greeted):
            arrival.session.send(welcome())
    assert len(listener) <= 2


@settings(max_examples=300)
@given(st.lists(ANY_FRAME, max_size=8))
def test_any_bytes_give_an_opener_a_message_or_a_protocol_error(frames: list[list[bytes]]) -> None:
    opener, _, _ = opened()
    for parts in frames:
        try:
            opener.receive(parts)
        except ProtocolError:
            assert opener.bye_code in ("gap", "protocol", "unknown")
