"""One membership shared by many agents, driven by hand against a naive account of what became of every delivery."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.agents.handlers import Settings
from bus.agents.work import Job, Work
from bus.event import Event

SETTINGS = Settings("work.>", "g", "none", 30.0, 5, "now")


class Paper:
    """A delivery that notes what is said of it."""

    def __init__(self, event: Event, attempt: int = 1) -> None:
        self.event, self.attempt, self.said = event, attempt, list[str]()
        self.renewals = 0
        self.renewed = asyncio.Event()

    def renew(self) -> None:
        self.renewals += 1
        if self.renewals == 2:
            self.renewed.set()

    def ack(self) -> None:
        self.said.append("ack")

    def nack(self, delay: float = 0.0, error: str = "") -> None:
        self.said.append("nack")

    def terminate(self, reason: str = "") -> None:
        self.said.append(f"terminate {reason}")


class Clerk:
    """An agent's desk without handlers that run: jobs lie on it until they are said to end."""

    def __init__(self, concurrency: int, takes: str = "") -> None:
        self.concurrency, self.takes = concurrency, takes
        self.jobs: list[Job] = []
        self.refused: list[Job] = []
        self.works: list[Work] = []

    @property
    def share(self) -> float:
        return len(self.jobs) / self.concurrency if self.concurrency else 1.0

    def handler_for(self, job: Job) -> Any:
        return self if job.event.type.startswith(self.takes) else None

    def begin(self, job: Job, handler: Any) -> None:
        (self.jobs if handler is not None else self.refused).append(job)

    def end(self, done: bool) -> None:
        job = self.jobs.pop(0)
        delivery = cast(Paper, job.delivery)
        delivery.ack() if done else delivery.nack()
        job.work.ended(job, done)
        for work in self.works:
            work.give_out()


def working(*clerks: Clerk, wait: float = 30.0, place: str = "g") -> Work:
    work = Work(
        cast(Any, None), SETTINGS._replace(ack_wait=wait), place, False, asyncio.Semaphore(), lambda work, error: None
    )
    for clerk in clerks:
        work.seats.append(cast(Any, clerk))
        clerk.works.append(work)
    return work


def asked(number: int, **more: Any) -> Event:
    return Event(type="work.asked", source="s", id=str(number), **more)


def take(work: Work, paper: Paper) -> None:
    work.take(cast(Any, paper))


