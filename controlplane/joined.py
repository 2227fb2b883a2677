"""Brokers that somebody else started: dialled where they were joined until they answer, and again when they went away.

The plane has no process to watch here, only a session: it is up from `Claimed` until the session ends. Nothing that
such a broker says ends the plane; where it cannot be taken (another id, fleet or number of partitions at that address,
a newer plane that it obeys) it counts as lost, and the reason is told once.

    ensure ─▶ greet, claim ─▶ BrokerStarted ─▶ until the session ends ─▶ greet at once ─▶ BrokerStarted(adopted)
                   └─ nothing there ─▶ BrokerLost(why), once a reason ─▶ greet again, each JOIN_DIAL_MS ─▶ ...
"""

import asyncio
import logging
from collections.abc import Callable

from bus.client.operator import Controls, Operator
from bus.errors import BusError
from bus.wire import Claimed
from controlplane import limits
from controlplane.errors import PlaneError, WrongFleet
from controlplane.facts import BrokerLost, BrokerStarted, Fact

log = logging.getLogger("signalbox.joined")


class Joined:
    """Sessions of control with the brokers of one fleet that this plane did not start. `report` takes facts."""

    def __init__(self, operator: Operator, partitions: int, report: Callable[[Fact], None]) -> None:
        self._operator = operator
        self._partitions = partitions
        self._report = report
        self._claim = (0, "")
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._urls: dict[str, str] = {}
        self._open: dict[str, Controls] = {}

    def claim_as(self, plane_epoch: int, uuid: str) -> None:
        """Under which name brokers are claimed from now on."""
        self._claim = (plane_epoch, uuid)

    def sessions(self) -> dict[str, Controls]:
        """All open sessions, by broker."""
        return {broker: controls for broker, controls in self._open.items() if controls.is_open}

    def ensure(self, broker: str, url: str) -> None:
        """Have a session with the broker at this address from now on; what comes of it is reported as facts."""
        if self._urls.get(broker) == url:
            return
        self.forget(broker)
        self._urls[broker] = url
        self._tasks[broker] = asyncio.create_task(self._keep(broker, url), name=f"joined broker {broker}")

    def forget(self, broker: str) -> None:
        """Dial it no more, and say Bye."""
        task = self._tasks.pop(broker, None)
        self._urls.pop(broker, None)
        if task is not None:
            task.cancel()
        controls = self._open.pop(broker, None)
        if controls is not None:
            controls.close()

    async def meet(self, url: str) -> Controls:
        """A session with whoever listens there, nothing claimed yet. Raises BusError. The caller closes it."""
        return await self._operator.open(url, limits.GREETING_MS_MAX / 1000)

    async def accepts(self, controls: Controls) -> Claimed:
        """Claim the broker of a session. Raises PlaneError when it obeys another plane, and BusError."""
        claimed = await controls.claim(*self._claim)
        if not claimed.accepted:
            raise PlaneError(
                f"broker {controls.id} at {controls.url} obeys another plane, of epoch {claimed.plane_epoch}, and this "
                f"one has {self._claim[0]}; end that plane, or start the broker with an empty folder"
            )
        return claimed

    async def leave(self) -> None:
        """Let go of all: they live on, as they were started elsewhere."""
        tasks = list(self._tasks.values())
        for broker in list(self._urls):
            self.forget(broker)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, broker: str, url: str) -> None:
        before = (0, 0)
        told = ""
        while True:
            try:
                controls, claimed = await self._greet(broker, url)
            except Exception as error:
                if (why := _reason(error)) != told:
                    told = why
                    expected = isinstance(error, BusError | PlaneError)
                    log.warning("joined broker %s is not there: %s", broker, why, exc_info=None if expected else error)
                    self._report(BrokerLost(broker, why))
                await asyncio.sleep(limits.JOIN_DIAL_MS / 1000)
                continue
            told = ""
            process = (claimed.pid, claimed.started)
            adopted = before in ((0, 0), process)
            before = process
            log.info("joined broker %s at %s, pid %d, store %s", broker, url, claimed.pid, controls.store)
            self._open[broker] = controls
            self._report(BrokerStarted(broker, claimed.pid, controls.store, url, adopted, claimed.seats))
            began = asyncio.get_running_loop().time()
            lost = await asyncio.shield(controls.closed)
            log.warning("the session with joined broker %s is over: %s", broker, lost.why)
            lasted = asyncio.get_running_loop().time() - began
            await asyncio.sleep(max(0.0, limits.JOIN_DIAL_MS / 1000 - lasted))

    async def _greet(self, broker: str, url: str) -> tuple[Controls, Claimed]:
        controls = await self.meet(url)
        try:
            if controls.id != broker:
                raise WrongFleet(f"{url} says that it is broker {controls.id}, not {broker}")
            if controls.welcome.partitions not in (0, self._partitions):
                raise WrongFleet(
                    f"broker {broker} at {url} has {controls.welcome.partitions} partitions, this fleet has "
                    f"{self._partitions}; start it with --partitions {self._partitions}"
                )
            return controls, await self.accepts(controls)
        except BaseException:
            controls.close()
            raise


def _reason(error: Exception) -> str:
    """In words. Whatever nobody thought of has its kind before it: a broker that nobody dials any more would be down
    for good, without a word."""
    return str(error) if isinstance(error, BusError | PlaneError) else f"{type(error).__name__}: {error}"
