"""The parts of a replay by themselves: what becomes of an event, when it is due, the run against any kind of sink."""

import asyncio
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bus
from bus.event import validate
from console.limits import REPLAY_CHUNK_EVENTS
from console.replaying.control import Control
from console.replaying.pacing import Pace, Watch
from console.replaying.plan import Order, name_of, planned, prefix_of, receivers, speed_of
from console.replaying.runner import Runner
from console.replaying.sinks import Result
from console.replaying.stamping import Restamp, Stamp
from controlplane.questions import Recorded, Slice, Sliced, SlicePage
from tests.console.cli.test_replay_run import group
from tests.controlplane.edge.examples import events

SECOND = 1_000_000_000
NOW = 2**62
AT = Recorded(120_431, NOW, 3, 2**40, NOW, "")
stamps = st.builds(
    Stamp,
    run=st.sampled_from(["r1", "r2"]),
    prefix=st.sampled_from(["", "replay.", "a.b."]),
    importof=st.sampled_from(["replay", "", None]),
    restamp=st.none() | st.builds(Restamp, st.integers(-(2**60), 2**60), st.just(0), st.sampled_from([0.5, 1.0, 3.0])),
    reason=st.sampled_from(["", "again"]),
)
few = st.builds(
    bus.Event,
    type=st.just("t"),
    id=st.sampled_from(["a", "b"]),
    source=st.sampled_from(["k", "s"]),
    subject=st.sampled_from([None, "k", "m"]),
    partitionkey=st.sampled_from([None, "k", "n"]),
    correlationid=st.sampled_from([None, "k", "m"]),
)


# ------------------------------------------------------------------------------------------------ stamping


@given(events, stamps)
def test_a_replayed_event_is_valid_and_says_where_it_is_from(event: bus.Event, stamp: Stamp) -> None:
    replayed = stamp(event, AT, NOW)
    validate(replayed)
    assert bus.to_json(stamp(event, AT, NOW)) == bus.to_json(replayed), "the same run says the same"
    origin = replayed.extensions
    assert (origin["replayrun"], origin["replayof"]) == (stamp.run, event.id)
    assert (origin["replayposition"], origin["replaypartition"], origin["replayoffset"]) == ("120431", 3, str(2**40))
    assert origin.get("replaytime") == (None if event.time is None else event.time_text or bus.format_time(event.time))
    assert origin.get("replayreason", "") == stamp.reason
    assert (replayed.type, replayed.source) == (stamp.prefix + event.type, event.source)
    assert (replayed.payload, replayed.kind, replayed.priority) == (event.payload, event.kind, event.priority)
    assert replayed.deps is None
    assert event.extensions.keys() - {"importof"} <= origin.keys()


def test_under_a_prefix_nothing_is_dispatched() -> None:
    event = bus.Event(type="t", id="a", source="s", requires=["b", "a"])
    kept, rehearsed = Stamp("r1")(event, AT, NOW), Stamp("r1", "x.")(event, AT, NOW)
    assert kept.requires == ["b", "a"] and "replayrequires" not in kept.extensions
    assert rehearsed.requires is None and rehearsed.extensions["replayrequires"] == "b a"
    validate(rehearsed)


@given(st.lists(few, min_size=2, max_size=2), stamps)
def test_keys_sagas_and_ids_are_one_where_they_were_one(pair: list[bus.Event], stamp: Stamp) -> None:
    one, two = pair
    first, second = stamp(one, AT, NOW), stamp(two, AT, NOW)
    assert (first.key == second.key) == (one.key == two.key)
    assert (first.saga == second.saga) == (one.saga == two.saga)
    assert (first.id == second.id) == (one.id == two.id)
    if stamp.prefix and one.saga:
        assert first.saga.startswith(stamp.prefix), "no saga that is there moves"
        assert first.key.startswith(stamp.prefix)


def test_ids_differ_by_run_and_by_prefix_and_causes_follow() -> None:
    cause, effect = (bus.Event(type="t", source="s", id=id, causationid=by) for id, by in (("a", None), ("b", "a")))
    marks = [Stamp(run, prefix) for run in ("r1", "r2") for prefix in ("", "x.", "y.")]
    assert len({mark(cause, AT, NOW).id for mark in marks}) == len(marks)
    for mark in marks:
        assert mark(effect, AT, NOW).causationid == mark(cause, AT, NOW).id


@pytest.mark.parametrize(("importof", "live", "imported"), [("x", "x", "x/log"), ("", None, None), (None, None, "log")])
def test_which_log_it_is_judged_in(importof: str | None, live: str | None, imported: str | None) -> None:
    stamp = Stamp("r1", importof=importof)
    assert stamp(bus.Event(type="t", id="a", source="s"), AT, NOW).extensions.get("importof") == live
    event = bus.Event(type="t", id="a", source="s", extensions={"importof": "log"})
    assert stamp(event, AT, NOW).extensions.get("importof") == imported


