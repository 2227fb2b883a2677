"""Tells clients the payload schemas, as the agent `signalbox/schemas`: what the fold has, a page at a time.

A client asks `{"since": position}` and is answered `{schemas, position, more, cursor}` (`bus.client.schemas.Page`).
"""

import asyncio
import logging
from typing import Any

import msgspec

from bus.client.answering import CallContext
from bus.client.fleet import Fleet
from bus.client.schemas import PLANE
from bus.errors import BusError
from controlplane import limits
from controlplane.errors import FoldRebuilding
from controlplane.schemas import Registered, beyond
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
    taken: list[Registered] = []
    size = 0
    for one in coming:
        size += len(one.schema)
        if taken and size > limits.SCHEMAS_PAGE_BYTES:
            break
        taken.append(one)
    return {
        "schemas": [
            {"type": one.type, "version": one.version, "compatibility": one.compatibility, "schema": _plain(one.schema)}
            for one in taken
        ],
        "position": taken[-1].position if taken else since,
        "more": len(taken) < len(coming),
        "cursor": dict(turns.journal.offsets),
    }


def _plain(schema: str) -> Any:
    """A schema as Python has it; whoever checks finds out that it is none."""
    try:
        return msgspec.json.decode(schema)
    except msgspec.DecodeError:
        return {}
