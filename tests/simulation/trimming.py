"""Retention in the simulation: a broker trims its log at any moment, and tells who lacks that where to begin anew."""

from bus import replica, wire

from .disk import Log
from .messages import Beginning


class Trimming:
    """The part of a simulated broker that is about trimmed records."""

    def _trim(self) -> None:
        most = self.replica.high if self.parts.trims_unnoted else self.noted
        if most > self.log.first:
            self._carry(self.replica.trim(self.world.dice.randrange(self.log.first, most) + 1))

    def _send_begin(self, out: replica.SendBegin) -> None:
        log, upto = self.log, self.windows.applied
        lineage = self.replica.log.lineage_below(log.first)
        begin = wire.Begin(0, out.epoch, self.name, log.first, log.first_offset, 0, lineage, upto)
        windows = b"" if self.parts.begins_without_state else self.windows.snapshot()
        given = b"" if self.parts.begins_without_ids else self.given.snapshot()
        self.network.send(self.name, out.broker, Beginning(begin, windows, self._groups(), given))

    def _groups(self) -> bytes:
        return b""

    def _begin(self, begin: wire.Begin, windows: bytes, groups: bytes, given: bytes) -> None:
        end = len(self.log)
        for output in self.replica.on_begin(begin):
            match output:
                case replica.Restart(first):
                    self.world.say(self.name, "begins anew at", first, "after", len(self.log))
                    self.counts["begun"] += 1
                    self.log = Log(first, begin.first_offset, list(begin.lineage))
                    self.disk.write("restart", self.log.copy())
                    self._install(begin, windows, groups, given)
                case replica.High(high, high_offset):
                    self.ledger.begins(self.name, end, self.log, high, high_offset)
                    self.known_high = high
                    self.disk.write("high", high)
                    self.disk.write("high_offset", high_offset)
                case _:
                    self._carry([output])

    def _install(self, begin: wire.Begin, windows: bytes, groups: bytes, given: bytes) -> None:
        self.windows = self.parts.windows(self.producers_max)
        if windows:
            self.windows.restore(windows)
        else:
            self.windows.applied = begin.upto
        self.given = self.parts.given(self.ids_max)
        if given:
            self.given.restore(given)
        else:
            self.given.applied = begin.upto
        self._note()
