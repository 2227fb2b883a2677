"""The client side of the bus, on asyncio. What users call is exported by `bus` itself.

| file | what |
|---|---|
| discovery.py | where a fleet may be: an argument, the environment, a data directory |
| connection.py | one session with one broker: a DEALER on the event loop |
| cluster.py | the topology, a connection per broker, who leads what |
| lane.py | the order and fate of one partition's batches; pure |
| publishing.py | events -> batches -> lanes -> Publish frames -> receipts |
| watching.py | contiguous records of all partitions, whoever leads them |
| reading.py | `Fleet.read`: records -> events |
| ordering.py | `Fleet.read` by time or by cause |
| subscribing.py, deliveries.py | `Fleet.subscribe`: members of a group, and what they settle |
| calling.py, calllink.py, calltraces.py | `Fleet.call`: look up, one session per agent, trace events |
| answering.py, switchboard.py, listening.py | `Fleet.answers`: functions, their tasks, a ROUTER on the event loop |
| presence.py | who answers calls: told to all brokers, asked of all brokers |
| fleet.py | `connect` and `Fleet` |
| operator.py, following.py | what a control plane needs: a session of control per broker, all records |
"""
