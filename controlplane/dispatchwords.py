"""What dispatch reads of events, and what it says: mail to agents, dead letters, escalations. Pure.

Its dead letters are like those of brokers (`bus.broker.deadletter`), of the group `dispatch`: redriven, an event comes
back with `redriveto=dispatch`, and is routed again.
"""

from typing import Any

import msgspec

from bus.attributes import NO_CAPABLE
from bus.errors import InvalidEvent
from bus.letters import kept, short
from bus.rfc3339 import format_time, parse_time
from bus.words import many
from controlplane.deadletters import TYPE as DEAD_LETTER
from controlplane.facts import EventRouted, PublishEvent, TaskDispatched
from controlplane.limits import STICKY_KEY_CHARS_MAX, TASK_ERROR_CHARS_MAX
from controlplane.saying import say
from controlplane.tasks import MEDIUM, MS, PRIORITIES, Task, needs_in

GROUP = "dispatch"
SETTLED, ESCALATED = "dispatch.settled", "dispatch.escalated"
INBOX = "agent.inbox."
INBOX_GROUP = "inbox."
AGENT = "agent/"
WAIT, DEAD, ESCALATE = POLICIES = NO_CAPABLE
HANDLED, FAILED, REFUSED = OUTCOMES = "handled", "failed", "refused"
EXPIRED, UNSENT = "expired", "unsent"


class Asked(msgspec.Struct):
    """What an event says of how it wants to be dispatched. `sticky`: a key, or true for its own."""

    id: str = ""
    source: str = ""
    type: str = ""
    requires: str = ""
    priority: str = ""
    sticky: str | int | bool = ""
    expirytime: str = ""
    nocapable: str | int | bool = ""
    redriveto: str | int | bool = ""
    partitionkey: str = ""
    subject: str = ""
    correlationid: str = ""

    @property
    def key(self) -> str:
        """What orders it."""
        return self.partitionkey or self.subject or self.source

    @property
    def needs(self) -> tuple[str, ...]:
        """Capabilities that its handler must have."""
        return tuple(filter(None, self.requires.split(" ")))

    @property
    def expires(self) -> int:
        """After it, ns, it is void; 0: never."""
        try:
            return max(0, parse_time(self.expirytime)) if self.expirytime else 0
        except (InvalidEvent, ValueError):
            return 0

    @property
    def stuck_to(self) -> str:
        """What it is sticky by; "" for nothing."""
        said = self.key if self.sticky is True else str(self.sticky) if self.sticky else ""
        return said[:STICKY_KEY_CHARS_MAX]


class Settled(msgspec.Struct):
    """What an agent says of a task that it had."""

    task: str
    attempt: int
    outcome: str
    took_ms: int = 0
    error: str = ""


