"""What tests of the bus begin with."""

from collections.abc import Iterator

import pytest

from tests.bus.client.fakebroker import FakeFleet


@pytest.fixture
def fake() -> Iterator[FakeFleet]:
    """Fake brokers in this process, for clients."""
    with FakeFleet() as fleet:
        yield fleet
