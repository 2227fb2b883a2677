"""Which function handles what. Pure.

| a handler's pattern | its events come by |
|---|---|
| `agent.inbox.<own name>` | the inbox |
| under `capability.<own capability>.` | the group `capability.<c>` of all agents that have it |
| under `system.coordination.` or `signalbox.agents.` | a read that all agents of the connection share: not durable |
| anything else, or with `group=` | a group: the given one, else one of its own, `agent/<name>:<pattern>` |
| any, with `dispatched=True` | the inbox alone: what the plane dispatches to the agent |

Mail is its addressee's alone: a pattern under `agent.inbox.` that is not the agent's own is refused, and groups of
wider patterns, such as `agent.>`, leave mail alone (`work.py`).

What the plane dispatches is handled by the handler whose pattern fits the original type best, whichever way its other
events come. Best is who says more tokens literally; then who has no `>`; then who was defined first.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from bus.agents.inbox import PREFIX, pattern_of
from bus.agents.limits import (
    SHARED_ACK_WAIT_MS,
    SHARED_DELIVER_ATTEMPTS,
    TIMEOUT_MS_MAX,
    TIMEOUT_PERMILLE,
    TYPES_KNOWN_MAX,
)
from bus.agents.payloads import Payload, payload_of
from bus.errors import ClientError
from bus.groupsettings import ORDERS
from bus.limits import GROUP_DELAY_MS_MAX, GROUP_DELIVER_ATTEMPTS_MAX, GROUP_NAME_CHARS_MAX
from bus.topic import check_pattern, matches

Function = Callable[..., Awaitable[Any]]
"""`async def handler(event, context)`, or `(event, context, payload: SomeType)`."""
HEARD, MAIL, ABLE, GROUP, ORDERED = "heard", "inbox", "capability", "group", "dispatched"
"""The ways of events to a handler, as in the module's table."""
_GROUPED = (MAIL, ABLE, GROUP)
_HEARD = ("system.coordination.", "signalbox.agents.")


class Settings(NamedTuple):
    """What a group that agents join is like; seconds. They are what `fleet.subscribe` takes."""

    pattern: str
    group: str
    order: str
    ack_wait: float
    max_deliver: int
    start: Any


class Handling(NamedTuple):
    """One function. `way`: how its events come; `capability`: where that is the way; `timeout` in seconds."""

    function: Function
    payload: Payload | None
    pattern: str
    way: str
    capability: str
    group: str
    order: str
    ack_wait: float
    max_deliver: int
    timeout: float
    start: Any

    @property
    def name(self) -> str:
        """The function's, for people."""
        return getattr(self.function, "__qualname__", repr(self.function))

    @property
    def settings(self) -> Settings:
        """Of the group that its events come from."""
        if self.way == ABLE:
            pattern, wait = f"capability.{self.capability}.>", SHARED_ACK_WAIT_MS / 1000
            return Settings(pattern, self.group, "none", wait, SHARED_DELIVER_ATTEMPTS, "now")
        return Settings(self.pattern, self.group, self.order, self.ack_wait, self.max_deliver, self.start)


