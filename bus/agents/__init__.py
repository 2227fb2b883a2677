"""Agents: what an author of agents imports, as `bus.Agent` and `bus.Context`.

| file | what |
|---|---|
| `agent.py` | an agent: handlers, joining and leaving, `run` |
| `context.py` `speaking.py` | what a handler is given beside its event; publishing, the five sayings, calls |
| `handlers.py` `payloads.py` | which function handles what; typed payloads; pure |
| `saying.py` `inbox.py` | the events that agents say; what the plane dispatches to an inbox; pure |
| `seen.py` `settling.py` | which events were handled already; what becomes of a delivery; pure |
| `desk.py` `complaining.py` | what one agent has under way, and its warnings of what it cannot handle |
| `work.py` | one membership of a group, for all agents of a connection that share it |
| `namesakes.py` | other processes under the same name |
| `hub.py` `heard.py` `mail.py` `pulse.py` | what all agents of a connection share: groups, reads, inboxes, heartbeats |

It stands on the public surface of `Fleet` alone, so that it runs on whatever has that surface.
"""
