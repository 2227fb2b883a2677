"""One broker process: `python -m bus --dir DIR --id b1 --fleet FLEET`. Logs to stderr; SIGTERM or SIGINT end it with 0.

Exit 1, and one line that says what to do, when the folder is in use, cannot be written, or the port is taken.
"""

import logging
import os
import signal
import socket
import sys

import psutil  # type: ignore[import-untyped]

from bus import descriptors, limits
from bus.broker.home import Home
from bus.broker.loop import Broker
from bus.config import BrokerConfig, parse
from bus.errors import BusError
from bus.store import open_store

log = logging.getLogger("bus.broker")


def serve(config: BrokerConfig, home: Home) -> None:
    """Run a broker in its locked folder until it is told to end."""
    started = float(psutil.Process().create_time())
    held = config.partitions + limits.RESERVED_PARTITIONS
    store = open_store(config.directory / "store.lmdb", held, config.store_bytes_max)
    broker = Broker(config, store, started=int(started * 1e9))
    listens = broker.listen([config.port] if config.port else [home.former_port(), 0])
    url = config.advertise or listens
    awake, bell = socket.socketpair()
    with awake, bell:
        for end in (awake, bell):
            end.setblocking(False)
        signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
        broker.wake_on(awake.fileno())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda got, _: broker.halt(f"signal {signal.Signals(got).name}"))
        # Only now: whoever reads it may end this process at once, and is answered with exit 0.
        home.announce(
            {
                "id": config.id,
                "fleet": config.fleet,
                "url": url,
                "listens": listens,
                "pid": os.getpid(),
                "started": started,
                "store": store.id,
            }
        )
        log.info("broker %s of fleet %s listens on %s, store %s", config.id, config.fleet, listens, store.id)
        why = broker.run()
        signal.set_wakeup_fd(-1)
    log.info("broker %s ended: %s", config.id, why)


def main() -> int:
    """The exit code of one broker's life."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s", force=True
    )
    config = parse(sys.argv[1:])
    descriptors.allow_many()
    try:
        with Home(config.directory) as home:
            serve(config, home)
    except BusError as error:
        sys.stderr.write(f"broker {config.id}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
