"""A peer that wants everything and takes nothing: `python -m tests.bus._stuck URL WATCHES`. It waits to be stopped."""

import sys

from bus import wire
from tests.bus.rig import Peer


def main(url: str, watches: int) -> None:
    """Watch partition 0 many times over, say so on stdout, and wait for the end of stdin."""
    peer = Peer(url, name="stuck")
    peer.welcomed()
    for number in range(watches):
        peer.say(wire.Watch(number, 0, 0, 0, ">", True, 1 << 26))
    for _ in range(watches):
        peer.hear(wire.Records)
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
