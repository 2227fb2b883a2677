"""Every bound of agents, its unit last; `bus.limits` has those of what they stand on."""

CONCURRENCY_MAX = 4_096
"""The greatest `concurrency` of an agent: events that it works on at once."""
HEARTBEAT_MS_MIN = 100
"""The shortest time between heartbeats."""
HEARTBEAT_MS_MAX = 3_600_000
"""The longest one."""
HANDLERS_MAX = 256
"""Handlers of one agent."""
CAPABILITIES_MAX = 256
"""Capabilities of one agent."""
PREFERENCES_MAX = 16
"""Preferences of one agent."""
TEXT_CHARS_MAX = 200
"""A version, a locality, a preference, or why an agent left."""
AGENTS_PER_FLEET_MAX = 10_000
"""Agents on one connection."""
JOINS_AT_ONCE_MAX = 64
"""Groups that agents of one connection join at once; so a thousand agents do not time each other out."""
TYPES_KNOWN_MAX = 1_024
"""Distinct types for which an agent remembers its handler; beyond it the memory is emptied and starts again."""
SEEN_EVENTS_MAX = 4_096
"""Handled events of one group that a connection remembers, so that none of them is handled again; the last ones."""
RETRY_MS_MIN = 100
"""How long an event rests after its first failure; it doubles with each one up to RETRY_MS_MAX."""
RETRY_MS_MAX = 30_000
"""How long it rests at most."""
TIMEOUT_PERMILLE = 900
"""Of `ack_wait`: how long a handler may take that has no `timeout` of its own."""
RENEW_PERMILLE = 300
"""Of a group's `ack_wait`: after so long it is begun anew for what waits or is handled here."""
PASSED_OVER_MAX = 256
"""Events of a group that wait for who is busy, and are passed over to find one for who is not."""
TIMEOUT_MS_MAX = 7 * 24 * 3_600 * 1_000
"""The longest time-out of a handler."""
SHARED_ACK_WAIT_MS = 3_600_000
"""The `ack_wait` of groups that agents of many makes share: inboxes, capabilities. Handlers have own time-outs."""
SHARED_DELIVER_ATTEMPTS = 100
"""The `max_deliver` of those groups; handlers have their own."""
HEARD_RUNNING_MAX = 64
"""Handlers of coordination events that run in one agent at once; further events are not heard, and counted."""
INBOX_WATCHES_MAX = 16
"""Inboxes without a group that one connection watches one by one; beyond it one watch sees all inboxes."""
INBOX_BACK_MS = 10_000
"""A watch for first mail begins so much earlier, so that none is missed between looking for the group and watching."""
INBOX_EARLIER_MS = 5_000
"""How much earlier than the first mail that was seen an inbox begins, as brokers' clocks differ."""
HEARD_BACK_MS = 1_000
"""A read of coordination events begins so much earlier, as brokers' clocks differ; none is heard twice."""
FEED_RETRY_MS_MIN = 100
"""What broke is tried again after this long; it doubles up to FEED_RETRY_MS_MAX."""
FEED_RETRY_MS_MAX = 5_000
"""The longest wait before what broke is tried again."""
DRAIN_MS_MAX = 5_000
"""How long an agent that leaves lets its handlers end; then they are cancelled, and their events go to others."""
FAREWELL_MS_MAX = 2_000
"""How long an agent that leaves tries to say so."""
ERROR_CHARS_MAX = 1_000
"""The text of a failure."""
COMPLAINTS_MAX = 5
"""Warnings of an agent in COMPLAINTS_MS about events that end unhandled; further ones are counted."""
COMPLAINTS_MS = 10_000
"""For how long they are counted together."""
BEATS_UNDER_WAY_MAX = 16
"""Publishings of heartbeats of one connection at once; beats that come due meanwhile are missed, and counted."""
NAMESAKE_BACK_MS = 60_000
"""How far back an agent looks for another one under its name, when the plane tells of it."""
NAMESAKE_LOOKS_MAX = 16
"""Such looks of one connection at once; what is told meanwhile is not looked into."""
