"""`python -m console.sheets FORMAT OUT`: pages on standard input, a file out.

The last line on standard error is how many events were left out, or, with exit code 1, why it failed.
"""

import sys
from pathlib import Path
from typing import IO, Any

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]

from console.limits import ANSWER_BYTES_MAX
from console.sheets import Sheet

LENGTH_BYTES = 4


def sheet_of(format: str, out: IO[bytes]) -> Sheet:
    """The writer of a format."""
    if format == "parquet":
        from console.sheets.parquet import ParquetSheet

        return ParquetSheet(out)
    if format == "csv":
        from console.sheets.commas import CsvSheet

        return CsvSheet(out)
    from console.sheets.xes import XesSheet

    return XesSheet(out)


def pages(given: IO[bytes]) -> Any:
    """Each page; raises EOFError when they end before the one that says so."""
    while True:
        length = int.from_bytes(_exactly(given, LENGTH_BYTES), "big")
        if not length:
            return
        if length > ANSWER_BYTES_MAX:
            raise EOFError(f"a page of {length:,} bytes")
        yield pa.ipc.open_stream(_exactly(given, length)).read_all()


def _exactly(given: IO[bytes], count: int) -> bytes:
    data = given.read(count)
    if len(data) < count:
        raise EOFError("the export broke off")
    return data


def main() -> int:
    """The exit code."""
    format, where = sys.argv[1:]
    try:
        with Path(where).open("wb") if where != "-" else sys.stdout.buffer as out:
            sheet = sheet_of(format, out)
            for page in pages(sys.stdin.buffer):
                sheet.add(page)
            left_out = sheet.close()
    except (OSError, EOFError, pa.ArrowException) as error:
        sys.stderr.write(f"{where} cannot be written: {error}\n")
        return 1
    sys.stderr.write(f"{left_out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
