"""Replicas of one partition on named brokers, driven by text: for transcripts, and for tests that need a few brokers.

Messages wait in a queue per broker until they are taken or lost; what is not synced is lost at a crash.
"""

from bus import outputs, wire
from bus.errors import FleetError, code_of
from bus.lineage import Restored
from bus.outputs import EPOCH_START, EVENTS, GROUP, Output
from bus.replica import Replica

MS = 1_000_000
KINDS = {EVENTS: "events", EPOCH_START: "start", GROUP: "group"}
Head = tuple[int, int, int]


class Site:
    """A broker's replica, its log as heads `(epoch, base offset, count)`, and what of both is durable."""

    def __init__(self, name: str, store: str) -> None:
        self.name, self.store = name, store
        self.durable = Restored()
        self.kept: list[Head] = []
        self.inbox: list[tuple[object, list[Head]]] = []
        self.start()

    def start(self) -> None:
        self.heads = list(self.kept)
        self.replica = Replica(0, self.name, self.durable, self.store)
        self.up = True

    def commit(self) -> None:
        """One transaction with everything that the outputs so far asked to persist."""
        machine = self.replica
        tail = [count for _, _, count in self.heads[machine.high :]]
        self.kept = list(self.heads)
        lineage = list(machine.log.lineage)
        place = (machine.end, machine.end_offset, machine.high, machine.high_offset)
        self.durable = Restored(machine.promised, machine.seat, lineage, *place, tail)


