"""What makes a seat one that a replica can take, whatever its epoch. Pure."""

from bus.errors import StaleEpoch
from bus.wire import Seat


def check_seat(seat: Seat, partition: int, broker: str, store: str) -> None:
    """Raises `StaleEpoch` unless it is a seat of this partition, and has a vote for who is to lead by it here."""
    count = len(set(seat.replicas))
    fits = seat.partition == partition and count == len(seat.replicas) and seat.epoch > 0
    learners = set(seat.learners)
    fits = fits and len(learners) == len(seat.learners) and learners.isdisjoint(seat.replicas)
    if not fits or not count < 2 * seat.write_quorum <= 2 * count or seat.leader not in ("", *seat.replicas):
        raise StaleEpoch(f"partition {partition}: {seat} is not a seat of it; propose another")
    if seat.leader == broker and not seat.votes(broker, store):
        raise StaleEpoch(f"partition {partition}: store {store} of {broker} has no vote; another must lead")
