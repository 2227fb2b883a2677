"""Bounds of dispatch: tasks, and who gets them."""

TASKS_MAX = 50_000
"""Tasks that wait or are out, mail by name left out; an event that would make one more is a dead letter, `full`."""
TASK_BYTES_MAX = 256 * 1024 * 1024
"""Of the events of all tasks together; beyond it as with `TASKS_MAX`."""
TASKS_NAMED_MAX = 10_000
"""Of mail to agents that rules name that is remembered; further mail is sent, and not asked after."""
TASKS_NAMED_AGENT_MAX = 1_000
"""The same of one agent: one that is away costs others nothing."""
TASK_NAMED_BYTES_MAX = 32 * 1024 * 1024
"""Of the events of all such mail together."""
TASKS_AT_ONCE_MAX = 4_000
"""Tasks of one input that go out at once; the rest follows in as many each `TASK_REST_MS_MIN`."""
TASK_EVENT_BYTES_MAX = 512 * 1024
"""An event that is dispatched, as JSON; a larger one is a dead letter, with reason `too_large`."""
DISPATCHED_DEPTH_MAX = 124
"""Arrays and objects within each other in an event that is dispatched: its mail, and that mail's dead letter, have two
more each, and folds see both whole (`FOLLOWED_DEPTH_MAX`). A deeper one is a dead letter, `too_deep`."""
TASK_ATTEMPTS_MAX = 5
"""Agents with which a task may go wrong, where `dispatch.attempts` is not set; then it is a dead letter."""
TASK_ATTEMPTS_SET_MAX = 100
"""The greatest value of that setting."""
TASK_TRIES_KEPT_MAX = 16
"""Attempts of a task that are told of in its dead letter, newest."""
TASK_ERROR_CHARS_MAX = 1_000
"""Of what an agent says why it failed."""
TASK_REST_MS_MIN = 1_000
"""Before a task goes again to an agent that had it, when no other can do it; it doubles with each attempt."""
TASK_REST_MS_MAX = 60_000
"""The longest such wait."""
TASK_DEADLINE_MS_MIN = 60_000
"""An agent that has had a task for less than this is not stuck, unless `dispatch.deadline_ms` says so."""
TASK_DEADLINE_MS_UNKNOWN = 600_000
"""The same while it is not known how long such work takes."""
TASK_DEADLINE_MS_MAX = 7 * 24 * 3_600_000
"""An agent that has had a task for more than this is stuck, unless `dispatch.deadline_ms` says so."""
TASK_DEADLINE_TIMES = 8
"""An agent that has had a task for so many times as long as was expected is stuck."""
TASK_NAMED_MS_MAX = 24 * 3_600_000
"""How long it is remembered that mail to an agent that a rule names was not settled; the mail itself waits on."""
TASK_AGED_MS = 60_000
"""A task that has waited for so long counts as one of the next higher priority."""
AGENT_TASKS_MAX = 256
"""Tasks that one agent has at once, whatever concurrency it says."""
AGENT_QUEUE_MAX = 16 * AGENT_TASKS_MAX
"""Events that wait or are under way at an agent, as dispatch counts them, whatever figures it says."""
AGENT_TASKS_DEFAULT = 8
"""The same for one that says none."""
NEEDS_REMEMBERED_MAX = 2_000
"""Sets of capabilities asked for together; an event with a further one is a dead letter, with reason `full`."""
TASKS_LOOKED_PAST_MAX = 8
"""Tasks at the head of a line that an agent may not have, and that it is looked past for one that it may."""
LINE_LOOKED_THROUGH_MS = 10_000
"""How often tasks of each line are looked at, whether anybody can do them at all."""
LINE_LOOKED_AT_MAX = 1_000
"""Of one line, each time; the next time those after them."""
LINE_LOOKS_MAX = 100_000
"""Agents that are looked at for those of them that nobody can do: where there are more of both, fewer tasks are."""
DISPATCHES_AT_ONCE_MAX = 1_000
"""Waiting tasks that are given out at one input; the rest at the agents' next heartbeats."""
SKILLED_AGENTS_MAX = 20_000
"""Agents of whom it is remembered how they fared; of further ones nothing is learned."""
SKILLS_MAX = 16
"""Sets of capabilities of one agent for which that is remembered, newest."""
STICKY_MAX = 50_000
"""Keys of which it is remembered which agent they went to; beyond it the eighth used longest ago is forgotten."""
STICKY_KEY_CHARS_MAX = 200
"""Of a sticky key."""
ROUTE_TEST_EVENTS_MAX = 200_000
"""Recorded events that rules are tried on at once, newest."""
ROUTE_TEST_ROWS = 2_000
"""Of them those that are fetched at once."""
ROUTE_STEPS_MAX = 200
"""Decisions that are told of about one recorded event, oldest."""
ROUTE_EXAMPLES_MAX = 20
"""Events that are named of those for which a change of rules changes something."""