def test_times_are_kept_as_they_were_written_or_made_new_with_their_expiry() -> None:
    event = bus.from_json('{"specversion":"1.0","id":"a","source":"s","type":"t","time":"2026-03-01T12:00:00Z",'
                          '"expirytime":"2026-03-01T12:00:05Z"}')  # fmt: skip
    kept = Stamp("r1")(event, AT, NOW)
    assert (kept.time_text, kept.time, kept.expirytime) == ("2026-03-01T12:00:00Z", event.time, event.expirytime)
    assert event.time is not None
    moved = Stamp("r1", restamp=Restamp(event.time - 10 * SECOND, 1000 * SECOND, 2.0))(event, AT, NOW)
    assert (moved.time, moved.expirytime, moved.time_text) == (1005 * SECOND, 1010 * SECOND, None)
    early = Stamp("r1", restamp=Restamp(event.time - 10 * SECOND, 1000 * SECOND, 2.0))(event, AT, 1001 * SECOND)
    assert early.time == 1001 * SECOND, "never later than it is published"


def test_what_never_expires_does_not_expire_later_than_that() -> None:
    event = bus.Event(type="t", id="a", source="s", time=NOW - SECOND, expirytime=2**63 - 1)
    moved = Stamp("r1", restamp=Restamp(NOW - SECOND, NOW, 1.0))(event, AT, NOW)
    validate(moved)
    assert bus.from_json(bus.to_json(moved)).expirytime == 2**63 - 1


# ------------------------------------------------------------------------------------------------ the order


def sliced(**more: Any) -> Sliced:
    told = {"events": 2, "left_out": {}, "types": {"order.paid": 2}, "other_types": 0, "bytes": 9, "imported": 0,
            "up_to": 9, "first": 3, "last": 8, "appended": (0, 60 * SECOND), "times": (0, 10 * SECOND),
            "remembered": 5}  # fmt: skip
    return Sliced(**(told | more))


@pytest.mark.parametrize(
    ("to", "restamp", "prefix", "importof"),
    [
        ("file", False, "", None),
        ("prefix", False, "a.b.", "a.b"),
        ("prefix", True, "a.b.", "a.b"),
        ("shadow", False, "", "replay"),
        ("shadow", True, "", ""),
        ("live", False, "", None),
    ],
)
def test_where_it_goes_decides_what_becomes_of_it(to: Any, restamp: bool, prefix: str, importof: str | None) -> None:
    stamp = Order("r1", to, "a.b." if to == "prefix" else "x", restamp=restamp).stamp(sliced(), 100 * SECOND)
    assert (stamp.prefix, stamp.importof) == (prefix, importof)
    assert stamp.restamp == (Restamp(10 * SECOND, 100 * SECOND, 1.0) if restamp else None)


def test_a_pace_is_by_what_fits() -> None:
    order = Order("r1", "file", "x", speed=2.0)
    assert (order.clock_of(sliced()), order.seconds(sliced())) == ("appended", 30.0)
    assert (order.clock_of(sliced(imported=2)), order.seconds(sliced(imported=2))) == ("time", 5.0)
    assert order.clock_of(sliced(imported=2, times=None)) == "appended"
    assert order._replace(clock="time").seconds(sliced()) == 5.0
    assert order._replace(speed=0.0).seconds(sliced()) is None
    assert order._replace(restamp=True).stamp(sliced(), 7).restamp == Restamp(0, 7, 2.0)


def test_who_listens_to_the_types_that_come() -> None:
    groups = [group("all", ">"), group("orders", "order.>"), group("replays", "replay.*.paid")]
    types = {"order.paid": 5, "order.created": 2}
    assert {each.group: each.events for each in receivers(types, "", groups)} == {"all": 7, "orders": 7}
    assert {each.group: each.events for each in receivers(types, "replay.", groups)} == {"all": 7, "replays": 5}
    assert planned(Order("r1", "shadow", "d"), sliced(), groups, True).receivers == []


@pytest.mark.parametrize("text", ["", ".", "a..b", "*", "a.>", "signalbox", "signalbox.x.", "agent.lifecycle", "a\n"])
def test_prefixes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        prefix_of(text)
    assert prefix_of("replay") == prefix_of("replay.") == "replay."


@pytest.mark.parametrize("text", ["", "a/b", "-a", "é", "a" * 65])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        name_of(text)
    assert name_of("run-7_b.c") == "run-7_b.c"


def test_speeds() -> None:
    assert [speed_of(text) for text in ("max", "20", "×0.5", "x3")] == [0.0, 20.0, 0.5, 3.0]
    for text in ("0", "-1", "fast", "nan", "inf"):
        with pytest.raises(ValueError):
            speed_of(text)


