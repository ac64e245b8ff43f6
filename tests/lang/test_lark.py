"""A Lark grammar has the texts that Lark's Earley parser takes, or is refused with its place."""

from __future__ import annotations

import random
import re

import pytest
from lark import Lark, UnexpectedInput

from treegram.lang.automaton.reference import matches
from treegram.lang.errors import GrammarError
from treegram.lang.ir.random_text import random_text
from treegram.lang.lark_grammar.parser import lark_to_rules
from treegram.lang.lark_grammar.syntax import MAX_CHARACTERS, MISTAKES

GRAMMARS: dict[str, str] = {
    "calculator": r"""
        // left recursion, inlined rules, aliases, imports, ignored blanks
        ?start: sum
              | NAME "=" sum    -> assign
        ?sum: product | sum "+" product -> add | sum "-" product -> sub
        ?product: atom | product ("*" | "/") atom
        ?atom: NUMBER -> number | "-" atom -> neg | NAME -> var | "(" sum ")"
        NAME: /[a-z]\w*/
        %import common.NUMBER
        %import common.WS_INLINE
        %ignore WS_INLINE
        """,
    "json": r"""
        ?value: object | array | string | SIGNED_NUMBER | "true" | "false" | "null"
        start: value
        array: "[" [value ("," value)*] "]"
        object: "{" [pair ("," pair)*] "}"
        pair: string ":" value
        string: ESCAPED_STRING
        %import common (ESCAPED_STRING, SIGNED_NUMBER)
        %import common.WS
        %ignore WS
        """,
    "operators": r"""
        start: "a"~2 B~1..3 ["c"] ("d" | )+ E? f*
        B: "b"
        E: "x".."z" ~ 2
        f: /[0-3]/ "!"
        """,
    "case and flags": r"""
        start: "Ab"i /c d/x /e.f/is | /^g$/m
        """,
    "templates": r"""
        start: _list{word, ","} ";" _list{"x", _pair{"-", "+"}}
        _list{item, sep}: item (sep item)*
        _pair{a, b}: a b
        word: /[a-c]+/
        """,
    "terminals": r"""
        start: T | U.1 | _V
        T.2: A | "q" A+
        A: "a" | /b+/ | ("c" "d")~2
        U: ["+" | "-"] /\d/
        _V: /(?<!v)w/ | /x(?=y)/ "y"
        """.replace("U.1", "U"),
    "ignored comments": r"""
        start: "a" start | "b"
        COMMENT: /#[^\n]*/ "\n"
        %ignore COMMENT
        %ignore " "
        """,
    "recursion in the middle": r"""
        start: start "x" start | "(" start ")" | e
        e: | e "y"
        """,
    "escapes": r"""
        start: "\"\\\n\t\u00e9\x41" /\/\u00e9\n\x41/ "\q" "/"
        """,
    "comments": r"""
        start: C_COMMENT | CPP_COMMENT | SQL_COMMENT
        %import common.C_COMMENT
        %import common (CPP_COMMENT, SQL_COMMENT)
        """,
    "renamed": r"""
        start: num (SEP num)*
        num: N
        SEP: N "_"
        %import common.INT -> N
        """,
}


@pytest.mark.parametrize("name", GRAMMARS)
def test_the_texts_are_those_that_lark_parses(name: str) -> None:
    text = GRAMMARS[name]
    rules = lark_to_rules(text)
    parser = Lark(text, parser="earley", lexer="dynamic_complete")

    def parses(candidate: str) -> bool:
        try:
            parser.parse(candidate)
        except UnexpectedInput:
            return False
        return True

    rng = random.Random(name)
    texts = {random_text(rules, rng, max_depth=5) for _ in range(40)}
    short = sorted(text for text in texts if len(text) < 25)[:20]
    assert short
    for candidate in short:
        assert parses(candidate), candidate
        for _ in range(4):
            at = rng.randrange(len(candidate) + 1)
            other = candidate[:at] + rng.choice(["", *candidate[:9]]) + candidate[at + 1 :]
            assert matches(rules, other) == parses(other), other


