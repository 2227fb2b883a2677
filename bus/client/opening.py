"""A group without a member: made at every partition, for whoever joins it later.

Whoever opens it joins at each leader with no credit, so that nothing is dealt to it, and leaves again once the leader
has the group's definition committed. A group that is there already stays as it is.
"""

import asyncio
from secrets import token_hex

from bus import limits, wire
from bus.agents.limits import SHARED_ACK_WAIT_MS, SHARED_DELIVER_ATTEMPTS
from bus.client.cluster import Cluster
from bus.errors import FleetError
from bus.groupsettings import check_settings

ACK_WAIT_MS = SHARED_ACK_WAIT_MS
MAX_DELIVER = SHARED_DELIVER_ATTEMPTS
"""Of inboxes, as agents join them (`bus.agents`): members must agree on the settings of their group."""
OPEN_SECONDS = limits.CONNECT_MS_MAX / 1000


async def open_group(cluster: Cluster, group: str, pattern: str, start: int, within: float = OPEN_SECONDS) -> None:
    """See that a group is there at every partition, beginning at the instant `start`, ns.

    Raises GroupConflict where it is there with other settings, other ClientErrors, and BrokerUnavailable for a
    partition that did not answer `within` seconds.
    """
    settings = wire.GroupSettings(pattern, start, ACK_WAIT_MS, MAX_DELIVER)
    check_settings(group, settings)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    missing = list(range(cluster.partitions))
    while missing:
        opened = await asyncio.gather(
            *(_open_at(cluster, partition, group, settings, deadline) for partition in missing)
        )
        missing = [partition for partition, is_open in zip(missing, opened, strict=True) if not is_open]
        if missing:
            await cluster.change(min(deadline, loop.time() + limits.REFRESH_MS / 1000))
            if loop.time() >= deadline:
                raise cluster.unavailable(missing[0])


async def _open_at(cluster: Cluster, partition: int, group: str, settings: wire.GroupSettings, deadline: float) -> bool:
    """Whether the partition's leader has it; False if it did not answer: the caller asks again."""
    leader = cluster.leader(partition)
    if leader is None:
        return False
    number = next(cluster.numbers)
    join = wire.Join(number, group, partition, f"opening/{token_hex(4)}", settings, credit=0)
    try:
        async with asyncio.timeout_at(deadline):
            await cluster.ask(leader, join, number)
    except (FleetError, TimeoutError):
        return False
    finally:
        leader.send(wire.Leave(number))
    return True