# -------------------------------------------------------------------------------------------------- pacing


@given(st.lists(st.tuples(st.none() | st.integers(0, 10**12), st.integers(0, 10**12)), min_size=1),
       st.sampled_from(["appended", "time"]), st.sampled_from([0.5, 1.0, 20.0]))  # fmt: skip
def test_each_is_due_with_the_furthest_so_far(clocks: list[tuple[int | None, int]], clock: Any, speed: float) -> None:
    pace = Pace(speed, clock)
    dues = []
    for instant, appended in clocks:
        event = bus.Event(type="t", id="a", source="s", time=instant)
        dues.append(pace.due(event, Recorded(1, 0, 0, 0, appended, "")))
    seen = [instant if clock == "time" else appended for instant, appended in clocks]
    there = [value for value in seen if value is not None]
    for number, due in enumerate(dues):
        until = [value for value in seen[: number + 1] if value is not None]
        assert due == pytest.approx((max(until) - there[0]) / SECOND / speed if until else 0.0)
    assert all(before <= after for before, after in pairwise(dues))
    at_once = Pace(0.0, clock)
    assert {at_once.due(bus.Event(type="t", time=value), Recorded(1, 0, 0, 0, 5, "")) for value, _ in clocks} == {0.0}


@given(st.lists(st.tuples(st.integers(0, 100), st.sampled_from(["stop", "start", "look"]))))
def test_a_watch_counts_what_was_not_paused(steps: list[tuple[int, str]]) -> None:
    watch, now, counted, running = Watch(0.0), 0, 0, True
    for passed, what in steps:
        now += passed
        counted += passed if running else 0
        if what != "look":
            (watch.stop if what == "stop" else watch.start)(float(now))
            running = what == "start"
        assert watch.elapsed(float(now)) == counted
        assert watch.is_stopped is not running


# ------------------------------------------------------------------------------------------------- the run


def recorded(count: int, gap_ns: int = 0) -> list[Recorded]:
    found = []
    for number in range(count):
        event = bus.Event(type="t", id=f"e{number}", source="s", subject=f"k{number % 3}")
        position = 2 * number + 1
        found.append(Recorded(position, position, 0, number, number * gap_ns, bus.to_json(event).decode()))
    return found


class Taking:
    """A sink that keeps what it gets; `fails` and `refuses` name ids, `after` is called with each chunk."""

    def __init__(self, fails: str = "", refuses: str = "") -> None:
        self.got: list[bus.Event] = []
        self.chunks: list[int] = []
        self.fails, self.refuses = fails, refuses
        self.after: Any = lambda: None

    async def send(self, events: Sequence[bus.Event]) -> list[Result]:
        self.got += events
        self.chunks.append(len(events))
        self.after()
        return [self._became(event.extensions["replayof"]) for event in events]

    def _became(self, id: object) -> Result:
        if id == self.fails:
            return bus.InsufficientReplicas("one of three is there")
        return bus.EventTooLarge("too large") if id == self.refuses else "published"


def runner(rows: list[Recorded], sink: Taking, page: int = 7, **more: Any) -> Runner:
    order = Order("r1", "file", "x", **more)
    told = sliced(events=len(rows), first=1, last=rows[-1].position, up_to=rows[-1].position, times=None)

    def pages(after: int) -> SlicePage:
        left = [row for row in rows if row.position > after]
        return SlicePage(left[:page], left[:page][-1].position if left else after, len(left) <= page)

    return Runner(order, order.stamp(told, 0), pages, sink, planned(order, told, [], False))


async def test_all_of_it_in_order() -> None:
    sink, said = Taking(), list[int]()
    run = runner(recorded(40), sink)
    await run.run(said.append)
    assert [event.id for event in sink.got] == [f"r1/e{n}" for n in range(40)]
    assert (run.result.published, run.result.reached, run.result.ended) == (40, 79, "done")
    assert said == sorted(said) and said[-1] == 40


async def test_what_goes_out_together_is_bounded() -> None:
    sink = Taking()
    await runner(recorded(REPLAY_CHUNK_EVENTS + 5), sink, page=10**6).run(lambda _done: None)
    assert sink.chunks == [REPLAY_CHUNK_EVENTS, 5]


