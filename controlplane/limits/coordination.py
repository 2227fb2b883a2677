"""Bounds of the folds of ballots and leases; what may be asked for is bounded in `bus.coordinationlimits`."""

BALLOTS_OPEN_MAX = 10_000
"""Ballots that are open; further proposals are refused."""
BALLOTS_BYTES_MAX = 64 * 1024 * 1024
"""Of the proposals of all open ballots together, with the room for the votes of their named voters; further ones are
refused."""
BALLOT_VOTES_BYTES_MAX = 64 * 1024 * 1024
"""Of the votes of all open ballots together in which anyone may vote; further ones are refused."""
BALLOT_VOTE_BYTES = 128
"""What one vote takes beside its voter's name."""
BALLOTS_DECIDED_MAX = 10_000
"""Decided ballots that are remembered; the oldest ones are forgotten first, and counted."""
BALLOTS_DECIDED_BYTES_MAX = 64 * 1024 * 1024
"""What they may take together, by the texts that are kept of them; the oldest ones are forgotten first, and counted."""
BALLOT_DECIDED_BYTES = 512
"""What a decided ballot takes beside its texts."""
BALLOT_SUM_BYTES = 128
"""What each text of a decided ballot takes beside its characters, with its option's sum."""
LEASES_MAX = 200_000
"""Leases that are held or waited for; further requests are refused."""
LEASE_QUEUE_MAX = 1_000
"""Requests that wait for one resource; further ones are refused."""
LEASE_OVERTAKES_MS = 30_000
"""A request that waits is passed by those of a higher priority that come up to so much later, for each step between."""
LEASES_ENDED_MAX = 20_000
"""Ended leases that are remembered, so that a request that comes twice is not granted twice; then they are counted."""
LEASE_SLACK_MS = 3_000
"""How much longer than its time to live the plane keeps a lease: so far ahead may its clock go without its notice
(`STALL_MS_MAX` and the second between two ticks)."""
LEASE_GRACE_MS = 10_000
"""How long a holder that has failed may still come back before its leases end."""
CATCH_UP_MS = 10_000
"""After its start the plane counts no deadline of a ballot or lease for so long: it has to hear first what was said
while it was away."""
LEASES_RELEASED_AT_ONCE = 256
"""Leases of one holder that end with one input; the others with the next ones."""
LEASE_GRANTS_AT_ONCE = 64
"""Requests for one resource that are granted with one event or timer; the others with the next input."""
EXTENDED_AT_ONCE = 500
"""Renewals that one event answers."""
SAID_SERVED_MAX = 500
"""Outcomes of one input after which no further queue is served, nor lease or holder looked at: they are left to the
next input. What one input itself asks for (`INPUT_EVENTS_MAX`) fits beside them."""
SAID_MAX = 5_000
"""Outcomes that one input may have of each of these folds; further ones are not said, and counted."""
