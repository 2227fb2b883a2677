"""Redriving dead letters, one decision at a time: the set that was planned is the set that is decided on.

A letter that could not hold all of its event (`bus.letters`) says where it stands; there the journal has it, until
retention lets go of it. It is looked up here, as no fold can.
"""

import asyncio

from msgspec.structs import replace

from controlplane.answers import plan_redrive
from controlplane.archive import Archive
from controlplane.deadletters import cut_of
from controlplane.facts import RedriveDecided
from controlplane.fold import KeyedState
from controlplane.limits import REDRIVE_ORIGINALS_CHARS_MAX
from controlplane.questions import Body, Redrive, Redriven, Refusal
from controlplane.turns import Turns


async def redrive(turns: Turns, archive: Archive, ask: Redrive) -> Body:
    """Decide on it. Nobody else may decide on letters meanwhile."""
    await turns.settled()
    states = turns.heart.states
    decided, planned = plan_redrive(states, ask)
    if decided is None or not isinstance(planned, Redriven):
        return planned
    whole = await with_originals(decided, states["deadletters"], archive)
    if isinstance(whole, Refusal):
        return whole
    planned.position = await turns.decide(whole)
    return planned


async def with_originals(decided: RedriveDecided, letters: KeyedState, archive: Archive) -> RedriveDecided | Refusal:
    """The decision with the events that its letters have not all of; a refusal where the journal has one no more."""
    found: dict[str, str] = {}
    for id, letter in [(id, letters.get("letter", id)) for id in decided.targets if cut_of(letters, id)]:
        event = await asyncio.to_thread(archive.at, letter.partition, letter.offset)
        if event is None:
            where = f"partition {letter.partition}, offset {letter.offset}"
            why = f"dead letter {id} has not all of its event, and the journal has it no more at {where}"
            return Refusal(
                "not_found", why, "Redrive the others by their ids; this one its source has to publish anew."
            )
        found[id] = event
        if sum(map(len, found.values())) > REDRIVE_ORIGINALS_CHARS_MAX:
            why = f"the events of {len(found)} of these come to over {REDRIVE_ORIGINALS_CHARS_MAX} characters"
            return Refusal("usage", why, "Redrive fewer at once, by their ids.")
    return replace(decided, originals=found) if found else decided
