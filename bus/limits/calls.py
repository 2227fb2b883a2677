"""Bounds of calls between agents, and of knowing who answers them."""

PRESENCE_MAX = 4_096
"""Agents that answer calls, as one broker knows them; the next one is refused with Busy."""
PRESENCE_PER_SESSION_MAX = 64
"""Agents that one session announces."""
PRESENCE_CAPABILITIES_MAX = 64
"""Capabilities of one agent."""
LOCATED_MAX = 16
"""Agents that a broker names for one target, those that were announced last."""
AGENT_NAME_CHARS_MAX = 200
"""The name of an agent, or of a capability."""
CALL_BYTES_MAX = 1024 * 1024
"""The payload of a call, or of its answer, as MessagePack."""
CALL_MS_MAX = 3_600_000
"""The longest time-out of a call."""
CALL_ERROR_CHARS_MAX = 1_000
"""What an exception of an answering agent says; more is cut off."""
CALLS_IN_FLIGHT_MAX = 1_024
"""Unanswered calls of one client to one agent; the next one is refused with Busy."""
CALLS_RUNNING_MAX = 256
"""Calls that an agent works on at once, unless it says otherwise; the next one is refused with Busy."""
CALL_LINKS_MAX = 256
"""Agents that a client keeps a connection to; the one unused longest is let go."""
CALL_TARGETS_CACHED_MAX = 4_096
"""Targets whose addresses a client remembers; the one remembered longest is forgotten."""
CALL_ADDRESS_MS = 5_000
"""An address that was looked up longer ago is looked up again, beside the call that uses it."""
CALL_LOOKUP_MS_MAX = 500
"""How long a look-up waits for brokers that do not answer, once another has said that it knows nobody."""
CALL_PARTS_AHEAD_MAX = 16
"""Parts of one answer that are on their way to a caller, or wait there; each is CALL_BYTES_MAX at most."""
CALL_CIRCUITS_MAX = 4_096
"""Addresses that a client remembers the failures of; the one called longest ago is forgotten."""
BREAKER_CALLS = 20
"""The last calls to a target, by which a circuit breaker judges it."""
BREAKER_CALLS_MIN = 5
"""With fewer of them it does not judge."""
BREAKER_FAILED_PERMILLE = 500
"""When this part of them failed, or more, calls are refused."""
BREAKER_REST_MS_MIN = 1_000
"""For so long, before a probe is let through; it doubles with each probe that fails."""
BREAKER_REST_MS_MAX = 30_000
"""The longest such rest."""
CALL_TRACES_MAX = 8_192
"""Calls whose trace event is not published yet; those beyond are counted as dropped."""
CALL_TRACE_LINGER_MS = 100
"""Trace events of calls are published together, so often."""
CALL_TRACE_MS_MAX = 5_000
"""How long the publishing of trace events is tried."""
CALL_TRACE_CLOSE_MS = 1_000
"""How long a closing client waits for its last trace events."""
ANSWERS_DRAIN_MS_MAX = 2_000
"""How long an agent that stops answering lets the calls end that it has begun."""
