"""Every bound of ballots and leases as they are asked for, its unit last; part of `limits`. Pure."""

COORDINATION_ID_CHARS_MAX = 200
"""A ballot's or lease's id, a resource's name, an option, a voter."""
COORDINATION_NUMBER_MAX = (1 << 63) - 1
"""Any number in what is asked; most have a bound of their own below it."""
BALLOT_QUESTION_CHARS_MAX = 2_000
"""What a ballot asks."""
BALLOT_OPTIONS_MAX = 100
"""Options of one ballot."""
BALLOT_VOTERS_MAX = 1_000
"""Voters of one ballot, or votes of one that is open to anyone; further ones are refused."""
BALLOT_WEIGHT_MAX = 1_000_000
"""What one voter may weigh."""
BALLOT_DEADLINE_MS_MAX = 30 * 24 * 3_600 * 1_000
"""The longest time that a ballot may take."""
LEASE_TTL_MS_MIN = 1_000
"""The shortest time to live of a lease: a shorter one would be lost whenever a turn of the plane takes long."""
LEASE_TTL_MS_MAX = 24 * 3_600 * 1_000
"""The longest one: for so long nobody else gets what a holder that vanished had."""
LEASE_WAIT_MS_MAX = 24 * 3_600 * 1_000
"""How long a request may stand in a queue."""
LEASE_CAPACITY_MAX = 10_000
"""Units of one resource."""
LEASE_MARGIN_PERMILLE = 20
"""Of the time to live: what a holder stops before its end, as two clocks do not run equally fast."""
LEASE_MARGIN_MS_MIN = 50
"""The least such margin."""
LEASE_RENEWALS_OUT_MAX = 64
"""Renewals of one lease that are sent and not answered; the oldest ones are forgotten."""
LEASE_ASKED_ABOVE = 1_000_000_000
"""How far above the `asked` of an earlier process the one that follows it asks, whose clock was set back meanwhile:
further than that one has renewed."""
LEASE_ASKS_AGAIN_MAX = 3
"""How often it does, as others may ask at the same time; then it counts as taken over."""
PLANE_SILENT_MS_MAX = 10_000
"""How long the control plane's answer is awaited, beyond what was asked to wait."""
BALLOTS_KEPT_MAX = 1_000
"""Ballots, new or decided, that a client keeps for whoever follows or asks later; the oldest ones go."""
REFUSALS_KEPT_MAX = 1_000
"""Refused votes that wait for somebody to ask for them; the oldest ones go, and are in the log."""
COORDINATION_RETRY_MS = 500
"""After the reading of what the plane says failed it goes on where it stands."""
