"""Frozen answers: what a control plane could say, without one.

`Frozen` answers every question the console asks from one story. The stories: `trouble` (at 03:12:44 broker b5 is dead,
b4 lags, so p07 has one in-sync replica of two and refuses), `calm` (three brokers, real agents' messages), `empty` (a
fleet without an event) and `silent` (nothing answers at all).
"""

from collections.abc import Callable

from console import measure
from controlplane.answers.agentlevers import STILL_SERVES
from controlplane.questions import (
    AskAgent,
    AskAgents,
    AskBoard,
    AskDeadGroups,
    AskDeadLetters,
    AskEvent,
    AskEvents,
    AskFlows,
    AskGroups,
    AskHealth,
    AskSaga,
    AskSagas,
    AskStatus,
    AskTimeline,
    At,
    Bar,
    Body,
    DeadGroups,
    Flows,
    Groups,
    Health,
    Incident,
    Operate,
    Operated,
    Progress,
    Question,
    Redrive,
    Redriven,
    Refusal,
    Sagas,
    Timeline,
    Told,
)
from tests.console import story_agents, story_calm, story_past, story_trouble
from tests.console.story import Story


class Frozen:
    """A link whose answers never change, unless a test changes `story` or sets `silent`."""

    def __init__(self, story: Story, silent: str = "", then: Story | None = None) -> None:
        """`then` is the story at every moment of the past that the time bar reaches."""
        self.story, self.silent, self.then = story, silent, then
        self.asked: list[Question] = []
        self.moments: list[At | None] = []

    def ask(
        self,
        question: Question,
        timeout: float = 5.0,
        on_progress: Callable[[Progress], None] | None = None,
        at: At | None = None,
    ) -> Told:
        """What was asked, and as of when, stands in `asked` and `moments`."""
        self.asked.append(question)
        self.moments.append(at)
        if self.silent:
            raise ConnectionError(self.silent)
        if at is None:
            return Told(self.story.position, self.story.now, self.body(question, self.story))
        return self.past(question, at)

    def close(self) -> None:
        """Nothing is held."""

    def past(self, question: Question, at: At) -> Told:
        """An answer as of a moment: before the first bar and after the newest entry there is none."""
        story = self.then or self.story
        begun = self.story.board.timeline[0].at if self.story.board.timeline else self.story.now
        if at.position is not None and at.position > self.story.position:
            why = f"the journal ends at position {self.story.position:,}"
            return Told(self.story.position, self.story.now, Refusal("not_found", why))
        if at.instant is not None and at.instant < begun:
            why = f"nothing is known before {measure.clock(begun)}"
            return Told(self.story.position, self.story.now, Refusal("not_found", why))
        recorded = at.instant if at.instant is not None else story.now
        position = at.position if at.position is not None else story.position
        return Told(position, recorded, self.body(question, story), past=True)

    def body(self, question: Question, story: Story | None = None) -> Body:
        """The answer to one question."""
        story = story or self.story
        match question:
            case AskBoard():
                return story.board
            case AskTimeline():
                return self.timeline()
            case AskStatus():
                return story.board.status
            case AskFlows(match=match):
                rows = [
                    row for row in story.flows if match.casefold() in f"{row.source} {row.type} {row.group}".casefold()
                ]
                return Flows(len(story.flows), len(rows), rows[: question.limit])
            case AskGroups(group=group):
                rows = [row for row in story.groups() if group in ("", row.group)]
                return Groups(rows) if rows or not group else Refusal("not_found", f"there is no group {group}")
            case AskSagas(match=match):
                sagas = [row for row in story.sagas if match.casefold() in f"{row.saga} {row.step}".casefold()]
                return Sagas(story.board.status.counts, len(sagas), sagas[: question.limit])
            case AskSaga(saga=saga):
                found = story.saga(saga)
                return found or Refusal("not_found", f"there is no saga {saga}", "signalbox saga list")
            case AskDeadGroups(match=match):
                dead = [row for row in story.dead if match.casefold() in f"{row.id} {row.what} {row.group}".casefold()]
                return DeadGroups(
                    sum(row.count for row in story.dead), sum(row.waiting for row in story.dead), len(dead), dead
                )
            case AskDeadLetters(target=target):
                return story.letters(target) or Refusal(
                    "not_found", f"there is no dead letter {target}", "signalbox dlq list"
                )
            case Redrive():
                return self.redrive(question)
            case AskAgents():
                return story_agents.listed(story.agents, question)
            case AskAgent(agent=name):
                one = story_agents.shown(story.agents, name, story.now)
                return one or Refusal("not_found", f"there is no agent {name!r}", "signalbox agent list")
            case Operate(verb="quarantine" | "release"):
                return self.operate(question)
            case AskHealth():
                counts = story.board.status.counts
                return Health(
                    counts.score, counts.health, story.board.since_score, story.board.score_recent, story.board.needs
                )
            case AskEvents():
                return story.tail(question)
            case AskEvent(id=id_):
                return story.event(id_) or Refusal("not_found", f"there is no event {id_}", "signalbox event search")
            case _:
                return Refusal("usage", f"the console does not ask {type(question).__name__}")

    def timeline(self) -> Timeline:
        """The story's bars with its incidents apart."""
        board = self.story.board
        bars = [Bar(bar.at, bar.events, bar.severity) for bar in board.timeline]
        every = bars[1].at - bars[0].at if len(bars) > 1 else 0
        begun, before = [], ""
        for bar in board.timeline:
            if bar.incident and bar.incident != before:
                begun.append(Incident(bar.at + every - 1, bar.severity, bar.incident))
            before = bar.incident
        counts = board.status.counts
        return Timeline(every, bars, begun, counts.score, counts.health, board.needs)

    def operate(self, question: Operate) -> Body:
        """A quarantine or a release: the same of the set."""
        if question.expected is not None and question.expected != question.targets:
            return Refusal("changed", "the set has changed since the dry run", "look at it again")
        position = 0 if question.dry_run else self.story.position + 1
        notes = ["coder-1 is ready, 8 events under way", "nobody else has code: work that needs it waits"]
        if question.verb == "quarantine":
            notes.append(STILL_SERVES)
        return Operated(question.verb, question.targets, question.dry_run, position, notes=notes)

    def redrive(self, question: Redrive) -> Body:
        """A dry run names the set; then the set must be the same."""
        ids = [f"{target}-{i:03d}" for target in question.targets for i in range(5)]
        if question.expected is not None and question.expected != ids:
            return Refusal("changed", "the set has changed since the dry run", "look at it again")
        position = 0 if question.dry_run else self.story.position + 1
        return Redriven(ids, ["coder"], question.dry_run, position)


def trouble() -> Frozen:
    """03:12:44: b5 is dead, b4 lags, p07 refuses."""
    return Frozen(story_trouble.story(), then=story_past.story())


def calm() -> Frozen:
    """Three brokers and the messages of real agents."""
    return Frozen(story_calm.story())


def empty() -> Frozen:
    """A fleet that has no event yet."""
    return Frozen(story_calm.empty())


def silent() -> Frozen:
    """Nothing answers."""
    return Frozen(story_calm.empty(), silent="nobody listens at tcp://127.0.0.1:7070; start it with: signalbox up")