async def test_a_pace_is_kept_and_pauses_are_no_part_of_it() -> None:
    sink, paused = Taking(), asyncio.Event()
    run = runner(recorded(4, gap_ns=SECOND), sink, speed=2.0)
    control = run.control

    def after() -> None:
        if not paused.is_set():
            control.toggle()
            paused.set()

    sink.after = after
    began = time.monotonic()
    task = asyncio.create_task(run.run(lambda _done: None))
    await paused.wait()
    stood, count = control.watch.elapsed(time.monotonic()), len(sink.got)
    done, _ = await asyncio.wait({task}, timeout=0.6)
    assert not done and len(sink.got) == count, "nothing goes out while it is paused"
    assert control.watch.elapsed(time.monotonic()) == stood
    control.toggle()
    await task
    assert (len(sink.got), run.result.ended) == (4, "done")
    assert control.watch.elapsed(time.monotonic()) >= 3 / 2
    assert time.monotonic() - began >= 0.6 + 3 / 2


async def test_a_pause_holds_at_full_speed_too() -> None:
    sink, paused = Taking(), asyncio.Event()
    run = runner(recorded(21), sink)

    def after() -> None:
        if not paused.is_set():
            run.control.toggle()
            paused.set()

    sink.after = after
    task = asyncio.create_task(run.run(lambda _done: None))
    await paused.wait()
    done, _ = await asyncio.wait({task}, timeout=0.2)
    assert not done and sink.chunks == [7]
    run.control.toggle()
    await task
    assert (sum(sink.chunks), run.result.ended) == (21, "done")


@pytest.mark.parametrize("paused", [False, True])
async def test_a_stop_ends_it_where_it_says(paused: bool) -> None:
    sink = Taking()
    run = runner(recorded(9, gap_ns=3600 * SECOND), sink, speed=1.0)

    def after() -> None:
        if paused:
            run.control.toggle()
        asyncio.get_running_loop().call_soon(run.control.stop)

    sink.after = after
    await run.run(lambda _done: None)
    assert (len(sink.got), run.result.published, run.result.reached, run.result.ended) == (1, 1, 1, "interrupted")


async def test_a_second_stop_does_not_wait_for_what_was_sent(capsys: pytest.CaptureFixture[str]) -> None:
    class Silent(Taking):
        async def send(self, events: Sequence[bus.Event]) -> list[Result]:
            self.got += events
            asyncio.get_running_loop().call_soon(task.cancel)
            return await asyncio.get_running_loop().create_future()

    sink = Silent()
    run = runner(recorded(9), sink)
    task = asyncio.create_task(run.run(lambda _done: None))
    await task
    assert (len(sink.got), run.result.published, run.result.ended) == (7, 0, "interrupted")
    assert "may or may not have arrived" in capsys.readouterr().err


async def test_a_stop_does_not_wait_for_a_page() -> None:
    never = asyncio.get_running_loop().create_future()
    control = Control()
    asyncio.get_running_loop().call_soon(control.stop)
    assert await control.answer(never) is None
    never.set_result("there")
    assert await control.answer(never) == "there"


@pytest.mark.parametrize("fails", ["e0", "e4", "e8"])
async def test_the_first_that_could_not_be_published_is_where_it_goes_on(fails: str) -> None:
    run = runner(recorded(9), Taking(fails=fails))
    await run.run(lambda _done: None)
    number = int(fails[1:])
    assert (run.result.ended, run.result.reached) == ("failed", 2 * number - 1 if number else 0)
    assert "InsufficientReplicas" in run.result.error


async def test_what_is_refused_is_passed_over_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    run = runner(recorded(9), Taking(refuses="e4"))
    await run.run(lambda _done: None)
    result = run.result
    assert (result.ended, result.published, result.refused, result.reached) == ("done", 8, 1, 17)
    assert "r1/e4 of position 9: too large" in capsys.readouterr().err


@pytest.mark.parametrize(("more", "count"), [({"limit": 3}, 3), ({"stop_position": 5}, 3), ({"stop_instant": 5}, 3),
                                             ({"limit": 100}, 9), ({"stop_position": 0}, 0)])  # fmt: skip
async def test_it_stops_where_it_was_told(more: dict[str, int], count: int) -> None:
    sink = Taking()
    run = runner(recorded(9), sink, page=2, **more)
    await run.run(lambda _done: None)
    assert (len(sink.got), run.result.ended) == (count, "done" if count == 9 else "stopped")


def test_the_command_that_goes_on_says_all_that_was_said() -> None:
    order = Order("r1", "prefix", "replay.", Slice("order.>"), 2.0, "time", True, "it's new", live=True,
                  words=("--type", "order.>"))  # fmt: skip
    said = order.go_on(7, 9)
    assert said == (
        "signalbox replay run --name r1 --type 'order.>' --from 7 --to 9 --prefix replay. --live --clock time "
        "--reason 'it'\"'\"'s new' --speed 2 --restamp"
    )
    assert Order("r1", "file", "x").go_on(1, 2).endswith("--to 2 --out ANOTHER"), "a file is not written over"
    assert Order("r1", "shadow", "x").go_on(1, 2).endswith("--to 2 --shadow x")
