"""What every fact and every intent is: a struct that travels as a MessagePack map, tagged with its kind."""

import msgspec


class Fact(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The base of every fact."""


class Intent(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The base of every intent."""

    def named(self, id: str) -> "Intent":
        """The same, where it has to know its id: its place in the journal, and whose it is (`controlplane.stamps`)."""
        return self
