"""The python blocks of a page, as modules."""

import re
import runpy
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[3] / "docs"


def blocks(page: str) -> list[str]:
    """In their order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run(text: str, place: Path, **known: Any) -> dict[str, Any]:
    """The names of a module that consists of this text and begins with `known`."""
    path = place / "block.py"
    path.write_text(text, encoding="utf-8")
    return runpy.run_path(str(path), known)
