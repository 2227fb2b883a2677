"""A fleet in memory, for tests of agents: `bus.TestFleet`.

| file | is |
|---|---|
| `fleet.py` | `TestFleet`: the surface, and what a test asks of it |
| `client.py` | what its clients refuse, and what their receipts say |
| `clock.py` | time that is moved by hand |
| `exchange.py` `transport.py` | frames in memory, in place of sockets |
| `broker.py` | one broker that leads everything: the real one's parts, without sockets, disk and process |
| `plane.py` | the little of the control plane that agents see |

Nothing of what a client does or a broker decides is written again here: clients, sessions, replicas, groups, watches
and presence are the ones of a real fleet, on a store in memory. So it cannot drift from them; what is not there is said
in `fleet.py`.
"""
