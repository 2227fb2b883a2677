"""What is known about agents, and what they are told."""

AGENT_CAPABILITIES_MAX = 256
"""Capabilities of one agent that are taken; further ones, and those that no event could ask for, are counted."""
CAPABILITY_CHARS_MAX = 200
"""One capability's text."""
AGENT_SEATS_MAX = 100_000
"""Capabilities of all agents together; an agent that comes when it is reached gets the ones that there is room for."""
AGENT_TEXT_CHARS_MAX = 200
"""Of an agent's version, address, locality, of one of its preferences, or of why it left."""
AGENT_FORMER_MAX = 8
"""Incarnations of an agent's name that are remembered after others have followed them; the oldest one goes first."""
AGENT_PREFERENCES_MAX = 16
"""Preferences of one agent that are kept, by name."""
AGENT_TURNS_MAX = 32
"""States of one agent that are kept with their positions, newest."""
AGENT_COUNT_MAX = 1 << 53
"""What an agent may say that it has handled, has waiting or has under way: beyond it JSON's numbers are not exact."""
AGENT_LOAD_PERMILLE_MAX = 1_000_000
"""The greatest load that an agent may say, in thousandths of its concurrency."""
HEARTBEAT_MS_MIN = 100
"""An agent that says it beats more often than this is awaited this often."""
HEARTBEAT_MS_MAX = 3_600_000
"""The same for one that beats more rarely."""
SUSPECT_BEATS = 3
"""Heartbeats that an agent may miss before it is suspected."""
FAIL_BEATS = 6
"""Heartbeats that an agent may miss before it has failed."""
EXCUSED_BEATS = 2
"""Heartbeats that an agent is given at least when its words could not reach the plane, after they can again."""
AGENT_RATE_MS = 60_000
"""Over how long, once to twice, an agent's error rate is taken."""
AGENTS_TOLD_MS = 1_000
"""How long changes gather before agents are told of them."""
AGENTS_TOLD_MAX = 1_000
"""Changes named in one such event; the others are counted. Inboxes in one: the others are named in the next."""
AGENTS_TOLD_CHARS_MAX = 128 * 1024
"""Of the names in one such event."""
AGENT_SOURCE_CHARS_MAX = 500
"""An agent's source; one whose source is longer is not known."""
AGENT_FAILED_TOLD_MS = 3_600_000
"""How long it is a finding that an agent has failed."""
AGENT_FAILING_SHARE = 0.5
"""An agent of which so much failed lately is shown as failing."""
AGENT_FAILING_TRIES_MIN = 5
"""Attempts of late below which that says nothing."""
RIVAL_WORDS_MIN = 2
"""Words of another incarnation of an agent before it is a finding; one may have been on its way."""
RIVAL_TOLD_MS = 30_000
"""How long after its last word that is a finding, at least."""
INBOXES_MAX = 10_000
"""Inboxes that mail was seen for; mail to further ones is not kept for an agent that is away, and is counted. One of an
agent that is known takes the place of names that nobody joined under."""
QUARANTINE_AT_ONCE_MAX = 1_000
"""Agents in one decision to quarantine or release."""
INBOX_EARLIER_MS = 5_000
"""How much earlier than the first mail that was seen an inbox begins, as brokers' clocks differ."""
