"""Who is there: agents, by what they say of themselves (see `lifecycle`), and by their silence.

    joined ─ready─▶ ready ─3 heartbeats missed─▶ suspected ─3 more─▶ failed
       ╰──────────────┴◀──────── a heartbeat ────────┴──────────────────╯      left: from any of them, by its own word

Silence is judged while words could be heard: not in time in which the plane itself stood still, nor while the recorder
is behind, nor while the partition that the agent's words come through has no leader. Agents of bare events, as logs of
others have them, are not to be heard and are never suspected; imported ones are history and get no work.

An operator's quarantine holds for a name, through all its incarnations. What changes is told to agents, at most once
in `AGENTS_TOLD_MS` (`signalbox.agents.changed`). Mail to an agent (`agent.inbox.NAME`) has its group from the first one
on, so that it is kept while the agent is away; that of a name that was never there is made when it joins.

| table | key | value |
|---|---|---|
| agent | source | Agent |
| able, ables, seat | | see `able` |
| turns, out, rivals, count, changed, telling | | see `roll` |
| amiss | malformed unknown refused capabilities inboxes | Amiss |
| inbox | name | Inbox |
| count | nobodys | inboxes of names that nobody joined under |
| opened | name | position: its group is there, and agents are to be told so |
| seen | "behind_ns" | how far the recorder is behind |
"""

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

import msgspec

from bus.words import lasting
from controlplane import agents, roll
from controlplane.able import able_agents as able_agents
from controlplane.able import is_able as is_able
from controlplane.able import nth_able as nth_able
from controlplane.agents import FAILED, GONE, INBOX, LIFECYCLE, LIVE, SOURCE, SUSPECTED, Agent, Amiss, Inbox, Turn
from controlplane.elections import LED
from controlplane.facts import (
    AgentFailed,
    AgentQuarantined,
    AgentReleased,
    AgentSuspected,
    Fact,
    GroupOpened,
    Intent,
    IntentFailed,
    OpenGroup,
    PlaneResumed,
    PlaneStarted,
    RecorderLag,
    Rows,
)
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.lifecycle import Place, heard, imported, turned
from controlplane.limits import (
    AGENT_SOURCE_CHARS_MAX,
    EXCUSED_BEATS,
    FAIL_BEATS,
    INBOX_EARLIER_MS,
    INBOXES_MAX,
    SUSPECT_BEATS,
)
from controlplane.saying import PLANE_SOURCE, say
from controlplane.state import Key

_MS = 1_000_000
_JOINED = LIFECYCLE + agents.JOINED
_INBOX_GROUP = "inbox."
_NOBODYS = "nobodys"
"""The count of inboxes of names that nobody joined under."""


