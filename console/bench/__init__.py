"""`signalbox bench`: what this fleet does on this machine, measured through the public API alone.

`figures.py` is the arithmetic (pure), `measures.py` one function per measurement, `failover.py` the kills and their
ledger, `own.py` a fleet that is thrown away, `runner.py` the command from beginning to end. Publisher and consumer are
two processes where both work at once, as they are in real life: `python -m console.bench` is the other one (`far.py`).
"""
