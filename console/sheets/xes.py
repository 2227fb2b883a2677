"""XES (IEEE 1849-2016), for process mining: a trace per saga, its events in journal order.

Events come in the order of the journal, and a trace must stand together: they are gathered in a DuckDB file in a
temporary folder, which sorts them with bounded memory, and written from there as they come. Events of no saga belong to
no trace; they are left out, and counted.
"""

import re
import tempfile
from pathlib import Path
from typing import IO, Any

import duckdb

from console.limits import XES_MEMORY_MB, XES_ROWS_AT_ONCE

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<log xes.version="1849.2016" xes.features="" xmlns="http://www.xes-standard.org/">
  <extension name="Concept" prefix="concept" uri="http://www.xes-standard.org/concept.xesext"/>
  <extension name="Time" prefix="time" uri="http://www.xes-standard.org/time.xesext"/>
  <extension name="Organizational" prefix="org" uri="http://www.xes-standard.org/org.xesext"/>
  <global scope="trace">
    <string key="concept:name" value=""/>
  </global>
  <global scope="event">
    <string key="concept:name" value=""/>
    <date key="time:timestamp" value="1970-01-01T00:00:00.000000Z"/>
    <string key="org:resource" value=""/>
  </global>
  <classifier name="Activity" keys="concept:name"/>
  <classifier name="Activity and resource" keys="concept:name org:resource"/>
"""
_KEPT = "saga, position, type, source, coalesce(time_ns, appended_ns) as instant, id, causationid, data"
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
_ESCAPED = re.compile('[&<>"\n\r\t]')
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class XesSheet:
    """See `Sheet`."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._folder = tempfile.TemporaryDirectory(prefix="signalbox-xes-")
        folder = Path(self._folder.name)
        settings: dict[str, Any] = {
            "memory_limit": f"{XES_MEMORY_MB}MB",
            "temp_directory": str(folder / "spill"),
            "threads": "1",
        }
        self._db = duckdb.connect(str(folder / "events.duckdb"), config=settings)
        self._made = False

    def add(self, page: Any) -> None:
        """Gathered."""
        self._db.register("page", page)
        made = "insert into events" if self._made else "create table events as"
        self._db.execute(f"{made} select {_KEPT} from page")  # noqa: S608
        self._made = True

    def close(self) -> int:
        """Sorted and written."""
        self._out.write(HEAD.encode())
        left_out = self._write() if self._made else 0
        self._out.write(b"</log>\n")
        self._out.flush()
        self._db.close()
        self._folder.cleanup()
        return left_out

    def _write(self) -> int:
        stamp = "strftime(make_timestamp(instant // 1000), '%Y-%m-%dT%H:%M:%S.%fZ')"
        cursor = self._db.execute(
            f"select saga, position, type, source, {stamp}, id, causationid, data from events "  # noqa: S608
            "where saga is not null order by saga, position"
        )
        trace = None
        while rows := cursor.fetchmany(XES_ROWS_AT_ONCE):
            for saga, *event in rows:
                if saga != trace:
                    self._line("  </trace>\n" if trace is not None else "")
                    self._line(f"  <trace>\n    {_attribute('string', 'concept:name', saga)}")
                    trace = saga
                self._line(_event(*event))
        self._line("  </trace>\n" if trace is not None else "")
        ((left_out,),) = self._db.execute("select count(*) from events where saga is null").fetchall()
        return int(left_out)

    def _line(self, text: str) -> None:
        self._out.write(text.encode())


def _event(position: int, type: str, source: str, at: str, id: str, causation: str | None, data: str | None) -> str:
    parts = [
        _attribute("string", "concept:name", type),
        _attribute("date", "time:timestamp", at),
        _attribute("string", "org:resource", source),
        _attribute("string", "id", id),
        _attribute("int", "position", str(position)),
    ]
    parts += [_attribute("string", "causationid", causation)] * bool(causation)
    parts += [_attribute("string", "data", data)] * bool(data)
    return "    <event>\n" + "".join(f"      {part}" for part in parts) + "    </event>\n"


def _attribute(kind: str, key: str, value: str | None) -> str:
    text = _ILLEGAL.sub("\ufffd", value or "")
    return f'<{kind} key="{key}" value="{_ESCAPED.sub(lambda found: _ESCAPES[found[0]], text)}"/>\n'
