"""GBNF printed from IR means the same to this parser and to llama.cpp, within its limits."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.automaton.reference import matches, matches_prefix
from treegram.lang.errors import GrammarError
from treegram.lang.gbnf.lowering import lower
from treegram.lang.gbnf.parser import MAX_CHARACTERS, MISTAKES, gbnf_to_rules
from treegram.lang.gbnf.printer import rules_to_gbnf
from treegram.lang.grammar import Grammar
from treegram.lang.ir.beginnings import nullable
from treegram.lang.ir.check import check
from treegram.lang.ir.nodes import (
    EMPTY,
    NEVER,
    Alt,
    CharClass,
    ControlToken,
    Literal,
    Node,
    Ref,
    Repeat,
    Rules,
    Seq,
)
from treegram.lang.ir.walk import walk
from treegram.lang.regex.sets import ANY, complement, union
from treegram.runtime.llama import LlamaModel
from treegram.runtime.llama_grammar import LlamaGrammarFactory
from treegram.runtime.spelling import Speller

A, B = Literal("a"), Literal("b")
SPECIAL = '"\\]-^[\n\t\r\x00\x7f é\u0301\u2028😀.#|()a'
LEAVES: st.SearchStrategy[Node] = st.sampled_from(
    [
        *(A, B, EMPTY, NEVER, Literal("ab"), CharClass(union([(97, 98)])), CharClass(())),
        *(Ref("maybe"), Ref("list"), Ref("pair"), Ref("endless")),
    ]
)


def _compound(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    many = st.lists(inner, max_size=3).map(tuple)
    counts = st.sampled_from([(0, None), (1, None), (0, 1), (2, 2), (0, 3), (2, None), (0, 0)])
    return st.one_of(
        many.map(Seq),
        many.map(Alt),
        st.tuples(inner, counts).map(lambda pair: Repeat(pair[0], *pair[1])),
    )


NODES = st.recursive(LEAVES, _compound, max_leaves=10)


def with_rules(root: Node) -> Rules:
    return Rules(
        "start",
        {
            "start": root,
            "root": Seq((Literal("r"), Ref("maybe"))),
            "maybe": Alt((EMPTY, B, Seq((A, Ref("maybe"))))),
            "list": Seq((Repeat(A, 0, 2), Repeat(Ref("maybe"), 0, None))),
            "pair": Alt((Seq((Literal("("), Ref("pair"), Literal(")"))), EMPTY)),
            "endless": Seq((A, Ref("endless"))),
        },
    )


def valid(rules: Rules) -> bool:
    try:
        check(rules)
    except GrammarError:
        return False
    return True


GRAMMARS = NODES.map(with_rules).filter(valid)
TEXTS = st.lists(st.text("ab()", max_size=5), max_size=10)


@settings(max_examples=300)
@given(GRAMMARS, TEXTS)
def test_lowering_and_printing_keep_the_language(rules: Rules, texts: list[str]) -> None:
    lowered = lower(rules)
    parsed = gbnf_to_rules(rules_to_gbnf(rules))
    for text in texts:
        expected = matches(rules, text), matches_prefix(rules, text)
        assert (matches(lowered, text), matches_prefix(lowered, text)) == expected
        assert (matches(parsed, text), matches_prefix(parsed, text)) == expected


@given(GRAMMARS)
def test_lowered_repetitions_always_consume_and_nothing_is_dead(rules: Rules) -> None:
    lowered = lower(rules)
    check(lowered)
    names = frozenset(name for name in lowered.rules if matches(Rules(name, lowered.rules), ""))
    for body in lowered.rules.values():
        for node, _ in walk(body):
            assert node not in (NEVER, CharClass(()))
            assert not (isinstance(node, Repeat) and nullable(node.item, names))


@given(st.text(SPECIAL, min_size=1).map(lambda text: text.replace("\0", "")))
def test_every_text_survives_printing(text: str) -> None:
    rules = Rules("root", {"root": Literal(text)})
    assert gbnf_to_rules(rules_to_gbnf(rules)) == rules


@given(st.sets(st.sampled_from(SPECIAL), min_size=1), st.booleans())
def test_every_class_survives_printing(chars: set[str], negated: bool) -> None:
    inside = union((ord(char), ord(char)) for char in chars)
    node = CharClass(complement(inside) if negated else inside)
    if node == CharClass(((0, 0),)):
        return
    rules = Rules("root", {"root": node})
    assert gbnf_to_rules(rules_to_gbnf(rules)) == rules


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (Literal('say "hi"\\\n'), r'"say \"hi\"\\\n"'),
        (EMPTY, '""'),
        (CharClass(ANY), "."),
        (CharClass(complement(union([(34, 34), (92, 92)]))), r'[^"\\]'),
        (CharClass(complement(union([(0xE9, 0xE9)]))), r"[\x00-èê-\uD7FF\uE000-\U0010FFFF]"),
        (CharClass(union([(45, 45), (93, 94)])), r"[\-\]\x5E]"),
        (Repeat(A, 0, 2000), '"a"{0,2000}'),
        (Seq((Repeat(A, 0, 1),) * 20), '"a"{0,20}'),
        (Seq((Repeat(A, 1, 2), Repeat(A, 2, None))), '"a"{3,}'),
        (Seq((Repeat(A, 2, 2), Repeat(A, 3, 4))), '"a"{5,6}'),
        (Repeat(Repeat(A, 0, None), 0, None), '"a"*'),
        (Repeat(Seq((Repeat(A, 0, 1), Repeat(B, 0, 1))), 0, 10), '("a" "b"? | "b"){0,10}'),
        (Seq((Alt((A, B)), A)), '("a" | "b") "a"'),
        (Alt((A, EMPTY, NEVER)), '"a"?'),
    ],
)
def test_what_is_printed(node: Node, text: str) -> None:
    assert rules_to_gbnf(Rules("root", {"root": node})) == f"root ::= {text}\n"


@settings(max_examples=30)
@given(st.sets(st.text("abc", max_size=4), min_size=17, max_size=60), st.text("abcd", max_size=5))
def test_long_lists_of_texts_become_trees(words: set[str], other: str) -> None:
    others = (Seq((Literal("d"), Ref("r"))), Seq((Repeat(A, 5, None), B)))
    body = Alt((*others, *map(Literal, sorted(words))))
    lowered = lower(Rules("r", {"r": body, "rest": A}))
    for text in (*words, other, "d", "da", "aaaaab"):
        assert matches(lowered, text) == matches(Rules("r", {"r": body}), text)
    for node, _ in walk(lowered.rules["r"]):
        options = node.options if isinstance(node, Alt) else ()
        firsts = [option.text[0] for option in options if isinstance(option, Literal)]
        assert len(firsts) == len(set(firsts))


def test_a_deep_list_of_texts_is_split_into_rules() -> None:
    words = ["a" * length for length in range(1, 400)]
    text = rules_to_gbnf(Rules("root", {"root": Alt(tuple(map(Literal, words)))}))
    parsed = Grammar.from_gbnf(text)
    assert parsed.accepts("a" * 399)
    assert not parsed.accepts("a" * 400)


def test_the_start_rule_comes_first_and_is_called_root() -> None:
    rules = Rules("x", {"root": A, "unused": B, "x": Seq((Ref("y"), Ref("root"))), "y": B})
    assert rules_to_gbnf(rules) == 'root ::= y root-2\ny ::= "b"\nroot-2 ::= "a"\n'


def test_deep_groups_become_rules() -> None:
    node: Node = A
    for _ in range(60):
        node = Repeat(Alt((node, B)), 1, 3)
    text = rules_to_gbnf(Rules("root", {"root": node}))
    assert max(line.count("(") for line in text.splitlines()) <= 5
    assert max(int(n) for n in re.findall(r"root-(\d+) ::=", text)) > 5
    assert matches(gbnf_to_rules(text), "ab")


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (Repeat(A, 0, 5_000_000), "and llama.cpp takes bounds up to 2,000"),
        (Repeat(A, 5_000_000, None), "and llama.cpp takes bounds up to 2,000"),
        (Literal("a\0"), "NUL"),
        (CharClass(((0, 0),)), "NUL"),
        (Seq((Repeat(A, 0, 1), Repeat(B, 0, 1)) * 501), "parts that may all be empty"),
    ],
)
def test_what_llama_cpp_cannot_run_is_refused(node: Node, message: str) -> None:
    with pytest.raises(GrammarError, match=re.escape(message)):
        rules_to_gbnf(Rules("root", {"root": node}))


CALCULATOR = r"""
# what a calculator takes
root  ::= Expr "\n"?   # a line
Expr  ::= 1term ([-+*/] 1term)*
1term ::= num | "(" ws
  Expr ws ")"
