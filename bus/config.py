"""What one broker is told when it starts; passed in, never a global."""

import argparse
import re
from pathlib import Path

import msgspec

from bus import limits


class BrokerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one broker process.

    `directory` holds its lock, `broker.json` and the store. `port` 0: the port of the last run if it is free, else any
    free one. `advertise` is the URL that others are told, where it differs from the one listened on: behind address
    translation, a tunnel or a proxy; "" for none. `store_bytes_max` bounds the store's file; `disk_reserve_bytes` is
    the room that is left on the disk. Retention trims records that are older than `retention_seconds`, and the oldest
    ones while a partition holds more than `retention_bytes`; 0 is without end. `locality` says where it is, for the
    plane's placing of replicas.
    """

    directory: Path
    id: str
    fleet: str
    partitions: int = limits.PARTITIONS_DEFAULT
    port: int = 0
    advertise: str = ""
    store_bytes_max: int = limits.STORE_BYTES_MAX
    disk_reserve_bytes: int = limits.DISK_RESERVE_BYTES
    retention_seconds: int = 0
    retention_bytes: int = 0
    locality: str = ""


_ENDPOINT = re.compile(r"tcp://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")


def is_endpoint(url: str) -> bool:
    """Whether it is a tcp://HOST:PORT that can be connected to."""
    found = _ENDPOINT.fullmatch(url)
    return found is not None and 0 < int(found[1]) <= 65_535


def parse(arguments: list[str]) -> BrokerConfig:
    """The settings of a command line; ends the process with usage on stderr (exit 2) when it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bus", description="One Signalbox broker, on 127.0.0.1.")
    parser.add_argument("--dir", type=Path, required=True, help="its folder: lock, broker.json, store")
    parser.add_argument("--id", required=True, help="its name in the fleet")
    parser.add_argument("--fleet", required=True, help="the fleet's name")
    parser.add_argument("--partitions", type=int, default=limits.PARTITIONS_DEFAULT)
    parser.add_argument("--port", type=int, default=0, help="0: the last run's port if free, else any")
    parser.add_argument("--advertise", default="", help="tcp://HOST:PORT that others reach it at, where that differs")
    parser.add_argument("--store-bytes-max", type=int, default=limits.STORE_BYTES_MAX)
    parser.add_argument("--disk-reserve-bytes", type=int, default=limits.DISK_RESERVE_BYTES)
    parser.add_argument("--retention-seconds", type=int, default=0, help="older records are trimmed; 0: never")
    parser.add_argument("--retention-bytes", type=int, default=0, help="a partition's most bytes; 0: any number")
    parser.add_argument("--locality", default="", help="where it is: a rack, a zone, a region")
    told = parser.parse_args(arguments)
    if not 1 <= told.partitions <= limits.PARTITIONS_MAX:
        parser.error(f"--partitions {told.partitions}: 1 to {limits.PARTITIONS_MAX}")
    if not 0 <= told.port <= 65_535:
        parser.error(f"--port {told.port}: 0 to 65535")
    if told.advertise and not is_endpoint(told.advertise):
        parser.error(f"--advertise {told.advertise!r}: tcp://HOST:PORT")
    for flag, name in (("--id", told.id), ("--fleet", told.fleet)):
        if not 0 < len(name) <= limits.PEER_NAME_CHARS_MAX or "/" in name:
            parser.error(f"{flag} {name!r}: 1 to {limits.PEER_NAME_CHARS_MAX} characters, no slash")
    if told.store_bytes_max < limits.STORE_BYTES_MIN:
        parser.error(f"--store-bytes-max {told.store_bytes_max}: at least {limits.STORE_BYTES_MIN}")
    if told.retention_seconds < 0:
        parser.error(f"--retention-seconds {told.retention_seconds}: 0 for ever, or a number of seconds")
    if told.retention_bytes and told.retention_bytes < limits.RETENTION_BYTES_MIN:
        parser.error(f"--retention-bytes {told.retention_bytes}: 0, or at least {limits.RETENTION_BYTES_MIN}")
    if len(told.locality) > limits.SEMANTIC_TEXT_CHARS_MAX:
        parser.error(f"--locality: at most {limits.SEMANTIC_TEXT_CHARS_MAX} characters")
    return BrokerConfig(
        directory=told.dir,
        id=told.id,
        fleet=told.fleet,
        partitions=told.partitions,
        port=told.port,
        advertise=told.advertise,
        store_bytes_max=told.store_bytes_max,
        disk_reserve_bytes=max(0, told.disk_reserve_bytes),
        retention_seconds=told.retention_seconds,
        retention_bytes=told.retention_bytes,
        locality=told.locality,
    )
