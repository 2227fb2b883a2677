"""A newsroom: agents that plan, research, write and review an article together. No language model is needed.

    article.requested ─▶ planner ─▶ research.requested, which requires `research`: the control plane chooses who
        ─▶ research.completed ─▶ writer: has the press to itself (a lease) ─▶ draft.completed, a ballot of the others
        ─▶ workflow.article.completed, or workflow.article.failed

    signalbox up --detach
    python tests/examples/newsroom.py "The signal box"

What belongs to one article carries one `correlationid`, and is one saga on the screens.
"""

import asyncio
import sys
from contextlib import AsyncExitStack

import msgspec

import bus

LIBRARY = {
    "origin": "The first signal boxes stood at junctions in the 1840s, and worked points and signals from one place.",
    "interlocking": "Since 1856 levers lock each other, so that no two routes that meet can be set at once.",
    "people": "A signaller sees every train on one board, and answers for each lever that is thrown.",
}
"""What researchers look things up in."""

planner = bus.Agent("planner", capabilities=["plan"])
researchers = [bus.Agent(f"researcher-{number}", capabilities=["research"]) for number in (1, 2)]
writer = bus.Agent("writer", capabilities=["write"])
reviewer = bus.Agent("reviewer", capabilities=["review"])
EVERYBODY = [planner, *researchers, writer, reviewer]
JURY = [reviewer, planner, *researchers]


class Assignment(msgspec.Struct):
    """What a researcher is to find out. What does not look like this is a dead letter that names the field."""

    title: str
    about: str


class Finding(msgspec.Struct):
    """What one has found out."""

    title: str
    about: str
    text: str


@planner.on("article.requested")
async def plan(event: bus.Event, context: bus.Context, wanted: dict[str, str]) -> None:
    """An assignment for each part. Who takes it is not the planner's concern."""
    for about in LIBRARY:
        assignment = Assignment(wanted["title"], about)
        await context.publish("research.requested", msgspec.to_builtins(assignment), requires=["research"])


async def research(event: bus.Event, context: bus.Context, wanted: Assignment) -> None:
    """Look it up."""
    found = Finding(wanted.title, wanted.about, LIBRARY[wanted.about])
    await context.publish("research.completed", msgspec.to_builtins(found))


for researcher in researchers:
    researcher.on("research.requested", dispatched=True)(research)


findings: dict[str | None, dict[str, str]] = {}
"""What the writer has of each article."""


@writer.on("research.completed", order="strict")
async def write(event: bus.Event, context: bus.Context, finding: Finding) -> None:
    """Once all parts are there: write, with the press to itself, and have the others decide."""
    parts = findings.setdefault(event.correlationid, {})
    parts[finding.about] = finding.text
    if len(parts) < len(LIBRARY):
        return
    async with context.fleet.leases.acquire("press", ttl=20, wait=10, source=writer.source) as lease:
        draft = {"title": finding.title, "text": " ".join(parts[about] for about in LIBRARY), "press": lease.token}
        await context.publish("draft.completed", draft)
        ballot = await context.fleet.ballots.propose(
            f"Print {finding.title!r}?",
            voters=[agent.source for agent in JURY],
            quorum="two_thirds",
            deadline=20,
            source=writer.source,
        )
        decision = await ballot.decided()
    became = "completed" if decision.choice == "yes" else "failed"
    await context.publish(f"workflow.article.{became}", {**draft, "votes": decision.tally})


async def vote(fleet: bus.Fleet) -> None:
    """The jury. The reviewer is never content; two thirds are enough."""
    async for ballot in fleet.ballots.follow():
        for agent in JURY:
            await ballot.vote("no" if agent is reviewer else "yes", source=agent.source)


async def run(title: str) -> int:
    """Everybody joins; one article is asked for; what became of it is printed."""
    async with bus.connect(name="newsroom") as fleet, AsyncExitStack() as newsroom, asyncio.timeout(50):
        for agent in EVERYBODY:
            await newsroom.enter_async_context(agent.using(fleet))
        voting = asyncio.create_task(vote(fleet))
        try:
            asked = bus.Event(type="article.requested", source="newsroom", data={"title": title}, correlationid=title)
            start = {partition: extent.high for partition, extent in (await fleet.describe()).items()}
            await fleet.publish(asked)
            async for event in fleet.read(">", start=start, follow=True):
                print(f"{event.source:20} {event.type}")
                if event.correlationid == title and event.type.startswith("workflow.article."):
                    print(event.data["title"], event.data["votes"], event.data["text"], sep="\n")
                    return 0 if event.type.endswith(".completed") else 1
        finally:
            voting.cancel()
    return 1


if __name__ == "__main__":
    sys.exit(asyncio.run(run(" ".join(sys.argv[1:]) or "The signal box")))
