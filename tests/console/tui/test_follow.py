"""The thread behind the screens: latest wins, failures are told and paused after, nothing outlives it."""

import threading
from collections.abc import Callable, Iterator

import pytest

from console.follow import Follower
from console.limits import ERRANDS_MAX
from console.model import RETRY_S, Landed, Model, pause_s
from controlplane.questions import AskFlows, AskHealth, AskSagas, At, Board, Progress, Question, Redrive, Told
from tests.console import frozen

WAIT_S = 10


class Gate:
    """A link that answers when it is let, and says what it was asked."""

    def __init__(self) -> None:
        self.frozen = frozen.trouble()
        self.asked: list[Question] = []
        self.reached = threading.Semaphore(0)
        self.let = threading.Semaphore(0)
        self.fault = ""

    def ask(
        self,
        question: Question,
        timeout: float = 5.0,
        on_progress: Callable[[Progress], None] | None = None,
        at: At | None = None,
    ) -> Told:
        self.asked.append(question)
        self.reached.release()
        if not self.let.acquire(timeout=WAIT_S):
            raise TimeoutError("the test never let this answer through")
        if self.fault:
            raise ConnectionError(self.fault)
        return self.frozen.ask(question, at=at)

    def close(self) -> None:
        for _ in range(100):
            self.let.release()


class Case:
    def __init__(self) -> None:
        self.gate, self.rings, self.clock = Gate(), threading.Semaphore(0), 100.0
        self.follower = Follower(self.gate, self.rings.release, lambda: self.clock)
        self.follower.start()

    def reached(self) -> None:
        assert self.gate.reached.acquire(timeout=WAIT_S)

    def rung(self) -> None:
        assert self.rings.acquire(timeout=WAIT_S)


@pytest.fixture
def case() -> Iterator[Case]:
    made = Case()
    yield made
    made.follower.stop()
    assert not [thread for thread in threading.enumerate() if thread is made.follower._thread]


def test_a_round_asks_what_stands_and_rings_once(case: Case) -> None:
    case.follower.want({"flows": AskFlows(), "sagas": AskSagas()})
    case.follower.beat()
    case.gate.let.release(2)
    case.rung()
    assert [(one.slot, one.told is not None) for one in case.follower.take()] == [("flows", True), ("sagas", True)]
    assert case.follower.take() == []
    assert not case.rings.acquire(blocking=False)


def test_beats_that_come_meanwhile_merge_into_one(case: Case) -> None:
    case.follower.want({"flows": AskFlows()})
    case.follower.beat()
    case.reached()
    for _ in range(5):
        case.follower.beat()
    case.follower.want({"flows": AskFlows("coder")})
    case.gate.let.release(2)
    case.rung()
    case.rung()
    assert case.gate.asked == [AskFlows(), AskFlows("coder")]
    assert [one.question for one in case.follower.take()] == [AskFlows("coder")]


def test_a_failure_ends_the_round_and_waits_for_its_time(case: Case) -> None:
    case.gate.fault = "nobody listens"
    case.follower.want({"flows": AskFlows(), "sagas": AskSagas()})
    case.follower.beat()
    case.gate.let.release()
    case.rung()
    (landed,) = case.follower.take()
    assert (landed.slot, landed.told, landed.why) == ("flows", None, "nobody listens")
    case.follower.beat()
    assert not case.gate.reached.acquire(timeout=0.05) or len(case.gate.asked) == 1
    case.gate.fault = ""
    case.gate.let.release(2)
    case.follower.beat(now=True)
    case.rung()
    assert [one.told is not None for one in case.follower.take()] == [True, True]


def test_errands_go_first_and_are_bounded(case: Case) -> None:
    case.follower.want({"flows": AskFlows()})
    case.follower.beat()
    case.reached()
    order = Redrive(["g-07"], dry_run=True)
    assert all(case.follower.errand(f"errand {i}", order) for i in range(ERRANDS_MAX))
    assert not case.follower.errand("one too many", order)
    case.follower.beat()
    case.gate.let.release(ERRANDS_MAX + 2)
    for _ in range(3):
        case.rung()
    assert case.gate.asked[1 : ERRANDS_MAX + 1] == [order] * ERRANDS_MAX
    assert case.gate.asked[-1] == AskFlows()


def test_stopping_ends_an_ask_under_way(case: Case) -> None:
    case.follower.want({"flows": AskFlows()})
    case.follower.beat()
    case.reached()
    case.follower.stop()
    assert not case.follower._thread.is_alive()


def landed(question: Question, at: float, why: str = "", slot: str = "board") -> Landed:
    return Landed(slot, question, None if why else frozen.trouble().ask(question), at, why)


def test_silence_is_told_after_a_while_and_its_tries_spread_out() -> None:
    model = Model(started=0.0)
    assert model.silent_s(1.0) is None and model.silent_s(4.0) == 4
    model.land(landed(AskHealth(), 5.0))
    assert model.silent_s(7.0) is None
    for i, pause in enumerate(RETRY_S, start=1):
        model.land(landed(AskHealth(), 5.0 + i, "silence"))
        assert (model.tries, model.retry_in_s(5.0 + i)) == (i, round(pause))
    assert pause_s(99) == RETRY_S[-1]
    assert model.silent_s(17.0) == 12
    model.land(landed(AskHealth(), 20.0))
    assert (model.silent_s(20.5), model.tries, model.why) == (None, 0, "")


def test_freezing_holds_the_picture_and_going_on_catches_up() -> None:
    model = Model(started=0.0)
    model.land(landed(AskHealth(), 1.0, slot="health"))
    shown = model.told("health")
    model.freeze(True)
    model.land(landed(AskHealth(), 2.0, slot="health"))
    model.land(landed(AskFlows("x"), 2.0, slot="flows"))
    assert model.told("health") is shown
    assert model.told("flows", AskFlows("x")) is not None, "what was not yet shown is shown"
    model.freeze(False)
    assert model.told("health") is not shown
    assert model.told("health", AskSagas()) is None
    assert model.body("health", Board) is None