class TestShared:
    async def test_the_least_busy_gets_it_and_nobody_gets_too_much(self) -> None:
        clerks = [Clerk(1), Clerk(4), Clerk(2)]
        work = working(*clerks)
        for number in range(10):
            take(work, Paper(asked(number)))
            shares = [clerk.share for clerk in clerks]
            assert max(shares) <= 1
        assert [len(clerk.jobs) for clerk in clerks] == [1, 4, 2] and len(work.queue) == 3
        assert work.queued() == 1
        clerks[2].end(done=True)
        assert [len(clerk.jobs) for clerk in clerks] == [1, 4, 2] and len(work.queue) == 2

    async def test_equals_take_turns(self) -> None:
        clerks = [Clerk(8) for _ in range(4)]
        work = working(*clerks)
        for number in range(4):
            take(work, Paper(asked(number)))
        assert [len(clerk.jobs) for clerk in clerks] == [1, 1, 1, 1]

    async def test_only_who_has_a_handler_gets_it(self) -> None:
        able, other = Clerk(1, "work.a"), Clerk(9, "else")
        work = working(other, able)
        take(work, Paper(asked(1)))
        take(work, Paper(asked(2)))
        assert (len(able.jobs), other.jobs, len(work.queue)) == (1, [], 1), "it waits for who can"
        able.end(done=True)
        take(work, Paper(Event(type="odd", source="s", id="3")))
        assert [job.event.id for job in other.refused] == ["3"], "nobody here ever can"

    async def test_what_waits_for_one_that_is_busy_holds_up_none_for_another(self) -> None:
        slow, other = Clerk(1, "work.slow"), Clerk(1, "work.quick")
        work = working(slow, other)
        for number, kind in enumerate(["slow", "slow", "slow", "quick", "quick"]):
            take(work, Paper(Event(type=f"work.{kind}", source="s", id=str(number))))
        assert [job.event.id for job in (*slow.jobs, *other.jobs)] == ["0", "3"]
        assert [job.event.id for job in work.queue] == ["1", "2", "4"], "in their order"
        other.end(done=True)
        assert [job.event.id for job in other.jobs] == ["4"]
        slow.end(done=True)
        assert [job.event.id for job in slow.jobs] == ["1"] and [job.event.id for job in work.queue] == ["2"]

    async def test_so_many_are_passed_over_and_no_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bus.agents.work.PASSED_OVER_MAX", 3)
        slow, other = Clerk(1, "work.slow"), Clerk(1, "work.quick")
        work = working(slow, other)
        for number in range(6):
            take(work, Paper(Event(type="work.slow" if number < 4 else "work.quick", source="s", id=str(number))))
        assert [job.event.id for job in work.queue] == ["1", "2", "3", "4", "5"]
        slow.end(done=True)
        assert [job.event.id for job in (*slow.jobs, *other.jobs)] == ["1", "4"]

    async def test_what_is_to_be_dispatched_is_left_to_the_plane(self) -> None:
        clerk = Clerk(1)
        work = working(clerk)
        paper = Paper(asked(1, requires=["x"]))
        take(work, paper)
        assert (paper.said, clerk.jobs, work.passed) == (["ack"], [], 1)

    @pytest.mark.parametrize("type", ["agent.inbox.clerk", "ballot.proposed", "lease.granted", "dispatch.escalated"])
    async def test_what_nobody_dispatches_is_handled_whatever_it_requires(self, type: str) -> None:
        clerk = Clerk(1)
        work = working(clerk, place="" if type.startswith("agent.inbox.") else "work")
        paper = Paper(Event(type=type, source="agent/boss", id="1", requires=["x"]))
        take(work, paper)
        assert (paper.said, [job.event.id for job in clerk.jobs or clerk.refused], work.passed) == ([], ["1"], 0)

    async def test_what_waits_or_is_handled_stays_here_until_it_is_over(self) -> None:
        clerk = Clerk(1)
        work = working(clerk, wait=0.05)
        papers = [Paper(asked(1)), Paper(asked(2)), Paper(asked(1), attempt=2)]
        for paper in papers:
            take(work, paper)
        async with asyncio.timeout(20):
            await papers[-1].renewed.wait()
        assert all(paper.renewals == 2 for paper in papers)
        clerk.end(done=True)
        clerk.end(done=True)
        assert [paper.said for paper in papers] == [["ack"]] * 3
        before = [paper.renewals for paper in papers]
        await asyncio.sleep(0.05)
        assert [paper.renewals for paper in papers] == before

    async def test_an_operators_ack_wait_is_the_one_that_is_renewed(self) -> None:
        work = working(Clerk(1), wait=3_600.0)
        work._subscription = cast(
            Any, SimpleNamespace(current=SimpleNamespace(ack_wait_ms=50), later=asyncio.get_running_loop().call_later)
        )
        paper = Paper(asked(1))
        take(work, paper)
        async with asyncio.timeout(20):
            await paper.renewed.wait()

    async def test_what_a_leaver_had_begun_is_anothers(self) -> None:
        leaver, other = Clerk(1), Clerk(1, "nothing")
        work = working(leaver, other)
        take(work, Paper(asked(1)))
        other.takes = ""
        work.put_back(leaver.jobs.pop())
        leaver.concurrency = 0
        work.leave_seat(cast(Any, leaver))
        assert [job.event.id for job in other.jobs] == ["1"]
        other.end(done=True)
        take(work, Paper(asked(1)))
        assert work.duplicates == 1


moves = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.integers(0, 4)),
        st.tuples(st.just("end"), st.tuples(st.integers(0, 1), st.booleans())),
    ),
    max_size=50,
)


@settings(max_examples=200)
@given(moves)
def test_each_event_is_handled_once_and_every_delivery_is_settled(told: list[tuple[str, Any]]) -> None:
    async def play() -> None:
        clerks = [Clerk(1), Clerk(2)]
        work = working(*clerks)
        came: list[Paper] = []
        well: list[str] = []
        for what, about in told:
            if what == "come":
                came.append(Paper(asked(about)))
                take(work, came[-1])
            elif clerks[about[0]].jobs:
                id = clerks[about[0]].jobs[0].event.id
                clerks[about[0]].end(about[1])
                if about[1]:
                    well.append(id)
                else:  # the broker delivers it again
                    came.append(Paper(asked(int(id)), attempt=2))
                    take(work, came[-1])
                await asyncio.sleep(0)
            under_way = [job.event.id for clerk in clerks for job in clerk.jobs]
            assert len(under_way) == len(set(under_way)), "no event is handled twice at once"
        for _ in range(100):
            for clerk in clerks:
                if clerk.jobs:
                    well.append(clerk.jobs[0].event.id)
                    clerk.end(done=True)
            await asyncio.sleep(0)
        assert len(well) == len(set(well)), "what was done is not done again"
        assert set(well) == {paper.event.id for paper in came}, "nothing is lost"
        assert all(len(paper.said) == 1 for paper in came), "each is settled, once"

    asyncio.run(play())
