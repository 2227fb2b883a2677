"""Golden journals: lives whose facts and digests must come out again byte for byte; see `test_golden`."""
