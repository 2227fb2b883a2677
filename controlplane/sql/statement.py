"""What may be asked: one SELECT over the documented tables. Pure: works on DuckDB's own syntax tree, as it gives it.

Everything that is not known to be harmless is refused: query nodes other than those that read (a CTE may hold an
INSERT), tables other than the documented ones and the query's own CTEs, table functions that are not on a short list
(all that read files are table functions), and the few scalar functions that run text as SQL or tell of the process.
"""

from collections.abc import Iterable
from typing import Any

from controlplane.errors import SqlRefused

QUERY_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
TABLE_REFERENCES = frozenset(
    {"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "PIVOT", "SHOW_REF"}
)
TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "json_each", "json_tree"})
FUNCTIONS_REFUSED = frozenset(
    {"current_setting", "getenv", "getvariable", "json_execute_serialized_sql", "query", "query_table", "write_log"}
    | {"nextval", "currval", "set_config", "pg_read_file", "parse_duckdb_log_message", "file_exists"}
    | {"current_database", "current_schemas", "in_search_path", "pg_sleep", "sleep_ms", "read_text", "read_blob"}
    | {"json_serialize_plan", "pg_get_viewdef", "pg_get_constraintdef", "get_block_size", "format_type", "setval"}
)
ATTRIBUTES = "events.attributes"
"""Told among the tables when a query may read this column, which costs the worker something to make."""
_SEES_IT = {"RECURSIVE_CTE_NODE": "right", "CTE_NODE": "child"}
"""Nodes that make a CTE, and their part that sees it."""
_LOWER = {ord(upper): upper.lower() for upper in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_NOWHERE = 2**63
"""DuckDB's "no place" is a greater number than this."""


def tables_of(tree: dict[str, Any], sql: str, tables: Iterable[str]) -> list[str]:
    """Which of the documented `tables` the statement of `json_serialize_sql` reads. Raises SqlRefused."""
    if tree.get("error"):
        if tree.get("error_type") == "parser":
            place = str(tree.get("position", ""))
            message = f"Parser Error: {tree.get('error_message', 'it cannot be read')}"
            raise SqlRefused(message + caret(sql, int(place) if place.isdigit() else _NOWHERE))
        raise SqlRefused("only SELECT is possible here: the journal is read, never written")
    statements = tree.get("statements", [])
    if len(statements) != 1:
        raise SqlRefused(f"one SELECT at a time, not {len(statements)} statements")
    walk = _Walk(sql, frozenset(tables))
    walk.check(statements[0])
    if "events" in walk.read and walk.whole_rows:
        walk.read.add(ATTRIBUTES)
    return sorted(walk.read)


def caret(sql: str, place: int) -> str:
    """The line of a place, with a mark under it, as DuckDB shows it; nothing where there is no place."""
    data = sql.encode()
    if place >= _NOWHERE or place > len(data):
        return ""
    before = data[:place].decode(errors="replace")
    number = before.count("\n") + 1
    line = sql.split("\n")[number - 1]
    start = f"LINE {number}: "
    column = len(before) - (before.rfind("\n") + 1)
    return f"\n\n{start}{line}\n{' ' * (len(start) + column)}^"


class _Walk:
    """Through all of a tree, without recursion: how deep it goes is the asker's choice."""

    def __init__(self, sql: str, tables: frozenset[str]) -> None:
        self._sql = sql
        self._tables = tables
        self._star = False
        self._named: set[str] = set()
        self._aliases: set[str] = set()
        self.read: set[str] = set()

    @property
    def whole_rows(self) -> bool:
        """Whether it may read a column that it does not name: by `*`, a row's name, or a natural join."""
        return self._star or not self._named.isdisjoint(self._aliases | self._tables | {"attributes"})

    def check(self, tree: Any) -> None:
        for node, ctes in _nodes(tree):
            kind = str(node.get("type", ""))
            if node.get("class") == "PARAMETER":
                raise self._refused("there are no parameters here: write the value itself", node)
            if node.get("class") == "FUNCTION" and str(node.get("function_name", "")).lower() in FUNCTIONS_REFUSED:
                raise self._refused(f"the function {node.get('function_name')} is not possible here", node)
            if node.get("class") == "STAR" or node.get("ref_type") == "NATURAL":
                self._star = True
            if node.get("class") == "COLUMN_REF":
                self._named.update(str(name).lower() for name in node.get("column_names", [])[-1:])
            if kind.endswith("_NODE"):
                if kind not in QUERY_NODES:
                    raise SqlRefused("only SELECT is possible here: the journal is read, never written")
            elif "sample" in node or kind in TABLE_REFERENCES - {"SUBQUERY"}:
                self._table(kind, node, ctes)

    def _table(self, kind: str, node: dict[str, Any], ctes: frozenset[str]) -> None:
        self._aliases.add(str(node.get("alias", "")).lower())
        if kind not in TABLE_REFERENCES:
            raise self._refused(f"{kind} is not possible here", node)
        if kind == "BASE_TABLE":
            self._base_table(node, ctes)
        elif kind == "TABLE_FUNCTION":
            name = _folded((node.get("function") or {}).get("function_name", ""))
            if name not in TABLE_FUNCTIONS:
                raise self._refused(f"the table function {name} is not possible here", node)
        elif kind == "SHOW_REF" and not node.get("query") and node.get("table_name") != '"tables"':
            raise self._refused("of SHOW only SHOW TABLES is possible here", node)

    def _base_table(self, node: dict[str, Any], ctes: frozenset[str]) -> None:
        name = _folded(node.get("table_name", ""))
        schema = _folded(f"{node.get('catalog_name') or ''}.{node.get('schema_name') or ''}".strip("."))
        # With a schema before it a name is no CTE's.
        known = {"": self._tables | ctes, "main": self._tables}.get(schema, frozenset())
        if name not in known:
            said = f"{schema}.{name}" if schema else name
            raise self._refused(f'there is no table "{said}" here; there are: {", ".join(sorted(self._tables))}', node)
        if name in self._tables:
            self.read.add(name)

    def _refused(self, why: str, node: dict[str, Any]) -> SqlRefused:
        return SqlRefused(why + caret(self._sql, int(node.get("query_location") or 0)))


def _nodes(tree: Any) -> Iterable[tuple[dict[str, Any], frozenset[str]]]:
    """Every object in the tree, and the names of the CTEs that it can see.

    A CTE sees those before it and not itself, unless it is recursive, and then in its second part only: anywhere else
    its name means what it means outside, which may be a file.
    """
    waiting: list[tuple[Any, frozenset[str]]] = [(tree, frozenset())]
    while waiting:
        node, ctes = waiting.pop()
        if isinstance(node, dict):
            for each in (node.get("cte_map") or {}).get("map", []):
                waiting.append((each.get("value"), ctes))
                ctes = ctes | {_folded(each.get("key", ""))}
            yield node, ctes
            sees = _SEES_IT.get(str(node.get("type", "")))
            with_it = ctes | {_folded(node.get("cte_name", ""))} if sees else ctes
            waiting.extend(
                (value, with_it if name == sees else ctes) for name, value in node.items() if name != "cte_map"
            )
        elif isinstance(node, list):
            waiting.extend((value, ctes) for value in node)


def _folded(name: Any) -> str:
    """A name as DuckDB compares it: only ASCII letters have two cases, so that no other letter stands for one."""
    return str(name).translate(_LOWER)
