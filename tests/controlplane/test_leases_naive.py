"""The fold of leases against a naive book of the same requests; any split of a batch; its journal."""

from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import lease as rules
from controlplane.facts import LeaseGranted, PlaneResumed, Tick
from controlplane.limits import LEASE_GRACE_MS, LEASE_OVERTAKES_MS
from controlplane.timeline import verify
from tests.controlplane.coordinated import MS, Saying, Told, coordinating, rows_of
from tests.controlplane.leasesayings import ENDS, released, renewed, requested, told
from tests.controlplane.test_properties import through_bytes

NEVER = 1 << 80
CAPACITY = {"r": 1, "s": 3}


def turn(request: dict[str, Any]) -> tuple[int, int]:
    """By when it came, each step of priority for so much; of those that are equal the higher priority goes first."""
    return request["came"] + request["rank"] * LEASE_OVERTAKES_MS * MS, request["rank"]


class Naive:
    """Every lease in one list, looked through each time."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, Any]] = {}
        self.waiting: list[dict[str, Any]] = []
        self.known: set[str] = set()
        self.gone: dict[str, int] = {}
        self.said: set[tuple[str, str, str]] = set()

    def advance(self, now: int) -> None:
        self._refuse([each for each in self.waiting if each["until"] <= now], "waited")
        for id in [id for id, each in self.held.items() if each["until"] <= now]:
            self._end(id, "expired")
        for holder in [holder for holder, due in self.gone.items() if due <= now]:
            for id in [id for id, each in self.held.items() if each["by"] == holder]:
                self._end(id, "holder_failed")
        self.serve(now)

    def sleep(self, ns: int) -> None:
        for each in [*self.held.values(), *self.waiting]:
            each["until"] += ns
        self.gone = {holder: due + ns for holder, due in self.gone.items()}

    def fails(self, holder: str, now: int) -> None:
        has = any(each["by"] == holder for each in self.held.values())
        if self.gone.get(holder, NEVER) >= NEVER:  # else it has failed already
            self.gone[holder] = now + LEASE_GRACE_MS * MS if has else NEVER

    def serve(self, now: int, fresh: str = "") -> None:
        for resource, capacity in CAPACITY.items():
            for each in sorted((x for x in self.waiting if x["resource"] == resource), key=turn):
                if self.used(resource) + each["units"] > capacity:
                    break
                if each["by"] in self.gone and each["lease"] != fresh:
                    self._refuse([each], "holder_failed")
                    continue
                self.waiting.remove(each)
                self.held[each["lease"]] = each | {"until": now + ENDS * MS}
                self.said.add(("granted", each["lease"], ""))

    def used(self, resource: str) -> int:
        return sum(each["units"] for each in self.held.values() if each["resource"] == resource)

    def request(self, lease: str, by: str, resource: str, units: int, rank: int, wait_ms: int, now: int) -> None:
        if any((x["lease"], x["by"]) == (lease, by) for x in [*self.waiting, *self.held.values()]):
            return
        if units > CAPACITY[resource]:
            self.said.add(("refused", lease, "malformed"))
            return
        if lease in self.known:
            return
        self.known.add(lease)
        asked = {"lease": lease, "by": by, "resource": resource, "units": units, "rank": rank,
                 "came": now, "until": now + wait_ms * MS}  # fmt: skip
        self.waiting.append(asked)
        self.serve(now, lease)
        if asked in self.waiting:
            if wait_ms:
                self.said.add(("queued", lease, ""))
            else:
                self._refuse([asked], "held")

    def renew(self, lease: str, by: str, now: int) -> None:
        if lease in self.held and self.held[lease]["by"] == by:
            self.held[lease]["until"] = now + ENDS * MS

    def release(self, lease: str, by: str, now: int) -> None:
        if lease in self.held and self.held[lease]["by"] == by:
            self._end(lease, "released")
        self._refuse([x for x in self.waiting if (x["lease"], x["by"]) == (lease, by)], "cancelled")
        self.serve(now)

    def _end(self, id: str, why: str) -> None:
        holder = self.held.pop(id)["by"]
        self.said.add(("ended", id, why))
        if holder in self.gone and not any(each["by"] == holder for each in self.held.values()):
            self.gone[holder] = NEVER

    def _refuse(self, some: list[dict[str, Any]], why: str) -> None:
        for each in some:
            self.waiting.remove(each)
            self.said.add(("refused", each["lease"], why))


what = st.sampled_from(["request"] * 5 + ["renew"] * 3 + ["release"] * 2 + ["wait"] * 3 + ["pause", "fails", "joins"])
things = st.lists(
    st.tuples(what, st.integers(0, 9), st.sampled_from(["agent/a", "agent/b", "agent/c"]), st.sampled_from("rs"),
              st.integers(1, 4), st.integers(0, 2), st.sampled_from([0, 0, 900, 20_000]), st.integers(1, 6_000)),
    min_size=5, max_size=60,
)  # fmt: skip


def life(plane: Told, model: Naive, happens: list[tuple]) -> None:
    for do, number, by, resource, units, rank, wait_ms, ms in happens:
        id = f"{resource}{number}"
        mine: set[tuple[str, str, str]] = set()
        model.said = set()
        before = len(plane.said)
        if do == "wait":
            until = plane.now + ms * MS
            while plane.now < until:
                due = plane.heart.next_deadline()
                step = until - plane.now if due is None else min(until, max(due, plane.now + 1)) - plane.now
                plane.now += step
                plane.tell(Tick())
                model.advance(plane.now)
        elif do == "pause":
            model.sleep(ms * MS)
            plane.tell(PlaneResumed(ms * MS), ms)
            model.advance(plane.now)
        elif do == "fails":
            plane.says(("agent.lifecycle.failed", by, {}))
            model.fails(by, plane.now)
        elif do == "joins":
            plane.says(("agent.lifecycle.joined", by, {}))
            model.gone.pop(by, None)
        elif do == "request":
            data = {"units": units, "capacity": CAPACITY[resource], "wait_ms": wait_ms,
                    "priority": rules.PRIORITIES[rank]}  # fmt: skip
            plane.says(requested(id, by, resource, **data))
            model.request(id, by, resource, units, rank, wait_ms, plane.now)
        elif do == "renew":
            lease = plane.leases().get("lease", id)
            plane.says(renewed(id, lease.token if lease else 7, by, resource))
            model.renew(id, by, plane.now)
        else:
            plane.says(released(id, 0, by, resource))
            model.release(id, by, plane.now)
        for type, lease, why in told([x for x in plane.said[before:] if x[0] != rules.EXTENDED]):
            repeated = type in ("granted", "queued") and (type, lease, "") not in model.said
            if why not in ("not_holder", "unknown_lease", "ended", "taken", "stale_token") and not repeated:
                mine.add((type, lease, why))
        assert mine == model.said, (do, id, by)
        assert {id for id, each in plane.leases().items("lease") if each.token} == set(model.held)
        for name, capacity in CAPACITY.items():
            kept = plane.leases().get("resource", name)
            assert (kept.used if kept else 0) == model.used(name) <= capacity


@settings(max_examples=200, deadline=None)
@given(things)
def test_it_gives_what_a_naive_book_gives(happens: list[tuple]) -> None:
    plane = Told()
    life(plane, Naive(), happens)
    facts = [entry.fact for step in plane.steps for entry in step.derived]
    tokens = [fact.token for fact in facts if isinstance(fact, LeaseGranted)]
    assert tokens == sorted(set(tokens)), "tokens only grow"
    assert len({fact.lease for fact in facts if isinstance(fact, LeaseGranted)}) == len(tokens), "granted once"
    assert not plane.leases().table("said")
    check_index(plane)
    again = verify([through_bytes(step) for step in plane.steps], coordinating())
    assert again.divergence == "" and again.digest == plane.heart.digest().hex()


def check_index(plane: Told) -> None:
    """The dense index of holders holds exactly the leases that are held."""
    state = plane.leases()
    held = {id: lease for id, lease in state.items("lease") if lease.token}
    assert {(lease.holder, lease.seat): id for id, lease in held.items()} == {
        (str(key).split("\0")[0], int(str(key).split("\0")[1])): id for key, id in state.items("held")
    }
    for name, holder in state.items("holder"):
        assert holder.leases == sum(lease.holder == name for lease in held.values()) > 0


@settings(max_examples=80, deadline=None)
@given(things, st.lists(st.integers(0, 60), max_size=4))
def test_any_split_of_a_batch_gives_the_same(happens: list[tuple], cuts: list[int]) -> None:
    """But for positions and tokens, as what follows from the first part stands before the second."""
    sayings: list[Saying] = []
    for do, number, by, resource, units, rank, wait_ms, _ in happens:
        id = f"{resource}{number}"
        if do in ("request", "wait", "pause"):
            more = {"units": units, "capacity": 3, "wait_ms": wait_ms, "priority": rules.PRIORITIES[rank]}
            sayings.append(requested(id, by, resource, **more))
        elif do == "renew":
            sayings.append(renewed(id, 0, by, resource))
        else:
            sayings.append(released(id, 0, by, resource))
    rows = rows_of(sayings)
    whole, pieces = Told(), Told()
    whole.tell(rows)
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    for start, stop in pairwise(edges):
        pieces.tell(rows.part(start, stop))
    assert kept(whole) == kept(pieces)


def kept(plane: Told) -> Any:
    state = plane.leases()
    leases = {
        id: msgspec.structs.replace(lease, position=0, token=bool(lease.token)) for id, lease in state.items("lease")
    }
    counts = {name: value for name, value in state.items("count") if name != "token"}
    return leases, dict(state.items("resource")), dict(state.items("holder")), dict(state.items("held")), counts