def test_a_string_ends_at_its_first_quote() -> None:
    """Lark's lexer stops there, which its expression alone does not say."""
    rules = lark_to_rules("start: ESCAPED_STRING\n%import common.ESCAPED_STRING")
    for text in ['""', '"a"', r'"a\"b"', r'"\\"', '"é😀"']:
        assert matches(rules, text), text
    for text in ['"', '"a"b"', r'"\"', '"\n"', '"\\\n"']:
        assert not matches(rules, text), text


def test_another_rule_can_be_the_start() -> None:
    rules = lark_to_rules('a: "x" b\nb: "y"', start="b")
    assert matches(rules, "y")


def test_names_are_respelled_and_stay_apart() -> None:
    rules = lark_to_rules('start: _a a A_B a_b\n_a: "1"\na: "2"\nA_B: "3"\na_b: "4"')
    assert matches(rules, "1234")
    assert all(re.fullmatch("[a-z][a-z0-9-]*", name) for name in rules.rules)


REFUSED = [
    ("start: 'a'", 1, 8, MISTAKES["'"]),
    ('start: "a', 1, 8, MISTAKES['"']),
    ("start: /a", 1, 8, MISTAKES["/"]),
    ('start = "a"', 1, 7, MISTAKES["="]),
    ('start: "a")', 1, 11, MISTAKES["RPAR"]),
    ('start: ("a"', 1, 12, MISTAKES["$END"]),
    ("start: *", 1, 8, MISTAKES["OP"]),
    ("start: <think>", 1, 8, MISTAKES["<"]),
    ('start: "a" b', 1, 12, "start uses b, which is not defined"),
    ('start: "a"\nstart: "b"', 2, 1, "start is already defined in line 1"),
    ("a: B\nB: /b/\n", None, None, "no rule 'start'"),
    ("start: B\nB: C\nC: B", 3, 4, "the terminal B uses itself"),
    ('start: B\nb: "x"\nB: b', 3, 4, "a terminal uses b, which is a rule"),
    ("start: B\nB: C", 2, 4, "B uses C, which is not defined"),
    ("start: B\nB: /a*/", 2, 1, "matches the empty text, which Lark forbids"),
    ('start: ""', 1, 8, "matches the empty text"),
    (r"start: /(a)\1/", 1, 12, "the terminal /(a)\\1/"),
    ("start: /[/", 1, 9, "the terminal /[/"),
    ("start: /a/l", 1, 8, "the flag 'l'"),
    (r'start: "a" "\ud800"', 1, 12, "no Unicode character"),
    (r'start: "\U00110000"', 1, 8, "no Unicode character"),
    ('start: "b".."a"', 1, 8, "the range"),
    ('start: "a"~3..1', 1, 12, "3..1 repetitions"),
    ('start: "a"~1234567890', 1, 12, "more repetitions than are supported"),
    ("%declare A\nstart: A", 1, 10, "%declare is not supported"),
    ('%override a: "x"\nstart: a', 1, 11, "%override is not supported"),
    ("%import python.NAME\nstart: NAME", 1, 16, "only terminals of `common`"),
    ("%import common.NAMES\nstart: NAMES", 1, 16, "`common` has no terminal NAMES"),
    ('start: _l{"a"}\n_l{x, y}: x y', 1, 8, "used with 1 arguments and defined with 2"),
    ("start: _l\n_l{x}: x", 1, 8, "used with 0 arguments and defined with 1"),
    ('start: t{"a"}\nt{x}: "b" t{_p{x}} | x\n_p{y}: y "c"', 2, 13, "with ever longer ones"),
    ("start: " + '("b" ' * 20_000 + '"a"' + ")" * 20_000, 1, 894, "nested more than"),
    ("start: start", None, None, "matches no text at all"),
    ("start: " + '"a" ' * (MAX_CHARACTERS // 4), None, None, "more than 200,000 characters"),
    ("", None, None, "no rule 'start'"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), REFUSED)
def test_what_is_no_grammar_is_refused_with_its_place(
    text: str, line: int | None, column: int | None, message: str
) -> None:
    with pytest.raises(GrammarError) as caught:
        lark_to_rules(text)
    assert message in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)
