"""`python -m console --url URL [--context NAME]`: the console of one fleet, on this terminal.

Nothing heavy is imported before the arguments are read, so that a wrong one is told at once.
"""

import argparse
import locale
import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run until the operator leaves. Returns the exit code: 0, or 2 when there is no terminal to draw on."""
    parser = argparse.ArgumentParser(prog="signalbox console", description="The console of one fleet.")
    parser.add_argument("--url", required=True, help="where the control plane answers, as in tcp://127.0.0.1:7070")
    parser.add_argument("--context", default="local", help="the fleet's name in the header")
    parser.add_argument("--theme", choices=("dark", "light", "safe", "contrast", "mono"), help="colours")
    parser.add_argument("--ascii", action="store_true", help="signs instead of glyphs")
    asked = parser.parse_args(argv)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print("signalbox console draws on a terminal, and this is none; use: signalbox status", file=sys.stderr)
        return 2
    theme = asked.theme or ("mono" if os.environ.get("NO_COLOR") else "dark")
    # Textual answers NO_COLOR with greys; the theme without any colour keeps the terminal's own.
    os.environ.pop("NO_COLOR", None)

    from console.app import Console
    from console.link import Link

    Console(Link(asked.url), asked.context, theme, asked.ascii or glyphs_doubtful()).run()
    return 0


def glyphs_doubtful() -> bool:
    """Does the locale lack UTF-8, or count ambiguous glyphs as two cells?"""
    language = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or ""
    wide = language.lower().startswith(("zh", "ja", "ko"))
    return wide or locale.getencoding().lower().replace("-", "") not in ("utf8", "utf_8")


if __name__ == "__main__":
    raise SystemExit(main())
