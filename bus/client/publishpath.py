"""The way of an event from `Fleet.publish` to its receipt.

| step | does | where |
|---|---|---|
| enrich | `source`, `id`; saga, cause and trace of what is handled; `deps` of a causal fleet | here, `packing.fill` |
| validate | every rule that is broken, naming its attribute; the payload's schema | `packing.check`, `schemas` |
| authorise | what is the plane's own is refused before it is sent; the broker decides | `packing.check` |
| route | the partition that is its key's home; whether it waits to be dispatched | `publishing` |
| publish | batches, sent until the broker says what became of them | `publishing`, `lane` |
| receipt | where it stands, what is promised, how it finds its way | `packing.receipts` |

`time` is not filled in: it is the publisher's word, and an export gives back what was published. A broker stamps each
event (`appended`), and whoever needs an instant where the publisher gave none takes that.
"""

from collections.abc import Callable, Iterable
from typing import Any

from bus.client.cluster import Cluster
from bus.client.handling import at_hand, following
from bus.client.packing import Receipt
from bus.client.publishing import Publisher
from bus.client.schemas import Schemas
from bus.clock import Knowledge
from bus.errors import ClientError, PublishError
from bus.event import Event

OnProgress = Callable[[int, int], None]


class PublishPath:
    """All publishing of one fleet. `knowledge`: of a causal one. `publisher`: for what follows from nothing."""

    def __init__(self, cluster: Cluster, source: str, knowledge: Knowledge | None, schemas: Schemas) -> None:
        self.publisher = Publisher(cluster, source, schemas)
        self._knowledge = knowledge
        self._schemas = schemas

    async def publish(self, event: Event, acks: str, within: float) -> Receipt:
        """One event; see `Fleet.publish`."""
        if self._schemas.is_stale:
            await self._schemas.refresh()
        handled = at_hand()
        if handled is not None:
            event = following(event, handled)
        if self._knowledge is None:
            return await self.publisher.publish(event, acks, within)
        receipt = await self.publisher.publish(self._dependent(event, acks), acks, within)
        self._knowledge.saw(receipt.partition, receipt.offset)
        return receipt

    async def publish_many(
        self, events: Iterable[Event], acks: str, within: float, on_progress: OnProgress | None
    ) -> list[Receipt]:
        """Many; see `Fleet.publish_many`."""
        if self._schemas.is_stale:
            await self._schemas.refresh()
        handled = at_hand()
        if handled is not None:
            events = (following(event, handled) for event in events)
        if self._knowledge is None:
            return await self.publisher.publish_many(events, acks, within, on_progress)
        results: list[Any] = []
        try:
            # One event of these does not depend on another: none has its receipt yet.
            dependent = [self._dependent(event, acks) for event in events]
            receipts = await self.publisher.publish_many(dependent, acks, within, on_progress)
            results += receipts
        except PublishError as error:
            results += error.results
            raise
        finally:
            for receipt in results:
                if isinstance(receipt, Receipt):
                    self._knowledge.saw(receipt.partition, receipt.offset)
        return receipts

    def close(self) -> None:
        """Fail whatever is not answered."""
        self._schemas.close()
        self.publisher.close()

    def _dependent(self, event: Event, acks: str) -> Event:
        if acks != "quorum":
            raise ClientError(f"acks={acks!r}: a causal fleet publishes with acks='quorum', so that no cause is lost")
        deps = self._knowledge.deps(event.deps) if self._knowledge is not None else None
        return event if deps is None else event.replace(deps=deps)
