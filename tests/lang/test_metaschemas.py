"""References to the metaschema of a draft: `jsonschema` has the official ones."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from treegram.lang.errors import SchemaError
from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.compile import compile_schema
from treegram.lang.json_schema.layout import Layout

Json = Any

VALIDATORS: dict[str, Any] = {
    "http://json-schema.org/draft-04/schema#": jsonschema.Draft4Validator,
    "http://json-schema.org/draft-06/schema#": jsonschema.Draft6Validator,
    "http://json-schema.org/draft-07/schema#": jsonschema.Draft7Validator,
    "https://json-schema.org/draft/2019-09/schema": jsonschema.Draft201909Validator,
    "https://json-schema.org/draft/2020-12/schema": jsonschema.Draft202012Validator,
}
KEYWORDS = """
    $schema $id id $ref $anchor $defs definitions $comment $vocabulary $recursiveRef
    $recursiveAnchor $dynamicRef $dynamicAnchor title description default examples readOnly
    deprecated format enum const type multipleOf minimum maximum exclusiveMinimum
    exclusiveMaximum minLength maxLength pattern items prefixItems additionalItems contains
    minContains maxContains minItems maxItems uniqueItems unevaluatedItems properties
    patternProperties additionalProperties propertyNames required minProperties maxProperties
    dependencies dependentRequired dependentSchemas unevaluatedProperties contentMediaType
    contentEncoding contentSchema allOf anyOf oneOf not if then else other
""".split()
VALUES: list[Json] = [
    *(None, True, 0, 2, -1, 0.5, "a", "string", "^a", "(", "#/a", "http://a.org/", [], {}),
    *([{}], ["a"], ["a", "a"], ["string", "null"], [True], [1, 1], {"a": {}}, {"a": ["b", "b"]}),
    *({"a": 1}, {"(": {}}, {"a": {"type": "nothing"}}, {"not": {"minLength": -1}}),
]


def accepts(schema: Json, value: Json) -> bool:
    grammar = Grammar(compile_schema(schema, Layout.accepting()).rules)
    return grammar.accepts(json.dumps(value))


def official(uri: str) -> Any:
    kind = VALIDATORS[uri]
    return kind(kind.META_SCHEMA, format_checker=kind.FORMAT_CHECKER)


@pytest.mark.slow
@pytest.mark.parametrize("uri", VALIDATORS)
def test_a_reference_to_a_metaschema_means_schemas(uri: str) -> None:
    rules = compile_schema({"$schema": uri, "$ref": uri}, Layout.accepting()).rules
    grammar, validator = Grammar(rules), official(uri)
    for value in (*VALUES, *({keyword: value} for keyword in KEYWORDS for value in VALUES)):
        assert grammar.accepts(json.dumps(value)) == validator.is_valid(value), value
    for number in (1, True):
        schema = {"exclusiveMinimum": number, "items": {"exclusiveMaximum": number}}
        assert grammar.accepts(json.dumps(schema)) == validator.is_valid(schema)


def test_parts_of_an_older_metaschema_are_reached_by_pointers() -> None:
    old = "http://json-schema.org/draft-04/schema#"
    schema = {
        "properties": {
            "title": {"$ref": f"{old}/properties/title"},
            "size": {"$ref": f"{old}/definitions/positiveInteger"},
        }
    }
    assert accepts(schema, {"title": "a", "size": 3})
    assert not accepts(schema, {"title": 1})
    assert not accepts(schema, {"size": -3})


@pytest.mark.parametrize(
    "schema",
    [
        {"$schema": "http://json-schema.org/draft-07/schema#", "$ref": list(VALIDATORS)[-1]},
        {"$ref": "http://json-schema.org/draft-03/schema#"},
        {"$dynamicAnchor": "meta", "properties": {"a": {"$ref": list(VALIDATORS)[-1]}}},
    ],
    ids=["newer", "unknown", "extended"],
)
def test_other_metaschemas_are_outside_the_document(schema: Json) -> None:
    with pytest.raises(SchemaError, match="outside this document") as caught:
        compile_schema(schema)
    assert caught.value.keyword == "$ref"
