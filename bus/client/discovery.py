"""Where a fleet may be: an argument, `SIGNALBOX_URL`, or a data directory's `fleet.json`.

Read anew at each look, because brokers that come back may have moved, and a fleet may start after its agents.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from bus.errors import NoFleet

URL_VARIABLE = "SIGNALBOX_URL"
DATA_DIR_VARIABLE = "SIGNALBOX_DATA_DIR"


class _Broker(msgspec.Struct):
    id: str
    url: str


class FleetFile(msgspec.Struct):
    """`fleet.json` of a data directory, as its control plane writes it. URLs are `tcp://host:port`."""

    fleet: str
    partitions: int
    slots: int = 4096
    plane_url: str = ""
    brokers: list[_Broker] = []


def default_data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """`SIGNALBOX_DATA_DIR`, else `signalbox` in the user's XDG state directory."""
    named = environ.get(DATA_DIR_VARIABLE)
    if named:
        return Path(named).expanduser()
    state = environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "signalbox"


class Whereabouts:
    """Where one `connect()` looks: `url` (one, several by comma, or a list), else `SIGNALBOX_URL`, else a directory.

    An argument beats the environment. `urls()` reads the file at each call.
    """

    def __init__(
        self,
        url: str | list[str] | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        given: str | list[str] = url or []
        self.named_by = "the url given"
        if not given and data_dir is None and environ.get(URL_VARIABLE):
            given, self.named_by = environ[URL_VARIABLE], URL_VARIABLE
        self.given = [part.strip() for part in (given.split(",") if isinstance(given, str) else given) if part.strip()]
        for each in self.given:
            if not each.startswith("tcp://") or not each.rpartition(":")[2].isdigit():
                raise NoFleet(f"{each!r} ({self.named_by}) is not an address; it should read tcp://HOST:PORT")
        self.data_dir = Path(data_dir).expanduser() if data_dir is not None else default_data_dir(environ)

    def urls(self) -> list[str]:
        """Brokers first, then the control plane. Raises NoFleet that says where was looked and what to do."""
        if self.given:
            return self.given
        found = self.read()
        urls = [broker.url for broker in found.brokers if broker.url]
        return [*urls, found.plane_url] if found.plane_url else urls

    def read(self) -> FleetFile:
        """The data directory's fleet file. Raises NoFleet."""
        path = self.data_dir / "fleet.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=FleetFile)
        except FileNotFoundError:
            raise NoFleet(
                f"no fleet here: {path} does not exist, and {URL_VARIABLE} is not set; "
                f"start one with `signalbox up`, or name one with {URL_VARIABLE} or {DATA_DIR_VARIABLE}"
            ) from None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise NoFleet(f"{path} cannot be read ({error}); `signalbox up` writes it anew") from error

    def describe(self) -> str:
        """Where was looked, for messages."""
        return f"{', '.join(self.given)} ({self.named_by})" if self.given else f"{self.data_dir / 'fleet.json'}"
