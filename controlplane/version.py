"""Which version of Signalbox this is; "" where it is not installed as a package."""

from importlib.metadata import PackageNotFoundError, version


def _version() -> str:
    try:
        return version("signalbox")
    except PackageNotFoundError:
        return ""


VERSION = _version()
