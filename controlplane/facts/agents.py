"""Facts about agents: what operators decided, and what follows from silence. Part of the union in `facts`.

| decided by an operator | derived by the registry | reported by effects |
|---|---|---|
| AgentQuarantined, AgentReleased | AgentSuspected, AgentFailed | GroupOpened |
"""

from controlplane.journaled import Fact, Intent


class AgentQuarantined(Fact, frozen=True):
    """These agents, by their sources, get no work from here on, whatever they say, until they are released."""

    agents: list[str]
    by: str = ""
    reason: str = ""


class AgentReleased(Fact, frozen=True):
    """These agents may be given work again."""

    agents: list[str]
    by: str = ""
    reason: str = ""


class AgentSuspected(Fact, frozen=True):
    """Derived: an agent missed heartbeats. `silent_ns`: since its last word was recorded."""

    agent: str
    incarnation: str
    silent_ns: int


class AgentFailed(Fact, frozen=True):
    """Derived: a suspected agent stayed silent."""

    agent: str
    incarnation: str
    silent_ns: int


class GroupOpened(Fact, frozen=True):
    """The group that an OpenGroup asked for is there, at every partition."""

    group: str


class OpenGroup(Intent, frozen=True):
    """See that a group is there, beginning with what was appended at `start`, ns. Answer: GroupOpened, IntentFailed.

    Opening one that is there already changes nothing.
    """

    group: str
    pattern: str
    start: int


AgentFact = AgentQuarantined | AgentReleased | AgentSuspected | AgentFailed | GroupOpened
