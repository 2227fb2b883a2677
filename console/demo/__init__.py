"""The demo: real conversations of LLM agent teams, played through a real fleet.

| file | what |
|---|---|
| script.py | the log, and when each of its events is said: the rule that spreads them over time |
| consumers.py | two consumers that do honest work, which sometimes fails |
| stage.py | announce the agents, publish at speed, wait for the consumers |
| check.py | what was archived against what was published; the summary |
| runner.py | start the fleet, play, check, end everything |
| data/ | the log (Who&When, MIT, licence beside it) with its labels |
"""
