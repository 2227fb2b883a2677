"""A fleet that is made for a measurement, and is gone after it."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from console.fleetdir import Fleet
from console.measure import many
from console.output import say
from console.planeprocess import KEEPS_ALL, PlaneProcess, Retention, command


@contextmanager
def own_fleet(brokers: int, retention: Retention = KEEPS_ALL) -> Iterator[tuple[Fleet, str]]:
    """The fleet, in a temporary directory, and its control plane's address. It ends with this process in any case."""
    folder = Path(tempfile.mkdtemp(prefix="signalbox-bench-"))
    try:
        say(f"starting a control plane and {many(brokers, 'broker')} in {folder}, for this measurement only")
        plane = PlaneProcess(command(folder, brokers, while_stdin=True, retention=retention), folder, tied=True)
        try:
            yield Fleet(folder), plane.wait_ready().controlplane.url
        finally:
            code = plane.end()
            if code != 0:
                say(f"the control plane ended with code {code}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
