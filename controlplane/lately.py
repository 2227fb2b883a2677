"""What happened of late, a line each, for the operator: the newest `LATELY_MAX`. Many of one kind are told as one.

| table | key | value |
|---|---|---|
| line | number | Line |
| kind | kind | number of its newest line |
| next | "line", "reserved" | the next number; the partition of the journal's copy, which is no news |
"""

from collections.abc import Sequence
from types import MappingProxyType
from typing import get_args

import msgspec

from bus.words import lasting, many
from controlplane.agents import SOURCE
from controlplane.deadletters import TYPE as DEAD_LETTER
from controlplane.decisions import (
    AdaptivePaused,
    AdaptiveResumed,
    BrokerAdded,
    BrokerDrained,
    BrokerRemoved,
    BrokerRevived,
    Decision,
    LossAccepted,
    RebalanceDecided,
    RebalanceEnded,
    RebalanceForgone,
    RebalanceStopped,
    RemovalDecided,
    RestartDecided,
    RestartEnded,
    RestartStepped,
    StrategyChosen,
)
from controlplane.facts import (
    AgentFailed,
    AgentQuarantined,
    AgentReleased,
    AgentSuspected,
    BrokerHeard,
    BrokerLost,
    BrokerSilent,
    BrokerStarted,
    BrokerStopped,
    CopyBeyond,
    CopyFounded,
    CopyStands,
    Fact,
    FleetFounded,
    FoldQuarantined,
    FoldsRebuilt,
    GroupsRemoved,
    GroupUpdated,
    IntentFailed,
    JournalRebuilt,
    JournalTrimmed,
    LeaderElected,
    OpenGroup,
    PartitionWaits,
    PlaneResumed,
    PlaneStarted,
    PlaneStopped,
    ProjectionQuarantined,
    RedriveDecided,
    RestartScheduled,
    RoutesSet,
    Rows,
    RuleFailed,
    SagaStuck,
    SettingSet,
)
from controlplane.fold import Entry, Fold, KeyedState, World
from controlplane.limits import LATELY_GROUPS_MAX, LATELY_MAX, LATELY_MERGE_MS


class Line(msgspec.Struct, frozen=True, array_like=True):
    """`text` tells one, `many` (with its `{}` as the count) more than one; `position` is of the newest."""

    at: int
    position: int
    severity: str
    kind: str
    text: str
    many: str
    count: int


class Lately(Fold):
    """The fold. See the module."""

    name = "lately"
    version = 10
    follows = (
        Rows, BrokerHeard, BrokerLost, BrokerSilent, BrokerStarted, BrokerStopped, FleetFounded, FoldQuarantined,
        FoldsRebuilt, IntentFailed, LeaderElected, PartitionWaits, PlaneResumed, PlaneStarted, PlaneStopped,
        RedriveDecided, RestartScheduled, SagaStuck, SettingSet, CopyFounded, CopyStands, CopyBeyond,
        JournalRebuilt, JournalTrimmed, AgentFailed, AgentQuarantined, AgentReleased, AgentSuspected, RoutesSet,
        RuleFailed, GroupsRemoved, GroupUpdated, ProjectionQuarantined, *get_args(Decision),
    )  # fmt: skip
    tables = MappingProxyType({"line": Line, "kind": int, "next": int})

    def evolve(self, state: KeyedState, entry: Entry, world: World) -> None:
        """Tell an entry, if there is anything to tell."""
        fact = entry.fact
        if isinstance(fact, Rows):
            dead = [row for row in sorted(fact.followed) if fact.types[row] == DEAD_LETTER]
            if dead:
                # A line's position is its newest event's, so that it does not show how events came in batches.
                newest = Entry(entry.position + dead[-1], entry.recorded, None, fact)
                _tell(state, newest, "warn", "dead", "1 dead letter", "{} dead letters", len(dead))
            return
        if isinstance(fact, CopyFounded):
            state.put("next", "reserved", fact.partition)
        if isinstance(fact, LeaderElected | PartitionWaits) and fact.partition == state.get("next", "reserved", -1):
            return
        severity, kind, text, many = tell(fact)
        if text:
            _tell(state, entry, severity, kind, text, many, 1)