def handling(
    agent: str,
    capabilities: Sequence[str],
    function: Function,
    pattern: str,
    *,
    group: str | None,
    order: str,
    ack_wait: float,
    max_deliver: int,
    timeout: float | None,
    start: Any,
    dispatched: bool,
) -> Handling:
    """A handler of the agent of that name, checked. Raises InvalidPattern and ClientError, which say what to change."""
    check_pattern(pattern)
    payload = payload_of(function)
    if order not in ORDERS:
        raise ClientError(f"order={order!r} is not supported; {', '.join(ORDERS)} are")
    if not 0 < ack_wait <= GROUP_DELAY_MS_MAX / 1000:
        raise ClientError(f"ack_wait={ack_wait}: it is in seconds, above 0, at most {GROUP_DELAY_MS_MAX // 1000}")
    if not 0 < max_deliver <= GROUP_DELIVER_ATTEMPTS_MAX:
        raise ClientError(f"max_deliver={max_deliver}: it is 1 to {GROUP_DELIVER_ATTEMPTS_MAX}")
    if timeout is None:
        timeout = ack_wait * TIMEOUT_PERMILLE / 1000
    elif not 0 < timeout <= TIMEOUT_MS_MAX / 1000:
        raise ClientError(f"timeout={timeout}: it is in seconds, above 0, at most {TIMEOUT_MS_MAX // 1000}")
    way, capability = _way(agent, capabilities, pattern, group, dispatched)
    if way != GROUP and order != "none":
        raise ClientError(f"order={order!r}: {pattern} comes by a way that others share, without order; give `group=`")
    name = group or ""
    if way == ABLE:
        name = f"capability.{capability}"
    elif way == GROUP and not name:
        name = f"agent/{agent}:{pattern}"
    if len(name) > GROUP_NAME_CHARS_MAX:
        raise ClientError(
            f"group: {name!r} has {len(name)} characters; give a `group` of {GROUP_NAME_CHARS_MAX} at most"
        )
    return Handling(function, payload, pattern, way, capability, name, order, ack_wait, max_deliver, timeout, start)


def _way(agent: str, capabilities: Sequence[str], pattern: str, group: str | None, dispatched: bool) -> tuple[str, str]:
    if dispatched:
        if group is not None:
            raise ClientError(f"group={group!r}: what is dispatched comes by the inbox; leave out one of the two")
        return ORDERED, ""
    if pattern.startswith(PREFIX):
        return _mail(agent, pattern, group)
    if group is not None:
        return GROUP, ""
    if pattern.startswith(_HEARD):
        return HEARD, ""
    # The longest first: `nlp.translate` before `nlp`.
    for capability in sorted(capabilities, key=len, reverse=True):
        if pattern.startswith(f"capability.{capability}."):
            return ABLE, capability
    return GROUP, ""


def _mail(agent: str, pattern: str, group: str | None) -> tuple[str, str]:
    own = pattern_of(agent)
    if pattern != own:
        raise ClientError(
            f"{pattern}: mail is its addressee's alone, and that of {agent} is {own}: handle it by "
            "`@agent.on(agent.inbox)`; to look at others' mail use `fleet.read`"
        )
    if group is not None:
        raise ClientError(f"group={group!r}: mail comes by the inbox, which has a group; leave `group` out")
    return MAIL, ""


class Handlers:
    """All of an agent, in the order of their definition."""

    def __init__(self) -> None:
        self.all: list[Handling] = []
        self._known: dict[tuple[str, str | None], Handling | None] = {}

    def add(self, one: Handling) -> None:
        """One more. Raises ClientError where its group is taken."""
        for other in self.all:
            if one.way == GROUP == other.way and one.group == other.group:
                raise ClientError(
                    f"group {one.group}: {other.name} has it already, and a group's event goes to one handler; "
                    "give one of them another `group`"
                )
        self.all.append(one)
        self._known.clear()

    def by(self, way: str) -> list[Handling]:
        """Those whose events come by this way."""
        return [one for one in self.all if one.way == way]

    def best(self, type: str, group: str | None = None) -> Handling | None:
        """The one that fits a type best, of all, or of those of a group, or of the inbox's, whose group is ""."""
        key = (type, group)
        if key not in self._known:
            if len(self._known) >= TYPES_KNOWN_MAX:
                self._known.clear()
            among = (
                self.all if group is None else [one for one in self.all if one.way in _GROUPED and one.group == group]
            )
            self._known[key] = best(among, type)
        return self._known[key]


def best(among: Sequence[Handling], type: str) -> Handling | None:
    """The handler whose pattern fits a type best; None if none fits."""
    fitting = [one for one in among if matches(one.pattern, type)]
    return max(fitting, key=_closeness, default=None)


def _closeness(one: Handling) -> tuple[int, bool]:
    tokens = one.pattern.split(".")
    return sum(token not in ("*", ">") for token in tokens), tokens[-1] != ">"
