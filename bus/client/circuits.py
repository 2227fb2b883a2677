"""The circuit breakers of the addresses that a fleet calls: what they say, and the operator's hand on them.

An agent that is started again listens elsewhere, and so begins with a closed one.
"""

import time
from collections import OrderedDict

from bus import limits
from bus.breaker import Breaker


class Circuits:
    """Address -> `bus.breaker.Breaker`, of the CALL_CIRCUITS_MAX addresses that were called last."""

    def __init__(self) -> None:
        self._breakers: OrderedDict[str, Breaker] = OrderedDict()

    def of(self, url: str) -> Breaker:
        """The breaker of an address."""
        breaker = self._breakers.get(url)
        if breaker is None:
            breaker = self._breakers[url] = Breaker()
            if len(self._breakers) > limits.CALL_CIRCUITS_MAX:
                self._breakers.popitem(last=False)
        self._breakers.move_to_end(url)
        return breaker

    def states(self) -> dict[str, str]:
        """Address -> closed, open, half-open, forced open or disabled."""
        return {url: breaker.state for url, breaker in self._breakers.items()}

    def force_open(self, url: str) -> None:
        """Call nobody at an address until `reset`: calls go to others of the name, or raise CircuitOpen."""
        self.of(url).force_open(time.monotonic_ns())

    def disable(self, url: str) -> None:
        """Call at an address whatever fails there, until `reset`."""
        self.of(url).disable(time.monotonic_ns())

    def reset(self, url: str) -> None:
        """Close the circuit of an address, and forget what failed there."""
        self.of(url).reset(time.monotonic_ns())
