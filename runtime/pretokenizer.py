"""Texts as llama.cpp's pre-tokeniser can take them.

Before byte pairs are merged, a text is split into words by the regexes of its model. For some of
these llama.cpp has code of its own; the others run in `std::regex` (src/unicode.cpp,
`unicode_regex_split_stl`), which recurses with every character of a match: in 8 MB of stack a word
of 30,000 characters is the end of the process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST = 2048
"""Characters; a match may have two such stretches, as a line of dashes and what ends it."""

SAFE = frozenset(
    {
        *("chatglm-bpe", "codeshell", "command-r", "dbrx", "deepseek-r1-qwen", "exaone", "falcon3"),
        *("gpt-2", "granite-docling", "jais", "lfm2", "llama-bpe", "llama3", "minerva-7b", "mpt"),
        *("olmo", "qwen2", "qwen35", "refact", "smaug-bpe", "smollm", "stablelm2", "starcoder"),
        "trillion",
    }
)
"""Values of `tokenizer.ggml.pre` that took words of 100,000 characters of every kind."""

_STRETCH = re.compile(r"\S+|\s+")


def pieces(text: str) -> Iterator[str]:
    """The text in pieces, to be tokenised one by one: no word of any of them is too long.

    Only stretches without white space, and of white space, are cut, and only after `LONGEST`.
    """
    begin = 0
    for stretch in _STRETCH.finditer(text):
        for cut in range(stretch.start() + LONGEST, stretch.end(), LONGEST):
            yield text[begin:cut]
            begin = cut
    yield text[begin:]
