"""The check at a resource that makes leases safe: a token that is older than one seen before is refused. Pure.

fence = bus.Fence()                 # kept where the resource is, and as durable as it

def write(token, data):
    fence.admit(token)              # StaleToken: somebody else has had the lease since
    ...
"""

from bus.errors import StaleToken


class Fence:
    """Remembers the greatest token; `greatest` is what to write down beside what it guards, and to begin with again."""

    def __init__(self, greatest: int = 0) -> None:
        self.greatest = greatest

    def admits(self, token: int) -> bool:
        """Whether nobody with a greater token was here; remembers nothing."""
        return token > 0 and token >= self.greatest

    def admit(self, token: int) -> None:
        """Take note of a token. Raises StaleToken for one that is smaller than one before, or that is none."""
        if not self.admits(token):
            raise StaleToken(
                f"token {token} is older than {self.greatest}, which was here already: the lease was lost, and "
                "somebody else had it since; acquire it again"
            )
        self.greatest = token
