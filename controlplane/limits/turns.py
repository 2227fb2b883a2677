"""Bounds of the plane's loop: what it takes in at once, what it carries out, how long a turn may be."""

TURN_EVENTS_MAX = 5_000
"""Events that one turn of the plane takes from the recorder, so that facts wait one commit."""
RECORDER_EVENTS_MAX = 40_000
"""Events that wait for the journal; with more the recorder takes nothing from the brokers."""
TURN_FACTS_MAX = 500
"""Facts that one turn takes."""
STALL_MS_MAX = 2_000
"""The plane's loop asleep for longer than this beyond its time is journaled as PlaneResumed."""
TURN_MS_MAX = 10_000
"""A turn that takes longer, its commit included, is said to stand still, in the log and in what health answers."""
TURN_WATCH_MS = 1_000
"""How often it is looked whether turns come to their ends."""
FULL_RETRY_MS = 500
"""How often a commit is tried again while the disk is full."""
PUBLISHING_AT_ONCE_MAX = 256
"""Events of intents that are published at once; the others wait their turn."""
EFFECT_RETRY_MS_MIN = 200
"""Before an effect that failed is tried again; it doubles with each attempt."""
EFFECT_RETRY_MS_MAX = 5_000
"""The longest wait between two attempts of an effect."""
LOG_BYTES_MAX = 16 * 1024 * 1024
"""The plane's log; a full one is kept as plane.log.1, and a new one begun."""
RECORDER_RETRY_MS = 500
"""After the recorder failed it follows again from where it stands."""
FINISH_MS_MAX = 10_000
"""How long the last turn of a plane may take when it ends, and the last answers after it."""
LAG_MS = 1_000
"""How often the recorder's lag is looked at."""
LAG_EVENTS_MIN = 1_000
"""A lag below this many events is not journaled: it is gone with the next turn."""
INPUT_EVENTS_MAX = 2_000
"""Events of consecutive records that become one input: as many as the loop can take in without a noticeable pause."""
