"""Routing as a noun: the content rules in force, where an event goes and why, and what other rules would change.

A recipient is `agent/NAME` or `capability:A B`. Latencies are nanoseconds; `reliability` and `load` are shares.
"""

from typing import Annotated, Literal

import msgspec

from controlplane.questions.pages import Ask, Reply
from controlplane.questions.parts import Severity

__all__ = [
    "AskRoute",
    "AskRoutes",
    "RouteCandidate",
    "RouteExample",
    "RouteExplained",
    "RouteRow",
    "RouteStep",
    "RouteTask",
    "RouteTo",
    "RouteVerb",
    "Routes",
    "RoutesChanged",
    "RoutesTried",
    "RoutingBody",
    "RoutingQuestion",
    "RuleText",
    "RuleTrial",
    "RuleVerdict",
    "SetRoutes",
    "TryRoutes",
    "WorkRow",
]

Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
RouteVerb = Literal["add", "remove"]
RULES_ASKED_MAX = 256
EVENT_CHARS_MAX = 1024 * 1024


class RuleText(msgspec.Struct, frozen=True, omit_defaults=True):
    """One content rule as a person gives it; `when` is a condition in CEL, "" for always."""

    name: str
    types: str
    to: list[str]
    when: str = ""
    stop: bool = False


class AskRoutes(Ask, frozen=True):
    """The rules in force, and the work that waits."""


class RouteRow(msgspec.Struct):
    """One rule. `matched`: events since it is as it is, the last one at `last`; `failed_at`: the position of the first
    that its condition raised on, 0 for none, and `why`."""

    name: str
    types: str
    when: str
    to: list[str]
    stop: bool
    severity: Severity
    matched: int
    last: int
    failed_at: int = 0
    why: str = ""


class WorkRow(msgspec.Struct):
    """Work of one kind: capabilities, how many agents can do it, tasks that wait for it since `since`, ns."""

    needs: str
    severity: Severity
    agents: int
    waiting: int
    since: int
    latency_ns: int | None
    """What it takes on average, None where that is not known."""
    settled: int
    why: str = ""
    mend: str = ""


class Routes(Reply):
    """`version` 0: no rules were ever set. Counts of tasks are of all time."""

    version: int
    since: int
    by: str
    reason: str
    rows: list[RouteRow]
    default: list[str]
    no_capable: str
    """What becomes of work that nobody can do: wait, dead-letter or escalate."""
    work: list[WorkRow]
    waiting: int
    out: int
    opened: int
    handled: int
    failed: int
    refused: int
    returned: int
    dropped: int
    unfit: int = 0
    """Events that went to nobody: nested too deep, too large, or no rule names them any more."""
    named: int = 0
    """Mail to agents by name that is asked after now."""
    untracked: int = 0
    """Mail to agents by name that was sent beyond that bound, of all time."""


class SetRoutes(Ask, frozen=True):
    """Change the rules. `add` takes `rules`, each in place of the one of its name, new ones at the end or before rule
    `before`; with `whole` they are all there are, in this order; `default` and `no_capable` None leave those as they
    are. `remove` takes `names`.

    As a dry run it answers what it would change, tried on what was recorded in the last `since` ns; `expected` is then
    the version that it was planned on, and if there is another one now, the answer is a `Refusal` with code `changed`.
    """

    verb: RouteVerb
    rules: Annotated[list[RuleText], msgspec.Meta(max_length=RULES_ASKED_MAX)] = []
    names: Annotated[list[str], msgspec.Meta(max_length=RULES_ASKED_MAX)] = []
    default: list[str] | None = None
    before: str = ""
    whole: bool = False
    since: Natural = 0
    dry_run: bool = False
    reason: str = ""
    by: str = ""
    expected: Natural | None = None
    no_capable: str | None = None


class RuleTrial(msgspec.Struct):
    """What a rule did to recorded events: with it in force, `was`, and as it would be, `matched`; `failed`: on so many
    its condition raised, first with `why`. `rule` "": the default."""

    rule: str
    was: int
    matched: int
    failed: int
    why: str = ""


class RouteExample(msgspec.Struct):
    """An event that goes elsewhere under other rules."""

    position: int
    id: str
    type: str
    was: list[str]
    now: list[str]


class RoutesTried(Reply):
    """Rules tried on the events recorded since `since`, ns, whose types any rule names; `cut`: only on the newest."""

    events: int
    """Of types that a rule names, among those in force and those tried."""
    recorded: int
    """All that were recorded in that time."""
    since: int
    cut: bool
    changed: int
    """Events that would go to others than under the rules in force."""
    rules: list[RuleTrial]
    examples: list[RouteExample]
    version: int = 0
    """Of the rules in force."""


class RoutesChanged(Reply):
    """What a change of rules touches, a line each. `position` is the decision's in the journal; 0 for a dry run."""

    verb: RouteVerb
    touched: list[str]
    dry_run: bool
    version: int
    """Of the rules that it was planned on."""
    position: int = 0
    tried: RoutesTried | None = None


class TryRoutes(Ask, frozen=True):
    """What these rules, in place of those in force, would have done with what was recorded in the last `since` ns."""

    rules: Annotated[list[RuleText], msgspec.Meta(max_length=RULES_ASKED_MAX)]
    default: list[str] = []
    since: Natural = 3_600_000_000_000


class AskRoute(Ask, frozen=True):
    """Where an event goes, and why: a recorded one, by its id or `@position`, or one as CloudEvents JSON."""

    event: Annotated[str, msgspec.Meta(max_length=EVENT_CHARS_MAX)]


class RuleVerdict(msgspec.Struct):
    """What a rule says of the event: matched, no, error, type (it is for others), stopped (an earlier one ended it)."""

    rule: str
    outcome: str
    why: str = ""


class RouteCandidate(msgspec.Struct):
    """An agent that was looked at; `why` it is not the one, "" for the winner. A lower `score` is better."""

    agent: str
    score: int
    load: float
    latency_ns: int
    reliability: float
    why: str = ""


class RouteTo(msgspec.Struct):
    """A recipient. `through`: rules by name, "" the default; `requires`: the event's own. `agent`: who gets it now,
    "" for nobody, and then `why`; `among` how many it was drawn."""

    recipient: str
    through: list[str]
    agent: str
    severity: Severity
    among: int
    candidates: list[RouteCandidate]
    expected_ns: int | None = None
    reliability: float | None = None
    why: str = ""
    mend: str = ""


class RouteTask(msgspec.Struct):
    """A task that is not over, of the event `event` at `position`. `state`: waiting, out, and then who has it counts as
    stuck from `stuck_from` on, ns."""

    task: str
    state: str
    needs: str
    agent: str
    attempt: int
    since: int
    why: str = ""
    event: str = ""
    position: int = 0
    stuck_from: int = 0


class RouteStep(msgspec.Struct):
    """What was decided about a recorded event, at which position and instant, in words."""

    position: int
    at: int
    kind: str
    text: str


class RouteExplained(Reply):
    """`position` 0: it is not recorded, and this is where it would go. `steps`: what became of it, oldest first."""

    event: str
    event_type: str
    position: int
    version: int
    verdicts: list[RuleVerdict]
    recipients: list[RouteTo]
    tasks: list[RouteTask]
    steps: list[RouteStep]
    why: str = ""
    """Why it goes to nobody."""


RoutingQuestion = AskRoutes | AskRoute | SetRoutes | TryRoutes
RoutingBody = Routes | RouteExplained | RoutesChanged | RoutesTried
