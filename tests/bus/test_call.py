"""The machines of a call against models of them: each begun call ends exactly once, and no place is lost or made up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import limits, wire
from bus.call import Answers, Calls, Deadlines, check_name, check_trace, is_loopback
from bus.errors import Busy, InvalidCall

MS = 1_000_000
IN_FLIGHT_MAX = 4


def call(request: int, timeout_ms: int = 100) -> wire.Call:
    return wire.Call(request, "agent/a", "", timeout_ms, b"\xc0")


@given(st.lists(st.tuples(st.sampled_from("sdt"), st.integers(0, 30), st.integers(0, 50)), max_size=300))
def test_deadlines_are_those_of_a_plain_dict(steps: list[tuple[str, int, int]]) -> None:
    deadlines, model = Deadlines(), dict[int, int]()
    for step, key, instant in steps:
        if step == "s" and key not in model:
            deadlines.set(key, instant)
            model[key] = instant
        elif step == "d":
            assert deadlines.drop(key) == (model.pop(key, None) is not None)
        elif step == "t":
            due = sorted((when, one) for one, when in model.items() if when <= instant)
            assert deadlines.take(instant) == [one for _, one in due]
            for _, one in due:
                del model[one]
        assert deadlines.next() == min(model.values(), default=None)
        assert sorted(deadlines.keys()) == sorted(model) and len(deadlines) == len(model)


def test_deadlines_that_are_met_leave_nothing_behind() -> None:
    deadlines = Deadlines()
    for key in range(10_000):
        deadlines.set(key, key)
        deadlines.drop(key)
    assert len(deadlines._heap) < 100


caller_steps = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.integers(1, 40)),
        st.tuples(st.just("settle"), st.integers(1, 12)),
        st.tuples(st.just("cancel"), st.integers(1, 12)),
        st.tuples(st.just("expire"), st.integers(0, 40)),
        st.tuples(st.just("lose"), st.just(0)),
    ),
    max_size=80,
)


@given(caller_steps)
def test_every_call_in_flight_ends_once_and_never_more_than_allowed_are(steps: list[tuple[str, int]]) -> None:
    calls = Calls(IN_FLIGHT_MAX)
    model: dict[int, int] = {}
    request = late = 0
    for step, value in steps:
        if step == "begin":
            request += 1
            if len(model) == IN_FLIGHT_MAX:
                with pytest.raises(Busy):
                    calls.begin(request, value)
            else:
                calls.begin(request, value)
                model[request] = value
        elif step == "settle":
            late += value not in model
            assert calls.settle(value) == (model.pop(value, None) is not None)
        elif step == "cancel":
            assert calls.cancel(value) == (wire.Cancel(value) if model.pop(value, None) is not None else None)
        elif step == "expire":
            overdue = {one for one, due in model.items() if due <= value}
            assert {cancel.request for cancel in calls.expire(value)} == overdue
            model = {one: due for one, due in model.items() if one not in overdue}
        else:
            assert calls.lose() == list(model)
            model = {}
        assert (len(calls), calls.late) == (len(model), late)
        assert calls.next_due() == min(model.values(), default=None)


class Model:
    """What an answerer owes, kept in the plainest way: ticket -> (session, request, place, due), and who is wanted."""

    def __init__(self) -> None:
        self.running: dict[int, tuple[bytes, int, str, int]] = {}
        self.wanted: set[int] = set()
        self.last: dict[bytes, int] = {}
        self.duplicates = 0

    def at(self, place: str) -> int:
        return sum(one[2] == place for one in self.running.values())


sessions = st.sampled_from([b"x", b"y"])
places = st.sampled_from(["p", "q"])
answerer_steps = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), sessions, places, st.integers(-1, 12), st.integers(-1, 20)),
        st.tuples(st.just("finish"), sessions, places, st.integers(1, 8), st.just(0)),
        st.tuples(st.just("cancel"), sessions, places, st.integers(1, 12), st.just(0)),
        st.tuples(st.just("expire"), sessions, places, st.integers(0, 20), st.just(0)),
        st.tuples(st.just("end"), sessions, places, st.just(0), st.just(0)),
    ),
    max_size=80,
)


def begun(answers: Answers, model: Model, session: bytes, place: str, request: int, timeout_ms: int) -> None:
    """One `begin`, as the model says it should end."""
    if request <= model.last.get(session, 0):
        model.duplicates += 1
        assert answers.begin(session, call(request, timeout_ms), place, 2, 0) is None
        return
    model.last[session] = request
    if timeout_ms <= 0:
        with pytest.raises(InvalidCall, match="time-out"):
            answers.begin(session, call(request, timeout_ms), place, 2, 0)
    elif model.at(place) >= 2:
        with pytest.raises(Busy, match=place):
            answers.begin(session, call(request, timeout_ms), place, 2, 0)
    else:
        ticket = answers.begin(session, call(request, timeout_ms), place, 2, 0)
        assert ticket is not None and ticket not in model.running
        model.running[ticket] = (session, request, place, timeout_ms * MS)
        model.wanted.add(ticket)


@given(answerer_steps)
def test_an_answerer_stops_what_is_unwanted_and_frees_a_place_only_at_the_end(
    steps: list[tuple[str, bytes, str, int, int]],
) -> None:
    answers, model = Answers(), Model()
    for step, session, place, number, timeout_ms in steps:
        if step == "begin":
            begun(answers, model, session, place, number, timeout_ms)
        elif step == "finish":
            known = model.running.pop(number, None) is not None
            assert answers.finish(number) == (known and number in model.wanted)
            model.wanted.discard(number)
        elif step == "cancel":
            meant = [one for one in model.wanted if model.running[one][:2] == (session, number)]
            assert answers.cancel(session, number) == (meant[0] if meant else None)
            model.wanted.difference_update(meant)
        elif step == "expire":
            overdue = {one for one in model.wanted if model.running[one][3] <= number * MS}
            assert set(answers.expire(number * MS)) == overdue
            model.wanted -= overdue
        else:
            mine = {one for one in model.wanted if model.running[one][0] == session}
            assert set(answers.end(session)) == mine
            model.wanted -= mine
            model.last.pop(session, None)
        assert len(answers) == len(model.running) and answers.duplicates == model.duplicates
        for each in ("p", "q"):
            assert answers.running(each) == model.at(each)
            assert answers.tickets(each) == [one for one, what in model.running.items() if what[2] == each]
        assert answers.next_due() == min((model.running[one][3] for one in model.wanted), default=None)


def test_without_keys_only_the_loopback_is_called() -> None:
    assert is_loopback("tcp://127.0.0.1:65535")
    for url in (
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:*",
        "tcp://127.0.0.1:١٢",
        "tcp://127.0.0.1:80\n",
        "tcp://127.0.0.1:80;tcp://10.0.0.1:80",
        "tcp://10.0.0.1:80",
        "tcp://localhost:80",
        "ipc:///tmp/x",
        "",
    ):
        assert not is_loopback(url), url


@given(st.one_of(st.text(max_size=6), st.none(), st.integers(), st.just("x" * (limits.AGENT_NAME_CHARS_MAX + 1))))
def test_names_are_checked(name: object) -> None:
    fine = isinstance(name, str) and 0 < len(name) <= limits.AGENT_NAME_CHARS_MAX and name.isprintable()
    if fine:
        assert check_name("target", name) == name
    else:
        with pytest.raises(InvalidCall, match="target"):
            check_name("target", name)


def test_traces_are_checked() -> None:
    check_trace("", "")
    check_trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b")
    with pytest.raises(InvalidCall, match="traceparent"):
        check_trace("00-short-01", "")
    with pytest.raises(InvalidCall, match="tracestate"):
        check_trace("", "x" * 513)
