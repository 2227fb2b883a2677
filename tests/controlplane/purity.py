"""What a fold may not do, found in its text: reach outside (`impurities`), depend on order or rounding (`unstable`).

A set's order differs from process to process, so nothing may go through one in its own order; `sorted`, `len`, `min`,
`max`, `any`, `all`, `in` and making another set of it are fine. What is a set is known from the text: literals,
comprehensions, `set()`, operators and methods on them, and names that were given or annotated as one.
"""

import ast
from collections.abc import Iterator

from tests.test_architecture import IMPURE

OUTSIDE = IMPURE | {"builtins", "gc", "glob", "importlib", "inspect", "locale", "platform", "shutil", "signal", "sys",
                    "tempfile", "urllib", "weakref"}  # fmt: skip
CALLS = {"hash", "id", "open", "input", "print", "exec", "eval", "compile", "__import__", "globals", "breakpoint"}
FLOATS = {"float", "fsum", "sqrt", "exp", "log", "log2", "log10", "pow", "mean", "fmean", "complex"}
TAKES_ITS_ORDER = {"list", "tuple", "iter", "enumerate", "zip", "map", "filter", "reversed", "next", "dict", "deque"}
KEEPS_A_SET = {"union", "intersection", "difference", "symmetric_difference", "copy"}
_SETS = (ast.BitOr, ast.BitAnd, ast.BitXor, ast.Sub)


def impurities(tree: ast.AST) -> list[str]:
    """Clock, dice, disk, sockets, object identities, and state kept outside the `KeyedState`."""
    return [f"line {line}: {what}" for line, what in sorted(_impurities(tree))]


def unstable(tree: ast.AST) -> list[str]:
    """Floats, and sets in their own order."""
    return [f"line {line}: {what}" for line, what in sorted({*_floats(tree), *_orders(tree)})]


def _impurities(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in OUTSIDE:
                    yield node.lineno, f"imports {alias.name}"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OUTSIDE:
            yield node.lineno, f"imports from {node.module}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            yield node.lineno, f"calls {node.func.id}()"
        elif isinstance(node, ast.Global):
            yield node.lineno, f"changes the global {node.names[0]}"
        elif isinstance(node, ast.ClassDef) and any(_is_fold(base) for base in node.bases):
            yield from _kept_on_self(node)


def _is_fold(base: ast.expr) -> bool:
    return isinstance(base, ast.Name) and base.id == "Fold"


def _kept_on_self(fold: ast.ClassDef) -> Iterator[tuple[int, str]]:
    for node in ast.walk(fold):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
        )
        for target in targets:
            inner = target.value if isinstance(target, ast.Subscript) else target
            if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id == "self":
                yield node.lineno, f"keeps self.{inner.attr}"


def _floats(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield node.lineno, f"has the float {node.value}"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            yield node.lineno, "divides to a float"
        elif isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            name = node.func.attr if isinstance(node.func, ast.Attribute) and _is_math(node.func.value) else name
            if name in FLOATS:
                yield node.lineno, f"calls {name}()"


def _is_math(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in {"math", "statistics", "operator"}


def _orders(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for scope in [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))]:
        names = _set_names(scope)
        for node in ast.walk(scope):
            for taken in _taken_in_order(node):
                if _is_set(taken, names):
                    yield taken.lineno, "goes through a set"


def _set_names(scope: ast.AST) -> set[str]:
    """Names that are sets in this function, or in the whole module."""
    names: set[str] = set()
    for node in _own(scope):
        if isinstance(node, ast.Assign) and _is_set(node.value, names):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.NamedExpr) and _is_set(node.value, names):
            names.add(node.target.id)
        elif isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None and _says_set(node.annotation):
            target = node.arg if isinstance(node, ast.arg) else getattr(node.target, "id", "")
            names.add(target)
    return names


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(scope):
        yield node
        if not isinstance(node, ast.FunctionDef):
            yield from _own(node)


def _says_set(annotation: ast.expr) -> bool:
    inner = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return isinstance(inner, ast.Name) and inner.id in {"set", "frozenset", "Set", "AbstractSet"}


def _taken_in_order(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.For | ast.comprehension):
        return [node.iter]
    if isinstance(node, ast.Starred | ast.YieldFrom):
        return [node.value]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TAKES_ITS_ORDER:
        return list(node.args)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr == "pop" and not node.args:
            return [node.func.value]
        if node.func.attr in {"join", "fromkeys", "extend", "extendleft"}:
            return list(node.args)
    return []


def _is_set(node: ast.expr, names: set[str]) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Name):
        return node.id in names
    if isinstance(node, ast.BinOp) and isinstance(node.op, _SETS):
        return _is_set(node.left, names) or _is_set(node.right, names)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in {"set", "frozenset"}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in KEEPS_A_SET:
        return _is_set(node.func.value, names)
    return False
