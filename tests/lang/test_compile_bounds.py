"""Hostile constraints compile, or fail with a documented error, within a time and a memory.

Each kind runs in an interpreter of its own, because what this guards against is a crash, a hang or
all of the machine's memory. This file is also that interpreter's script.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import pytest

from treegram.lang.compiler.cache_folder import LOCATION_VARIABLE
from treegram.lang.errors import ConstraintError, ParameterError, SchemaError
from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.compile import compile_schema

LIMIT_S = 5.0
LONGEST_MESSAGE = 1_500
MEMORY_BYTES = 4 << 30


def nested(opening: str, middle: str, closing: str, depth: int) -> str:
    return opening * depth + middle + closing * depth


def schema_chain(link: Callable[[Any], Any], depth: int) -> Any:
    schema: Any = {"type": "integer"}
    for _ in range(depth):
        schema = link(schema)
    return schema


def any_of_each(*values: Any) -> list[Any]:
    return [{"properties": {f"p{n}": {"const": value}}} for n in range(2) for value in values]


WORDS = ["".join(letters) for letters in product("abcdefghij", repeat=5)]

REGEXES = {
    "deep groups": nested("(", "a", ")", 100_000),
    "deep but legal groups": nested("(?:", "a", ")", 150),
    "tower of stars": nested("(", "a*", ")*", 150),
    "tower of counts": nested("(", "a{9}", "){9}", 30),
    "tower of optional counts": nested("(", "a{0,99}b?", "){0,99}", 8),
    "large count": "a{1000000}",
    "count beyond any": "a{" + "9" * 5_000 + "}",
    "long literal": "a" * 1_000_000,
    "many words": "|".join(WORDS),
    "words of one letter": "|".join("a" * n for n in range(1, 2_000)),
    "large class": "[" + "".join(map(chr, range(0x4E00, 0x9FFF))) + "]{1,99}",
    "complement of everything": "[^\\s\\S]",
    "the n-th letter from the end, looked ahead": "(?=(a|b)*a(a|b){24}$)(a|b)*",
    "the n-th letter from the end, refused": "(?!(a|b)*a(a|b){24}$)(a|b)*",
    "many lookaheads": "".join(f"(?=.*{chr(97 + n)})" for n in range(26)) + ".*",
    "lookaheads of counts": "".join(f"(?=(.{{{n}}})*$)" for n in (7, 11, 13)) + ".*",
    "folded class": "(?i)[\\w]{1,500}",
}
CHOICES = {
    "many": [f"choice {n}" for n in range(200_000)],
    "long": [letter * 300_000 for letter in "ab"],
    "each a prefix of the next": ["a" * n for n in range(1, 3_000)],
    "Unicode": [chr(n) * 3 for n in range(0x4E00, 0x9FFF)],
}
GBNFS = {
    "deep groups": "root ::= " + nested("(", '"a"', ")", 100_000),
    "deep but legal groups": "root ::= " + nested("(", '"a"', ")", 150),
    "many optionals": "root ::= " + '"a"? ' * 5_000,
    "tower of stars": "root ::= " + nested("(", '"a"', ")*", 150),
    "doubling rules": "".join(f'r{n} ::= r{n + 1} r{n + 1} | "x"\n' for n in range(60))
    + 'r60 ::= "y"\nroot ::= r0',
    "left recursion": 'root ::= a "x"\n' + "".join(f"{c} ::= a | root\n" for c in "a"),
    "long literal": 'root ::= "' + "a" * 1_000_000 + '"',
    "large count": 'root ::= ("a" | "b"){1000000}',
    "tower of counts": "root ::= " + nested("(", '"a"', "){999}", 20),
    "many rules": "root ::= r0\n" + "".join(f'r{n} ::= "a" r{n + 1}\n' for n in range(50_000))
    + 'r50000 ::= "z"',
}  # fmt: skip
SCHEMAS = {
    "deep items": schema_chain(lambda inner: {"items": inner}, 400),
    "deep properties": schema_chain(lambda inner: {"properties": {"a": inner}}, 400),
    "deep not": schema_chain(lambda inner: {"not": inner}, 400),
    "deep allOf": schema_chain(lambda inner: {"allOf": [inner]}, 400),
    "doubling allOf": schema_chain(lambda inner: {"allOf": [inner, inner]}, 16),
    "doubling anyOf": schema_chain(lambda inner: {"anyOf": [inner, {"items": inner}]}, 14),
    "product of anyOf": {"allOf": [{"anyOf": any_of_each(n, n + 1)} for n in range(20)]},
    "product of anyOf over many keys": {
        "allOf": [
            {"anyOf": [{"required": [f"a{n}"]}, {"required": [f"b{n}"]}]} for n in range(20)
        ]
    },
    "overlapping oneOf": {"oneOf": [{"required": [f"k{n}"]} for n in range(30)]},
    "oneOf of numbers": {"oneOf": [{"multipleOf": n} for n in range(2, 30)]},
    "oneOf of patterns": {
        "type": "string", "oneOf": [{"pattern": f"^.*{c}.*$"} for c in "abcdefgh"]
    },
    "not of anyOf": {"not": {"anyOf": [{"required": [f"k{n}"]} for n in range(25)]}},
    "conditions": {
        "allOf": [
            {
                "if": {"properties": {f"k{n}": {"const": 1}}},
                "then": {"required": [f"t{n}"]},
                "else": {"required": [f"e{n}"]},
            }
            for n in range(25)
        ]
    },
    "many values": {"enum": [f"value {n}" for n in range(200_000)]},
    "many objects": {"enum": [{"n": n, "m": [n]} for n in range(3_000)]},
    "many properties": {"properties": {f"p{n}": {"type": "string"} for n in range(20_000)}},
    "many properties, some required": {
        "type": "object",
        "properties": {f"p{n}": {"type": "string"} for n in range(3_000)},
        "required": [f"p{n}" for n in range(0, 3_000, 3)],
        "minProperties": 1_500,
    },
    "overlapping patternProperties": {
        "patternProperties": {f"{c}.*{d}": {"minLength": 1} for c in "abc" for d in "xyz"}
    },
    "references in a circle": {"$ref": "#/$defs/a", "$defs": {
        "a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    "doubling references": {"$ref": "#/$defs/d0", "$defs": {
        **{f"d{n}": {"allOf": 2 * [{"$ref": f"#/$defs/d{n + 1}"}]} for n in range(60)},
        "d60": {"type": "null"}}},
    "a reference that doubles itself": {
        "anyOf": [{"type": "null"}, {"items": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}]},
    "negated by itself": {"not": {"items": {"$ref": "#"}}},
    "large bounds": {
        "items": {"type": "string", "minLength": 10**9}, "minItems": 10**9, "maxItems": 10**12},
    "unique items": {
        "type": "array", "uniqueItems": True, "minItems": 10**6, "items": {"type": "integer"}},
    "unique items that run out": {
        "type": "array", "uniqueItems": True, "minItems": 50, "items": {"enum": list(range(49))}},
    "contains": {
        "type": "array", "contains": {"const": 1}, "minContains": 500, "maxContains": 10**6},
    "several contains": {
        "type": "array",
        "allOf": [{"contains": {"const": n}, "minContains": 3} for n in range(8)]},
    "numbers": {"multipleOf": 1e-300, "minimum": -1.5e308, "exclusiveMaximum": 1e308},
    "coprime numbers": {"allOf": [
        {"type": "integer", "multipleOf": n} for n in (999_983, 999_979, 999_961)]},
    "long integers": {"type": "integer", "minimum": -(10**4_000), "maximum": 10**4_000},
    "pattern of counts": {"type": "string", "pattern": "^(a{0,200}b{0,200}){0,200}$"},
    "patterns together": {"type": "string", "allOf": [
        {"pattern": f"^(.{{{n}}})*$"} for n in (7, 11, 13, 17, 19, 23)]},
    "not a pattern": {"type": "string", "not": {"pattern": "(a|b)*a(a|b){24}$"}},
    "pattern and length": {"type": "string", "pattern": "^.*x.*y.*$", "maxLength": 32_767},
    "format and pattern": {"type": "string", "format": "email", "pattern": "(com|org)$",
        "minLength": 100},
    "dependencies": {"dependentSchemas": {
        f"k{n}": {"required": [f"k{n + 1}"], "maxProperties": 40 - n} for n in range(30)}},
    "unevaluated": {
        "anyOf": [{"properties": {f"k{n}": {"type": "null"}}} for n in range(12)],
        "unevaluatedProperties": False},
}  # fmt: skip
TEXT = {"type": "string"}
LARGE_SCHEMAS: dict[str, Any] = {
    "oneOf of 40 patterns": {
        "oneOf": [TEXT | {"pattern": f"^a{{{n}}}[a-z]*{n}$"} for n in range(40)]},
    "oneOf of 40 patterns of a property": {
        "oneOf": [
            {"properties": {"a": TEXT | {"pattern": f"x{n}.*y"}}, "required": ["a"]}
            for n in range(40)]},
    "oneOf of 300 tagged objects": {
        "oneOf": [
            {"properties": {"t": {"const": n}}, "required": ["t"]} for n in range(300)]},
    "oneOf of 100 overlapping lists": {
        "oneOf": [{"enum": list(range(n, n + 500))} for n in range(100)]},
    "60 patternProperties apart": {
        "type": "object", "additionalProperties": False,
        "patternProperties": {f"^p{n}_": {"minLength": n} for n in range(60)}},
    "60 overlapping patternProperties": {
        "patternProperties": {
            f"{chr(97 + n % 26)}.*{n}": {"minLength": n} for n in range(60)}},
    "20,000 objects": {"enum": [{"n": n} for n in range(20_000)]},
    "50,000 objects": {"enum": [{"n": n, "m": [n]} for n in range(50_000)]},
    "50,000 numbers": {"enum": list(range(50_000))},
    "not one of 3,000 objects": {"not": {"enum": [{"n": n} for n in range(3_000)]}},
    "not one of 20,000 numbers": {"type": "number", "not": {"enum": list(range(20_000))}},
    "long texts": {"enum": [letter * 100_000 for letter in "abcdefghij"]},
    "10,000 properties": {"properties": {f"p{n}": TEXT for n in range(10_000)}},
    "3,000 properties of their own": {
        "properties": {f"p{n}": TEXT | {"maxLength": n} for n in range(3_000)}},
    "2,000 levels": schema_chain(lambda inner: {"properties": {"a": inner}}, 2_000),
    "2,000 levels of references": {"$ref": "#/$defs/d0", "$defs": {
        f"d{n}": {"properties": {"a": {"$ref": f"#/$defs/d{(n + 1) % 2_000}"}}}
        for n in range(2_000)}},
    "a chain of 2,000 allOf": {"$ref": "#/$defs/d0", "$defs": {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{(n + 1) % 2_000}"}]} for n in range(2_000)}},
    "a circle through anyOf": {"$ref": "#/$defs/a", "$defs": {
        "a": {"anyOf": [{"$ref": "#/$defs/b"}, {"type": "null"}]},
        "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}},
    "a circle through not": {"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}},
    "allOf of 300 overlapping objects": {
        "allOf": [
            {"properties": {f"p{(n + k) % 40}": {"minimum": n} for k in range(10)}}
            for n in range(300)]},
    "500 dependentRequired": {
        "type": "object", "dependentRequired": {f"k{n}": [f"r{n}"] for n in range(500)}},
    "500 dependentRequired of declared keys": {
        "type": "object", "properties": {f"k{n}": {"type": "integer"} for n in range(501)},
        "dependentRequired": {f"k{n}": [f"k{n + 1}"] for n in range(500)}},
    "200 dependentSchemas": {"dependentSchemas": {
        f"k{n}": {"required": [f"k{n + 1}"], "maxProperties": 400 - n} for n in range(200)}},
    "1,000 times not": schema_chain(lambda inner: {"not": inner}, 1_000),
    "not of 500 properties": {
        "not": {"properties": {f"k{n}": {"minimum": n} for n in range(500)}}},
    "100 conditions on a tag": {
        "properties": {"t": {"enum": list(range(300))}}, "required": ["t"],
        "allOf": [
            {"if": {"properties": {"t": {"const": n}}, "required": ["t"]},
             "then": {"required": [f"r{n}"]}} for n in range(300)]},
    "unevaluatedProperties through 100 references": {
        "allOf": [{"$ref": f"#/$defs/d{n}"} for n in range(100)],
        "unevaluatedProperties": False,
        "$defs": {f"d{n}": {"properties": {f"p{n}": TEXT}} for n in range(100)}},
    "a billion contained": {
        "type": "array", "contains": {"const": 1}, "minContains": 10**9},
    "a step below all numbers": {"multipleOf": 1e-300},
    "a pattern of a million characters": TEXT | {"pattern": "a" * 1_000_000},
    "a trillion characters": TEXT | {"maxLength": 10**12},
    "names out of 5,000": {
        "type": "object",
        "propertyNames": {"pattern": "^(" + "|".join(f"n{n}x?" for n in range(5_000)) + ")$"}},
    "names of no pattern": {
        "propertyNames": {"not": {
            "anyOf": [{"pattern": f"{c}.*{d}"} for c in "abcd" for d in "wxyz"]}}},
}  # fmt: skip
"""What once took many seconds or all memory; compiled in this process, where no worker helps."""

LARKS = {
    "deep groups": "start: " + nested("(", '"a"', ")", 50_000),
    "deep but legal groups": "start: " + nested("(", '"a"', ")", 100),
    "tower of stars": "start: " + nested("(", '"a"', ")*", 100),
    "large count": 'start: "a"~1000000',
    "long literal": 'start: "' + "a" * 200_000 + '"',
    "many rules": "start: r0\n" + "".join(f'r{n}: "a" r{n + 1}\n' for n in range(3_000))
    + 'r3000: "z"',
}  # fmt: skip

CASES: dict[str, dict[str, Any]] = {
    "from_regex": REGEXES,
    "from_choices": CHOICES,
    "from_gbnf": GBNFS,
    "from_schema": SCHEMAS,
    "from_lark": LARKS,
}


def run(kind: str, names: list[str]) -> None:
    """Prints name, outcome and seconds of each case: to compile it, and to build its automaton.

    Seconds of this process alone: a worker's are bounded by the pool, and other programs may run.
    """
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for name in names:
        print(json.dumps([name]), flush=True)
        seconds = [time.process_time()]
        try:
            made = getattr(Grammar, kind)(CASES[kind][name])
            seconds.append(time.process_time())
            outcome = f"compiles, empty text: {made.accepts('')}"
        except (ConstraintError, ParameterError) as error:
            outcome = f"{type(error).__name__}: {error!s:.150}"
        seconds.append(time.process_time())
        took = [after - before for before, after in pairwise(seconds)]
        print(json.dumps([name, outcome, *took]), flush=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in CASES if hasattr(Grammar, kind)])
def test_bounded(kind: str) -> None:
    child = subprocess.run(
        [sys.executable, "-W", "error", __file__, kind, *CASES[kind]],
        env={**os.environ, LOCATION_VARIABLE: "off"},
        capture_output=True,
        text=True,
        timeout=4 * LIMIT_S * len(CASES[kind]),
        check=False,
    )
    lines = [json.loads(line) for line in child.stdout.splitlines()]
    assert child.returncode == 0, f"{lines[-1]} ended the process:\n{child.stderr[-2_000:]}"
    assert not [line for line in lines if any(took > LIMIT_S for took in line[2:])]


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE_SCHEMAS)
def test_schemas_are_bounded_without_a_worker(name: str) -> None:
    began = time.process_time()
    message = ""
    try:
        Grammar(compile_schema(LARGE_SCHEMAS[name]).rules)
    except ConstraintError as error:
        message = str(error)
    assert time.process_time() - began < LIMIT_S
    assert len(message) < LONGEST_MESSAGE


@pytest.mark.slow
def test_what_can_be_exact_is() -> None:
    for name, valid, invalid in (
        ("oneOf of 300 tagged objects", '{"t": 7, "x": 1}', '{"t": 300}'),
        ("oneOf of 100 overlapping lists", "0", "1"),
        ("60 patternProperties apart", '{"p3_": "abc", "p59_x": 1}', '{"p3_": "ab"}'),
        ("unevaluatedProperties through 100 references", '{"p99": ""}', '{"p100": ""}'),
    ):
        grammar = Grammar(compile_schema(LARGE_SCHEMAS[name]).rules)
        assert grammar.accepts(valid), name
        assert not grammar.accepts(invalid), name


def test_parts_that_are_shared_in_memory_count_as_often_as_they_are_used() -> None:
    doubling = schema_chain(lambda inner: {"anyOf": [inner, inner]}, 90)
    circle: Any = {"items": {}}
    circle["items"]["not"] = circle
    deep_beside_a_circle = {"properties": {"a": schema_chain(lambda inner: {"items": inner}, 150)}}
    deep_beside_a_circle["not"] = circle
    for schema in (doubling, circle, deep_beside_a_circle):
        with pytest.raises(SchemaError):
            Grammar.from_schema(schema)
        with pytest.raises(SchemaError):
            compile_schema(schema)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:] or list(CASES[sys.argv[1]]))
