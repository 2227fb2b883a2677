"""What agents rely on, of a fleet in memory and of a real one: the same tests, so that neither drifts."""
