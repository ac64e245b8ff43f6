"""A place in a text that a user wrote, shown with a caret under it."""

from __future__ import annotations

WIDTH = 80
"""Characters of a line that are shown."""


def pointed(text: str, line: int, column: int) -> str:
    """Line `line` of `text` and a caret at `column`, both from 1; a long line is cut around it."""
    shown = text.split("\n")[line - 1].rstrip("\r")
    at = column - 1
    begin = max(0, at - WIDTH * 3 // 4)
    stop = begin + WIDTH
    before = "..." if begin else ""
    after = "..." if stop < len(shown) else ""
    space = "".join("\t" if char == "\t" else " " for char in shown[begin:at])
    return f"  {before}{shown[begin:stop]}{after}\n  {' ' * len(before)}{space}^"
