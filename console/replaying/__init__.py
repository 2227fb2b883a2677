"""`replay run`: a slice of what was recorded, published again elsewhere.

| file | has |
|---|---|
| `plan` | what was ordered, what it will do, and what became of it (pure) |
| `stamping` | a recorded event -> the replayed one (pure) |
| `pacing` | when each is due; a watch that stands still while paused (pure) |
| `control` | pause, go on, stop: from keys and signals |
| `sinks` | where they go: a file, or a fleet |
| `shadow` | the isolated fleet of a replay |
| `runner` | pages in, events out, in order, until the end or a stop |
| `pages` | plan and result for people |
| `command` | the whole of it |
"""
