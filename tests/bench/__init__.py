"""The numbers: `make bench` prints them, `make bench BENCH=publish` one of them; nothing here asserts a figure.

Each module has `run(report)`; `report(name, values, unit, note)` prints a line with median, least and greatest. Real
processes, real fsync, free loopback ports, a directory of its own that goes afterwards.
"""
