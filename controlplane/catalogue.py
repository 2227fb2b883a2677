"""Tells clients the payload schemas, as the agent `signalbox/schemas`: what the fold has, a page at a time.

A client asks `{"since": position}` and is answered `{schemas, position, more, cursor}` (`bus.client.schemas.Page`).
"""

import asyncio
import logging
from typing import Any

import msgspec

from bus.client.answering import CallContext
from bus.client.calling import packed_payload
from bus.client.fleet import Fleet
from bus.client.schemas import PLANE
from bus.errors import BusError
from controlplane import limits
from controlplane.errors import FoldRebuilding
from controlplane.schemas import beyond
from controlplane.turns import Turns

log = logging.getLogger("signalbox.schemas")


async def tell_schemas(fleet: Fleet, turns: Turns) -> None:
    """Answer until cancelled."""

    async def answer(asked: Any, context: CallContext) -> dict[str, Any]:
        since = asked.get("since") if isinstance(asked, dict) else None
        return await page(turns, since if isinstance(since, int) else 0)

    while True:
        try:
            async with fleet.answers(PLANE, answer):
                await asyncio.Event().wait()
        except BusError as error:
            log.info("no broker knows yet who tells the schemas: %s", error)
            await asyncio.sleep(limits.RECORDER_RETRY_MS / 1000)


async def page(turns: Turns, since: int) -> dict[str, Any]:
    """One page of what was registered after a position. Raises FoldRebuilding."""
    await turns.settled()
    state = turns.heart.states.get("schemas")
    if state is None:
        raise FoldRebuilding("schemas")
    coming = beyond(state, since)
    taken: list[dict[str, Any]] = []
    position, size = since, 0
    for one in coming:
        told = {"type": one.type, "version": one.version, "compatibility": one.compatibility}
        told["schema"] = msgspec.json.decode(one.schema)
        size += len(packed_payload(told))  # numbers are longer there than as text
        if taken and size > limits.SCHEMAS_PAGE_BYTES:
            break
        taken.append(told)
        position = one.position
    return {
        "schemas": taken,
        "position": position,
        "more": len(taken) < len(coming),
        "cursor": dict(turns.journal.offsets),
    }