class Rig:
    """The brokers and the words between them; every command returns what the machines say to it."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 1_000
        self.sites: dict[str, Site] = {}

    def run(self, line: str) -> list[str]:
        verb, *words = line.split()
        options = dict(word.split("=", 1) for word in words if "=" in word)
        told: list[str] = getattr(self, f"do_{verb}")(*[word for word in words if "=" not in word], **options)
        return told

    # ------------------------------------------------------------------------------------------------- commands

    def do_brokers(self, *names: str) -> list[str]:
        self.sites = {name: Site(name, f"{name}1") for name in names}
        return []

    def do_offer(self, names: str, epoch: str) -> list[str]:
        """The answer holds once the broker has synced."""
        told = []
        for name in names.split(","):
            site = self.sites[name]
            try:
                told += self.carry(site, site.replica.offer(int(epoch)))
                last_epoch, end, _ = site.replica.answer()
                told.append(f"{name} answers epoch {last_epoch}, end {end}")
            except FleetError as error:
                told.append(f"{name} refuses: {code_of(error)}: {error}")
        return told

    def do_place(
        self, names: str, epoch: str, leader: str, w: str = "2", stores: str = "", learners: str = "", out: str = ""
    ) -> list[str]:
        """All have a replica but for the `learners`, and those that are `out`."""
        learn = learners.split(",") if learners else []
        replicas = [name for name in self.sites if name not in (*learn, *out.split(","))]
        seat = wire.Seat(0, int(epoch), leader, replicas, int(w), stores.split(",") if stores else [], learn)
        told = []
        for name in names.split(","):
            site = self.sites[name]
            try:
                told += self.carry(site, site.replica.place(seat, self.now))
            except FleetError as error:
                told.append(f"{name} refuses: {code_of(error)}: {error}")
        return told

    def do_append(self, name: str, *counts: str) -> list[str]:
        site = self.sites[name]
        for count in counts:
            try:
                placed = site.replica.append(int(count), self.now)
            except FleetError as error:
                return [f"{name} refuses: {code_of(error)}: {error}"]
            site.heads.append((placed.epoch, placed.base_offset, int(count)))
        return []

    def do_pump(self, name: str, most: str = "1000") -> list[str]:
        """`most` records fit into one ship."""
        site = self.sites[name]
        self.most = int(most)
        return self.carry(site, site.replica.pump(self.now))

    def do_sync(self, names: str) -> list[str]:
        told = []
        for name in names.split(","):
            site = self.sites[name]
            site.commit()
            told += self.carry(site, site.replica.synced(site.replica.end, self.now))
        return told

    def do_take(self, name: str, first: str = "all") -> list[str]:
        """Take what waits for a broker, in order."""
        site = self.sites[name]
        count = len(site.inbox) if first == "all" else int(first)
        taken, site.inbox = site.inbox[:count], site.inbox[count:]
        told = []
        for message, heads in taken:
            told += self.carry(site, self.receive(site.replica, message, heads), heads)
        return told

    def do_lose(self, name: str) -> list[str]:
        count, self.sites[name].inbox = len(self.sites[name].inbox), []
        return [f"lost {count}"]

    def do_twice(self, name: str) -> list[str]:
        self.sites[name].inbox *= 2
        return []

    def do_crash(self, name: str) -> list[str]:
        self.sites[name].up = False
        self.sites[name].inbox = []
        return []

    def do_start(self, name: str) -> list[str]:
        self.sites[name].start()
        return []

    def do_wipe(self, name: str) -> list[str]:
        """Its disk is replaced by an empty one."""
        self.sites[name] = Site(name, f"{name}{int(self.sites[name].store[1:]) + 1}")
        return [f"{name} has store {self.sites[name].store}"]

    def do_wait(self, ms: str) -> list[str]:
        self.now += int(ms) * MS
        return []

    def do_exchange(self, *names: str) -> list[str]:
        """Turns among these brokers, syncs and pumps included, until nobody has anything to say; nothing is printed."""
        for _ in range(50):
            for name in names:
                self.do_take(name)
                self.do_pump(name)
                self.do_sync(name)
            if not any(self.sites[name].inbox for name in names):
                return []
        return ["still talking after 50 rounds"]

    def do_show(self) -> list[str]:
        """Per broker: role, epoch, the epoch of each record with | at the high watermark."""
        told = []
        for name, site in self.sites.items():
            machine = site.replica
            epochs = [str(epoch) for epoch, _, _ in site.heads]
            log = " ".join([*epochs[: machine.high], "|", *epochs[machine.high :]])
            role = "reads and leads" if machine.readable else machine.role
            down = "" if site.up else " down"
            told.append(f"{name} {role} in {machine.epoch}, promised {machine.promised}: {log}{down}")
        return told

    def do_newcomers(self, name: str) -> list[str]:
        return [f"{broker} with store {store}" for broker, store in self.sites[name].replica.newcomers().items()]

    # ------------------------------------------------------------------------------------------------- carrying

    def receive(self, machine: Replica, message: object, heads: list[Head]) -> list[Output]:
        match message:
            case wire.Ship():
                return machine.on_ship(message, heads, self.now)
            case wire.Shipped():
                return machine.on_shipped(message, self.now)
            case wire.AskEpochEnd():
                return machine.on_ask_epoch_end(message)
            case wire.EpochEnd():
                return machine.on_epoch_end(message, self.now)
        raise TypeError(message)

    def carry(self, site: Site, asked: list[Output], heads: list[Head] | None = None) -> list[str]:
        return [f"{site.name} {self.carry_one(site, output, heads or [])}" for output in asked]

    def post(self, target: str, message: object, heads: list[Head] | None = None) -> None:
        if self.sites[target].up:
            self.sites[target].inbox.append((message, heads or []))

    def carry_one(self, site: Site, output: Output, heads: list[Head]) -> str:
        match output:
            case outputs.Promise(epoch):
                return f"promises {epoch}"
            case outputs.SetSeat(seat):
                return f"keeps seat {seat.epoch} of {seat.leader}"
            case outputs.Append(kind, index, base_offset, epoch):
                site.heads.append((epoch, base_offset, 0))
                return f"appends {KINDS[kind]} {index} in {epoch}"
            case outputs.Store(first, skip):
                site.heads += heads[skip:]
                return f"stores {first} to {len(site.heads) - 1}" + (f", skips {skip}" if skip else "")
            case outputs.Truncate(end, end_offset):
                del site.heads[end:]
                return f"truncates to {end} (event {end_offset})"
            case outputs.ShipTo(broker, epoch, prev, prev_epoch, first, upto, high):
                upto = min(upto, first + self.most)
                sent = site.heads[first:upto]
                site.replica.shipped_upto(broker, upto, 100 * len(sent))
                self.post(broker, wire.Ship(0, epoch, site.name, prev, prev_epoch, high), sent)
                what = f"ships {first} to {upto - 1}" if sent else "beats"
                return f"{what} after {prev} of {prev_epoch}, high {high} -> {broker}"
            case outputs.Send(broker, message):
                self.post(broker, message)
                return f"{self.phrase(message)} -> {broker}"
            case outputs.High(high, high_offset):
                return f"high {high} (event {high_offset})"
            case outputs.Lost(why):
                return f"loses: {why}"
            case outputs.Diverged(end, high):
                return f"diverged: at {end}, below its high watermark {high}"
        raise TypeError(output)

    def phrase(self, message: object) -> str:
        match message:
            case wire.Shipped(epoch=epoch, end=end, matched=matched):
                return f"acks {end} in {epoch}" if matched else f"says no in {epoch}, it ends at {end}"
            case wire.AskEpochEnd(last_epoch=last_epoch):
                return f"asks where {last_epoch} ends"
            case wire.EpochEnd(last_epoch=last_epoch, end=end, asked=asked):
                return f"tells of {asked}: {last_epoch} ends at {end}"
        raise TypeError(message)