def tell(fact: Fact) -> tuple[str, str, str, str]:
    """Severity, kind, what one says, what many say ("" where each stands for itself); no text: not worth a line."""
    if isinstance(fact, BrokerLost):
        return "bad", f"lost {fact.id}", f"{fact.id} is down: {fact.why}", ""
    if isinstance(fact, BrokerSilent):
        return "warn", f"silent {fact.id}", f"{fact.id} is silent", ""
    if isinstance(fact, BrokerHeard):
        return "ok", f"heard {fact.id}", f"{fact.id} answers again", ""
    if isinstance(fact, BrokerStarted):
        return "ok", "started", f"{fact.id} {'goes on' if fact.adopted else 'is up'}", "{} brokers are up"
    if isinstance(fact, BrokerStopped):
        return "ok", "stopped", f"{fact.id} stopped", "{} brokers stopped"
    if isinstance(fact, RestartScheduled):
        text = f"{fact.id} restart {fact.attempt} is due" if fact.attempt > 1 else ""
        return "warn", f"restart {fact.id}", text, ""
    if isinstance(fact, LeaderElected):
        text = f"p{fact.partition:02d} is led by {fact.leader}, epoch {fact.epoch}"
        return "ok", "elected", text, "{} partitions have new leaders"
    if isinstance(fact, PartitionWaits):
        return "bad", "waits", f"p{fact.partition:02d} has no leader", "{} times a partition had no leader"
    if isinstance(fact, SagaStuck):
        times = "3 × " if fact.severity == "bad" else ""
        return fact.severity, f"stuck {fact.severity}", f"{fact.saga} past {times}p95", f"{{}} sagas past {times}p95"
    if isinstance(fact, get_args(Decision)):
        return _tell_decision(fact)
    if isinstance(fact, AgentSuspected | AgentFailed | AgentQuarantined | AgentReleased):
        return _tell_agents(fact)
    return _tell_plane(fact)


def _tell_decision(fact: Fact) -> tuple[str, str, str, str]:
    if isinstance(fact, BrokerAdded):
        where = f" at {fact.url}" if fact.url else ""
        return "ok", f"member {fact.id}", f"{fact.id} was added{where}{_by(fact.by)}", ""
    if isinstance(fact, RemovalDecided):
        return "ok", f"member {fact.id}", f"{fact.id} is to be removed{_by(fact.by)}", ""
    if isinstance(fact, BrokerRemoved):
        return "ok", f"member {fact.id}", f"{fact.id} is removed{_by(fact.by)}", ""
    if isinstance(fact, BrokerDrained):
        return "ok", f"drain {fact.id}", f"{fact.id} is drained{_by(fact.by)}", ""
    if isinstance(fact, BrokerRevived):
        return "ok", f"drain {fact.id}", f"{fact.id} may lead again{_by(fact.by)}", ""
    if isinstance(fact, RebalanceDecided):
        return "ok", "rebalance", f"{many(len(fact.moves), 'partition is', 'partitions are')} to move{_by(fact.by)}", ""
    if isinstance(fact, RebalanceStopped):
        return "warn", "rebalance", f"rebalancing was stopped{_by(fact.by)}", ""
    if isinstance(fact, RebalanceEnded):
        return "ok", "rebalance", "rebalancing is done", ""
    if isinstance(fact, RebalanceForgone):
        return "ok", "", "", ""
    if isinstance(fact, StrategyChosen):
        return "ok", "strategy", f"partitioning is {fact.strategy} from here on", ""
    if isinstance(fact, AdaptivePaused):
        return "warn", "adaptive", f"nothing moves by itself, until resumed{_by(fact.by)}", ""
    if isinstance(fact, AdaptiveResumed):
        return "ok", "adaptive", f"partitions move by themselves again{_by(fact.by)}", ""
    if isinstance(fact, RestartDecided):
        return "ok", "rolling", f"{_in_turn(fact.brokers)}{_by(fact.by)}", ""
    if isinstance(fact, RestartStepped):
        return "ok", f"rolling {fact.id}", f"{fact.id} {'is restarted' if fact.pid else 'is back and in sync'}", ""
    if isinstance(fact, RestartEnded):
        return ("bad", "rolling", fact.why, "") if fact.why else ("ok", "rolling", "all are restarted", "")
    if isinstance(fact, LossAccepted):
        return "bad", "loss", f"p{fact.partition:02d}: a loss was accepted{_by(fact.by)}: {fact.may_lose}", ""
    return "warn", "rolling", "the rolling restart was stopped", ""


