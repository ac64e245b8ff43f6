"""Exact quotes: a passage of a given text and where it stands, for extraction and citations."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import ParameterError
from ..ir.nodes import SURROGATES, Rules, Substring


@dataclass(frozen=True, slots=True)
class SubstringOf:
    """Any passage of `text` that is not empty.

    words: it begins and ends at word boundaries, so that no word is quoted in half.

    Raises ParameterError for a text with nothing to quote, and for flags that are none.
    """

    text: str
    words: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text:
            raise ParameterError(
                "substring_of", f"expected a text to quote from, got {self.text!r:.80}"
            )
        if any(SURROGATES[0] <= ord(char) <= SURROGATES[1] for char in self.text):
            raise ParameterError("substring_of", "holds half of a surrogate pair, which is no text")
        if not isinstance(self.words, bool):
            raise ParameterError("words", f"expected True or False, got {self.words!r:.80}")
        if self.words and self.text.isspace():
            raise ParameterError("substring_of", "has no word to quote: it is white space alone")

    def rules(self) -> Rules:
        """The grammar of the passages."""
        return Rules("root", {"root": Substring(self.text, self.words)})

    def place(self, quote: str) -> Place | None:
        """Where the passage `quote` first stands in the text; None if it is none."""
        pattern = re.escape(quote)
        if self.words:
            pattern = rf"{_edge(quote[:1], '(?<!')}{pattern}{_edge(quote[-1:], '(?!')}"
        found = re.search(pattern, self.text) if quote else None
        return Place(*found.span()) if found else None


def _edge(char: str, opening: str) -> str:
    r"""The condition that no `\w` stands outside `char`, if that is one itself."""
    return rf"{opening}\w)" if re.match(r"\w", char) else ""


class Place(NamedTuple):
    """Characters `start` to `end` of a text: `text[start:end]`."""

    start: int
    end: int
