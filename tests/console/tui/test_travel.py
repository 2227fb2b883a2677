"""Time travel by key and mouse, on the application with frozen answers of now and of then."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from console.app import Console
from console.model import Landed, Model
from console.pictures.frame import Scene
from console.pictures.timebar import X0, bars_of, column_of
from console.screens.events import EventsScreen
from console.screens.redrive import RedriveDialogue
from controlplane.questions import AskBoard, AskFlows, AskTimeline, At, Need, Progress, Question, Refusal, Told
from tests.console import frozen
from tests.console.frozen import Frozen
from tests.console.screens import PAST, settle
from tests.console.story import S, at
from tests.console.tui.seat import Seat, seat

THEN = At(instant=at("02:58:10"))


async def go_back(seat: Seat) -> None:
    await seat.press(*PAST.split(","))


def moments(link: Frozen, kind: type[Question]) -> list[At | None]:
    """As of when questions of a kind were asked."""
    return [moment for question, moment in zip(link.asked, link.moments, strict=True) if isinstance(question, kind)]


async def test_an_instant_is_typed_and_end_comes_back() -> None:
    async with seat() as at_:
        assert "p07 refuses publishes" in at_.text and "LIVE 03:12:44" in at_.text
        await go_back(at_)
        text = at_.text
        assert "PAST 02:58:10" in text and "14m34s ago" in text and "● 97" in text.splitlines()[0]
        assert "reviewer 6 s behind" in text and "p07 refuses" not in text
        assert "levers locked" in text and "end back to live" in text
        assert all(row.startswith("▌") and row.endswith("▐") for row in text.splitlines()[1:33])
        await at_.press("end")
        assert "LIVE 03:12:44" in at_.text and "p07 refuses publishes" in at_.text and "▐" not in at_.text


SCREENS = [("1", "TRACKS"), ("2", "flows"), ("3", "Sagas"), ("4", "Dead letters"), ("5", "Health"), ("6", "as of then"),
           ("7", "PARTITIONS")]  # fmt: skip


@pytest.mark.parametrize(("tab", "word"), SCREENS)
async def test_every_screen_asks_as_of_then_through_one_place(tab: str, word: str) -> None:
    async with seat() as at_:
        await go_back(at_)
        at_.link.asked.clear()
        at_.link.moments.clear()
        await at_.press(tab)
        assert word in at_.text and "PAST 02:58:10" in at_.text
        asked = list(zip(at_.link.asked, at_.link.moments, strict=True))
        assert {moment for question, moment in asked if not isinstance(question, AskTimeline)} <= {THEN}
        assert {moment for question, moment in asked if isinstance(question, AskTimeline)} <= {None}


async def test_of_a_moment_nothing_is_asked_twice_and_the_bar_goes_on() -> None:
    async with seat() as at_:
        await at_.press("2")
        await go_back(at_)
        before = len(moments(at_.link, AskFlows)), len(moments(at_.link, AskBoard)), len(moments(at_.link, AskTimeline))
        at_.link.story.now += 60 * S
        await at_.beat()
        after = len(moments(at_.link, AskFlows)), len(moments(at_.link, AskBoard)), len(moments(at_.link, AskTimeline))
        assert (after[0] - before[0], after[1] - before[1], after[2] - before[2]) == (0, 0, 1)
        assert "15m34s ago" in at_.text


async def test_keys_step_by_steps_bars_and_flags() -> None:
    async with seat() as at_:
        await at_.press("full_stop")
        assert "this is the present" in at_.text and at_.app.model.aim is None
        await at_.press("comma")
        assert at_.app.model.aim == At(instant=at("03:12:44") - 11 * S)
        await at_.press("comma", "full_stop", "full_stop")
        assert at_.app.model.aim is None and "LIVE" in at_.text
        await at_.press("less_than_sign", "less_than_sign")
        assert at_.app.model.aim == At(instant=at("03:12:44") - 360 * S)
        await at_.press("greater_than_sign")
        assert at_.app.model.aim == At(instant=at("03:12:44") - 180 * S)
        flags = at_.link.timeline().incidents
        await at_.press("left_curly_bracket")
        assert at_.app.model.aim == At(instant=flags[-1].at if flags[-1].at < at("03:09:44") else flags[-2].at)
        await at_.press("left_curly_bracket", "left_curly_bracket")
        assert at_.app.model.aim == At(instant=flags[0].at) and "coder slow" in at_.text
        await at_.press("left_curly_bracket")
        assert "no incident before" in at_.text and at_.app.model.aim == At(instant=flags[0].at)
        await at_.press("right_curly_bracket")
        assert at_.app.model.aim == At(instant=flags[1].at) and "b4 lags" in at_.text


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("-9h", "nothing is known before"),
        ("@2,000,000", "the journal ends at position 1,204,331"),
        ("soon", "is no moment: write now, 14:03, -5m,"),
        ("2030-01-01T00:00:00Z", "has not been yet: it is Nov 22"),
    ],
)
async def test_an_instant_that_is_refused_says_so_and_one_stays_where_one_is(typed: str, said: str) -> None:
    async with seat() as at_:
        await go_back(at_)
        await at_.press("t")
        await at_.pilot.press(*typed)
        await at_.press("enter")
        assert said in at_.text and "PAST 02:58:10" in at_.text
        assert at_.app.model.aim == at_.app.model.moment == THEN
        await at_.press("j")
        assert said not in at_.text and "reviewer 6 s behind" in at_.text


async def test_who_is_asked_for_an_instant_is_told_what_one_is_like() -> None:
    async with seat() as at_:
        await at_.press("t")
        assert "now, 14:03, -5m, 2026-03-01" in at_.text


async def test_no_lever_is_pulled_in_the_past() -> None:
    async with seat() as at_:
        await go_back(at_)
        await at_.press("4")
        assert "r redrive" not in at_.text.splitlines()[-1]
        await at_.press("r")
        assert "levers are locked in the past" in at_.text and not isinstance(at_.app.screen, RedriveDialogue)
        assert not at_.redrives()
        await at_.press("end", "r")
        assert isinstance(at_.app.screen, RedriveDialogue)


async def test_new_trouble_of_now_is_told_in_the_past() -> None:
    async with seat() as at_:
        await go_back(at_)
        await at_.beat()
        assert "now ■ 61" not in at_.text, "that trouble was known when the present was left"
        need = Need("bad", "b2 is down", "killed", at("03:12:44"), "broker revive b2", 30, "broker b2")
        at_.link.story.board.needs.insert(0, need)
        at_.link.story.board.status.counts.score = 31
        await at_.beat()
        assert at_.text.splitlines()[0].endswith("now ■ 31") and "PAST 02:58:10" in at_.text
        await at_.pilot.click(offset=(117, 0))
        await settle(at_.pilot, at_.app)
        assert "b2 is down" in at_.text and "LIVE" in at_.text


async def test_a_click_a_drag_and_the_wheel_move_in_time() -> None:
    async with seat() as at_:
        line, room = at_.link.timeline(), bars_of(120)
        await at_.pilot.click("#timebar", offset=(X0 + 40, 0))
        await settle(at_.pilot, at_.app)
        aim = at_.app.model.aim
        assert aim is not None and aim.instant is not None and column_of(line, room, aim.instant) == 40
        assert at_.app.mouse_captured is None
        await at_.pilot.mouse_down("#timebar", offset=(X0 + 40, 0))
        for column in range(41, 61):
            await at_.pilot.hover("#timebar", offset=(X0 + column, 1))
        await at_.pilot.mouse_up("#timebar", offset=(X0 + 60, 1))
        await settle(at_.pilot, at_.app)
        aim = at_.app.model.aim
        assert aim is not None and aim.instant is not None and column_of(line, room, aim.instant) == 60
        await at_.pilot.hover("#timebar", offset=(X0 + 10, 1))
        await at_.pilot.pause()
        assert at_.app.model.aim == aim, "without a button the mouse moves nothing"
        await at_.pilot.click("#timebar", offset=(X0 + room - 1, 0))
        await settle(at_.pilot, at_.app)
        assert at_.app.model.aim is None and "LIVE" in at_.text


async def test_dragging_asks_at_most_each_tenth_of_a_second_and_the_latest_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with seat() as at_:
        clock = [1_000.0]
        timers: list[tuple[float, Callable[[], None]]] = []
        monkeypatch.setattr("console.app.time.monotonic", lambda: clock[0])
        monkeypatch.setattr(at_.app, "set_timer", lambda delay, call: timers.append((delay, call)))
        asked: list[At | None] = []
        monkeypatch.setattr(at_.app, "ask_now", lambda: asked.append(at_.app.model.aim))
        for step in range(30):
            at_.app.travel(At(instant=at("02:00:00") + step * S))
            clock[0] += 0.01
            if timers and clock[0] >= 1_000.0 + 0.1 * (len(timers)):
                timers[-1][1]()
        assert 3 <= len(asked) <= 4 and asked[0] == At(instant=at("02:00:00"))
        assert len(timers) <= 3 and all(0 < delay <= 0.1 for delay, _ in timers)


async def test_what_is_not_there_yet_is_the_empty_state_of_then() -> None:
    async with seat() as at_:
        await at_.press("2")
        rows = at_.app.screen.query_one("Grid").rows  # type: ignore[attr-defined]
        assert len(rows) == 13
        model = at_.app.model
        model.travel(THEN)
        model.land(Landed("board", AskBoard(1), at_.link.ask(AskBoard(1), at=THEN), 1.0, moment=THEN))
        assert model.moment == THEN and model.told("flows") is None


async def test_freezing_has_no_meaning_in_the_past() -> None:
    async with seat() as at_:
        await at_.press("u")
        assert at_.app.model.frozen
        await go_back(at_)
        assert not at_.app.model.frozen and "PAST" in at_.text
        await at_.press("u")
        assert not at_.app.model.frozen and "the past stands still" in at_.text


async def test_a_copied_command_asks_as_of_then() -> None:
    async with seat() as at_:
        await go_back(at_)
        await at_.press("3", "C")
        assert at_.app.clipboard == "signalbox saga show claim-0093 --at 1118204"


async def test_following_events_stand_still_in_the_past() -> None:
    async with seat() as at_:
        await go_back(at_)
        await at_.press("6")
        assert isinstance(at_.app.screen, EventsScreen) and "as of then" in at_.text and "following" not in at_.text


async def test_without_answer_the_past_fades_and_comes_back() -> None:
    async with seat() as at_:
        await go_back(at_)
        at_.link.silent = "nobody listens"
        at_.app.model.heard = (at_.app.model.heard or 0) - 12
        await at_.beat()
        assert "control plane silent" in at_.text and "LAST 02:58:10" in at_.text and at_.app.faded
        at_.link.silent = ""
        await at_.press("ctrl+r")
        while at_.app.model.tries:
            await at_.pilot.pause()
        await at_.pilot.pause()
        assert "PAST 02:58:10" in at_.text


def test_answers_of_another_moment_are_never_shown_together() -> None:
    link, model = frozen.trouble(), Model(started=0.0)
    earlier = At(instant=at("02:00:00"))

    def land(slot: str, question: Question, moment: At | None) -> Refusal | None:
        return model.land(Landed(slot, question, link.ask(question, at=moment), 1.0, moment=moment))

    land("board", AskBoard(1), None)
    land("flows", AskFlows(), None)
    model.travel(THEN)
    land("flows", AskFlows(), THEN)
    assert model.moment is None and model.told("flows") is not None, "not before the Board's answer is there"
    model.travel(earlier)
    land("board", AskBoard(1), THEN)
    assert model.moment == THEN and model.travels, "on the way there the moment between is shown"
    land("board", AskBoard(1), None)
    assert model.moment == THEN and model.told("flows") is None, "an answer of the present came late"
    model.travel(None)
    land("board", AskBoard(1), earlier)
    assert model.moment == THEN, "on the way to the present no other moment is shown"
    land("board", AskBoard(1), None)
    assert model.moment is None and not model.travels


def test_there_is_no_going_to_before_the_first_entry() -> None:
    link, model = frozen.trouble(), Model(started=0.0)
    model.land(Landed("board", AskBoard(1), link.ask(AskBoard(1)), 1.0))
    model.travel(At(instant=1))
    empty = Told(0, 0, link.story.board, past=True)
    refused = model.land(Landed("board", AskBoard(1), empty, 1.0, moment=At(instant=1)))
    assert refused is not None and "nothing was journaled" in refused.message
    assert model.moment is None and model.aim is None and model.now == link.story.now


def test_only_an_answer_that_will_stay_the_same_is_had() -> None:
    model = Model(started=0.0)
    model.travel(THEN)
    busy = Told(1, 1, Refusal("unavailable", "hands full"))
    model.moment = THEN
    model.land(Landed("flows", AskFlows(), busy, 1.0, moment=THEN))
    assert not model.has("flows", AskFlows())
    model.land(Landed("flows", AskFlows(), frozen.trouble().ask(AskFlows(), at=THEN), 1.0, moment=THEN))
    assert model.has("flows", AskFlows()) and not model.has("flows", AskFlows("x"))


class Slow(Frozen):
    """Says that it works before it answers, as a plane that goes back far does."""

    def ask(
        self,
        question: Question,
        timeout: float = 5.0,
        on_progress: Callable[[Progress], None] | None = None,
        at: At | None = None,
    ) -> Told:
        if at is not None and on_progress is not None:
            on_progress(Progress(1, 2, "going back"))
        return super().ask(question, timeout, on_progress, at)


async def test_a_plane_that_works_is_not_silent() -> None:
    trouble = frozen.trouble()
    link = Slow(trouble.story, then=trouble.then)
    app = Console(link, beat=False)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot, app)
        seat_ = Seat(app, link, pilot)
        await go_back(seat_)
        app.model.heard = 0.0
        app.pulse()
        assert app.model.heard > 0
        assert app.follower.progressed() is not None


def test_levers_lock_as_soon_as_one_leaves_the_present() -> None:
    scene = Scene("local", None)
    assert not scene.locked and replace(scene, aim=THEN).locked and replace(scene, moment=THEN).locked


@pytest.mark.parametrize("keys", [["7", "enter", "enter"], ["3", "enter"]], ids=["partition", "saga"])
async def test_nothing_is_called_now_in_the_past(keys: list[str]) -> None:
    async with seat() as at_:
        await go_back(at_)
        await at_.press(*keys)
        body = at_.text.rpartition("◀ PAST")[0]
        assert "then╵" in body or "then╷" in body
        assert "now╵" not in body and "now╷" not in body
