"""What agents say, as rows, lifecycle words and mail, well formed and not; and what became of it."""

import json
from typing import Any

from controlplane.agents import INBOX, LIFECYCLE, Agent
from controlplane.facts import OpenGroup, PublishEvent, Rows
from controlplane.fold import KeyedState, Step
from controlplane.registry import agent_of
from tests.controlplane.logs import add
from tests.controlplane.made import Story

BEAT_MS = 1_000
Data = Any


def word(rows: Rows, source: str, said: str, data: Data = None, appended: int = 0, **more: Any) -> None:
    """One lifecycle word at the end of the rows; without `data` it is a bare one."""
    event = {"specversion": "1.0", "id": f"w-{len(rows)}", "type": LIFECYCLE + said, "source": source}
    rows.followed[len(rows)] = json.dumps(event if data is None else event | {"data": data}).encode()
    add(rows, LIFECYCLE + said, source, appended=appended, **more)


def tell(story: Story, source: str, said: str, data: Data = None, after: float = 0.0, partition: int = 0) -> Step:
    """An agent says a word now, and it is recorded at once."""
    story.now += int(after * 1_000) * 1_000_000
    rows = story.rows(partition)
    word(rows, source, said, data, story.now)
    return story.record(rows)


def spoken(story: Story, type: str, source: str, data: Data, **attributes: str) -> Step:
    """An event that folds see whole, recorded now."""
    rows = story.rows(0)
    event = {"specversion": "1.0", "id": f"s-{story.now}", "type": type, "source": source, "data": data} | attributes
    rows.followed[len(rows)] = json.dumps(event).encode()
    add(rows, type, source, appended=story.now)
    return story.record(rows)


def join(
    story: Story,
    source: str = "agent/a",
    *capabilities: str,
    incarnation: str = "i-1",
    heartbeat_ms: int = BEAT_MS,
    after: float = 0.0,
    partition: int = 0,
    **more: Any,
) -> Step:
    """It joins, and says that it is ready in the same breath."""
    data = {"incarnation": incarnation, "capabilities": list(capabilities), "heartbeat_ms": heartbeat_ms,
            "concurrency": 8} | more  # fmt: skip
    tell(story, source, "joined", data, after, partition)
    return tell(story, source, "ready", {"incarnation": incarnation}, 0, partition)


def beat(story: Story, source: str = "agent/a", incarnation: str = "i-1", after: float = 0.0, **figures: int) -> Step:
    """A heartbeat."""
    return tell(story, source, "heartbeat", {"incarnation": incarnation} | figures, after)


def mail(story: Story, name: str, partition: int = 0) -> Step:
    """A message to an agent's inbox."""
    rows = story.rows(partition)
    add(rows, INBOX + name, "agent/sender", appended=story.now)
    return story.record(rows)


def state_of(story: Story) -> KeyedState:
    assert not story.heart.quarantined, story.heart.quarantined
    return story.heart.states["registry"]


def agent(story: Story, source: str = "agent/a") -> Agent:
    found = agent_of(state_of(story), source)
    assert found is not None
    return found


def said(steps: list[Step], type: str) -> list[dict]:
    """The data of events that the plane was to publish."""
    events = [json.loads(it.event) for step in steps for _, _, it in step.intents if isinstance(it, PublishEvent)]
    return [event["data"] for event in events if event["type"] == type]


def facts(steps: list[Step], kind: type) -> list:
    return [entry.fact for step in steps for entry in step.derived if isinstance(entry.fact, kind)]


def opened(steps: list[Step]) -> list[OpenGroup]:
    return [intent for step in steps for _, _, intent in step.intents if isinstance(intent, OpenGroup)]


def turns(story: Story, source: str = "agent/a") -> list[str]:
    return [turn.state for turn in state_of(story).get("turns", source)]
