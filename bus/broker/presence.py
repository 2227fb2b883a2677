"""Who answers calls, as the sessions of this broker say: a table from names and capabilities to addresses.

An entry lives exactly as long as the session that announced it, and nothing of it is written down: agents announce
themselves again to a broker that comes back. Brokers do not share their tables; agents announce themselves to all.
"""

from bus import limits, wire
from bus.broker.access import authorise
from bus.broker.peers import Peers
from bus.call import check_name, is_loopback
from bus.errors import AccessDenied, Busy, ProtocolError
from bus.session import Session

ANSWERED = "agent.call.completed"


class Presence:
    """The presence table of one broker, at most `PRESENCE_MAX` entries."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._announced: dict[Session, dict[str, wire.Answerer]] = {}
        self._by_target: dict[str, dict[tuple[Session, str], wire.Answerer]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def on_present(self, session: Session, present: wire.Present) -> None:
        """Take an entry, in place of the session's own one of that name. What breaks the rules is refused."""
        answerer = present.answerer
        name = check_name("name", answerer.name)
        authorise(session.principal, "publish", ANSWERED, name)
        if not is_loopback(answerer.url):
            raise AccessDenied(f"{name} answers at {answerer.url[:80]!r}: without keys only tcp://127.0.0.1:PORT is")
        if len(answerer.capabilities) > limits.PRESENCE_CAPABILITIES_MAX:
            raise ProtocolError(f"{name} has more than {limits.PRESENCE_CAPABILITIES_MAX} capabilities")
        for capability in answerer.capabilities:
            check_name("capability", capability)
        mine = self._announced.get(session, {})
        if name not in mine:
            if len(mine) >= limits.PRESENCE_PER_SESSION_MAX:
                raise Busy(f"{limits.PRESENCE_PER_SESSION_MAX} agents answer in this session already; open another")
            if self._count >= limits.PRESENCE_MAX:
                raise Busy(f"{limits.PRESENCE_MAX} agents are known here already; end some that are not needed")
        self._drop(session, name)
        self._announced.setdefault(session, {})[name] = answerer
        self._count += 1
        for target in {name, *answerer.capabilities}:
            self._by_target.setdefault(target, {})[(session, name)] = answerer
        self._peers.send(session, wire.Presented(present.request))

    def on_absent(self, session: Session, absent: wire.Absent) -> None:
        """Forget an entry; without a word if there is none."""
        self._drop(session, absent.name)

    def on_whereis(self, session: Session, whereis: wire.Whereis) -> None:
        """Say who answers, those announced last first; a name goes before capabilities of the same text."""
        authorise(session.principal, "subscribe", ANSWERED)
        found = list(self._by_target.get(whereis.target, {}).values())
        named = [answerer for answerer in found if answerer.name == whereis.target]
        latest = (named or found)[: -limits.LOCATED_MAX - 1 : -1]
        self._peers.send(session, wire.Located(whereis.request, latest))

    def on_session_end(self, session: Session) -> None:
        """Forget all that a session announced."""
        for name in list(self._announced.get(session, {})):
            self._drop(session, name)

    def _drop(self, session: Session, name: str) -> None:
        mine = self._announced.get(session, {})
        answerer = mine.pop(name, None)
        if answerer is None:
            return
        self._count -= 1
        if not mine:
            del self._announced[session]
        for target in {name, *answerer.capabilities}:
            entries = self._by_target[target]
            del entries[(session, name)]
            if not entries:
                del self._by_target[target]