def _tell_agents(
    fact: AgentSuspected | AgentFailed | AgentQuarantined | AgentReleased,
) -> tuple[str, str, str, str]:
    if isinstance(fact, AgentSuspected | AgentFailed):
        suspected = isinstance(fact, AgentSuspected)
        silent = f"silent for {lasting(fact.silent_ns)}"
        one, many = ("is suspected", "are suspected") if suspected else ("has failed", "have failed")
        kind = "agents suspected" if suspected else "agents failed"
        return "warn" if suspected else "bad", kind, f"{_called(fact.agent)} {one}: {silent}", f"{{}} agents {many}"
    held = isinstance(fact, AgentQuarantined)
    done = "quarantined" if held else "released"
    who = f"{_called(fact.agents[0])} is" if len(fact.agents) == 1 else f"{len(fact.agents):,} agents are"
    return "warn" if held else "ok", f"agents {done} {_called(fact.agents[0])}", f"{who} {done}{_by(fact.by)}", ""


def _called(source: str) -> str:
    return source.removeprefix(SOURCE)


def _in_turn(brokers: Sequence[str]) -> str:
    return (
        f"{brokers[0]} is restarted"
        if len(brokers) == 1
        else f"{', '.join(brokers)} are restarted, one after the other"
    )


def _by(name: str) -> str:
    return f" by {name}" if name else ""


def _tell_plane(fact: Fact) -> tuple[str, str, str, str]:
    if isinstance(fact, PlaneStarted):
        over = f", taken over: {fact.over}" if fact.over else ""
        return "warn" if over else "ok", "plane", f"plane started, epoch {fact.epoch}{over}", ""
    if isinstance(fact, PlaneResumed):
        return "warn", "resumed", f"the plane stood still for {lasting(fact.gap_ns)}", ""
    if isinstance(fact, PlaneStopped):
        return "ok", "plane", f"plane stopped: {fact.reason}", ""
    if isinstance(fact, FleetFounded):
        size = f"{many(len(fact.brokers), 'broker')}, {many(fact.partitions, 'partition')}"
        return "ok", "founded", f"fleet founded: {size}", ""
    if isinstance(fact, RedriveDecided):
        return "ok", "redrive", f"{many(len(fact.targets), 'dead letter')} redriven{_by(fact.by)}", ""
    if isinstance(fact, FoldQuarantined):
        return "bad", f"quarantined {fact.fold}", f"fold {fact.fold} stands still: {fact.error}", ""
    if isinstance(fact, ProjectionQuarantined):
        return "warn", f"projection {fact.name}", f"projection {fact.name} stands still: {fact.error}", ""
    if isinstance(fact, FoldsRebuilt):
        return "ok", "rebuilt", f"folded again: {', '.join(fact.folds)}", ""
    if isinstance(fact, IntentFailed):
        return _tell_failed(fact)
    if isinstance(fact, RoutesSet):
        return "ok", "routes", f"content rules set, version {fact.version}{_by(fact.by)}", ""
    if isinstance(fact, RuleFailed):
        return "warn", f"rule {fact.rule}", f"rule {fact.rule} raises: {fact.why}", ""
    if isinstance(fact, GroupsRemoved | GroupUpdated):
        return _tell_group(fact)
    if isinstance(fact, SettingSet):
        return "ok", f"setting {fact.name}", f"{fact.name} set to {fact.value}", ""
    return _tell_journal(fact)


