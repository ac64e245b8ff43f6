"""Inputs for the fuzzer: what users write, damaged at random, and with its structure kept.

Text is cut, doubled, spliced and nested; JSON is changed as a tree, so that most schemas stay
schemas and reach the compiler behind the first checks.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Mapping
from typing import Any

Json = Any

REGEXES = [
    *("a|b", "[a-z]{2,5}", "^(?:x|y)*$", r"\d{3}-\d{4}", r"\p{L}+\s?", "(?i)straße", "a{0,32767}"),
    *(
        "(?=a)b",
        "(?!ab)[a-c]+",
        "[^\\]a-z\\n]",
        "(a(b(c)?)+)*",
        "\\u00e9|\\x41",
        "日本{2,}|😀",
        ".",
    ),
    *("(?s).*x.*", r"\bfoo\b", "(?<n>a)", "[[:alpha:]]", "a{,3}", "(a*)*b", "(a|aa)+$", "x{2}{3}"),
]
GBNFS = [
    'root ::= "a" | "b" root?',
    'root ::= [a-z]+ ws "x"{2,5}\nws ::= [ \\t\\n]*',
    'root ::= ("a" | item)* # note\nitem ::= "\\u65e5" [^"\\\\] .',
    'root ::= a{0,2000}\na ::= ("x" ("y" | "z")?)+',
    'root ::= expr\nexpr ::= term ("+" term)*\nterm ::= [0-9]+ | "(" expr ")"',
]
LARKS = [
    'start: "a" | "b" start?',
    'start: word (" " word)*\nword: /[a-z]+/ | QUOTED\nQUOTED: "\\"" /[^"]/* "\\""',
    'start: sum\n?sum: NUMBER | sum "+" NUMBER\nNUMBER: "0".."9"+\n%ignore " "',
    '%import common.INT\nstart: INT ("," INT)~1..3 "日本"i\n// a note',
    'start: list{"x", ","}\nlist{item, sep}: item (sep item)*',
]
CHOICES = ['["a", "ab", "日本"]', '["yes", "no"]', json.dumps([f"item {n}" for n in range(300)])]
TEXTS = ["The quick brown fox.", "日本語の文。人工 知能 😀", "a" * 300, "a b " * 60, "\n\t \u2028-"]
STOPS = ["\n\n", "</s>|User:", "日本|。", "aaab|aab|ab", "x"]
SCHEMAS: list[Json] = [
    {"type": "object", "properties": {"a": {"type": "string", "maxLength": 9}}, "required": ["a"]},
    {"type": "array", "items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "number"}}},
    {"anyOf": [{"const": 1}, {"enum": ["a", None, 2.5]}, {"type": "boolean"}]},
    {
        "$ref": "#/$defs/t",
        "$defs": {
            "t": {"type": "object", "properties": {"k": {"items": {"$ref": "#/$defs/t"}}}},
        },
    },
    {"type": "string", "pattern": "^[a-z]+-\\d{1,3}$", "minLength": 3},
    {"type": ["integer", "null"], "minimum": -5, "exclusiveMaximum": 400, "multipleOf": 5},
    {"oneOf": [{"required": ["a"]}, {"required": ["b"]}], "maxProperties": 3},
    {"allOf": [{"minItems": 1}, {"uniqueItems": True}, {"contains": {"type": "null"}}]},
    {"if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["b"]}, "else": False},
    {"patternProperties": {"^x": {"not": {"type": "string"}}}, "additionalProperties": False},
    {"type": "string", "format": "date-time"},
    {"prefixItems": [True, {}], "unevaluatedItems": False, "propertyNames": {"maxLength": 2}},
    {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"b": {"minProperties": 2}}},
]
KEYWORDS: Mapping[str, list[Json]] = {
    "type": ["string", "object", "array", "integer", "number", ["null", "string"], [], "float", 1],
    "enum": [[], [1, 1.0], [{"a": [1]}], "x"],
    "const": [None, 1e400, "é\ud800", {"b": {"a": 1}}, [[]]],
    "minLength": [0, 3, 10**6, -1, 1.0, 10**30],
    "maxLength": [0, 3, 10**6, -1, 2.5],
    "pattern": ["", "(", "^a{1000}$", "(?=x)", "a|b$", "\\", "(a{50}){50}", "[\\w-]+(\\.\\w+)*"],
    "format": ["date", "ipv6", "uri", "regex", "nonsense", 3],
    "minimum": [0, -1.5, 1e308, 10**25, "1", 0.1 + 0.2],
    "maximum": [0, 7, -1e-300, 10**25],
    "exclusiveMinimum": [0, True, 3.25],
    "multipleOf": [0, 1, 7, 0.01, 1e-300, 97, 10**12, -2],
    "items": [True, False, {}, {"type": "string"}, [{}, {}]],
    "prefixItems": [[], [{"type": "null"}] * 3],
    "additionalItems": [False, {"type": "null"}],
    "minItems": [0, 2, 10**4, -1],
    "maxItems": [0, 2, 10**4],
    "uniqueItems": [True, False, 1],
    "contains": [{}, {"type": "integer"}, False],
    "minContains": [0, 2, 500],
    "maxContains": [0, 2],
    "properties": [{}, {"a": {}, "b": {"type": "integer"}}, {"": False}, []],
    "required": [[], ["a"], ["a", "a"], ["zz"], [1], "a"],
    "additionalProperties": [False, True, {"type": "null"}],
    "patternProperties": [{"": {}}, {"^a": {"type": "null"}, "b$": {"type": "string"}}, {"[": {}}],
    "propertyNames": [False, {"pattern": "^a*$"}, {"enum": ["a", "b"]}],
    "minProperties": [0, 2, 300],
    "maxProperties": [0, 2, 300],
    "dependentRequired": [{"a": ["b"], "b": ["c"]}],
    "dependencies": [{"a": ["b"], "b": {"required": ["c"]}}],
    "anyOf": [[], [{}, {"type": "null"}], [False, False]],
    "oneOf": [[{"type": "number"}, {"type": "integer"}], [{}] * 3],
    "allOf": [[{"type": "string"}, {"minLength": 2}], [False]],
    "not": [{}, False, {"type": "object"}, {"const": "a"}, {"not": {"not": {}}}],
    "if": [{"type": "string"}, True],
    "then": [{"maxLength": 1}, False],
    "else": [{"minimum": 3}],
    "$ref": ["#", "#/$defs/n", "#/nowhere", "http://example.com/x", "#/%", 5],
    "$anchor": ["a"],
    "$dynamicRef": ["#a"],
    "$id": ["http://example.com/", "x"],
    "$schema": ["http://json-schema.org/draft-04/schema#", "nonsense"],
    "unevaluatedProperties": [False, {"type": "string"}],
    "unevaluatedItems": [False],
    "nullable": [True],
    "title": ["a title"],
}
SNIPPETS = [
    *"( ) [ ] { } | * + ? . ^ $ \\ \" ' # ::= , : - | & ~ %".split(),
    *("{0,99999}", "(?:", "(?=", "(?!", "\\u{10FFFF}", "\\p{L}", "\x00", "\ud800", "\u2028", "é"),
    *("😀", "\n", "\r\n", "\t", "root", "null", "9" * 30, "[^", "]*", "\\b", "\\1", "(?i)", "{,}"),
]


def make(entry: str, rng: random.Random) -> str:
    """A random input for an entry; text of JSON for those that take values."""
    return _MAKERS[entry](rng)


def _text(seeds: list[str]) -> Callable[[random.Random], str]:
    def made(rng: random.Random) -> str:
        text = rng.choice(seeds)
        for _ in range(rng.choice((1, 1, 2, 3, 6))):
            text = rng.choice(_DAMAGES)(text, rng, seeds)
        return text[:200_000]

    return made


def _span(text: str, rng: random.Random) -> tuple[int, int]:
    start = rng.randint(0, len(text))
    return start, min(len(text), start + rng.choice((1, 1, 2, 4, 16)))


def _cut(text: str, rng: random.Random, seeds: list[str]) -> str:
    start, end = _span(text, rng)
    return text[:start] + text[end:]


def _insert(text: str, rng: random.Random, seeds: list[str]) -> str:
    start, _ = _span(text, rng)
    return text[:start] + rng.choice(SNIPPETS) * rng.choice((1, 1, 1, 2, 40)) + text[start:]


def _double(text: str, rng: random.Random, seeds: list[str]) -> str:
    start, end = _span(text, rng)
    return text[:end] + text[start:end] * rng.choice((1, 3, 50, 2000)) + text[end:]


def _splice(text: str, rng: random.Random, seeds: list[str]) -> str:
    other = rng.choice(seeds)
    return text[: rng.randint(0, len(text))] + other[rng.randint(0, len(other)) :]


def _nest(text: str, rng: random.Random, seeds: list[str]) -> str:
    depth = rng.choice((2, 10, 300, 5000))
    start, end = _span(text, rng)
    left, right = rng.choice((("(", ")"), ("(", ")*"), ("(", ")?"), ("(", ")+"), ("[", "]")))
    return text[:start] + left * depth + text[start:end] + right * depth + text[end:]


def _character(text: str, rng: random.Random, seeds: list[str]) -> str:
    start, end = _span(text, rng)
    return (
        text[:start] + chr(rng.choice((rng.randrange(128), rng.randrange(0x110000)))) + text[end:]
    )


_DAMAGES = (_cut, _insert, _double, _splice, _nest, _character)


def _schema(rng: random.Random) -> str:
    value = copy.deepcopy(rng.choice(SCHEMAS))
    for _ in range(rng.choice((1, 2, 4, 8))):
        value = _changed(value, rng)
    if rng.random() < 0.05:
        for _ in range(rng.choice((20, 200))):
            value = rng.choice(_WRAPS)(value)
    return json.dumps(value)


_WRAPS: tuple[Callable[[Json], Json], ...] = (
    lambda v: {"items": v},
    lambda v: {"properties": {"a": v}, "required": ["a"]},
    lambda v: {"anyOf": [v, {"type": "null"}]},
    lambda v: {"allOf": [v]},
    lambda v: {"not": v},
    lambda v: {"oneOf": [{"type": "boolean"}, v]},
)


def _changed(value: Json, rng: random.Random) -> Json:
    """The tree with one node changed: another keyword, another value, or another seed inside."""
    places = [(None, None), *_places(value)]
    holder, key = rng.choice(places)
    node = value if holder is None else holder[key]
    if isinstance(node, dict) and rng.random() < 0.8:
        keyword = rng.choice(list(KEYWORDS))
        node[keyword] = copy.deepcopy(rng.choice(KEYWORDS[keyword]))
        return value
    new = copy.deepcopy(rng.choice([*SCHEMAS, True, None, [], 10**20, "x", -1.5]))
    if rng.random() < 0.3:
        new = rng.choice(_WRAPS)(node)
    if holder is None:
        return new
    holder[key] = new
    return value


def _places(value: Json) -> list[tuple[Any, Any]]:
    """Every (container, key or index) in the tree."""
    if not isinstance(value, (dict, list)):
        return []
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    here: list[tuple[Any, Any]] = [(value, key) for key in keys]
    return here + [place for key in keys for place in _places(value[key])]


def _choices(rng: random.Random) -> str:
    words: list[Json] = json.loads(rng.choice(CHOICES))
    seeds = ["", "a", "日本", *words[:5]]
    for _ in range(rng.choice((1, 3))):
        word = _text(seeds)(rng)
        words.insert(rng.randint(0, len(words)), rng.choice((word, word, word[:99] * 50, "", None)))
    return json.dumps(words)


_MAKERS: Mapping[str, Callable[[random.Random], str]] = {
    "regex": _text(REGEXES),
    "schema": _schema,
    "gbnf": _text(GBNFS),
    "lark": _text(LARKS),
    "choices": _choices,
    "substring": _text(TEXTS),
    "stop": lambda rng: _text(STOPS)(rng)[:2000],
    "stop_regex": lambda rng: _text(REGEXES)(rng)[:2000],
}

ENTRIES = tuple(_MAKERS)
"""The names of the functions in `entries.py`."""
