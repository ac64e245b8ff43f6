"""Which texts of a value are in the grammar: key order, white space, escapes, 1.0."""

from __future__ import annotations

import json
from typing import Any

import pytest

from treegram.lang.errors import ParameterError, SchemaError
from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.compile import compile_schema
from treegram.lang.json_schema.layout import Layout

SCHEMA: Any = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"enum": ["é", "b"]}},
        "n": {"type": "integer"},
        "more": {"const": {"x": [1, {}], "y": []}},
    },
    "required": ["name", "tags"],
}
VALUE: Any = {"name": "日", "tags": ["é", "b"], "n": 1, "more": {"x": [1, {}], "y": []}, "z": {}}


def grammar(layout: Layout, schema: Any = SCHEMA) -> Grammar:
    return Grammar(compile_schema(schema, layout).rules)


def test_single_spaces_are_what_json_dumps_writes() -> None:
    writing = grammar(Layout())
    assert writing.accepts(json.dumps(VALUE, ensure_ascii=False))
    assert not writing.accepts(json.dumps(VALUE))
    assert not writing.accepts(json.dumps(VALUE, ensure_ascii=False, indent=1))
    assert not writing.accepts(json.dumps(VALUE, ensure_ascii=False, sort_keys=True))
    assert not writing.accepts('{"name": "x", "tags": [], "n": 1.0}')


def test_compact() -> None:
    compact = grammar(Layout(whitespace="compact"))
    assert compact.accepts(json.dumps(VALUE, ensure_ascii=False, separators=(",", ":")))
    assert not compact.accepts(json.dumps(VALUE, ensure_ascii=False))


@pytest.mark.parametrize("indent", [1, 2, 4])
def test_indented_is_what_json_dumps_writes_with_that_indent(indent: int) -> None:
    indented = grammar(Layout(whitespace="indented", indent=indent))
    for value in (VALUE, {"name": "", "tags": []}, VALUE | {"z": [[], {}, [1, {"a": None}]]}):
        assert indented.accepts(json.dumps(value, ensure_ascii=False, indent=indent))
        assert not indented.accepts(json.dumps(value, ensure_ascii=False, indent=indent + 1))
    assert not indented.accepts(json.dumps(VALUE, ensure_ascii=False))


def test_indented_stops_at_its_depth() -> None:
    nested: Any = {
        "$defs": {"a": {"items": {"$ref": "#/$defs/a"}, "type": "array"}},
        "$ref": "#/$defs/a",
    }
    indented = grammar(Layout(whitespace="indented", max_depth=3), nested)
    assert indented.accepts(json.dumps([[[]]], indent=2))
    assert not indented.accepts(json.dumps([[[[]]]], indent=2))
    deep = {"type": "array", "minItems": 1, "items": nested["$defs"]["a"] | {"minItems": 1}}
    with pytest.raises(SchemaError, match="no finite JSON value"):
        compile_schema(
            deep | {"$defs": nested["$defs"]}, Layout(whitespace="indented", max_depth=2)
        )


def test_flexible_allows_white_space_wherever_json_does() -> None:
    flexible = grammar(Layout(whitespace="flexible"))
    for text in (
        json.dumps(VALUE, ensure_ascii=False),
        json.dumps(VALUE, ensure_ascii=False, indent="\t"),
        json.dumps(VALUE, ensure_ascii=False, separators=(",", ":")),
        ' {\t"name" :\r\n"x" , "tags": [ "b" ,"é" ] }\n',
        '{"name":"","tags":[ ]}',
    ):
        assert flexible.accepts(text), text
    assert not flexible.accepts('{"na me":"","tags":[]}')
    few = grammar(Layout(whitespace="flexible", max_whitespace=2))
    assert few.accepts('{"name":  "", "tags": []}')
    assert not few.accepts('{"name":   "", "tags": []}')


def test_free_order_of_keys() -> None:
    free = grammar(Layout(key_order="free"))
    assert free.accepts('{"z": 1, "tags": [], "a": 1, "name": ""}')
    assert not free.accepts('{"z": 1, "tags": []}')
    assert not free.accepts('{"tags": [], "name": "", "tags": []}')


def test_escapes_of_keys_constants_and_texts() -> None:
    schema = {
        "type": "object",
        "properties": {"é日": {"enum": ["😀", "ü", "a"]}},
        "required": ["é日"],
        "additionalProperties": {"type": "integer"},
    }
    accepting = grammar(Layout.accepting(), schema)
    for value in ({"é日": "😀", "ö": 1}, {"é日": "ü"}, {"é日": "a", "ok": 1}):
        assert accepting.accepts(json.dumps(value))
        assert accepting.accepts(json.dumps(value, ensure_ascii=False))
    for text in (
        '{"\\u00e9\\u65e5": "\\u00fc"}',
        '{"é日": "\\ud83d\\ude00"}',
    ):
        assert accepting.accepts(text)
    # However its key is spelled, a declared member is no other one.
    assert not accepting.accepts('{"é日": "a", "\\u00E9日": 1}')
    assert not accepting.accepts('{"\\u00E9日": 1}')


def test_whole_floats() -> None:
    accepting = grammar(Layout.accepting(), {"enum": [1, 2.5, [3]]})
    assert all(map(accepting.accepts, ("1", "1.0", "1.00", "2.5", "[3.0]")))
    assert not accepting.accepts("1.1")
    assert grammar(Layout(integral_floats=True), {"type": "integer"}).accepts("7.0")
    assert not grammar(Layout(), {"type": "integer"}).accepts("7.0")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("key_order", "sorted"),
        ("whitespace", "none"),
        ("indent", 0),
        ("max_depth", 1000),
        ("max_whitespace", -1),
    ],
)
def test_options_outside_their_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        Layout(**{name: value})
    assert caught.value.parameter == name


def test_every_spelling_of_a_listed_text_is_accepted() -> None:
    accepting = grammar(Layout.accepting(), {"enum": ["\x7f", "a\x1f", "é"]})
    for text in ("\x7f", "\\u007f", "\\u007F", "a\\u001f", "a\\u001F", "é", "\\u00e9", "\\u00E9"):
        assert accepting.accepts(f'"{text}"'), text
        assert json.loads(f'"{text}"') in ("\x7f", "a\x1f", "é")
    assert not accepting.accepts('"\\u001f"')


def test_declared_keys_are_spelled_as_any_writer_spells_them() -> None:
    schema = {"properties": {"é": {"type": "integer"}, "日": {}}, "required": ["é"]}
    accepting = grammar(Layout.accepting(), schema)
    value = {"é": 1, "日": 2, "ü": 3}
    escaped = json.dumps(value)
    upper = escaped.replace("e9", "E9").replace("65e5", "65E5").replace("fc", "FC")
    for text in (json.dumps(value, ensure_ascii=False), escaped, upper):
        assert json.loads(text) == value
        assert accepting.accepts(text), text
    assert not accepting.accepts('{"\\u00E9": "x"}')


@pytest.mark.parametrize("layout", [Layout(), Layout.accepting()])
def test_long_lists_are_the_same_values_as_short_ones(layout: Layout) -> None:
    values = [*range(0, 600, 2), -7, 0.5, 12.0, *(f"v{n}" for n in range(300))]
    listed = grammar(layout, {"enum": values})
    for value in (*range(0, 601, 3), -7, 0.5, "v1", "v299", "v300", "v", -0.5, True):
        is_listed = value in values and value is not True
        assert listed.accepts(json.dumps(value)) == is_listed, value
    assert listed.accepts("6.00") == layout.integral_floats
    assert listed.accepts("-0") == layout.integral_floats