class Registry(Fold):
    """The fold. See the module."""

    name = "registry"
    version = 5
    follows = (
        Rows, PlaneStarted, PlaneResumed, RecorderLag, AgentQuarantined, AgentReleased, GroupOpened, IntentFailed,
    )  # fmt: skip
    reads = ("fleet",)
    timed = ("agent", "telling")
    tables = MappingProxyType(
        {
            "agent": Agent,
            "able": str,
            "ables": int,
            "seat": int,
            "turns": list[Turn],
            "out": str,
            "rivals": int,
            "count": int,
            "amiss": Amiss,
            "changed": str,
            "telling": roll.Telling,
            "inbox": Inbox,
            "opened": int,
            "seen": int,
        }
    )

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """Words are heard, mail is seen, operators decide; a pause of the plane moves every deadline."""
        fact = entry.fact
        if isinstance(fact, Rows):
            _rows(state, entry, fact)
        elif isinstance(fact, PlaneStarted | PlaneResumed):
            state.put("seen", "behind_ns", 0)
            _excuse_all(state, entry.recorded, fact.gap_ns)
        elif isinstance(fact, RecorderLag):
            state.put("seen", "behind_ns", fact.oldest_ns)
        elif isinstance(fact, AgentQuarantined | AgentReleased):
            _decided(state, entry, fact)
        elif isinstance(fact, GroupOpened):
            _opened(state, entry, fact.group)
        elif isinstance(fact, IntentFailed) and fact.kind == OpenGroup.__name__:
            _amiss(state, "inboxes", "", fact.why, entry.position, entry.recorded)

    def react(self, state: KeyedState, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """Have the groups of inboxes made that are wanted now, or that the plane before this one did not see made."""
        fact = entry.fact
        if isinstance(fact, PlaneStarted):
            for name in sorted(map(str, state.table("inbox"))):
                inbox: Inbox = state.get("inbox", name)
                if inbox.asked and not inbox.is_open:
                    yield _open(name, inbox)
        elif isinstance(fact, Rows):
            for row, name in _mail(fact):
                wanted: Inbox | None = state.get("inbox", name)
                if wanted is not None and wanted.asked == entry.position + row:
                    yield _open(name, wanted)

    def due(self, table: str, value: Agent | roll.Telling) -> int:
        """When an agent's silence is judged, or when agents are told."""
        return value.due

    def fire(self, state: KeyedState, table: str, key: Key, entry: Entry, world: World) -> Iterable[Fact | Intent]:
        """An agent has been silent for too long, or changes have gathered."""
        if table == "telling":
            return [roll.tell(state, entry.recorded)]
        return _judge(state, str(key), entry, world)


def agent_of(state: KeyedState, source: str) -> Agent | None:
    """What is known of an agent."""
    found: Agent | None = state.get("agent", source)
    return found


def load_of(state: KeyedState, source: str) -> int:
    """How loaded an agent said that it is, in thousandths of its concurrency; 0 for one that never said."""
    agent = agent_of(state, source)
    return 0 if agent is None else agent.load


def present(state: KeyedState) -> int:
    """How many agents are there now: those that have neither left nor failed."""
    return sum(count for name, count in state.items("count") if name in roll.STATES and name not in GONE)


def out_of(state: KeyedState) -> int:
    """How many of them are suspected, failed or quarantined."""
    return len(state.table("out"))


# ------------------------------------------------------------------------------------------------- what is said


def _rows(state: KeyedState, entry: Entry, rows: Rows) -> None:
    for row, type in _about_agents(rows):
        at = Place(entry.recorded, entry.position + row, rows.partition)
        if rows.redriven[row]:
            continue
        if not type.startswith(LIFECYCLE):
            if not rows.importofs[row]:
                _seen(state, type[len(INBOX) :], rows.appended[row], at)
        elif rows.sources[row] != PLANE_SOURCE and type[len(LIFECYCLE) :] in agents.WORDS:
            _take(state, rows, row, type[len(LIFECYCLE) :], at)


def _about_agents(rows: Rows) -> Iterable[tuple[int, str]]:
    """The rows that may be lifecycle words or mail, and their types."""
    kinds = [type for type in dict.fromkeys(rows.types) if type.startswith((LIFECYCLE, INBOX))]
    return [(row, type) for row, type in enumerate(rows.types) if type in kinds] if kinds else []


def _take(state: KeyedState, rows: Rows, row: int, said: str, at: Place) -> None:
    source = rows.sources[row]
    before = agent_of(state, source)
    word = agents.read_word(said, rows.followed.get(row))
    if isinstance(word, str) or len(source) > AGENT_SOURCE_CHARS_MAX:
        why = word if isinstance(word, str) else f"its source has more than {AGENT_SOURCE_CHARS_MAX} characters"
        _amiss(state, "malformed", agents.cut(source), f"{said}: {why}", at.position, at.now)
        return
    importof = rows.importofs[row]
    after = imported(before, said, word, importof, at) if importof else heard(before, said, word, at)
    if after is None:
        if not importof:
            _amiss(state, "unknown", source, f"{said} of nobody who joined", at.position, at.now)
        return
    why = roll.full(state) if before is None else ""
    if why:
        _amiss(state, "refused", source, why, at.position, at.now)
        return
    after = roll.seated(state, before, after)
    if after.cut and (before is None or before.incarnation != after.incarnation):
        _amiss(state, "capabilities", source, f"{after.cut:,} of its capabilities", at.position, at.now)
    roll.keep(state, source, before, after, at.now, at.position, after.why if said == agents.LEFT else "")
    if said == agents.JOINED and not importof and source.startswith(SOURCE):
        _claimed(state, source[len(SOURCE) :], at)


def _amiss(state: KeyedState, kind: str, source: str, why: str, position: int, now: int) -> None:
    known: Amiss | None = state.get("amiss", kind)
    state.put("amiss", kind, Amiss(1 if known is None else known.count + 1, source, agents.cut(why), position, now))


# ------------------------------------------------------------------------------------------------- decisions


def _decided(state: KeyedState, entry: Entry, fact: AgentQuarantined | AgentReleased) -> None:
    since = entry.recorded if isinstance(fact, AgentQuarantined) else 0
    told = f"by {fact.by}" if fact.by else ""
    told += f": {fact.reason}" if fact.reason else ""
    for source in fact.agents:
        before = agent_of(state, source)
        if before is None or bool(before.quarantined) == bool(since):
            continue
        by, reason = (fact.by, fact.reason) if since else ("", "")
        after = msgspec.structs.replace(before, quarantined=since, by=by, reason=reason)
        why = agents.cut(told if since else f"released {told}".strip())
        roll.keep(state, source, before, after, entry.recorded, entry.position, why)


# ------------------------------------------------------------------------------------------------- silence


def _excuse_all(state: KeyedState, now: int, gap_ns: int) -> None:
    for source, agent in list(state.items("agent")):
        if agent.due:
            due = max(agent.due + gap_ns, now + EXCUSED_BEATS * agent.heartbeat_ms * _MS)
            state.put("agent", source, msgspec.structs.replace(agent, due=due))


def _judge(state: KeyedState, source: str, entry: Entry, world: World) -> Iterable[Fact | Intent]:
    before: Agent = state.get("agent", source)
    now, beat_ns = entry.recorded, before.heartbeat_ms * _MS
    if _is_excused(state, before, world):
        state.put("agent", source, msgspec.structs.replace(before, due=now + EXCUSED_BEATS * beat_ns))
        return
    silent_ns = now - before.heard
    if before.state in LIVE:
        after = msgspec.structs.replace(
            turned(before, SUSPECTED, now), due=now + (FAIL_BEATS - SUSPECT_BEATS) * beat_ns
        )
    else:
        after = msgspec.structs.replace(turned(before, FAILED, now), due=0, load=0, queue=0, in_flight=0)
    roll.keep(state, source, before, after, now, entry.position, f"silent for {lasting(silent_ns)}")
    if after.state == SUSPECTED:
        yield AgentSuspected(source, before.incarnation, silent_ns)
    else:
        yield AgentFailed(source, before.incarnation, silent_ns)
    data = {"agent": source, "incarnation": before.incarnation, "silent_ms": silent_ns // _MS}
    yield say(f"{LIFECYCLE}{after.state}", data, source)


def _is_excused(state: KeyedState, agent: Agent, world: World) -> bool:
    """Whether its words may be on their way to the plane, and could not come."""
    if state.get("seen", "behind_ns", 0) > agent.heartbeat_ms * _MS:
        return True
    partition: Any = world["fleet"].get("partition", agent.partition) if "fleet" in world else None
    return partition is not None and partition.phase != LED


# ------------------------------------------------------------------------------------------------- mail


def _mail(rows: Rows) -> Iterable[tuple[int, str]]:
    """The rows at which an inbox may be wanted, and its name."""
    for row, type in _about_agents(rows):
        if type.startswith(INBOX):
            yield row, type[len(INBOX) :]
        elif type == _JOINED and rows.sources[row].startswith(SOURCE):
            yield row, rows.sources[row][len(SOURCE) :]


def _seen(state: KeyedState, name: str, appended: int, at: Place) -> None:
    """Mail came: the first one says where the inbox begins."""
    if state.get("inbox", name) is not None:
        return
    agent = agent_of(state, SOURCE + name)
    known = agent is not None and not agent.importof
    if len(name) > AGENT_SOURCE_CHARS_MAX or not _has_room(state, known, at):
        _amiss(state, "inboxes", agents.cut(name), f"{INBOXES_MAX:,} inboxes are known already", at.position, at.now)
        return
    start = max(0, min(appended, at.now) - INBOX_EARLIER_MS * _MS)
    state.put("inbox", name, Inbox(start, at.position if known else 0))
    if not known:
        _count_nobodys(state, 1)


def _has_room(state: KeyedState, known: bool, at: Place) -> bool:
    """Whether one more inbox can be remembered. That of an agent that is known takes the place of names that nobody
    joined under, the oldest first."""
    if len(state.table("inbox")) < INBOXES_MAX:
        return True
    if not known or not state.get("count", _NOBODYS, 0):
        return False
    nobodys = sorted((inbox.start, str(name)) for name, inbox in state.items("inbox") if not inbox.asked)
    forgotten = [name for _, name in nobodys[: max(1, INBOXES_MAX // 16)]]
    for name in forgotten:
        state.delete("inbox", name)
    _count_nobodys(state, -len(forgotten))
    why = f"{len(forgotten):,} names that nobody joined under were forgotten, as {INBOXES_MAX:,} inboxes are known"
    _amiss(state, "inboxes", forgotten[-1], why, at.position, at.now)
    return True


def _count_nobodys(state: KeyedState, change: int) -> None:
    state.put("count", _NOBODYS, state.get("count", _NOBODYS, 0) + change)


def _claimed(state: KeyedState, name: str, at: Place) -> None:
    """An agent joined: mail may wait for it, and it is to hear where."""
    inbox: Inbox | None = state.get("inbox", name)
    if inbox is None:
        return
    if inbox.is_open:
        state.put("opened", name, at.position)
        roll.telling(state, at.now)
    elif not inbox.asked:
        state.put("inbox", name, msgspec.structs.replace(inbox, asked=at.position))
        _count_nobodys(state, -1)


def _opened(state: KeyedState, entry: Entry, group: str) -> None:
    name = group[len(_INBOX_GROUP) :]
    inbox: Inbox | None = state.get("inbox", name) if group.startswith(_INBOX_GROUP) else None
    if inbox is not None and not inbox.is_open:
        state.put("inbox", name, msgspec.structs.replace(inbox, is_open=True))
        state.put("opened", name, entry.position)
        roll.telling(state, entry.recorded)


def _open(name: str, inbox: Inbox) -> OpenGroup:
    return OpenGroup(_INBOX_GROUP + name, INBOX + name, inbox.start)
