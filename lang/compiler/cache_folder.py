"""Where treegram keeps files that can be made again."""

from __future__ import annotations

import os
from pathlib import Path

LOCATION_VARIABLE = "TREEGRAM_GRAMMAR_CACHE"
"""Environment variable: another folder for what grammars need, or `off` for none."""


def cache_folder() -> Path:
    """treegram's folder in the user's cache (`$XDG_CACHE_HOME`, else `~/.cache`)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "treegram"


def grammar_folder() -> Path | None:
    """Where compiled grammars and their mask tables are kept; None if the user wants none kept."""
    wanted = os.environ.get(LOCATION_VARIABLE)
    if wanted == "off":
        return None
    return Path(wanted) if wanted else cache_folder() / "grammars"