num   ::= [0-9]{1,3} ("." [^a-z\x00-/:-\U0010FFFF]+)? | "\u03C0" |
  "\"\\" .
ws    ::= | " " ws
"""


def test_the_syntax_of_gbnf() -> None:
    rules = gbnf_to_rules(CALCULATOR)
    assert set(rules.rules) == {"root", "expr", "r1term", "num", "ws"}
    for text in ["1", "12+3\n", "(  7*1.25 )", "π", '"\\😀-"\\\n', "(1)/(2)"]:
        assert matches(rules, text), text
    for text in ["", "1234", "1.", "1.a", "(1", "p", "1 ", "\n"]:
        assert not matches(rules, text), text


def test_names_that_differ_only_by_case_stay_apart() -> None:
    rules = gbnf_to_rules('root ::= Ws WS ws\nWs ::= "1"\nws ::= "2"\nWS ::= "3"')
    assert matches(rules, "132")


def test_counts_are_exact_where_llama_cpp_drops_them() -> None:
    assert gbnf_to_rules('root ::= "a"{0,3000}').rules["root"] == Repeat(A, 0, 3000)


MALFORMED = [
    ('root ::= "a', 1, 10, MISTAKES['"']),
    ("root ::= [a", 1, 10, MISTAKES["["]),
    ('root ::= "a"{,3}', 1, 13, MISTAKES["{"]),
    ("root ::= 'a'", 1, 10, MISTAKES["'"]),
    ("root ::= a_b", 1, 11, MISTAKES["_"]),
    ('root = "a"', 1, 1, MISTAKES["NAME"]),
    ('root ::= "a"\nb := "b"', 2, 3, MISTAKES[":"]),
    ('root ::= "a"\nb = "b"', 2, 3, MISTAKES["="]),
    ("root ::= /a+/", 1, 10, MISTAKES["/"]),
    ("root ::= ]", 1, 10, MISTAKES["]"]),
    ("root ::= }", 1, 10, MISTAKES["}"]),
    ("root ::= <think", 1, 10, MISTAKES["<"]),
    ('root ::= "a")', 1, 13, MISTAKES["RPAR"]),
    ("root ::= *", 1, 10, MISTAKES["QUANTIFIER"]),
    ('root ::= ("a"\nb ::= "b"', 2, 1, MISTAKES["RULE_HEAD"]),
    ('root ::= ("a"', 1, 14, MISTAKES["$END"]),
    ("", 1, 1, MISTAKES["$END"]),
    ("# nothing", 1, 10, MISTAKES["$END"]),
    ('root ::= "a" "\\q"', 1, 15, "unknown escape \\q"),
    ('root ::= "a\nb\\q"', 2, 2, "unknown escape \\q"),
    ('root ::= "\\uD800"', 1, 11, "no Unicode character"),
    ('root ::= "\\U00110000"', 1, 11, "no Unicode character"),
    ("root ::= []", 1, 10, "an empty class"),
    ("root ::= [^]", 1, 10, "an empty class"),
    ("root ::= [z-a]", 1, 11, "runs backwards"),
    ('root ::= "a"{3,1}', 1, 13, "run backwards"),
    ('root ::= "a"{1000001}', 1, 13, "repetitions"),
    ("root ::= !<think>", 1, 10, "write !<think>* or !<think>+"),
    ('root ::= ("a"\n  !<[1000]>{2,9})', 2, 3, "write !<[1000]>* or !<[1000]>+"),
    ('root ::= (!<a> | "b")*', 1, 11, "how a text is cut into tokens is the model's own"),
    ("root ::= <[x]>", 1, 10, "its number, as in <[12]>"),
    ("root ::= <>", 1, 10, "the text of a control token"),
    ("root ::= !", 1, 10, "as in !<think>*"),
    ('\ufeffroot ::= "a"', 1, 1, "byte order mark"),
    ('root ::= "a" b', 1, 14, "uses 'b', which is not defined"),
    ('root ::= "a"\nroot ::= "b"', 2, 1, "already defined in line 1"),
    ('root ::= "a" | b\nb ::= "b" b', 2, 1, "can never end"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), MALFORMED)
def test_malformed_gbnf_is_refused_with_its_place(
    text: str, line: int, column: int, message: str
) -> None:
    with pytest.raises(GrammarError) as caught:
        gbnf_to_rules(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        'start ::= "a"',
        "root ::= " + "(" * 20_000 + '"a"' + ")*" * 20_000,
        'root ::= root "a" | "b"',
        'root ::= "a"' + " " * MAX_CHARACTERS,
    ],
)
def test_grammars_without_a_usable_start_are_refused(text: str) -> None:
    with pytest.raises(GrammarError):
        gbnf_to_rules(text)


@pytest.mark.model
@pytest.mark.parametrize(
    ("grammar", "yes", "no"),
    [
        (Grammar.from_regex(r"((a*)*b?)*c"), ["c", "aabac"], ["", "ca", "d"]),
        (Grammar.from_regex(r"(a?b?c?){0,10}x"), ["x", "abcabcx", "cbax"], ["xx", "dx"]),
        (Grammar.from_regex("(?:(?:a{1,50}b|c)d){0,50}e"), ["aabdcde", "e"], ["aade"]),
        (Grammar.from_regex('[0-9]{3}-[^\\-\\]\\[^"\\\\é]{0,2000}'), ["123-ab", "123-"], ["123-]"]),
        (Grammar.from_regex(""), [""], ["a"]),
        (Grammar.from_choices(["New York", "Newark", "news\n\t\"'\\"]), ["Newark"], ["New", "N"]),
        (Grammar.from_choices(["a" * n for n in range(1, 80)]), ["a", "a" * 79], ["", "b"]),
        (Grammar.from_gbnf(CALCULATOR), ["(1+2)*3.14\n", "π"], ["1+", "(1"]),
    ],
)
def test_llama_cpp_loads_what_is_printed_and_agrees(
    vocabulary_model: LlamaModel, speller: Speller, grammar: Grammar, yes: list[str], no: list[str]
) -> None:
    factory = LlamaGrammarFactory(grammar, vocabulary_model, speller)
    pieces = vocabulary_model.vocabulary.pieces
    byte_tokens = {piece: token for token, piece in enumerate(pieces) if len(piece) == 1}

    def accepted(text: str) -> bool:
        matcher = factory.start()
        for byte in text.encode():
            token = byte_tokens[bytes([byte])]
            if not matcher.allows(token):
                return False
            matcher.advance(token)
        return matcher.allows(factory.eog)

    assert [text for text in yes if not accepted(text)] == []
    assert [text for text in no if accepted(text)] == []
    assert [text for text in yes if not grammar.accepts(text)] == []


def test_every_error_with_a_place_has_a_caret_under_it() -> None:
    for text, line, column, _ in MALFORMED:
        with pytest.raises(GrammarError) as caught:
            gbnf_to_rules(text)
        *_, shown, caret = str(caught.value).split("\n")
        assert shown == f"  {text.split(chr(10))[line - 1]}"
        assert caret == " " * (column + 1) + "^"


def test_a_long_line_is_cut_around_the_caret() -> None:
    with pytest.raises(GrammarError) as caught:
        gbnf_to_rules('root ::= "é" ' + '"a" ' * 5000 + "'b'" + ' "a"' * 5000)
    _, shown, caret = str(caught.value).split("\n")
    assert len(shown) < 100
    assert shown[caret.index("^") :].startswith("'b' \"a\"")


def test_another_spelling_of_root_is_pointed_out() -> None:
    with pytest.raises(GrammarError, match="rename 'Root'"):
        gbnf_to_rules('Root ::= "a"')


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("root ::= <think> !</think>* </think>", None),
        ('root ::= (!<[7]>)+ <[7]> "a"', 'root ::= !<[7]>+ <[7]> "a"\n'),
        ("root ::= !<a>* <b>", "root ::= (. | <b>)* <b>\n"),
        ("root ::= !<a>* <a> .* <a>", "root ::= !<a>* <a> !<a>* <a>\n"),
        ('root ::= free <a>\nfree ::= !<a>{0,} "."', 'root ::= free <a>\nfree ::= .* "."\n'),
    ],
)
def test_all_tokens_but_one_are_text_and_the_other_control_tokens(
    text: str, printed: str | None
) -> None:
    grammar = Grammar.from_gbnf(text)
    assert grammar.to_gbnf() == (f"{text}\n" if printed is None else printed)
    assert Grammar.from_gbnf(grammar.to_gbnf()) == grammar


def test_a_text_has_control_tokens_as_they_are_written() -> None:
    grammar = Grammar.from_gbnf('root ::= <think> !</think>* </think> <[12]>? "yes"')
    assert grammar.accepts("<think>so</think>yes")
    assert grammar.accepts("<think></think><[12]>yes")
    assert not grammar.accepts("so</think>yes")


def test_a_control_token_that_gbnf_cannot_write_is_refused() -> None:
    grammar = Grammar(Rules("root", {"root": ControlToken("[INST]")}))
    with pytest.raises(GrammarError, match=r"'\[INST\]'; GBNF takes <...>"):
        grammar.to_gbnf()
    optional = Grammar(Rules("root", {"root": ControlToken("[INST]", optional=True)}))
    assert optional.to_gbnf() == 'root ::= "[INST]"\n'
