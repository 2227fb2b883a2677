"""The link: answers, silence, late and foreign answers, garbage, and being closed in the middle."""

import threading

import pytest

from console.link import Link, NoAnswer
from controlplane.questions import AskHealth, AskStatus, At, Health, Progress, Question, Refusal, Told, encode

HEALTH = Told(7, 8, Health(score=97, state="OK", was=None, recent=[], penalties=[]))


def test_an_answer_comes_back(responder) -> None:
    with Link(responder(lambda question: HEALTH).url) as link:
        assert link.ask(AskHealth()) == HEALTH
        assert link.ask(AskHealth()) == HEALTH


def test_a_moment_goes_with_its_question(responder) -> None:
    plane = responder(lambda question: HEALTH)
    with Link(plane.url) as link:
        for at in (None, At(position=12), At(instant=1_790_000_000_000_000_000)):
            link.ask(AskHealth(), at=at)
    assert plane.moments == [None, At(position=12), At(instant=1_790_000_000_000_000_000)]


def test_a_refusal_is_an_answer(responder) -> None:
    refusal = Told(1, 2, Refusal("not_found", "no such saga"))
    with Link(responder(lambda question: refusal).url) as link:
        assert link.ask(AskStatus()) == refusal


def test_silence_says_so_and_the_next_question_is_not_answered_late(responder) -> None:
    silent = iter([None, HEALTH])
    with Link(responder(lambda question: next(silent)).url) as link:
        with pytest.raises(NoAnswer, match="did not answer within"):
            link.ask(AskHealth(), timeout=0.05)
        assert link.ask(AskHealth()) == HEALTH


def test_nobody_there() -> None:
    with Link("tcp://127.0.0.1:1") as link, pytest.raises(NoAnswer, match=r"127\.0\.0\.1:1"):
        link.ask(AskHealth(), timeout=0.05)


def test_progress_is_passed_on(responder) -> None:
    steps = [Told(0, 0, Progress(1, 3)), Told(0, 0, Progress(2, 3, "half")), HEALTH]
    seen: list[Progress] = []
    with Link(responder(lambda question: steps).url) as link:
        assert link.ask(AskHealth(), on_progress=seen.append) == HEALTH
    assert [step.done for step in seen] == [1, 2]


@pytest.mark.parametrize("garbage", [b"", b"\xc1", b"\x80", encode(HEALTH)[:-3]])
def test_garbage_is_no_answer(responder, garbage: bytes) -> None:
    with Link(responder(lambda question: garbage).url) as link, pytest.raises(NoAnswer, match="another version"):
        link.ask(AskHealth())


def test_closing_ends_a_wait_at_once(responder) -> None:
    asked = threading.Event()

    def answer(_: Question) -> None:
        asked.set()

    link = Link(responder(answer).url)
    ended: list[str] = []

    def wait() -> None:
        try:
            link.ask(AskHealth(), timeout=60)
        except NoAnswer as error:
            ended.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    assert asked.wait(10)
    link.close()
    thread.join(10)
    assert ended == ["this link was closed meanwhile"]
    with pytest.raises(NoAnswer, match="closed"):
        link.ask(AskHealth())
    link.close()


def test_threads_take_turns(responder) -> None:
    with Link(responder(lambda question: HEALTH).url) as link:
        answers: list[Told] = []
        threads = [threading.Thread(target=lambda: answers.append(link.ask(AskHealth()))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert answers == [HEALTH] * 8
