"""One control plane: `python -m controlplane --data-dir DIR`. In the foreground until SIGTERM, SIGINT or SIGHUP.

Each of them ends the fleet: its brokers, then the plane, and then this exits 0. With `--while-stdin` so does the end of
standard input, so that a parent that was killed leaves nothing behind. Exit 2 for settings that make no sense or that
this fleet cannot have, its partitioning included. Exit 1, and one line that says what to do, when
the directory is in use or cannot be written, the disk is full, a port is taken, or another plane took over.
"""

import argparse
import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import sys
import threading
from logging.handlers import RotatingFileHandler
from pathlib import Path

from bus import descriptors
from bus import limits as bus_limits
from bus.config import is_endpoint
from bus.errors import InvalidRules
from bus.semantic import STRATEGIES
from controlplane import limits
from controlplane.config import Config
from controlplane.directory import Directory, explained
from controlplane.errors import PartitioningFixed, PlaneError
from controlplane.partitioning import read_rules

STDIN_BYTES = 4096


def parse(arguments: list[str]) -> Config:
    """The settings of a command line; exits 2 on wrong usage. Raises `InvalidRules` for a file of rules."""
    parser = argparse.ArgumentParser(prog="python -m controlplane", description="Run a fleet's control plane.")
    parser.add_argument("--data-dir", required=True, help="the fleet's data directory")
    parser.add_argument("--brokers", type=int, help="local brokers (default: as many as there are, 3 in a new fleet)")
    parser.add_argument("--partitions", type=int, default=bus_limits.PARTITIONS_DEFAULT, help="of a new fleet")
    parser.add_argument("--port", type=int, default=0, help="for questions (default: the last one, else a free one)")
    parser.add_argument("--retention-seconds", type=int, default=0, help="brokers trim older events; 0: never")
    parser.add_argument("--retention-bytes", type=int, default=0, help="a partition's most bytes; 0: any number")
    parser.add_argument("--journal-retention-seconds", type=int, default=0, help="the journal's own; 0: for ever")
    parser.add_argument("--journal-retention-bytes", type=int, default=0, help="the journal's own; 0: any number")
    parser.add_argument("--partitioning", default="", help="hash, semantic or adaptive (default: as it was, hash)")
    parser.add_argument("--partition-rules", type=Path, help="a TOML file of rules, for a new fleet")
    parser.add_argument("--locality", default="", help="where the local brokers are: a rack, a zone, a region")
    parser.add_argument(
        "--advertise", action="append", default=[], metavar="BROKER=URL", help="where others reach a local broker"
    )
    parser.add_argument("--while-stdin", action="store_true", help="end the fleet when standard input ends")
    parser.add_argument("--take-over", action="store_true", help="go on with an older journal, or beside a living copy")
    parser.add_argument("--reason", default="", help="why, with --take-over")
    given = parser.parse_args(arguments)
    given.advertise = dict(each.partition("=")[::2] for each in given.advertise)
    for broker, url in given.advertise.items():
        if not broker or not is_endpoint(url):
            parser.error(f"--advertise {broker}={url}: BROKER=tcp://HOST:PORT")
    if given.brokers is not None and not 1 <= given.brokers <= bus_limits.TOPOLOGY_NODES_MAX:
        parser.error(f"--brokers {given.brokers}: 1 to {bus_limits.TOPOLOGY_NODES_MAX}")
    if not 1 <= given.partitions <= bus_limits.PARTITIONS_MAX:
        parser.error(f"--partitions {given.partitions}: 1 to {bus_limits.PARTITIONS_MAX}")
    if not 0 <= given.port <= 65_535:
        parser.error(f"--port {given.port}: 0 to 65535")
    if given.retention_seconds < 0:
        parser.error(f"--retention-seconds {given.retention_seconds}: 0 for ever, or a number of seconds")
    if given.retention_bytes and given.retention_bytes < bus_limits.RETENTION_BYTES_MIN:
        parser.error(f"--retention-bytes {given.retention_bytes}: 0, or at least {bus_limits.RETENTION_BYTES_MIN}")
    for name in ("journal_retention_seconds", "journal_retention_bytes"):
        if getattr(given, name) < 0:
            parser.error(f"--{name.replace('_', '-')} {getattr(given, name)}: 0 for ever, or a number")
    if given.take_over and not given.reason:
        parser.error("--take-over needs a --reason")
    if given.partitioning not in ("", *STRATEGIES):
        parser.error(f"--partitioning {given.partitioning}: one of {', '.join(STRATEGIES)}")
    if len(given.locality) > bus_limits.SEMANTIC_TEXT_CHARS_MAX:
        parser.error(f"--locality: at most {bus_limits.SEMANTIC_TEXT_CHARS_MAX} characters")
    rules = None if given.partition_rules is None else read_rules(given.partition_rules)
    told = {name: value for name, value in vars(given).items() if name != "partition_rules"}
    return Config(**told, rules=rules)


def log_to(path: Path) -> None:
    """Log to the plane's file, and to stderr as well where a person may be looking."""
    # What is told of others, their errors too, may hold text that UTF-8 cannot carry.
    file = RotatingFileHandler(
        path, maxBytes=limits.LOG_BYTES_MAX, backupCount=1, encoding="utf-8", errors="backslashreplace"
    )
    outputs: list[logging.Handler] = [file]
    if sys.stderr.isatty():
        outputs.append(logging.StreamHandler())
    # Where the disk is full a line cannot be logged either; that is no reason for a traceback.
    logging.raiseExceptions = False
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", handlers=outputs, force=True
    )
    # A library that aborts the process says so to stderr alone, where nobody may be looking.
    faulthandler.enable(path.open("a"))


async def serve(config: Config, directory: Directory) -> None:
    """Run a plane until a signal, `down` or the end of standard input."""
    # DuckDB and Arrow take a while to load: not before the command line has been found good.
    from controlplane.service import Service

    service = Service(config, directory)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, service.stop, f"signal {number.name}")
    if config.while_stdin:

        def watch() -> None:
            try:
                while os.read(0, STDIN_BYTES):
                    pass
            except OSError as error:
                logging.getLogger("signalbox.plane").debug("standard input failed: %s", error)
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                loop.call_soon_threadsafe(service.stop, "standard input ended")

        threading.Thread(target=watch, name="stdin", daemon=True).start()
    await service.run()


def main() -> int:
    """The exit code of one plane's life."""
    try:
        config = parse(sys.argv[1:])
    except InvalidRules as error:
        sys.stderr.write(f"{error}\n")
        return 2
    descriptors.allow_many()
    directory = Directory(Path(config.data_dir))
    try:
        try:
            directory.root.mkdir(parents=True, exist_ok=True)
            log_to(directory.log)
        except OSError as error:
            raise explained(error, directory.root) from error
        asyncio.run(serve(config, directory))
    except (PlaneError, InvalidRules) as error:
        if logging.getLogger().handlers:
            logging.getLogger("signalbox.plane").error("%s", error)
        if not (logging.getLogger().handlers and sys.stderr.isatty()):
            sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, InvalidRules | PartitioningFixed) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