def _tell_group(fact: GroupsRemoved | GroupUpdated) -> tuple[str, str, str, str]:
    if isinstance(fact, GroupUpdated):
        to = ", ".join(f"{name} {value}" for name, value in sorted(fact.changes.items()))
        return "ok", f"group {fact.group}", f"group {fact.group} set to {to}{_by(fact.by)}", ""
    named = ", ".join(fact.groups[:LATELY_GROUPS_MAX])
    if len(fact.groups) > LATELY_GROUPS_MAX:
        named += f" and {len(fact.groups) - LATELY_GROUPS_MAX} more"
    text = f"group{'s' if len(fact.groups) > 1 else ''} {named} removed{_by(fact.by)}"
    return "warn", f"groups {named}", text + (f": {many(fact.waiting, 'event')} waited" if fact.waiting else ""), ""


def _tell_journal(fact: Fact) -> tuple[str, str, str, str]:
    if isinstance(fact, CopyStands):
        stands = f"the journal's copy stands still: {fact.why}" if fact.why else "the journal's copy follows again"
        return "warn" if fact.why else "ok", "copy", stands, ""
    if isinstance(fact, CopyBeyond):
        return "bad", "copy", f"the journal lost positions {fact.position + 1} to {fact.last}: its copy has them", ""
    if isinstance(fact, JournalTrimmed):
        text = f"the journal begins after position {fact.up_to} now: retention by {fact.by} let go of"
        return "ok", "trimmed", f"{text} {many(fact.events, 'event')}, {fact.bytes // 1_000_000:,} MB", ""
    if isinstance(fact, JournalRebuilt):
        text = f"positions {fact.first} to {fact.last} were made again from the copy{_by(fact.by)}"
        text += f", {many(fact.events_missing, 'event is', 'events are')} missing" if fact.events_missing else ""
        return "bad" if fact.events_missing or fact.lost else "ok", f"rebuilt {fact.segment}", text, ""
    return "ok", "", "", ""


def _tell_failed(fact: IntentFailed) -> tuple[str, str, str, str]:
    if fact.kind == OpenGroup.__name__:
        return "warn", "inboxes", f"an inbox cannot be kept: {fact.why}", "{} inboxes cannot be kept"
    if not fact.by:
        return "bad", "unpublished", f"an event cannot be published: {fact.why}", "{} events cannot be published"
    where = "" if fact.partition is None else f" of p{fact.partition:02d}"
    what = {"PlaceSeat": "its seat", "OfferEpoch": "an epoch"}.get(fact.kind, fact.kind)
    return "warn", f"failed {fact.kind} {fact.by}", f"{fact.by} did not take {what}{where}: {fact.why}", ""


def lines_of(state: KeyedState, limit: int) -> list[Line]:
    """The newest lines, newest first by the time they show: the first's of many, whose position is the newest's."""
    found = sorted((line for _, line in state.items("line")), key=lambda line: (-line.at, -line.position, line.kind))
    return found[:limit]


def text_of(line: Line) -> str:
    """What a line says."""
    return line.many.format(line.count) if line.many and line.count > 1 else line.text


def _tell(state: KeyedState, entry: Entry, severity: str, kind: str, text: str, many: str, count: int) -> None:
    number = state.get("kind", kind)
    known: Line | None = None if number is None else state.get("line", number)
    if known is not None and many and entry.recorded - known.at <= LATELY_MERGE_MS * 1_000_000:
        merged = Line(known.at, entry.position, severity, kind, text, many, known.count + count)
        state.put("line", number, merged)
        return
    number = state.get("next", "line", 0)
    state.put("next", "line", number + 1)
    state.put("kind", kind, number)
    state.put("line", number, Line(entry.recorded, entry.position, severity, kind, text, many, count))
    old: Line | None = state.get("line", number - LATELY_MAX)
    if old is not None:
        state.delete("line", number - LATELY_MAX)
        if state.get("kind", old.kind) == number - LATELY_MAX:
            state.delete("kind", old.kind)