class _Embedded(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")
    dispatched: bool | str | int = False


class _Letter(msgspec.Struct):
    group: str
    reason: str
    event: _Embedded
    error: str = ""


class _Of(msgspec.Struct):
    data: msgspec.Raw


class _Mail(msgspec.Struct):
    task: str
    attempt: int


class _Place(msgspec.Struct):
    partition: int
    offset: int
    appended: int


class _ByName(msgspec.Struct):
    task: str
    event: msgspec.Raw
    at: _Place


class _Posted(msgspec.Struct):
    data: _ByName
    dispatched: bool = False
    redriveto: str = ""


_POLICY_CHARS_MAX = 80
_DISPATCHED = b',"dispatched":true,'
_asked = msgspec.json.Decoder(Asked)
_of = msgspec.json.Decoder(_Of)
_settled = msgspec.json.Decoder(Settled)
_letter = msgspec.json.Decoder(_Letter)
_mail = msgspec.json.Decoder(_Mail)
_posted = msgspec.json.Decoder(_Posted)


def asked(event: bytes | str) -> Asked | None:
    """What an event asks for; None where that cannot be read."""
    try:
        return _asked.decode(event)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def settled(event: bytes) -> Settled | None:
    """What `dispatch.settled` says; None where it is malformed."""
    try:
        said = _settled.decode(_of.decode(event).data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return said if said.outcome in OUTCOMES and 0 <= said.took_ms < 1 << 53 else None


def undelivered(event: bytes) -> tuple[str, Settled] | None:
    """Whose inbox gave up mail of ours, and what that comes to; None for any other dead letter."""
    try:
        letter = _letter.decode(_of.decode(event).data)
        if not letter.group.startswith(INBOX_GROUP) or not letter.event.dispatched:
            return None
        mail = _mail.decode(letter.event.data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    why = f"{letter.group}: {letter.reason}" + (f": {letter.error}" if letter.error else "")
    return AGENT + letter.group[len(INBOX_GROUP) :], Settled(mail.task, mail.attempt, letter.reason, 0, why)


def mailed(intent: PublishEvent) -> tuple[str, int] | None:
    """The task and the attempt of mail that is to be published; None for any other event."""
    if _DISPATCHED not in intent.event:
        return None
    try:
        mail = _mail.decode(_of.decode(intent.event).data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return mail.task, mail.attempt


def priority_of(text: str) -> int:
    """0 high, 1 medium, 2 low."""
    return PRIORITIES.index(text) if text in PRIORITIES else MEDIUM


def cut(text: str) -> str:
    """As much of an error as is kept."""
    return text[:TASK_ERROR_CHARS_MAX]


# ------------------------------------------------------------------------------------------------- what it says


def mail(task: Task, event: str, sent: TaskDispatched, settle_by: int = 0) -> PublishEvent:
    """A task on its way to an agent's inbox. `settle_by`: until when, ns, it is asked after mail by name; 0: it is not.
    From then on nobody hears that it failed, so its agent leaves that to the dead letters of its inbox. It says, too,
    where its event stands (`at`): nothing else may remember that when no broker takes it."""
    decision = {
        "rules": task.rules,
        "requires": needs_in(task.needs),
        "among": sent.among,
        "expected_us": sent.expected_us,
        "reliability": sent.reliability,
        "load": sent.load,
        "score": sent.score,
        "sticky": sent.sticky,
    }
    data = {"task": sent.task, "attempt": sent.attempt, "event": msgspec.Raw(event.encode()), "decision": decision}
    if task.named:
        data["settle_by"] = settle_by
        data["at"] = {"partition": task.partition, "offset": task.offset, "appended": task.appended}
    return say(
        INBOX + sent.agent.removeprefix(AGENT),
        data,
        sent.agent,
        dispatched=True,
        causationid=task.event_id,
        priority=PRIORITIES[task.priority] if task.priority != MEDIUM else "",
        expirytime=format_time(task.expires) if task.expires else "",
    )


def letter_of(task: Task, event: str, reason: str, error: str) -> PublishEvent:
    """The dead letter of a task."""
    attempts = [
        {"attempt": one.attempt, "at": one.at, "error": one.why, "member": one.agent, "took_ms": one.took_ms}
        for one in task.tries
    ]
    return _dead(reason, error, (task.partition, task.offset, task.appended), attempts, event)


def letter(routed: EventRouted, reason: str, error: str) -> PublishEvent:
    """The dead letter of an event of which no task was made."""
    return _dead(reason, error, (routed.partition, routed.offset, routed.appended), [], routed.event)


def letter_of_mail(mail: str, why: str) -> tuple[str, PublishEvent] | None:
    """The task of mail by name that no broker takes, and its event's dead letter; None for any other event. (What is
    redriven is a dead letter already.)"""
    try:
        posted = _posted.decode(mail)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not posted.dispatched or posted.redriveto:
        return None
    of, at = posted.data, posted.data.at
    return of.task, _dead(UNSENT, why, (at.partition, at.offset, at.appended), [], bytes(of.event).decode())


def _dead(reason: str, error: str, at: tuple[int, int, int], attempts: list[Any], event: str) -> PublishEvent:
    of, original = asked(event) or Asked(), kept(event.encode())
    partition, offset, appended = at
    data = {
        "group": GROUP, "reason": reason, "error": cut(error), "partition": partition, "offset": offset,
        "appended": appended, "attempts": attempts, "event": msgspec.Raw(original.event),
    }  # fmt: skip
    if original.cut:
        data["cut"] = original.cut
    about = {"subject": of.subject, "correlationid": of.correlationid, "causationid": of.id}
    return say(DEAD_LETTER, data, short(of.key) or GROUP, **{name: short(text) or "" for name, text in about.items()})


def unheeded(policy: str) -> str:
    """What is said of an event's `nocapable` that is no policy; "" of one that is, or of none."""
    if not policy or policy in POLICIES:
        return ""
    said = repr(policy[:_POLICY_CHARS_MAX])
    return f"; its nocapable, {said}, is none of {', '.join(POLICIES)}, so the fleet's policy holds"


def tried(task: Task) -> str:
    """How often a task was tried, and by how many agents: of many attempts those of the last ones are known."""
    times, agents = many(task.attempt, "time"), len({one.agent for one in task.tries})
    of = "" if len(task.tries) == task.attempt else f"the last {len(task.tries)} "
    return f"tried {times}, {of}by {many(agents, 'agent')}"


def escalation(id: str, task: Task, why: str) -> PublishEvent:
    """Nobody can do a task, and somebody should know."""
    data = {"task": id, "requires": needs_in(task.needs), "event": task.event_id, "type": task.type, "why": why}
    return say(ESCALATED, data, id, causationid=task.event_id)


def took_ms(task: Task, now: int) -> int:
    """How long who has a task has had it."""
    return max(0, now - task.since) // MS
