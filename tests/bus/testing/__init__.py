"""The fleet in memory: what tests have of it beside the surface of a real one."""
