"""What `broker add` finds out before it is decided: who answers at an address, and whether it would obey this plane."""

import shlex
import sys

from bus.errors import BusError
from controlplane.answers.members import Newcomer
from controlplane.directory import Directory
from controlplane.errors import PlaneError
from controlplane.membership import fresh_id, used_ids
from controlplane.questions import Operate, Refusal
from controlplane.state import KeyedState
from controlplane.supervisor import Supervisor

_PORT_MAX = 65_535


class Joining:
    """Greets newcomers for one fleet."""

    def __init__(self, supervisor: Supervisor, directory: Directory, fleet: str, partitions: int) -> None:
        self._supervisor = supervisor
        self._directory = directory
        self._fleet = fleet
        self._partitions = partitions

    async def meet(self, ask: Operate, state: KeyedState) -> Newcomer | Refusal:
        """Who wants to join, as it says itself. Nothing is changed."""
        if len(ask.targets) > 1:
            return Refusal("usage", "one broker at a time", "signalbox broker add [tcp://127.0.0.1:PORT]")
        if not ask.targets:
            return Newcomer(folders=self._directory.brokers())
        url = address_of(ask.targets[0])
        if isinstance(url, Refusal):
            return url
        try:
            controls = await self._supervisor.joined.meet(url)
        except BusError as error:
            return Refusal("unavailable", f"no broker can be greeted at {url}: {error}", self._how(url, state))
        said = controls.welcome
        controls.close()
        return Newcomer(url, said.broker, said.store, said.fleet, said.partitions, said.plane_epoch)

    async def claim(self, newcomer: Newcomer) -> Refusal | None:
        """Have it obey this plane from now on; a Refusal that says why it does not."""
        try:
            controls = await self._supervisor.joined.meet(newcomer.url)
        except BusError as error:
            return Refusal("unavailable", f"{newcomer.url} answers no more: {error}", "signalbox broker add once more")
        try:
            if (controls.id, controls.store) != (newcomer.id, newcomer.store):
                message = f"another broker answers at {newcomer.url} than a moment ago: {controls.id}"
                return Refusal("changed", message, "look again with --dry-run")
            await self._supervisor.joined.accepts(controls)
        except (BusError, PlaneError) as error:
            return Refusal("failed", str(error), "signalbox broker add --dry-run")
        finally:
            controls.close()
        return None

    def _how(self, url: str, state: KeyedState) -> str:
        """The command line that starts a broker of this fleet there."""
        id = fresh_id(used_ids(state, self._directory.brokers()))
        line = [sys.executable, "-P", "-m", "bus", "--dir", f"./{id}", "--id", id, "--fleet", self._fleet]
        line += ["--partitions", str(self._partitions), "--port", url.rpartition(":")[2]]
        return f"start one: {shlex.join(line)}"


def address_of(text: str) -> str | Refusal:
    """`tcp://127.0.0.1:PORT`; a Refusal that says what is wrong with anything else."""
    scheme, _, rest = text.strip().partition("://")
    host, _, port = rest.rpartition(":")
    if scheme != "tcp" or not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) <= _PORT_MAX:
        return Refusal("usage", f"{text[:200]!r} is not an address", "it should read tcp://127.0.0.1:PORT")
    if host not in ("127.0.0.1", "localhost"):
        message = f"{host} is not this machine's loopback: there are no keys yet, and without keys nothing joins beyond"
        return Refusal("denied", message, "start the broker on this machine: tcp://127.0.0.1:PORT")
    return f"tcp://127.0.0.1:{int(port)}"
