"""What a newcomer gets wrong about constraints: each is an error of ours that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from treegram.lang.errors import ConstraintError, GrammarError, ParameterError, TreegramError
from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.layout import Layout
from treegram.lang.primitives import gen, reasoning

ANY: Any = None
A = Grammar.from_regex("a")
MISTAKES: dict[str, tuple[Callable[[Any], object], object, str]] = {
    "a number as rules": (lambda x: Grammar(x), 5, "use Grammar.from_gbnf"),
    "a number as a text": (A.accepts, 5, "text: expected a str, got int 5"),
    "bytes as a text": (A.accepts, b"a", "text: expected a str, got bytes"),
    "nothing as a beginning": (A.accepts_prefix, None, "text: expected a str"),
    "a layout by name": (lambda x: Grammar.from_schema({}, x), "compact", "expected a JsonLayout"),
    "a lenient number": (lambda x: Grammar.from_schema({}, lenient=x), 5, "lenient: expected True"),
    "an indent as a text": (lambda x: Layout(indent=x), "2", "indent: a number from 1 to 16"),
    "an indent as a float": (lambda x: Layout(indent=x), 2.0, "indent: a number from 1 to 16"),
    "a depth as a flag": (lambda x: Layout(max_depth=x), True, "max_depth: a number"),
    "words as a number": (lambda x: Grammar.from_substring("a b", words=x), 5, "words: expected"),
    "no word": (lambda x: Grammar.from_substring(x, words=True), " \n ", "no word to quote"),
    "a reasoning that begins with bytes": (lambda x: reasoning(begin=x), b"<", "expected a text"),
    "a stop of a reasoning": (lambda x: reasoning("why", stop=x), "x", "say that as end="),
    "a JSON text as a schema": (Grammar.from_schema, '{"type": "null"}', "json.loads"),
    "prose as a grammar": (lambda x: gen(grammar=x), "yes or no", "neither a GBNF rule"),
    "an empty grammar": (Grammar.from_gbnf, "", "at least one rule"),
    "a Lark start that is a terminal": (
        lambda x: Grammar.from_lark('start: X\nX: "a"', start=x),
        "X",
        "no rule 'X'",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(name: str) -> None:
    call, argument, words = MISTAKES[name]
    with pytest.raises(TreegramError) as caught:
        call(argument)
    assert isinstance(caught.value, (ConstraintError, ParameterError))
    assert words in str(caught.value)


LARK = [
    ("start: /(/", 1, 9, "unclosed '('"),
    ('start: "x"\n  | /ab(c)\\1/i', 2, 11, "backreference"),
    ("start: a", 1, 8, "a, which is not defined"),
    ('start: A\nA: "b" A', 2, 8, "uses itself"),
    ('\ufeffstart: "a"', 1, 1, "byte order mark"),
    ('start: "' + "é" * 300 + '" /a)/', 1, 313, "closes nothing"),
]


@pytest.mark.parametrize(("text", "line", "column", "words"), LARK)
def test_a_caret_stands_under_what_is_wrong_in_a_lark_grammar(
    text: str, line: int, column: int, words: str
) -> None:
    with pytest.raises(GrammarError) as caught:
        Grammar.from_lark(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert words in str(caught.value)
    *_, shown, caret = str(caught.value).split("\n")
    assert len(shown) < 100
    assert shown[caret.index("^") :][:1] == text.split("\n")[line - 1][column - 1]
